"""Retired ids: those of epochs that are settled and gone, as pure steps.

They are kept to recognise messages that come again, joined so that they stay few, and forgotten only when the broker is
known to have got their acknowledgement, and days with commits have passed.
"""

from __future__ import annotations

import posixpath
from collections.abc import Collection
from datetime import UTC, datetime

from flumebeam.commitlog.ids import IdSet
from flumebeam.commitlog.layout import LogLayout
from flumebeam.commitlog.protocol import Scribe
from flumebeam.commitlog.records import Record, RecordKind
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
from flumebeam.hdfs.filesystem import FileStat, RenameOutcome

__all__ = ["compact", "prove", "prune", "read_retired", "retire", "serve_day"]


def retire(scribe: Scribe, ids: IdSet, proven: bool, day: str | None = None) -> Steps[None]:
    """Keep the ids of an epoch that is about to go.

    Args:
        scribe: Context.
        ids: Ids that are committed.
        proven: Whether the broker is known to have got their acknowledgement.
        day: Day of that proof; today by default.
    """
    layout = scribe.layout
    record = Record(
        RecordKind.RETIRED,
        "",
        0,
        scribe.now_ms(),
        ids=ids,
        facts={"day": _day(scribe) if day is None else day, "proven": proven},
    )
    content = record.to_bytes()
    while True:
        fresh = scribe.names()
        path, target = f"{layout.new}/_{fresh}", f"{layout.retired}/_r-{fresh}"
        yield from make_directory(layout.new)
        written = yield from write(path, [content])
        if isinstance(written, Unanswered):
            yield from pause(written.cause)
        elif (yield from _retire_as(layout, path, written, target)):
            return


def _retire_as(layout: LogLayout, path: str, written: FileStat, target: str) -> Steps[bool]:
    while True:
        answer = yield from rename(path, target)
        if answer is RenameOutcome.RENAMED:
            return True
        if isinstance(answer, Unanswered):
            yield from pause(answer.cause)
        elif answer is RenameOutcome.PARENT_MISSING:
            yield from make_directory(posixpath.dirname(target))
        else:
            found = yield from stat(target)
            return found is not None and found.file_id == written.file_id


def read_retired(layout: LogLayout, known: Collection[str]) -> Steps[tuple[IdSet, set[str]]]:
    """Read the retired ids.

    Args:
        layout: Paths of the log.
        known: Names of files that the caller has read before.

    Returns:
        Ids in the other files, and the names of all files there are now.
    """
    ids = IdSet()
    seen: set[str] = set()
    while True:
        names = yield from names_in(layout.retired)
        new = sorted(names - seen - set(known))
        files = yield from together([read(f"{layout.retired}/{name}") for name in new])
        for name, data in zip(new, files, strict=True):
            if data is not None:
                ids = ids.union(Record.from_bytes(data, f"{layout.retired}/{name}").ids)
                seen.add(name)
        if None not in files:
            return ids, names
        # Another life joined files while they were read: what vanished is in a new one.


def prove(scribe: Scribe, names: Collection[str]) -> Steps[None]:
    """Join those of these files of retired ids whose acknowledgement was not proven, as proven today."""
    paths = [f"{scribe.layout.retired}/{name}" for name in sorted(names)]
    files = yield from together([read(path) for path in paths])
    records = {path: Record.from_bytes(data, path) for path, data in zip(paths, files, strict=True) if data is not None}
    unproven = {path: record.ids for path, record in records.items() if not record.facts["proven"]}
    if unproven:
        yield from retire(scribe, IdSet().union(*unproven.values()), proven=True)
        yield from together([delete(path) for path in unproven])


def serve_day(scribe: Scribe) -> Steps[str]:
    """Note that something was committed today, and return the day."""
    day = _day(scribe)
    yield from make_directory(f"{scribe.layout.days}/{scribe.layout.hidden(day)}")
    return day


def prune(scribe: Scribe, keep_days: int) -> Steps[int]:
    """Forget retired ids whose acknowledgement is proven, after so many further days on which something was committed.

    Days on which nothing ran do not count: what the broker held all that time may still come.

    Returns:
        Number of files removed.
    """
    layout = scribe.layout
    days = sorted(layout.plain(found.name) for found in (yield from list_directory(layout.days)))
    doomed = []
    for found in (yield from list_directory(layout.retired)):
        path = f"{layout.retired}/{found.name}"
        data = yield from read(path)
        if data is None:
            continue
        facts = Record.from_bytes(data, path).facts
        if facts["proven"] and sum(day > facts["day"] for day in days) >= keep_days:
            doomed.append(path)
    # Only the last days are ever counted.
    old_days = [f"{layout.days}/{layout.hidden(day)}" for day in days[:-keep_days]]
    yield from together([delete(path) for path in (*doomed, *old_days)])
    return len(doomed)


def compact(scribe: Scribe) -> Steps[None]:
    """Join files of retired ids: those of one day, and all whose acknowledgement is not proven."""
    layout = scribe.layout
    names = [found.name for found in (yield from list_directory(layout.retired))]
    groups: dict[tuple[str, bool], list[tuple[str, IdSet]]] = {}
    for name in names:
        data = yield from read(f"{layout.retired}/{name}")
        if data is not None:
            record = Record.from_bytes(data, f"{layout.retired}/{name}")
            key = (record.facts["day"], True) if record.facts["proven"] else ("", False)
            groups.setdefault(key, []).append((name, record.ids))
    for (day, proven), members in groups.items():
        if len(members) > 1:
            yield from retire(scribe, IdSet().union(*(ids for _, ids in members)), proven, day)
            yield from together([delete(f"{layout.retired}/{name}") for name, _ in members])


def _day(scribe: Scribe) -> str:
    return datetime.fromtimestamp(scribe.now_ms() / 1000, UTC).strftime("%Y%m%d")
