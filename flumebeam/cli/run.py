"""``flumebeam run NAME``: one of the ready pipelines."""

from __future__ import annotations

import sys
from typing import Annotated, Final

import typer

from flumebeam.exits import Exit

__all__ = ["CONTEXT", "run"]

CONTEXT: Final = {"ignore_unknown_options": True, "allow_extra_args": True}
"""Everything behind the name belongs to the pipeline, ``--help`` included."""


def run(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Name of the pipeline.")] = "--help",
) -> None:
    """Run a pipeline: ingest, drain_to_hdfs, speed_layer, lambda_architecture.

    Its options follow its name; 'flumebeam run NAME --help' lists them.
    """
    from flumebeam.pipelines import registry  # Beam takes a second to import: only this command pays

    if name in {"--help", "-h"}:
        typer.echo("Usage: flumebeam run NAME [OPTIONS]\n\nPipelines:")
        for known, summary in registry.summaries().items():
            typer.echo(f"  {known:22} {summary}")
        typer.echo("\n'flumebeam run NAME --help' lists the options of one.")
        raise typer.Exit(Exit.OK)
    sys.exit(registry.load(name).main(context.args))
