"""One file of every format with every codec, rolled from several transactions, on HDFS."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from flumebeam.batch import EventBatch
from flumebeam.commitlog.layout import QueueIdentity
from flumebeam.commitlog.log import CommitLog, CommitLogOptions
from flumebeam.commitlog.protocol import PartDraft
from flumebeam.commitlog.rolling import RollOptions
from flumebeam.commitlog.steps import CrashPoint
from flumebeam.formats import Format, TableOptions, TableSchema, way_to_join
from flumebeam.hdfs.filesystem import FileSystem
from flumebeam.ids import DeliveryId, delivery_ids
from flumebeam.testing.hdfs import fresh_directory
from tests.every_format import FILES, format_of

__all__ = ["ROWS", "TABLE", "Lake", "Row", "write"]

Row = tuple[int, str]
TABLE: Final = TableOptions(
    schema=TableSchema(
        '{"type": "record", "name": "Row", "fields": [{"name": "n", "type": "int"}, {"name": "s", "type": "string"}]}'
    )
)
_TRANSACTIONS: Final = 3
_EVENTS: Final = 40
ROWS: Final[list[Row]] = [(number, f"zeile {number} ü\t€") for number in range(_TRANSACTIONS * _EVENTS)]


def body_of(row: Row) -> bytes:
    return json.dumps({"n": row[0], "s": row[1]}, ensure_ascii=False).encode()


def batch_of(rows: Sequence[Row]) -> EventBatch:
    """Events whose bodies are rows as JSON, with two headers."""
    times = [str(1_700_000_000_000 + row[0]) for row in rows]
    return EventBatch.from_bodies([body_of(row) for row in rows], {"host": "web1"}, {"timestamp": times})


def write(
    storage: FileSystem,
    root: str,
    transactions: Sequence[Sequence[Row]],
    formats: dict[str, Format],
    *,
    roll: RollOptions | None = None,
    at: Callable[[CrashPoint], None] = lambda point: None,
) -> None:
    """Commit transactions through one life: each has a part for each format, in its directory; then end the life."""
    options = CommitLogOptions(roll=roll or RollOptions(), fold_after=2)
    log = CommitLog.open(storage, root, QueueIdentity("", "", "lake"), options, at=at)
    life = log.begin_life("r")
    life.fence()
    for rows in transactions:
        batch = batch_of(rows)
        drafts = [
            PartDraft(
                directory,
                f"FlumeData.{life.file_stem()}{format.extension}",
                partial(format.encode, [batch]),
                len(batch),
                way_to_join(format),
            )
            for directory, format in formats.items()
        ]
        life.commit(drafts, delivery_ids(DeliveryId(1, row[0]) for row in rows))
    life.end()
    log.close()


@dataclass(frozen=True)
class Lake:
    """Where the files are.

    Attributes:
        root: Their target.
        paths: The one file of each format and codec.
    """

    root: str
    paths: dict[tuple[str, str], str]

    @classmethod
    def written(cls, storage: FileSystem) -> Lake:
        """Write them."""
        root = fresh_directory()
        formats = {f"{name.replace(' ', '-')}/{codec}": format_of(name, codec, TABLE) for name, codec in FILES}
        parts = [ROWS[start : start + _EVENTS] for start in range(0, len(ROWS), _EVENTS)]
        write(storage, root, parts, formats)
        paths = {}
        for (name, codec), directory in zip(FILES, formats, strict=True):
            (file,) = storage.list(f"{root}/{directory}")
            paths[name, codec] = f"{root}/{directory}/{file.name}"
        return cls(root, paths)
