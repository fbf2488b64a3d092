"""Commands about runners: Prism's program, clusters on this machine, the pool that starts workers."""

from __future__ import annotations

import contextlib
import logging
import signal
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final, NoReturn

import typer

from flumebeam.daemons import Daemon
from flumebeam.errors import RunnerError
from flumebeam.exits import Exit

__all__ = ["cluster", "prism", "worker_pool"]

prism = typer.Typer(help="Beam's own local runner that streams: install it.", no_args_is_help=True)
cluster = typer.Typer(help="A Flink or Spark cluster on this machine, for trying out.", no_args_is_help=True)

_LOOK_SECONDS: Final = 1.0


@prism.command("install")
def prism_install() -> None:
    """Build Prism of the installed Beam's version, so that --runner=PrismRunner and --runner=DirectRunner run on it."""
    from flumebeam.runners import artifacts
    from flumebeam.transforms.beam_compat import beams_prism

    if not artifacts.prism_is_there():
        typer.echo("Building Prism from its Go module; this takes a minute or two.", err=True)
    program = artifacts.prism()
    # Programs that Beam starts by itself look there, and nowhere else.
    place = beams_prism()
    place.parent.mkdir(parents=True, exist_ok=True)
    part = place.with_suffix(".part")
    with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as packed:
        packed.write(program, place.stem)
    part.replace(place)
    typer.echo(f"Prism is installed: {program}, and for Beam {place}.")


@cluster.command("flink")
def cluster_flink(
    port: Annotated[int, typer.Option("--port", help="Of the JobManager's REST interface.")] = 8081,
    task_managers: Annotated[int, typer.Option("--task_managers", min=1, help="How many to start.")] = 2,
    directory: Annotated[
        Path | None, typer.Option("--directory", help="Keeps logs, checkpoints and savepoints [removed at the end].")
    ] = None,
) -> None:
    """Run a standalone Flink on this machine until Ctrl-C."""
    from flumebeam.runners.artifacts import FLINK_VERSION
    from flumebeam.runners.flink import LocalFlink

    with tempfile.TemporaryDirectory(prefix="flumebeam-flink-") as scratch:
        made = LocalFlink(directory or Path(scratch), port=port, task_managers=task_managers)
        typer.echo(f"Starting Flink {FLINK_VERSION} with {task_managers} TaskManagers.", err=True)
        with _until_stopped(), made:
            typer.echo(f"Ready: --runner=FlinkRunner --flink_master={made.master}   Ctrl-C ends it.", err=True)
            _watch(made.job_manager, *made.task_managers)


@cluster.command("spark")
def cluster_spark(
    port: Annotated[int, typer.Option("--port", help="Of the master.")] = 7077,
    workers: Annotated[int, typer.Option("--workers", min=1, help="How many to start.")] = 2,
    directory: Annotated[
        Path | None, typer.Option("--directory", help="Keeps logs and executors' files [removed at the end].")
    ] = None,
) -> None:
    """Run a standalone Spark on this machine until Ctrl-C."""
    from flumebeam.runners.artifacts import SPARK_VERSION
    from flumebeam.runners.spark import LocalSpark

    with tempfile.TemporaryDirectory(prefix="flumebeam-spark-") as scratch:
        made = LocalSpark(directory or Path(scratch), port=port, workers=workers)
        typer.echo(f"Starting Spark {SPARK_VERSION} with {workers} workers.", err=True)
        with _until_stopped(), made:
            typer.echo(f"Ready: --runner=SparkRunner --spark_master_url={made.master}   Ctrl-C ends it.", err=True)
            _watch(made.master_process, *made.workers)


def worker_pool(
    port: Annotated[int, typer.Option("--port", help="Port to listen on.")] = 50_000,
    host: Annotated[
        str, typer.Option("--host", help="Address to listen on; whoever reaches it can run code here.")
    ] = "127.0.0.1",
) -> None:
    """Start workers for the runner on this machine, for --environment_type=EXTERNAL, until Ctrl-C."""
    from flumebeam.pipelines.launching import worker_command
    from flumebeam.pipelines.worker_pool import WorkerPool

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", stream=sys.stderr)
    with _until_stopped(), WorkerPool(worker_command(), port, host) as pool:
        typer.echo(
            f"Ready: --environment_type=EXTERNAL --environment_config={pool.endpoint}   Ctrl-C ends it.", err=True
        )
        _watch()


@contextlib.contextmanager
def _until_stopped() -> Iterator[None]:
    """Leave the process well on Ctrl-C and SIGTERM, after whatever runs within has been ended."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        sys.exit(Exit.OK)
    finally:
        signal.signal(signal.SIGTERM, before)


def _watch(*daemons: Daemon) -> NoReturn:
    while True:
        for each in daemons:
            if not each.is_running:
                raise RunnerError(f"The {each.name} ended: {each.last_words()}")
        time.sleep(_LOOK_SECONDS)
