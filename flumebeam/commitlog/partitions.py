"""When a partition is complete: what epochs say of partitions, as durable marks, and what follows from it.

Before an epoch commits anything of a partition it leaves an *open* mark of it. When all that it has committed there is
published, its owner renames the mark to *ready*; what is committed later gets a new mark first. Marks of an epoch that
is gone are ready as well, because whoever settled it has published everything. Beside its marks, an epoch says how far
the watermark of its receiver has come.

A partition is complete when all marks of it are ready, no receiver that works on the target is behind its end and the
allowed delay, and of each queue that wrote into it one is known to be beyond. Then ``_SUCCESS`` is written, the hook is
called, and the marks go, in this order. So a crash anywhere repeats the call, and never comes before the files.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Iterable, MutableMapping
from dataclasses import dataclass, replace
from typing import Final

from flumebeam.commitlog.layout import LogLayout
from flumebeam.commitlog.protocol import Scribe
from flumebeam.commitlog.steps import (
    Steps,
    Unanswered,
    delete,
    list_directory,
    make_directory,
    names_in,
    pause,
    read,
    rename,
    stat,
    together,
    write,
)
from flumebeam.errors import StorageConflictError
from flumebeam.hdfs.filesystem import FileKind

__all__ = [
    "Judgement",
    "Mark",
    "Situation",
    "Wait",
    "Watermark",
    "forget",
    "judge",
    "mark_open",
    "mark_ready",
    "move_watermark",
    "survey",
    "write_success",
]

_MARK: Final = re.compile(r"_([or])-([0-9a-f]{16}\.[0-9A-Za-z]+)")
_WATERMARK: Final = re.compile(r"_w-(\d{15})")
_DIGEST_CHARACTERS: Final = 16


@dataclass(frozen=True, slots=True)
class Mark:
    """What an epoch says of a partition.

    Attributes:
        log: Name of the epoch's log.
        epoch: Name of the epoch.
        key: What follows the kind in the mark's name.
        path: The partition, relative to the target.
        end_ms: When its time is over, milliseconds since 1970 UTC.
        late: Whether it was complete when the mark was made.
        ready: Whether all that the epoch has committed in it is published.
        delay_ms: How much later its events may come, as its writer has it. For people; nothing is decided by it.
    """

    log: str
    epoch: str
    key: str
    path: str
    end_ms: int
    late: bool
    ready: bool = False
    delay_ms: int = 0

    @property
    def name(self) -> str:
        """Name of the mark's file."""
        return f"_{'r' if self.ready else 'o'}-{self.key}"


@dataclass(frozen=True, slots=True)
class Watermark:
    """How far a receiver has come: everything before is committed, or comes late.

    Attributes:
        log: Name of its epoch's log.
        epoch: Name of its epoch.
        at_ms: Event time, milliseconds since 1970 UTC.
    """

    log: str
    epoch: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class Wait:
    """What a partition waits for.

    Attributes:
        log: Name of the log.
        epoch: The epoch that holds it back; empty if a receiver of that queue has to come first.
    """

    log: str
    epoch: str


@dataclass(frozen=True, slots=True)
class Judgement:
    """Whether a partition is complete.

    Attributes:
        path: The partition, relative to the target.
        end_ms: When its time is over, milliseconds since 1970 UTC.
        late: Whether it was complete before, and this is about files that came later.
        marks: All marks of it.
        waits: What is missing; empty if it is complete.
    """

    path: str
    end_ms: int
    late: bool
    marks: tuple[Mark, ...]
    waits: frozenset[Wait]


def judge(marks: Iterable[Mark], watermarks: Collection[Watermark], delay_ms: int) -> list[Judgement]:
    """Decide for each partition whether it is complete.

    Args:
        marks: All marks of all logs of a target, those of epochs that are gone being ready.
        watermarks: Of all receivers that work on the target.
        delay_ms: How much later than its end a partition's events may come, milliseconds of event time.

    Returns:
        One for each partition, ordered by path.
    """
    partitions: dict[str, list[Mark]] = {}
    for mark in marks:
        partitions.setdefault(mark.path, []).append(mark)
    return [_judged(path, tuple(partitions[path]), watermarks, delay_ms) for path in sorted(partitions)]


def _judged(path: str, marks: tuple[Mark, ...], watermarks: Collection[Watermark], delay_ms: int) -> Judgement:
    end_ms = max(mark.end_ms for mark in marks)
    waits = {Wait(mark.log, mark.epoch) for mark in marks if not mark.ready}
    waits |= {Wait(one.log, one.epoch) for one in watermarks if one.at_ms < end_ms + delay_ms}
    known = {one.log for one in watermarks}
    waits |= {Wait(mark.log, "") for mark in marks if mark.log not in known}
    return Judgement(path, end_ms, all(mark.late for mark in marks), marks, frozenset(waits))


@dataclass(frozen=True, slots=True)
class Situation:
    """What all logs of a target say of partitions.

    Attributes:
        marks: All marks; those of epochs that are gone are ready.
        watermarks: Of all receivers whose epochs are open.
        idle: Directories of epochs that are gone and have no marks: whoever likes may remove them.
    """

    marks: tuple[Mark, ...]
    watermarks: tuple[Watermark, ...]
    idle: tuple[str, ...]


def survey(any_log: LogLayout, known: MutableMapping[str, Mark]) -> Steps[Situation]:
    """Read what all logs of a target say of partitions.

    Args:
        any_log: Any log of the target.
        known: Marks that were read before, by their place; has those that are there afterwards. Contents never change.
    """
    seen: set[str] = set()
    marks: list[Mark] = []
    watermarks: list[Watermark] = []
    idle: list[str] = []
    for log in (yield from list_directory(any_log.logs)):
        if log.kind is not FileKind.DIRECTORY:
            continue
        layout = any_log.sibling(any_log.plain(log.name))
        # Marks before epochs, open ones before closed ones: the way that things go.
        said: dict[str, set[str]] = {}
        for epoch in (yield from list_directory(layout.partitions)):
            said[epoch.name] = yield from names_in(layout.epoch_partitions(epoch.name))
        if not said:
            continue
        is_open = {found.name for found in (yield from list_directory(layout.epochs))}
        closed = {layout.epoch_of(found.name) for found in (yield from list_directory(layout.closed))}
        for name, names in said.items():
            gone = name not in is_open and name not in closed
            found = yield from _marks_of(layout, name, names, known)
            seen |= {f"{layout.epoch_partitions(name)}/{mark.key}" for mark in found}
            marks += [replace(mark, ready=True) if gone else mark for mark in found]
            if gone and not found:
                idle.append(layout.epoch_partitions(name))
            times = [int(match[1]) for entry in names if (match := _WATERMARK.fullmatch(entry))]
            if times and name in is_open:
                watermarks.append(Watermark(layout.queue.log_name, name, max(times)))
    for place in known.keys() - seen:
        del known[place]
    return Situation(tuple(marks), tuple(watermarks), tuple(idle))


def _marks_of(
    layout: LogLayout, epoch: str, names: Iterable[str], known: MutableMapping[str, Mark]
) -> Steps[list[Mark]]:
    directory = layout.epoch_partitions(epoch)
    found = [(name, match[1] == "r", match[2]) for name in sorted(names) if (match := _MARK.fullmatch(name))]
    new = [(name, key) for name, _, key in found if f"{directory}/{key}" not in known]
    contents = yield from together([read(f"{directory}/{name}") for name, _ in new])
    for (_, key), content in zip(new, contents, strict=True):
        # Half a mark is of a writer that is at it, or died: it has committed nothing yet.
        if content is not None and (facts := _facts(content)) is not None:
            path, end_ms, late, delay_ms = facts
            known[f"{directory}/{key}"] = Mark(layout.queue.log_name, epoch, key, path, end_ms, late, delay_ms=delay_ms)
    return [
        replace(known[f"{directory}/{key}"], ready=ready) for _, ready, key in found if f"{directory}/{key}" in known
    ]


def _facts(content: bytes) -> tuple[str, int, bool, int] | None:
    try:
        facts = json.loads(content)
        # Earlier versions did not say the delay.
        return str(facts["path"]), int(facts["end_ms"]), bool(facts["late"]), int(facts.get("delay_ms", 0))
    except (ValueError, KeyError, TypeError):
        return None


def mark_open(scribe: Scribe, epoch: str, path: str, end_ms: int, success_file: str, delay_ms: int = 0) -> Steps[Mark]:
    """Leave an open mark of a partition, durably; to be done before anything of it is committed.

    Args:
        scribe: Context.
        epoch: The life's epoch.
        path: The partition, relative to the target.
        end_ms: When its time is over, milliseconds since 1970 UTC.
        success_file: Name of the file that says that it is complete.
        delay_ms: How much later its events may come.
    """
    layout = scribe.layout
    late = (yield from stat(layout.in_target(f"{path}/{success_file}"))) is not None
    digest = hashlib.sha256(path.encode()).hexdigest()[:_DIGEST_CHARACTERS]
    content = json.dumps({"path": path, "end_ms": end_ms, "late": late, "delay_ms": delay_ms}).encode("ascii")
    while True:
        mark = Mark(layout.queue.log_name, epoch, f"{digest}.{scribe.names()}", path, end_ms, late, delay_ms=delay_ms)
        answer = yield from write(f"{layout.epoch_partitions(epoch)}/{mark.name}", [content])
        if not isinstance(answer, Unanswered):
            return mark
        yield from pause(answer.cause)


def mark_ready(layout: LogLayout, mark: Mark) -> Steps[None]:
    """Say that everything that the epoch has committed in a partition is published. Idempotent."""
    directory = layout.epoch_partitions(mark.epoch)
    yield from _move(f"{directory}/{mark.name}", f"{directory}/{replace(mark, ready=True).name}")


def move_watermark(layout: LogLayout, epoch: str, before_ms: int | None, at_ms: int) -> Steps[None]:
    """Say how far the watermark of a receiver has come.

    Args:
        layout: Paths of the log.
        epoch: The life's epoch.
        before_ms: What was said before; ``None`` for nothing.
        at_ms: Milliseconds since 1970 UTC.
    """
    directory = layout.epoch_partitions(epoch)
    if before_ms is not None:
        yield from _move(f"{directory}/_w-{before_ms:015d}", f"{directory}/_w-{at_ms:015d}")
        return
    yield from make_directory(directory)
    yield from _touch(f"{directory}/_w-{at_ms:015d}")


def write_success(layout: LogLayout, path: str, name: str) -> Steps[bool]:
    """Write the empty file that says that a partition is complete, if it is not there.

    Args:
        layout: Paths of any log of the target.
        path: The partition, relative to the target.
        name: Name of the file.

    Returns:
        False if the partition's directory is gone: somebody has taken it away, or never got a file of it.
    """
    directory = layout.in_target(path)
    found = yield from stat(directory)
    if found is None or found.kind is not FileKind.DIRECTORY:
        return False
    yield from _touch(f"{directory}/{name}")
    return True


def forget(any_log: LogLayout, marks: Iterable[Mark]) -> Steps[None]:
    """Remove marks of a partition that was told of.

    Args:
        any_log: Any log of the target.
        marks: All of it.
    """
    yield from together(
        [
            delete(f"{any_log.sibling(mark.log).epoch_partitions(mark.epoch)}/{name}")
            for mark in marks
            for name in {mark.name, replace(mark, ready=False).name}
        ]
    )


def _touch(path: str) -> Steps[None]:
    """Make an empty file, or find it there."""
    while True:
        try:
            answer = yield from write(path, [])
        except StorageConflictError:
            return
        if not isinstance(answer, Unanswered):
            return
        yield from pause(answer.cause)


def _move(source: str, target: str) -> Steps[None]:
    while True:
        answer = yield from rename(source, target)
        if not isinstance(answer, Unanswered):
            # Moved, by this attempt or an earlier one.
            return
        yield from pause(answer.cause)
