"""Torture of the drain, in slices that can be broken off, resumed and summed: ``make torture``.

``python -m tests.torture local``: 1,000 kills of a drain without Beam, on a local disk; every second slice watches
partitions, whose success files must never be early, and whose hook must hear of each.
``python -m tests.torture pair``: 100 kills of a drain through Beam, on an HA pair of HDFS that fails over, loses one in
five of its answers, and whose DataNode hangs now and then.

Each slice has its own seed, ``KIND/SEED/NUMBER``. Its sums are written to the ledger, a JSON file, once it is done;
with ``--resume`` the run goes on after those that the ledger has. Exit status 1 if an event was lost, repeated or
invented, rubbish was left, or a partition was complete too early or not told of; 2 if a ledger is there and is not to
be resumed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from flumebeam.testing.hdfs import running_pair
from tests.torture.lossy import lossy_proxy
from tests.torture.sums import Sums
from tests.torture.torment import LocalPlace, PairPlace, Place, torment

__all__ = ["main"]

_SLICES = {"local": (20, 50), "pair": (10, 10)}
"""By kind: how many slices make the whole, and kills in each."""


def main(arguments: list[str] | None = None) -> int:
    """Run what is left, or a part of it, and return the exit status."""
    parser = argparse.ArgumentParser(prog="torture", description="Kill, freeze and cut the drain; count every event.")
    parser.add_argument("kind", choices=sorted(_SLICES))
    parser.add_argument("--seed", default="1")
    parser.add_argument("--slices", type=int, help="how many slices to run now [default: all that are left]")
    parser.add_argument("--kills", type=int, help="kills in each slice [default: 50 local, 10 pair]")
    parser.add_argument("--seconds", type=float, help="begin no slice after so many seconds")
    parser.add_argument("--ledger", type=Path, help="file that keeps the slices done [default: torture-KIND.json]")
    parser.add_argument("--resume", action="store_true", help="go on with the ledger that is there")
    options = parser.parse_args(arguments)
    ledger = options.ledger or Path(f"torture-{options.kind}.json")
    if ledger.exists() and not options.resume:
        sys.stderr.write(f"{ledger} is there already; go on with it by --resume, or remove it.\n")
        return 2
    done: dict[str, Any] = json.loads(ledger.read_text()) if ledger.exists() else {}
    count, kills = _SLICES[options.kind]
    names = [f"{options.kind}/{options.seed}/{number}" for number in range(count)]
    left = [name for name in names if name not in done][: options.slices]
    began = time.monotonic()
    with _places(options.kind, options.seed) if left else contextlib.nullcontext() as place:
        for name in left:
            if options.seconds is not None and time.monotonic() - began > options.seconds:
                break
            slice_began = time.monotonic()
            beam = options.kind == "pair"
            # The same slices in every run.
            watched = not beam and int(name.rpartition("/")[2]) % 2 == 1
            sums = torment(name, options.kills or kills, place, beam=beam, watched=watched)
            done[name] = asdict(sums) | {"seconds": round(time.monotonic() - slice_began, 1)}
            ledger.write_text(json.dumps(done, indent=1) + "\n")
            _tell(f"slice {name}: {sums}, {done[name]['seconds']} s")
    found = [dict(done[name]) for name in names if name in done]
    seconds = round(sum(each.pop("seconds") for each in found))
    total = Sums()
    for each in found:
        total += Sums(**each)
    verdict = "clean" if total.clean else "NOT CLEAN"
    _tell(f"{verdict}: {len(found)} of {count} slices, {total.kills} kills; {total}, {seconds} s")
    return 0 if total.clean else 1


@contextlib.contextmanager
def _places(kind: str, seed: str) -> Iterator[Callable[[Path], Place]]:
    """Give what makes the target of a slice; all slices of a run share one cluster."""
    if kind == "local":
        yield lambda directory: LocalPlace(directory / "target")
        return
    with contextlib.ExitStack() as open_:
        pair = open_.enter_context(running_pair(Path(open_.enter_context(tempfile.TemporaryDirectory()))))
        proxies = tuple(open_.enter_context(lossy_proxy(url, f"{seed}/{url}")) for url in pair.webhdfs_urls)
        yield lambda directory: PairPlace(pair, proxies, directory)


def _tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    logging.disable()  # the client reports every lost connection
    sys.exit(main())
