"""Take-over: what a life does with the epochs of others before it commits anything of its own, as pure steps.

Every function may be run by several lives at once, and again after a crash at any place. Closed epochs are settled:
committed transactions are published, segments are merged, ids are retired, parts that no record names are removed, the
epoch is removed.
Ids are retired *before* the epoch goes, and looked up *after* it was listed, so a reader who finds an epoch gone in
front of its eyes finds its ids among the retired ones.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from flumebeam.commitlog import merging
from flumebeam.commitlog.ids import IdSet
from flumebeam.commitlog.layout import Entry, EntryKind
from flumebeam.commitlog.merging import Roll
from flumebeam.commitlog.protocol import Scribe, Segment, close_epoch, closed_error, is_open
from flumebeam.commitlog.publishing import publish
from flumebeam.commitlog.records import Record
from flumebeam.commitlog.retiring import prove, read_retired, retire
from flumebeam.commitlog.steps import (
    CrashPoint,
    Steps,
    Unanswered,
    delete,
    list_directory,
    names_in,
    pause,
    reached,
    read,
    rename,
    stat,
    together,
)
from flumebeam.errors import EpochClosedError

__all__ = [
    "EpochContent",
    "Knowledge",
    "close_idle",
    "close_others",
    "read_epoch",
    "rescue",
    "settle_closed",
    "settle_epoch",
    "settle_open",
    "settle_own",
    "succeed",
    "sweep",
    "take_over",
]


@dataclass(slots=True)
class EpochContent:
    """What an epoch holds.

    Attributes:
        records: Transactions by number, those that are folded excepted.
        published: Numbers of transactions that are marked published.
        folded: Ids of folded transactions.
        finals: Final names by now, by transaction and part.
        segments: Segments that no fold left out, by transaction and part.
        merges: Committed merges, by the key of their first segment.
        done: Keys of merges that are marked as done.
        complete: False if something vanished while it was read: somebody else folds or retires it.
    """

    records: dict[int, Record] = field(default_factory=dict)
    published: set[int] = field(default_factory=set)
    folded: IdSet = field(default_factory=IdSet)
    finals: dict[tuple[int, int], str] = field(default_factory=dict)
    segments: dict[tuple[int, int], Segment] = field(default_factory=dict)
    merges: dict[tuple[int, int], Record] = field(default_factory=dict)
    done: set[tuple[int, int]] = field(default_factory=set)
    complete: bool = True

    @property
    def ids(self) -> IdSet:
        """All ids that are committed here."""
        return self.folded.union(*(record.ids for record in self.records.values()))

    def finals_of(self, record: Record) -> list[str]:
        """Final names of a transaction's parts by now."""
        return [self.finals.get((record.number, index), part.final) for index, part in enumerate(record.parts)]

    @property
    def rolls(self) -> list[Roll]:
        """Segments that no merge names, by their final file."""
        merged = {(number, index) for record in self.merges.values() for number, index, _ in record.facts["segments"]}
        files: dict[str, list[Segment]] = {}
        for key, segment in sorted(self.segments.items()):
            if key not in merged:
                files.setdefault(segment.part.final, []).append(segment)
        return [Roll(tuple(segments)) for segments in files.values()]


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What a life knows after it fenced the others.

    Attributes:
        ids: Ids committed by others, but for those read before.
        retired: Names of all files of retired ids.
    """

    ids: IdSet
    retired: frozenset[str]


def take_over(
    scribe: Scribe,
    own: str,
    known: Collection[str],
    *,
    idle_ms: int | None = None,
    old_ms: int | None,
    merge: bool = True,
) -> Steps[Knowledge]:
    """Fence the other lives, publish what they committed, and learn their ids.

    Args:
        scribe: Context.
        own: Epoch of the caller.
        known: Names of files of retired ids that the caller has read before.
        idle_ms: As for :func:`close_others`.
        old_ms: As for :func:`sweep`.
        merge: As for :func:`settle_epoch`.

    Raises:
        EpochClosedError: Another life fenced the caller.
    """
    # A life that is closed already closes nobody: two that refuse each other in lockstep would do so for ever.
    yield from _check_open(scribe, own)
    ids = IdSet()
    # Open ones before closed ones before retired ones: the way that an epoch goes.
    for epoch in (yield from close_others(scribe, own, idle_ms)):
        ids = ids.union((yield from settle_open(scribe, epoch)))
    ids = ids.union((yield from settle_closed(scribe, merge=merge)))
    retired, names = yield from read_retired(scribe.layout, known)
    yield from sweep(scribe, old_ms)
    yield from _check_open(scribe, own)
    return Knowledge(ids.union(retired), frozenset(names))


def _check_open(scribe: Scribe, own: str) -> Steps[None]:
    if not (yield from is_open(scribe.layout, own)):
        raise closed_error(scribe.layout, own)


def close_others(scribe: Scribe, own: str, idle_ms: int | None = None) -> Steps[list[str]]:
    """Close the epochs of all other lives and return the names of those that stay open.

    Args:
        scribe: Context.
        own: Epoch of the caller.
        idle_ms: Close only epochs that nothing entered for so long; ``None`` closes all. Closing a live one is never
            wrong: its life is refused at its next commit and starts anew.
    """
    kept = []
    for found in (yield from list_directory(scribe.layout.epochs)):
        if found.name == own:
            continue
        if idle_ms is not None and scribe.now_ms() - found.modified_ms < idle_ms:
            kept.append(found.name)
        else:
            yield from close_epoch(scribe, found.name)
    return kept


def read_epoch(directory: str) -> Steps[EpochContent]:
    """Read what an epoch holds."""
    content = EpochContent()
    entries = [(Entry.parse(name), name) for name in sorted((yield from names_in(directory)))]
    # By number, not by name: a second superseding record counts, and turn 10 comes after turn 2.
    ours = sorted(((entry, name) for entry, name in entries if entry is not None), key=lambda pair: pair[0].order)
    files = yield from together([read(f"{directory}/{name}") for _, name in ours])
    folded: tuple[int, dict[tuple[int, int], Segment]] = 0, {}
    for (entry, name), data in zip(ours, files, strict=True):
        if data is None:
            content.complete = False
            continue
        record = Record.from_bytes(data, f"{directory}/{name}")
        if entry.kind is EntryKind.FOLD:
            content.folded = content.folded.union(record.ids)
            # In the order of their numbers: the last one stands for all before it.
            places = zip(record.facts.get("segments", ()), record.parts, strict=True)
            folded = entry.number, {(number, index): Segment(number, index, part) for (number, index), part in places}
        elif entry.kind in (EntryKind.MERGED, EntryKind.DONE):
            content.merges[entry.number, entry.part] = record
            if entry.kind is EntryKind.DONE:
                content.done.add((entry.number, entry.part))
        elif entry.kind is EntryKind.SUPERSEDING:
            content.finals[entry.number, entry.part] = record.parts[0].final
        else:
            content.records[entry.number] = record
            if entry.kind is EntryKind.PUBLISHED:
                content.published.add(entry.number)
    through, content.segments = folded
    for number in sorted(number for number in content.records if number > through):
        for index, part in enumerate(content.records[number].parts):
            if part.joining:
                content.segments[number, index] = Segment(number, index, part)
    return content


def settle_open(scribe: Scribe, epoch: str) -> Steps[IdSet]:
    """Publish what is committed in another life's open epoch, which may be alive, and return the ids in it."""
    content = yield from _publish_all(scribe, scribe.layout.epoch(epoch))
    return content.ids if content is not None else IdSet()


def settle_closed(scribe: Scribe, *, merge: bool = True) -> Steps[IdSet]:
    """Settle all closed epochs and return the ids that were committed in them.

    Args:
        scribe: Context.
        merge: As for :func:`settle_epoch`.
    """
    ids = IdSet()
    for found in (yield from list_directory(scribe.layout.closed)):
        ids = ids.union((yield from settle_epoch(scribe, found.name, merge=merge)))
    return ids


def settle_epoch(scribe: Scribe, closed_name: str, *, proven: bool = False, merge: bool = True) -> Steps[IdSet]:
    """Publish what is committed in a closed epoch, merge its segments, retire its ids, remove it and its parts.

    Args:
        scribe: Context.
        closed_name: Name below the directory of closed epochs: of one of them, or of one that is settled and on its
            way out, which is removed.
        proven: Whether the broker is known to have got the acknowledgement of all that was committed in it.
        merge: Whether its segments are merged now. If not, an epoch that has some stays as it is, for later: merging
            takes time, and a successor should not make its messages wait for that.

    Returns:
        Ids committed in it; if another life retired it meanwhile, they are among the retired ones.
    """
    layout = scribe.layout
    directory = f"{layout.closed}/{closed_name}"
    epoch = layout.epoch_of(closed_name)
    if not epoch:
        yield from delete(directory)
        return IdSet()
    while True:
        content = yield from _publish_all(scribe, directory)
        if content is None:
            return IdSet()
        if content.rolls and not merge:
            return content.ids
        try:
            yield from together([merging.merge(scribe, directory, epoch, roll) for roll in content.rolls])
        except EpochClosedError:
            # Another life settles it, too.
            continue
        break
    ids = content.ids
    if ids:
        yield from retire(scribe, ids, proven)
        yield from reached(CrashPoint.RETIRED)
    yield from _discard(scribe, directory)
    yield from delete(layout.epoch_parts(epoch))
    yield from reached(CrashPoint.SWEPT)
    return ids


def _discard(scribe: Scribe, directory: str) -> Steps[None]:
    """Remove a settled epoch: first, in one step, from the sight of those who would read a half of it."""
    doomed = f"{scribe.layout.closed}/_{scribe.names()}"
    while True:
        answer = yield from rename(directory, doomed)
        if not isinstance(answer, Unanswered):
            break
        yield from pause(answer.cause)
    yield from delete(doomed)


def settle_own(scribe: Scribe, epoch: str, *, covers: bool) -> Steps[None]:
    """Close and settle the epoch of a life whose acknowledgements are proven.

    Args:
        scribe: Context.
        epoch: The life's epoch.
        covers: Whether its proof holds for the lives before it as well. It does if the life got all messages of its
            queue, in their order, and committed one: whatever was committed before and stayed on the broker was
            delivered to it first, recognised, and acknowledged with the rest.
    """
    layout = scribe.layout
    # Listed while nobody can have taken over: a set that a successor leaves behind is no business of this life.
    before = (yield from names_in(layout.retired)) if covers else set()
    last = yield from close_epoch(scribe, epoch)
    for found in (yield from list_directory(layout.closed)):
        if layout.epoch_of(found.name) == epoch:
            yield from settle_epoch(scribe, found.name, proven=True)
    if last:
        yield from prove(scribe, before)


def _publish_all(scribe: Scribe, directory: str) -> Steps[EpochContent | None]:
    """Publish all of an epoch; ``None`` if it is not there any more."""
    while True:
        content = yield from read_epoch(directory)
        if not content.complete:
            # Its owner marks or folds, or another life retires it: look again.
            continue
        if not content.records and (yield from stat(directory)) is None:
            return None
        try:
            for number in sorted(content.records.keys() - content.published):
                record = content.records[number]
                yield from publish(scribe, directory, record, content.finals_of(record))
            for key in sorted(content.merges.keys() - content.done):
                merge = content.merges[key]
                final = content.finals.get(key, merge.parts[0].final)
                yield from merging.finish(scribe, directory, merge, final)
        except EpochClosedError:
            continue
        return content


def rescue(scribe: Scribe, own: Collection[str], idle_ms: int | None) -> Steps[None]:
    """Merge what dead lives left behind: close open epochs that hold segments and that nothing entered for long.

    Closing a live one is never wrong: its life is refused at its next commit and starts anew.

    Args:
        scribe: Context.
        own: Epochs of the caller.
        idle_ms: For how long nothing entered them; ``None`` for any time.
    """
    layout = scribe.layout
    for found in (yield from list_directory(layout.epochs)):
        if found.name in own or (idle_ms is not None and scribe.now_ms() - found.modified_ms < idle_ms):
            continue
        content = yield from read_epoch(layout.epoch(found.name))
        if content.rolls or content.merges.keys() - content.done:
            yield from close_epoch(scribe, found.name)
    yield from settle_closed(scribe)


def succeed(scribe: Scribe, successor: str, own: Collection[str]) -> Steps[None]:
    """Merge what other lives left behind, however young it is: for one whose receiver is the only one that is served.

    Epochs without segments stay as they are; they may be those of lives that stand by.

    Args:
        scribe: Context.
        successor: Epoch of that life. If it is closed, another one is served by now, and nothing is done.
        own: Epochs of the caller.
    """
    if (yield from is_open(scribe.layout, successor)):
        yield from rescue(scribe, own, None)


def close_idle(scribe: Scribe, epochs: Collection[str], idle_ms: int) -> Steps[None]:
    """Close open epochs that nothing entered for long, and settle what is closed.

    Args:
        scribe: Context.
        epochs: Their names; others stay as they are.
        idle_ms: For how long nothing entered them.
    """
    for found in (yield from list_directory(scribe.layout.epochs)):
        if found.name in epochs and scribe.now_ms() - found.modified_ms >= idle_ms:
            yield from close_epoch(scribe, found.name)
    yield from settle_closed(scribe)


def sweep(scribe: Scribe, old_ms: int | None) -> Steps[None]:
    """Remove parts of epochs that are gone, and what never got to its place.

    A hung DataNode can create a part hours after its epoch is gone, so this is done again and again.

    Args:
        scribe: Context.
        old_ms: Age beyond which a thing on its way is given up; ``None`` gives up all. Taking it from a live one is
            never wrong: what is not at its place yet is made again, or its life is refused and starts anew.
    """
    layout = scribe.layout
    parts = {found.name for found in (yield from list_directory(layout.parts))}
    # In this order: an epoch exists before its parts are listed, and moves from open to closed only.
    alive = {found.name for found in (yield from list_directory(layout.epochs))}
    alive |= {layout.epoch_of(found.name) for found in (yield from list_directory(layout.closed))}
    new = yield from list_directory(layout.new)
    late = [found.name for found in new if old_ms is None or scribe.now_ms() - found.modified_ms > old_ms]
    doomed = [layout.epoch_parts(name) for name in sorted(parts - alive)] + [f"{layout.new}/{name}" for name in late]
    if doomed:
        yield from together([delete(path) for path in doomed])
