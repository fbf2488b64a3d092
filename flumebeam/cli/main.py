"""Entry point of the command ``flumebeam``: one error, one line, one exit status."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from flumebeam._version import __version__
from flumebeam.cli import broker, commits, demo, hdfs, jobs, put, run, runners, take, yaml
from flumebeam.errors import ConfigurationError, FlumebeamError
from flumebeam.exits import Exit

__all__ = ["app", "main"]

app = typer.Typer(
    name="flumebeam",
    help="Move events through Solace queues into Hadoop and live analytics, without losing one.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command("demo")(demo.demo)
app.command("broker")(broker.broker)
app.add_typer(commits.app, name="commits")
app.add_typer(hdfs.app, name="hdfs")
app.command("put")(put.put)
app.command("take")(take.take)
app.command("run", context_settings=run.CONTEXT, add_help_option=False)(run.run)
app.command("yaml", context_settings=yaml.CONTEXT)(yaml.yaml)
app.command("jobs")(jobs.jobs)
app.command("stop")(jobs.stop)
app.command("worker-pool")(runners.worker_pool)
app.add_typer(runners.prism, name="prism")
app.add_typer(runners.cluster, name="cluster")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"flumebeam {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    pass


def main(arguments: list[str] | None = None) -> None:
    """Run the command and leave the process with one of :class:`~flumebeam.exits.Exit`."""
    try:
        app(args=arguments)
    except ConfigurationError as error:
        _fail(error, Exit.USAGE)
    except FlumebeamError as error:
        _fail(error, Exit.FAILED)
    except KeyboardInterrupt:
        sys.exit(Exit.INTERRUPTED)


def _fail(error: FlumebeamError, status: Exit) -> None:
    typer.echo(f"flumebeam: {error}", err=True)
    sys.exit(status)
