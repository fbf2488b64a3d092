"""The transaction in progress of a sink: events by path, until they are committed."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

import numpy as np
import pyarrow as pa

from flumebeam.batch import EventBatch
from flumebeam.commitlog.ids import IdIndex, IdSet
from flumebeam.commitlog.log import Life
from flumebeam.commitlog.protocol import PartDraft
from flumebeam.formats import Format
from flumebeam.hdfs.paths import PathTemplate
from flumebeam.ids import delivery_ids, id_pairs
from flumebeam.transforms.deadletter import DeadLetter
from flumebeam.transforms.poison import encoded, sift

__all__ = ["FileNaming", "PendingTransaction"]


@dataclass(frozen=True, slots=True)
class FileNaming:
    """How final files are named: ``PREFIX.UNIQUE SUFFIX``, without the space.

    Attributes:
        prefix: Start of the name.
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
        nbytes: Bytes of their bodies and headers.
    """

    life: Life
    started: float
    events: int = 0
    nbytes: int = 0
    _held: IdIndex = field(default_factory=IdIndex)
    _ids: list[pa.FixedSizeBinaryArray] = field(default_factory=list)
    _paths: dict[str, list[EventBatch]] = field(default_factory=dict)
    _letters: list[DeadLetter] = field(default_factory=list)

    def add(self, batch: EventBatch, template: PathTemplate, arrival_ms: int) -> None:
        """Add the events of a batch, but those that are held already: a client may hand a message over twice.

        Args:
            batch: Events; all of one receiver.
            template: Gives their paths.
            arrival_ms: Time of events that carry none, milliseconds since 1970 UTC.
        """
        if batch.provenance is not None:
            batch = self._without_held(batch, batch.provenance.ids)
        if not len(batch):
            return
        if batch.provenance is not None:
            self._ids.append(batch.provenance.ids)
        for path, part in template.expand(batch, arrival_ms).split(batch):
            self._paths.setdefault(path, []).append(part.without_provenance())
        self.events += len(batch)
        self.nbytes += batch.nbytes

    @property
    def ids(self) -> pa.FixedSizeBinaryArray:
        """Delivery ids of all events held."""
        return pa.concat_arrays(self._ids) if self._ids else delivery_ids([])

    @property
    def files(self) -> int:
        """Number of files it will make, that of dead letters not counted."""
        return len(self._paths)

    @property
    def dead(self) -> int:
        """Number of events that :meth:`set_aside` has set aside."""
        return len(self._letters)

    def drafts(self, file_format: Format, naming: FileNaming, dead_letters: str) -> list[PartDraft]:
        """Return one part per path, and one of dead letters if there are any.

        Events are encoded when a part is written, and again if it must be repeated.

        Args:
            file_format: Encodes them.
            naming: Names the files.
            dead_letters: Directory of dead letters, relative to the target.
        """
        stem = self.life.file_stem()
        drafts = [
            PartDraft(path, naming.name(stem), partial(encoded, file_format, batches), sum(map(len, batches)))
            for path, batches in self._paths.items()
        ]
        if self._letters:
            lines = "".join(letter.line() for letter in self._letters).encode("ascii")
            name = f"_dead-letters.{stem}.jsonl"
            drafts.append(PartDraft(dead_letters, name, lambda: [lines], len(self._letters)))
        return drafts

    def set_aside(self, file_format: Format) -> bool:
        """Take out the events that a format cannot hold, and keep them as dead letters; tell whether there were any."""
        before = self.dead
        for path, batches in list(self._paths.items()):
            kept = []
            for batch in batches:
                good, letters = sift(file_format, batch, path or "/")
                self._letters += letters
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
