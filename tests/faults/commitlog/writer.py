"""A writer that is a process of its own and kills itself with SIGKILL at a named place.

Usage: ``python writer.py TARGET EVENTS POINT NTH``; it commits events 0 to EVENTS-1 that no earlier one committed, as a
queue would deliver them, three to a transaction into two directories, and dies at the NTH passing of POINT.
"""

from __future__ import annotations

import os
import signal
import sys

from flumebeam.commitlog.layout import QueueIdentity
from flumebeam.commitlog.log import CommitLog
from flumebeam.commitlog.options import CommitLogOptions
from flumebeam.commitlog.protocol import PartDraft
from flumebeam.commitlog.steps import CrashPoint
from flumebeam.hdfs.local import LocalFileSystem
from flumebeam.ids import DeliveryId, delivery_ids


def main(target: str, events: int, point: str, nth: int) -> None:
    left = nth

    def at(reached: CrashPoint) -> None:
        nonlocal left
        if reached.name == point:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    options = CommitLogOptions(fold_after=2, threads=2)
    log = CommitLog.open(LocalFileSystem(), target, QueueIdentity("", "", "q"), options, at=at)
    life = log.begin_life(f"receiver-{os.getpid()}")
    life.fence()
    for start in range(0, events, 3):
        column = delivery_ids(DeliveryId(1, number) for number in range(start, start + 3))
        known = life.committed(column)
        new = [start + place for place in range(3) if not known[place]]
        if new:
            stem = life.file_stem()
            life.commit(
                [
                    PartDraft(f"by={half}", f"f.{stem}.txt", lambda lines=lines: [lines], len(lines))  # type: ignore[misc]
                    for half in (0, 1)
                    if (lines := b"".join(b"%d\n" % number for number in new if number % 2 == half))
                ],
                delivery_ids(DeliveryId(1, number) for number in new),
            )
    log.close()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
