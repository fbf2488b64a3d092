"""``flumebeam hdfs``: an HDFS of one's own on a laptop, and the statements for tables on any."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from flumebeam.exits import Exit
from flumebeam.formats import TABLE_FORMAT_NAMES, TableOptions, TableSchema, open_format
from flumebeam.formats.ddl import ENGINES, create_table
from flumebeam.hdfs.paths import PathTemplate
from flumebeam.hdfs.service import DEFAULT_PORT, DEFAULT_RPC_PORT, HdfsService, RunningHdfs, default_directory

__all__ = ["app"]

app = typer.Typer(
    help="A real HDFS on this machine (a NameNode and a DataNode, on loopback; not for production), and tables on any.",
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


@app.command()
def ddl(
    schema: Annotated[str, typer.Option(metavar="FILE|URL", help="Columns of the files, as the drain has them.")],
    target: Annotated[str, typer.Option(metavar="URL", help="Directory of the files, as the engine reaches it.")],
    path: Annotated[str, typer.Option(metavar="TEMPLATE", help="Directory below: dt=%Y-%m-%d/hour=%H. [none]")] = "",
    format: Annotated[str, typer.Option(metavar="NAME", help=f"{' or '.join(TABLE_FORMAT_NAMES)}.")] = "parquet",
    engine: Annotated[str, typer.Option(metavar="NAME", help=f"{' or '.join(ENGINES)}.")] = "hive",
    table: Annotated[str, typer.Option(metavar="NAME", help="Name of the table.")] = "events",
    body_column: Annotated[str, typer.Option(metavar="NAME", help="As the drain has it. [none]")] = "",
    header_columns: Annotated[str, typer.Option(metavar="NAME,NAME", help="As the drain has them. [none]")] = "",
    source_columns: Annotated[bool, typer.Option("--source-columns", help="If the drain has them.")] = False,
) -> None:
    """Print the CREATE TABLE of a typed table for Hive or Spark, and its partitions."""
    options = TableOptions(
        schema=TableSchema.read(schema),
        body_column=body_column,
        headers=tuple(name for name in header_columns.split(",") if name),
        source=source_columns,
    )
    # What a drain would refuse is no table.
    open_format(format, table=options)
    PathTemplate(path)
    typer.echo(create_table(engine, table, options, target=target, path=path, files=format))


def _service(data: Path | None) -> HdfsService:
    return HdfsService(data or default_directory())


def _tell(running: RunningHdfs) -> None:
    typer.echo(f"Target: {running.target}/logs (any directory)")
    typer.echo(f"Hadoop's own programs: {running.hdfs_url}, HADOOP_CONF_DIR={running.configuration}")
    for daemon in running.daemons:
        typer.echo(f"{daemon.name}: process {daemon.pid}, log {daemon.log}")
