"""A drain that watches partitions, as a process of its own that kills itself with SIGKILL at a named place.

Usage: ``python partition_writer.py TARGET POINT NTH``; it commits events 0 to 11 that no earlier one committed, three
to a transaction and four to a partition, with rolling, and says after each transaction that time is at its last event.
A partition is over when all of its four events are committed. The hook appends what it is told, and the events that a
reader of the partition sees then, to ``TARGET/_told``. It dies at the NTH passing of POINT.
"""

from __future__ import annotations

import os
import signal
import sys
from enum import Enum
from pathlib import Path

from flumebeam.clock import SystemClock
from flumebeam.commitlog.completing import PartitionKeeper
from flumebeam.commitlog.driver import Driver
from flumebeam.commitlog.hooks import PartitionEvent
from flumebeam.commitlog.layout import QueueIdentity
from flumebeam.commitlog.log import CommitLog
from flumebeam.commitlog.options import CommitLogOptions
from flumebeam.commitlog.partition_options import PartitionOptions
from flumebeam.commitlog.protocol import PartDraft
from flumebeam.commitlog.rolling import RollOptions
from flumebeam.formats.joining import AS_BYTES
from flumebeam.hdfs.local import LocalFileSystem
from flumebeam.ids import DeliveryId, delivery_ids

EVENTS = 12
OF_A_PARTITION = 4
SECOND = 1_000


def end_ms(partition: int) -> int:
    return (partition + 1) * OF_A_PARTITION * SECOND


def main(target: str, point: str, nth: int) -> None:
    left = nth

    def at(reached: Enum) -> None:
        nonlocal left
        if reached.name == point:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    def told(event: PartitionEvent) -> None:
        files = [path for path in Path(target, event.partition).iterdir() if path.name[0] not in "._"]
        seen = sorted(int(line) for path in files for line in path.read_bytes().splitlines())
        with Path(target, "_told").open("a") as file:
            file.write(f"{event.kind.value} {event.partition} {' '.join(map(str, seen))}\n")

    fs, clock = LocalFileSystem(), SystemClock()
    options = CommitLogOptions(fold_after=2, threads=2, roll=RollOptions(max_bytes=0, max_seconds=0))
    log = CommitLog.open(fs, target, QueueIdentity("", "", "q"), options, at=at)
    hook = PartitionOptions(delay_seconds=0, on_complete=told)
    silent: int | None = None
    keeper = PartitionKeeper(
        Driver(fs, clock=clock, threads=1), target, hook, clock=clock, silence=lambda _: silent, at=at
    )
    life = log.begin_life(f"receiver-{os.getpid()}")
    keeper.adopt(life)
    keeper.begin(life)
    life.fence()
    for start in range(0, EVENTS, 3):
        numbers = range(start, start + 3)
        column = delivery_ids(DeliveryId(1, number) for number in numbers)
        known = life.committed(column)
        new = [number for place, number in enumerate(numbers) if not known[place]]
        partitions = sorted({number // OF_A_PARTITION for number in new})
        ends = {f"p={partition}": end_ms(partition) for partition in partitions}
        keeper.enter(life, ends)
        stem = life.file_stem()
        drafts = [
            PartDraft(f"p={partition}", f"f.{stem}.txt", lambda lines=lines: [lines], len(lines), AS_BYTES)  # type: ignore[misc]
            for partition in partitions
            if (lines := b"".join(b"%d\n" % number for number in new if number // OF_A_PARTITION == partition))
        ]
        if drafts:
            life.commit(drafts, delivery_ids(DeliveryId(1, number) for number in new))
        keeper.leave(life, ends, (start + 3) * SECOND)
        keeper.tick()
    silent = end_ms(EVENTS)
    life.end()
    keeper.closed(life, settled=True)
    keeper.close()
    log.close()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
