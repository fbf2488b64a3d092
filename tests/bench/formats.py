"""Suite ``formats``: what a core makes of events in each format, with each codec, and of typed tables with misfits.

In memory, in this process: neither a queue nor a disk is in these figures. Events come in batches of a transaction, as
the sink encodes them.
"""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from typing import Any, Final

import fastavro

import flumebeam.pipelines  # noqa: F401 - keeps Beam quiet, which the next ones import
from flumebeam.batch import EventBatch
from flumebeam.formats import DatumOptions, Format, TableOptions, TableSchema, open_format
from flumebeam.transforms.poison import sift
from tests.bench.figures import Spread, spread
from tests.bench.workload import line, severity_of
from tests.every_format import FILES, TYPED, format_of

__all__ = ["FormatCase", "Formats", "measure_formats"]

_BATCH: Final = 5_000
_RANDOM_BYTES: Final = 12
_MISFITS: Final = (0.001, 0.01)
_DATUMS: Final = "avro bodies"
"""What files are called whose bodies were Avro before."""
TABLE: Final = TableOptions(
    schema=TableSchema(
        '{"type": "record", "name": "Line", "fields": [{"name": "at", "type": {"type": "long", "logicalType": '
        '"timestamp-millis"}}, {"name": "number", "type": "long"}, {"name": "level", "type": "string"}, '
        '{"name": "seconds", "type": ["null", "double"], "default": null}, {"name": "text", "type": "string"}]}'
    )
)
_SCHEMA: Final = fastavro.parse_schema(dict(TABLE.schema.record))


@dataclass(frozen=True, slots=True)
class FormatCase:
    """What is encoded, and how.

    Attributes:
        format: Name of the format; of typed tables with ``typed `` before it.
        codec: Its codec.
        misfits: Share of bodies that do not fit the schema.
    """

    format: str
    codec: str
    misfits: float = 0.0

    @property
    def name(self) -> str:
        """What a table calls it."""
        share = f", {self.misfits:.1%} misfits" if self.misfits else ""
        return f"{self.format} {self.codec}{share}"


@dataclass(frozen=True, slots=True)
class Formats:
    """What was measured.

    Attributes:
        events: Events of one run.
        rates: Of each case, events per second of a core, of each run.
        body_bytes: Of each case, bytes of the bodies of one run.
        file_bytes: Of each case, bytes of the file.
    """

    events: int
    rates: dict[FormatCase, list[float]]
    body_bytes: dict[FormatCase, int]
    file_bytes: dict[FormatCase, int]

    def rate(self, case: FormatCase) -> Spread:
        """Return events per second of a core."""
        return spread(self.rates[case])

    def megabytes(self, case: FormatCase) -> float:
        """Return megabytes of bodies per second of a core."""
        return self.rate(case).median * self.body_bytes[case] / self.events / 1e6

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain data."""
        return {
            case.name: {
                "events_per_second": self.rate(case).median,
                "megabytes_per_second": self.megabytes(case),
                "file_bytes_per_event": self.file_bytes[case] / self.events,
            }
            for case in self.rates
        }


def measure_formats(*, events: int, size: int, runs: int, tell: Callable[[str], None]) -> Formats:
    """Encode the same events in every way.

    Args:
        events: Events of one run.
        size: Bytes of a body; those of typed tables are JSON and a little longer, or Avro.
        runs: How often each is done.
        tell: Called with what is done at the moment.
    """
    cases = [FormatCase(name, codec) for name, codec in FILES]
    cases += [FormatCase(TYPED + name, "zstd", share) for name in ("parquet", "avro") for share in _MISFITS]
    cases += [FormatCase(_DATUMS, "none"), *(FormatCase(_DATUMS, "zstd", share) for share in (0.0, *_MISFITS))]
    found = Formats(events, {case: [] for case in cases}, {}, {})
    for case in cases:
        tell(case.name)
        body = _datum if case.format == _DATUMS else _row if case.format.startswith(TYPED) else _line
        batches = _batches(events, partial(body, size, case.misfits))
        format = _format_of(case)
        found.body_bytes[case] = sum(len(body) for batch in batches for body in batch.bodies.to_pylist())
        for _ in range(runs):
            begin = time.process_time()
            found.file_bytes[case] = _encode(format, batches, sifted=case.misfits > 0)
            found.rates[case].append(events / max(time.process_time() - begin, 1e-9))
    return found


def _format_of(case: FormatCase) -> Format:
    if case.format == _DATUMS:
        return open_format("avro", codec=case.codec, table=DatumOptions(schema=TABLE.schema.text))
    return format_of(case.format, case.codec, TABLE)


def _encode(format: Format, batches: list[EventBatch], *, sifted: bool) -> int:
    kept = (sift(format, batch, "")[0] for batch in batches) if sifted else iter(batches)
    return sum(map(len, format.encode(kept)))


def _batches(events: int, body: Callable[[int], bytes]) -> list[EventBatch]:
    return [
        EventBatch.from_bodies([body(number) for number in range(start, min(start + _BATCH, events))], {"host": "web1"})
        for start in range(0, events, _BATCH)
    ]


def _line(size: int, misfits: float, number: int) -> bytes:
    # Lines that differ only in a number would flatter every codec.
    tail = blake2b(b"%d" % number, digest_size=_RANDOM_BYTES).hexdigest()
    return line(number, size - len(tail)) + tail.encode()


def _row(size: int, misfits: float, number: int) -> bytes:
    row = _columns(size, number)
    return json.dumps(row if _fits(misfits, number) else {**row, "number": "none"}).encode()


def _datum(size: int, misfits: float, number: int) -> bytes:
    datum = io.BytesIO()
    fastavro.schemaless_writer(datum, _SCHEMA, {**_columns(size, number), "at": number})
    return datum.getvalue()[: None if _fits(misfits, number) else -1]


def _fits(misfits: float, number: int) -> bool:
    return not misfits or number % round(1 / misfits) > 0


def _columns(size: int, number: int) -> dict[str, Any]:
    text = _line(size, 0.0, number)
    return {
        "at": text[:20].decode(),
        "number": number,
        "level": severity_of(text),
        "seconds": number % 1_000 / 8,
        "text": text[40:].decode(),
    }
