"""The documentation's page about states, made from the tables: ``python -m flumebeam.broker.diagram`` writes it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from flumebeam.broker.core.states import TABLES

__all__ = ["PAGE", "page"]

PAGE: Final = Path("docs", "broker-states.md")


def page() -> str:
    """Return the page, with a Mermaid diagram per table."""
    parts = ["# States of the development broker\n", "Made by `python -m flumebeam.broker.diagram`.\n"]
    for name, table in TABLES.items():
        first = next(iter(table))[0]
        lines = [f"## {name}\n", "```mermaid", "stateDiagram-v2", f"    [*] --> {first.name}"]
        lines += [f"    {state.name} --> {following.name}: {event}" for (state, event), following in table.items()]
        parts.append("\n".join([*lines, "```\n"]))
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    sys.stdout.write(f"{PAGE} written\n")
