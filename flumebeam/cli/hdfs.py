"""``flumebeam hdfs``: an HDFS of one's own on a laptop."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from flumebeam.exits import Exit
from flumebeam.hdfs.service import DEFAULT_PORT, DEFAULT_RPC_PORT, HdfsService, RunningHdfs, default_directory

__all__ = ["app"]

app = typer.Typer(
    help="A real HDFS on this machine: a NameNode and a DataNode, on loopback. Not for production.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

_Data = Annotated[
    Path | None,
    typer.Option("--data", metavar="DIR", help="Directory that keeps its files. [~/.local/share/flumebeam/hdfs]"),
]


@app.command()
def start(
    data: _Data = None,
    port: Annotated[int, typer.Option(help="Port of WebHDFS; 0 takes a free one.")] = DEFAULT_PORT,
    rpc_port: Annotated[int, typer.Option(help="Port for Hadoop's own programs; 0 takes a free one.")] = (
        DEFAULT_RPC_PORT
    ),
) -> None:
    """Start it and leave it running. Needs Java; the first start fetches Hadoop (67 MB) with Maven."""
    typer.echo("Starting HDFS (five seconds; the first time it is fetched, which takes a minute)", err=True)
    _tell(_service(data).start(port=port, rpc_port=rpc_port))


@app.command()
def status(data: _Data = None) -> None:
    """Tell what runs; the exit status is 0 if all of it does, else 1."""
    running = _service(data).status()
    if running is None:
        typer.echo("HDFS does not run; start it with: flumebeam hdfs start.")
        sys.exit(Exit.FAILED)
    for daemon in running.ended:
        typer.echo(f"The {daemon.name} ended; its log is {daemon.log}.")
    if running.ended:
        sys.exit(Exit.FAILED)
    _tell(running)


@app.command()
def stop(data: _Data = None) -> None:
    """End it in order; its files stay."""
    typer.echo("HDFS has ended." if _service(data).stop() else "HDFS did not run.")


def _service(data: Path | None) -> HdfsService:
    return HdfsService(data or default_directory())


def _tell(running: RunningHdfs) -> None:
    typer.echo(f"Target: {running.target}/logs (any directory)")
    typer.echo(f"Hadoop's own programs: {running.hdfs_url}, HADOOP_CONF_DIR={running.configuration}")
    for daemon in running.daemons:
        typer.echo(f"{daemon.name}: process {daemon.pid}, log {daemon.log}")
