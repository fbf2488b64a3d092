"""Flume's own form of many events in one payload: the Avro array that its ``appendBatch`` takes.

The schema is that of Flume's ``AvroSourceProtocol``: an array of records with ``headers``, a map of strings, and
``body``, bytes. The payload is the array alone, without a container or a frame of the RPC around it.
"""

from __future__ import annotations

import io
from typing import Any, Final

import fastavro

from flumebeam.batch import EventBatch
from flumebeam.event import Event, is_reserved

__all__ = ["FLUME_BATCH_TYPE", "decode_flume_batch"]

FLUME_BATCH_TYPE: Final = "avro/binary"
"""HTTP content type of Avro's own calls, which is what such a payload is cut out of."""

_SCHEMA: Final = fastavro.parse_schema(
    {
        "type": "array",
        "items": {
            "type": "record",
            "name": "AvroFlumeEvent",
            "namespace": "org.apache.flume.source.avro",
            "fields": [
                {"name": "headers", "type": {"type": "map", "values": "string"}},
                {"name": "body", "type": "bytes"},
            ],
        },
    }
)


def decode_flume_batch(payload: bytes, count: int) -> EventBatch | None:
    """Return the events of a payload, or ``None`` if it is not such an array of exactly so many events.

    Args:
        payload: The array, not compressed.
        count: Events that must be in it, at least 1.
    """
    source = io.BytesIO(payload)
    try:
        rows: Any = fastavro.schemaless_reader(source, _SCHEMA, None)
    except (EOFError, ValueError, IndexError, TypeError, OverflowError, MemoryError):
        return None
    if len(rows) != count or source.read(1):
        return None
    return EventBatch.from_events(
        Event(row["body"], {name: text for name, text in row["headers"].items() if not is_reserved(name)})
        for row in rows
    )
