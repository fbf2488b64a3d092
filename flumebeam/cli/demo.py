"""``flumebeam demo``: the whole house in front of a newcomer."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["demo"]


def demo(
    input_: Annotated[
        Path | None, typer.Option("--input", help="A log of your own, any bytes; without it a realistic one is made.")
    ] = None,
    output: Annotated[Path, typer.Option("--output", help="Directory for everything that comes out.")] = Path(
        "demo-output"
    ),
    lines: Annotated[int, typer.Option("--lines", min=1, help="Lines of the log that is made.")] = 50_000,
    kill: Annotated[bool, typer.Option("--kill/--no-kill", help="Kill the drain once with kill -9.")] = True,
) -> None:
    """Log lines through a transactional queue into files, a live count beside it, and proof that nothing was lost."""
    from flumebeam.demo.run import Demo  # brings in Beam

    sys.exit(Demo(output, input_, lines=lines, kill=kill).run())
