"""Long soaks of the broker, in slices that can be broken off, resumed and summed.

``python -m tests.faults.broker.soak cuts``: 10,000 cut connections, 1,000,000 events exactly once.
``python -m tests.faults.broker.soak kills``: 1,000 times ``kill -9`` of a broker with data.

A slice's sums are written to the ledger, a JSON file, once it is done. With ``--resume`` a soak goes on after those
that the ledger has; ``--slices N`` ends it after N more. The last line of the output sums up all slices of the ledger.
Exit status 1 if something was lost, repeated or uncommitted, 2 if a ledger is there and is not to be resumed.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.faults.broker.cuts import CutSums, cut_scene
from tests.faults.broker.scene import Sums, killed_scene

__all__ = ["main"]


@dataclass(frozen=True)
class Soak:
    """One kind of soak.

    Attributes:
        slices: How many make the whole.
        run: Runs a slice by its seed and returns its sums.
        sums: Type of the sums.
    """

    slices: int
    run: Callable[[str], Any]
    sums: type[Any]


def _kills(seed: str) -> Sums:
    with tempfile.TemporaryDirectory() as data:
        return killed_scene(Path(data), kills=20, seed=seed)


SOAKS = {
    "cuts": Soak(100, lambda seed: cut_scene(cuts=100, events=10_000, seed=seed), CutSums),
    "kills": Soak(50, _kills, Sums),
}


def main(arguments: list[str] | None = None) -> int:
    """Run what is left of a soak, or a part of it, and return the exit status."""
    parser = argparse.ArgumentParser(prog="soak", description="Soak the development broker.")
    parser.add_argument("kind", choices=sorted(SOAKS))
    parser.add_argument("--seed", default="1")
    parser.add_argument("--slices", type=int, help="how many slices to run now [default: all that are left]")
    parser.add_argument("--ledger", type=Path, help="file that keeps the slices done [default: soak-KIND.json]")
    parser.add_argument("--resume", action="store_true", help="go on with the ledger that is there")
    options = parser.parse_args(arguments)
    soak = SOAKS[options.kind]
    ledger = options.ledger or Path(f"soak-{options.kind}.json")
    if ledger.exists() and not options.resume:
        sys.stderr.write(f"{ledger} is there already; go on with it by --resume, or remove it.\n")
        return 2
    done: dict[str, Any] = json.loads(ledger.read_text()) if ledger.exists() else {}
    names = [f"{options.kind}/{options.seed}/{number}" for number in range(soak.slices)]
    left = [name for name in names if name not in done][: options.slices]
    for name in left:
        began = time.monotonic()
        sums = asdict(soak.run(name))
        done[name] = sums | {"seconds": round(time.monotonic() - began, 1)}
        ledger.write_text(json.dumps(done, indent=1) + "\n")
        _tell(f"slice {name}: {_line(sums)}, {done[name]['seconds']} s")
    found = [done[name] for name in names if name in done]
    total = soak.sums()
    for slice_sums in found:
        total += soak.sums(**{name: value for name, value in slice_sums.items() if name != "seconds"})
    seconds = round(sum(slice_sums["seconds"] for slice_sums in found))
    verdict = "clean" if total.clean else "NOT CLEAN"
    _tell(f"{verdict}: {len(found)} of {soak.slices} slices, {_line(asdict(total))}, {seconds} s")
    return 0 if total.clean else 1


def _line(sums: dict[str, int]) -> str:
    return ", ".join(f"{value} {name.replace('_', ' ')}" for name, value in sums.items())


def _tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    logging.disable()  # the client reports every lost connection
    sys.exit(main())
