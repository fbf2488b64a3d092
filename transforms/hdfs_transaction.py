"""The transaction in progress of a sink: events by path, until they are committed."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain, repeat

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from flumebeam.batch import EventBatch
from flumebeam.commitlog.ids import IdIndex, IdSet
from flumebeam.commitlog.life import Life
from flumebeam.commitlog.protocol import PartDraft
from flumebeam.commitlog.rolling import OpenRolls
from flumebeam.formats import Format, divided, way_to_join
from flumebeam.hdfs.paths import PathTemplate
from flumebeam.ids import delivery_ids, id_pairs
from flumebeam.solace.packing import messages_in
from flumebeam.transforms.deadletter import DeadLetter
from flumebeam.transforms.poison import encoded, sift

__all__ = ["FileNaming", "PendingTransaction", "cut"]


@dataclass(frozen=True, slots=True)
class FileNaming:
    """How final files are named: ``PREFIX.UNIQUE SUFFIX``, without the space.

    Attributes:
        prefix: Start of the name; where it holds escapes, what they stand for.
        suffix: End of the name, with its dots.
    """

    prefix: str
    suffix: str

    def name(self, stem: str) -> str:
        """Return the name of a file, given what makes it unique."""
        return f"{self.prefix}.{stem}{self.suffix}"


@dataclass(slots=True, eq=False)
class PendingTransaction:
    """Events of one receiver that are not committed yet. Bounded by whoever adds to it.

    Attributes:
        life: Commits them.
        started: When the first one came, in seconds of the sink's clock.
        events: Number of events.
        messages: Number of messages that they came in; one that spans two batches counts twice.
        nbytes: Bytes of their bodies and headers.
        keeps_provenance: Whether somebody wants to know where they came from: their format, or their dead letters.
        letters: Events that were set aside, and are to be kept with the others.
        dead: Number of events that were set aside.
        watermark_ms: How far their source's watermark had come, milliseconds since 1970 UTC.
        instants: Their paths, each with a time that it was made of, milliseconds since 1970 UTC.
    """

    life: Life
    started: float
    events: int = 0
    messages: int = 0
    nbytes: int = 0
    keeps_provenance: bool = False
    letters: list[DeadLetter] = field(default_factory=list)
    dead: int = 0
    watermark_ms: int = -1
    instants: dict[str, int] = field(default_factory=dict)
    _held: IdIndex = field(default_factory=IdIndex)
    _ids: list[pa.FixedSizeBinaryArray] = field(default_factory=list)
    _paths: dict[str, list[EventBatch]] = field(default_factory=dict)

    def add(self, batch: EventBatch, template: PathTemplate, arrival_ms: int, file_format: Format) -> None:
        """Add the events of a batch, but those that are held already: a client may hand a message over twice.

        Args:
            batch: Events; all of one receiver.
            template: Gives their directories and the start of their files' names.
            arrival_ms: Time of events that carry none, milliseconds since 1970 UTC.
            file_format: Tells which of them may share a file.

        Raises:
            ConnectionFailedError: What tells it does not answer. This transaction must not be committed then.
        """
        if batch.provenance is not None:
            batch = self._without_held(batch, batch.provenance.ids)
        if not len(batch):
            return
        paths = template.expand(batch, arrival_ms)
        instants = dict(zip(paths.paths, paths.instants, strict=True))
        pieces = [(path, *piece) for path, part in paths.split(batch) for piece in divided(file_format, part)]
        self.messages += messages_in(batch)
        if batch.provenance is not None:
            self._ids.append(batch.provenance.ids)
        for path, word, piece in pieces:
            own = f"{path}.{word}" if word else path
            self.instants.setdefault(own, instants[path])
            self._paths.setdefault(own, []).append(piece if self.keeps_provenance else piece.without_provenance())
        self.events += len(batch)
        self.nbytes += batch.nbytes

    @property
    def ids(self) -> pa.FixedSizeBinaryArray:
        """Delivery ids of all events held."""
        return pa.concat_arrays(self._ids) if self._ids else delivery_ids([])

    def drafts(self, file_format: Format, naming: FileNaming, dead_letters: str) -> list[PartDraft]:
        """Return the parts, and one of dead letters if there are any.

        There is one per path, unless files end with the event that reaches a limit. Events are encoded when a part is
        written, and again if it must be repeated.

        Args:
            file_format: Encodes them.
            naming: Names the files; the prefix is that of each path.
            dead_letters: Directory of dead letters, relative to the target.
        """
        rolls = self.life.rolls
        stem = self.life.file_stem()
        drafts: list[PartDraft] = []
        for path, batches in self._paths.items():
            directory, prefix = posixpath.split(path)
            own = replace(naming, prefix=prefix)
            whole = PartDraft(directory, own.name(stem), tuple, 0, way_to_join(file_format), own.name(""))
            if rolls is None or not rolls.options.every_event:
                drafts.append(_filled(whole, batches, file_format))
            else:
                drafts += self._cut(whole, batches, file_format, own, rolls)
        if self.letters:
            lines = "".join(letter.line() for letter in self.letters).encode("ascii")
            name = f"_dead-letters.{stem}.jsonl"
            drafts.append(PartDraft(dead_letters, name, lambda: [lines], len(self.letters)))
        return drafts

    def _cut(
        self, whole: PartDraft, batches: Sequence[EventBatch], file_format: Format, naming: FileNaming, rolls: OpenRolls
    ) -> Iterator[PartDraft]:
        """Yield a path's parts: what the open file has room for, then new files, of which full ones are final."""
        first_room, limits = rolls.room(whole), rolls.limits
        rooms = chain([first_room], repeat(limits))
        for number, (room, piece) in enumerate(cut(batches, rooms)):
            # The first one, too, or it would be sorted behind the others.
            name = naming.name(f"{self.life.file_stem()}-{number + 1:04d}")
            draft = _filled(replace(whole, name=name, begins=number > 0), piece, file_format)
            is_full = draft.events >= room[0] or draft.body_bytes >= room[1]
            yield replace(draft, joining="") if is_full and room == limits else draft

    def set_aside(self, file_format: Format) -> bool:
        """Take out the events that a format cannot hold, and make them dead letters; tell whether there were any."""
        before = self.dead
        for path, batches in list(self._paths.items()):
            kept = []
            for batch in batches:
                good, letters = sift(file_format, batch, posixpath.dirname(path) or "/")
                self.letters += letters
                self.dead += len(letters)
                if len(good):
                    kept.append(good)
            self._paths[path] = kept
            if not kept:
                del self._paths[path]
        return self.dead > before

    def _without_held(self, batch: EventBatch, ids: pa.FixedSizeBinaryArray) -> EventBatch:
        own = IdSet.of(ids)
        keep = ~self._held.contains(ids)
        if len(own) < len(ids):
            first = np.zeros(len(ids), dtype=np.bool_)
            first[np.unique(id_pairs(ids), axis=0, return_index=True)[1]] = True
            keep &= first
        self._held.add(own)
        return batch if keep.all() else batch.filter(pa.array(keep))


def cut(
    batches: Sequence[EventBatch], rooms: Iterable[tuple[int, int]]
) -> Iterator[tuple[tuple[int, int], list[EventBatch]]]:
    """Cut events into the files that they fill, each of which ends with the event that reaches a limit.

    No work is done per event, but for arithmetic on the column of lengths.

    Args:
        batches: The events, in order.
        rooms: For one file after the other, how many events and bytes of bodies fit into it.

    Yields:
        The room of a file, and its events.
    """
    batches = [batch for batch in batches if len(batch)]
    if not batches:
        return
    lengths = [pc.binary_length(batch.bodies).to_numpy(zero_copy_only=False) for batch in batches]
    ends = np.cumsum(np.concatenate(lengths), dtype=np.int64)
    starts = np.cumsum([0, *map(len, batches)])
    at = 0
    for events, nbytes in rooms:
        done = int(ends[at - 1]) if at else 0
        by_bytes = int(np.searchsorted(ends, done + nbytes)) + 1
        stop = min(at + events, max(by_bytes, at + 1), len(ends))
        yield (events, nbytes), _between(batches, starts, at, stop)
        at = stop
        if at == len(ends):
            return


def _between(batches: Sequence[EventBatch], starts: npt.NDArray[np.int64], first: int, stop: int) -> list[EventBatch]:
    low, high = np.searchsorted(starts, [first, stop - 1], side="right") - 1
    pieces = []
    for index in range(int(low), int(high) + 1):
        begin = max(first - int(starts[index]), 0)
        pieces.append(batches[index].slice(begin, stop - int(starts[index]) - begin))
    return pieces


def _filled(draft: PartDraft, batches: Sequence[EventBatch], file_format: Format) -> PartDraft:
    return replace(
        draft,
        content=partial(encoded, file_format, batches),
        events=sum(map(len, batches)),
        body_bytes=sum(pc.sum(pc.binary_length(batch.bodies)).as_py() or 0 for batch in batches),
    )
