"""Kill a broker a thousand times: ``python -m tests.faults.broker.soak --kills 1000 --seed S --state FILE``.

It runs in slices. What each slice came to is kept in the file of ``--state``, so a soak that is broken off goes on with
the slice it was in, and ends with the sums of all. Exit status 1 if something was lost, repeated or not committed.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from tests.faults.broker.scene import Sums, killed_scene

__all__ = ["main"]

_SLICE = 50
"""Kills of one directory and one set of clients."""


def main(arguments: list[str] | None = None) -> int:
    """Run what is left of the soak, and return its exit status."""
    parser = argparse.ArgumentParser(prog="soak", description="Kill a broker that keeps its data, again and again.")
    parser.add_argument("--kills", type=int, default=1_000)
    parser.add_argument("--seed", default="1")
    parser.add_argument("--state", type=Path, default=Path("soak.json"), help="file that keeps the slices done")
    options = parser.parse_args(arguments)
    logging.disable()  # the client reports every lost connection
    done = json.loads(options.state.read_text()) if options.state.exists() else {}
    slices = [min(_SLICE, options.kills - first) for first in range(0, options.kills, _SLICE)]
    for number, kills in enumerate(slices):
        name = f"{options.seed}/{number}/{kills}"
        if name not in done:
            with tempfile.TemporaryDirectory() as data:
                done[name] = asdict(killed_scene(Path(data), kills, name))
            options.state.write_text(json.dumps(done, indent=1))
            sys.stdout.write(f"slice {number + 1} of {len(slices)}: {done[name]}\n")
            sys.stdout.flush()
    names = [f"{options.seed}/{number}/{kills}" for number, kills in enumerate(slices)]
    sums = sum((Sums(**done[name]) for name in names), Sums())
    sys.stdout.write(f"in all: {asdict(sums)}\n")
    return 1 if sums.lost or sums.repeated or sums.uncommitted else 0


if __name__ == "__main__":
    sys.exit(main())
