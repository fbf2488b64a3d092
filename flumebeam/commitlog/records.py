"""Records of the commit log as bytes.

One line of ASCII (name, version, lengths, checksum), one line of JSON that a person can read with ``head -2``, and the
ids as :meth:`IdSet.to_bytes` packs them. A record whose version or kind this code does not know stops the writer: an
old program must not publish, retire or repeat what a newer one committed.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import Any, Final

from flumebeam.commitlog.ids import IdSet
from flumebeam.errors import CommitLogError, FormatError

__all__ = ["RECORD_VERSION", "PartEntry", "Record", "RecordKind"]

RECORD_VERSION: Final = 2
"""Version of the format that this code writes, and the newest one it reads.

1: transactions whose parts become final files. 2: segments, and merges of them.
"""

_NAME: Final = b"flumebeam-commit-log"


class RecordKind(Enum):
    """What a record says."""

    TRANSACTION = "transaction"
    """These parts, under these final names, are the events of these ids."""
    MERGE = "merge"
    """This part, under this final name, has the events of these segments, which go once it is published."""
    SUPERSEDING = "superseding"
    """A part of a transaction gets another final name, because somebody else's file has the first one."""
    FOLD = "fold"
    """All transactions of this epoch up to a number are published; these are their ids, and segments not yet merged."""
    RETIRED = "retired"
    """Ids of epochs that are published and gone."""
    LAYOUT = "layout"
    """The target's logs are laid out by the version that is its number."""


@dataclass(frozen=True, slots=True)
class PartEntry:
    """One part, as a record names it.

    Attributes:
        path: Where it was written, relative to the directory of the log.
        file_id: The file system's identity of it.
        length: Bytes.
        final: Where it is published, relative to the target. All segments of one file have the same.
        events: Events in it.
        joining: Empty for a part that becomes a final file as it is. Of a segment, which stays hidden: the way to make
            one file of it and the others of that file, as :mod:`flumebeam.formats.joining` names it.
    """

    path: str
    file_id: str
    length: int
    final: str
    events: int
    joining: str = ""


@dataclass(frozen=True, slots=True)
class Record:
    """One record.

    Attributes:
        kind: What it says.
        epoch: Name of the epoch it belongs to; empty for retired ids and layouts.
        number: Number within the epoch, from 1; for a fold the last one it covers; of a layout its version.
        written_ms: Wall clock of the writer, milliseconds since 1970 UTC. For people; nothing is decided by it.
        parts: The parts it names.
        ids: Delivery ids it commits.
        facts: What else its kind needs, JSON values by name.
    """

    kind: RecordKind
    epoch: str
    number: int
    written_ms: int
    parts: tuple[PartEntry, ...] = ()
    ids: IdSet = field(default_factory=IdSet)
    facts: Mapping[str, Any] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """Return the record as :meth:`from_bytes` reads it."""
        text = json.dumps(
            {
                "kind": self.kind.value,
                "epoch": self.epoch,
                "number": self.number,
                "written_ms": self.written_ms,
                "parts": [asdict(part) for part in self.parts],
                "events": len(self.ids),
                **({"facts": dict(self.facts)} if self.facts else {}),
            },
            ensure_ascii=True,
        ).encode("ascii")
        ids = self.ids.to_bytes()
        body = text + b"\n" + ids
        return b"%b %d %d %d %08x\n" % (_NAME, RECORD_VERSION, len(text), len(ids), zlib.crc32(body)) + body

    @classmethod
    def from_bytes(cls, data: bytes, where: str) -> Record:
        """Return the record that these bytes are.

        Args:
            data: A whole file.
            where: Its path, for the error's sentence.

        Raises:
            CommitLogError: Damaged, no record at all, or written by a newer version.
        """
        line, _, body = data.partition(b"\n")
        words = line.split(b" ")
        if len(words) < 2 or words[0] != _NAME or not words[1].isdigit():
            raise CommitLogError(f"{where} is no record of a commit log; move it out of there.")
        if int(words[1]) > RECORD_VERSION:
            raise CommitLogError(
                f"{where} was written by a newer flumebeam (record version {int(words[1])}, this one knows "
                f"{RECORD_VERSION}); upgrade flumebeam before it writes to this target."
            )
        try:
            text_length, ids_length, checksum = int(words[2]), int(words[3]), int(words[4], 16)
            if len(body) != text_length + 1 + ids_length or zlib.crc32(body) != checksum:
                raise ValueError("length or checksum do not fit")
            facts = json.loads(body[:text_length])
            kind = facts["kind"]
            if kind not in _KINDS:
                raise CommitLogError(
                    f"{where} is a record of a kind that this flumebeam does not know ({kind}); upgrade flumebeam "
                    "before it writes to this target."
                )
            return cls(
                _KINDS[kind],
                facts["epoch"],
                facts["number"],
                facts["written_ms"],
                tuple(PartEntry(**part) for part in facts["parts"]),
                IdSet.from_bytes(body[text_length + 1 :]),
                facts.get("facts", {}),
            )
        except (ValueError, KeyError, IndexError, TypeError, FormatError) as error:
            raise CommitLogError(
                f"{where} is damaged ({error}); restore it from a backup, or move it away and expect its events again."
            ) from error


_KINDS: Final = {kind.value: kind for kind in RecordKind}
