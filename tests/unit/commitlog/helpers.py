"""A log on a file system in memory whose names, clock and faults a test controls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pyarrow as pa

from flumebeam.clock import ManualClock
from flumebeam.commitlog.layout import QueueIdentity
from flumebeam.commitlog.life import Life
from flumebeam.commitlog.log import CommitLog
from flumebeam.commitlog.options import CommitLogOptions
from flumebeam.commitlog.protocol import PartDraft
from flumebeam.commitlog.steps import CrashPoint
from flumebeam.ids import DeliveryId, delivery_ids
from flumebeam.testing.faulty_filesystem import Fault, FaultyFileSystem
from flumebeam.testing.memory_filesystem import MemoryFileSystem

QUEUE = QueueIdentity("broker", "default", "logs")
TARGET = "/target"


class Rig:
    """One target and any number of processes' logs on it."""

    def __init__(self, **options: object) -> None:
        self.memory = MemoryFileSystem()
        self.memory.make_directory(TARGET)
        self.fs = FaultyFileSystem(self.memory)
        self.clock = ManualClock()
        self.memory.now_ms = self.clock.epoch_ms()
        self.slept: list[float] = []
        self.reached: list[CrashPoint] = []
        self.options = replace(CommitLogOptions(threads=1, patience_seconds=10.0), **options)  # type: ignore[arg-type]

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.clock.advance(seconds)

    def log(self, at: Callable[[CrashPoint], None] | None = None, **options: object) -> CommitLog:
        return CommitLog.open(
            self.fs,
            TARGET,
            QUEUE,
            replace(self.options, **options),  # type: ignore[arg-type]
            clock=self.clock,
            at=at or self.reached.append,
            sleep=self.sleep,
        )

    def fail(self, fault: Fault) -> None:
        self.fs.faults.append(fault)

    @property
    def finals(self) -> dict[str, bytes]:
        """What readers of the target see, by path below it."""
        return {
            name.removeprefix(f"{TARGET}/"): content
            for name, content in self.memory.files.items()
            if "/." not in name and "/_" not in name
        }

    @property
    def events(self) -> list[bytes]:
        """Events in final files, sorted."""
        return sorted(line for content in self.finals.values() for line in content.splitlines())

    def hidden(self, part: str) -> list[str]:
        """Hidden files whose path has ``part``."""
        return sorted(name for name in self.memory.files if "/.flumebeam.logs/" in name and part in name)


def ids(*numbers: int) -> pa.FixedSizeBinaryArray:
    return delivery_ids(DeliveryId(1, number) for number in numbers)


def drafts(life: Life, numbers: Sequence[int], directory: str = "") -> list[PartDraft]:
    content = b"".join(b"%d\n" % number for number in numbers)
    return [PartDraft(directory, f"f.{life.file_stem()}.txt", lambda: [content], len(numbers))]


def commit(life: Life, *numbers: int, directory: str = "") -> list[int]:
    """Fence if need be, drop what is known, commit the rest; return what may be acknowledged."""
    if not life.fenced:
        life.fence()
    known = life.committed(ids(*numbers))
    new = [number for number, is_known in zip(numbers, known, strict=True) if not is_known]
    if new:
        life.commit(drafts(life, new, directory), ids(*new))
    return list(numbers)


def knows(rig: Rig, number: int) -> bool:
    """Whether the next life finds that an event was committed."""
    life = rig.log().begin_life("asking")
    life.fence()
    return bool(life.committed(ids(number))[0])


class DiedError(BaseException):
    """Stands for the end of a process: nothing behind it runs."""


def die_at(wanted: CrashPoint) -> Callable[[CrashPoint], None]:
    """Return what ends a process at a point."""

    def at(point: CrashPoint) -> None:
        if point is wanted:
            raise DiedError

    return at
