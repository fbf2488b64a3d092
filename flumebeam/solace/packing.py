"""Many events in one message: an Arrow IPC stream as its payload.

A message costs the client and the broker the same whether it carries one event or hundreds, so packing is what makes a
chain fast where all who drink from a queue can unpack. The form is open: any Arrow library reads it.

* The payload is an Arrow IPC stream, compressed with zstd as a whole if told so. Its first column, ``body``, is binary
  without nulls and holds the bodies. Every other column is a header of that name, string, null where an event has none.
  Headers that all events share are not columns: they are the schema's metadata, and user properties of the message.
* The HTTP content type of the message is :data:`PACK_TYPE`, its HTTP content encoding ``zstd`` or absent; a user
  property :data:`COUNT_PROPERTY` tells the number of events to whoever does not look inside.

Flume's Avro batch is read as well: the array of events that its ``appendBatch`` takes, in a message whose HTTP content
type is ``avro/binary`` and whose :data:`COUNT_PROPERTY` is there and right.

Reading believes nothing: what says that it is a pack and cannot be read as one is an event like any other payload.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import zstandard

from flumebeam.batch import EventBatch
from flumebeam.errors import ConfigurationError
from flumebeam.event import is_reserved
from flumebeam.ids import MAX_PACKED_EVENTS, delivery_ids, id_pairs, packed_ids
from flumebeam.solace._flume_batches import FLUME_BATCH_TYPE, decode_flume_batch
from flumebeam.solace.fields import PLAIN_FIELDS, MessageFields
from flumebeam.solace.incoming import ReceivedMessage, events_of_messages
from flumebeam.solace.outgoing import OutgoingEvents, messages_of_events

__all__ = [
    "COUNT_PROPERTY",
    "PACKED_HEADER",
    "PACK_TYPE",
    "Packing",
    "Span",
    "by_topic",
    "claimed_events",
    "decode_pack",
    "encode_packs",
    "events_of",
    "is_pack",
    "message_count",
    "messages_in",
    "outgoing_messages",
    "packed_pairs",
]

PACK_TYPE: Final = "application/vnd.apache.arrow.stream"
"""HTTP content type of a packed message, as Arrow has registered it."""

COUNT_PROPERTY: Final = "flumebeam.events"
"""User property of a packed message: the number of its events, in decimal."""

PACKED_HEADER: Final = "solace.packed"
"""``true`` on an event that came in a packed message; absent on any other."""

_ZSTD: Final = "zstd"
_CODECS: Final = ("none", _ZSTD)
_MAX_PACK_BYTES: Final = 64 << 20
"""Largest payload after decompression that is unpacked: a stranger's message must not fill the memory."""
_COUNT_DIGITS: Final = 6
_IPC_OPTIONS: Final = pa.ipc.IpcWriteOptions()
"""Arrow's own defaults; without them it looks into the environment for each stream."""
_OF_THE_PACK: Final = frozenset((COUNT_PROPERTY, "solace.content-type", "solace.content-encoding"))
"""What a packed message says of itself, not of its events."""


class Span(NamedTuple):
    """Consecutive events of a batch.

    Attributes:
        start: The first one.
        events: How many.
        nbytes: Bytes of their bodies and of their header values in columns.
    """

    start: int
    events: int
    nbytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Packing:
    """How many events go into one message.

    Attributes:
        max_events: Events of one message, 1 to 4096.
        max_bytes: Bodies and own headers of one message before compression, bytes; a single event may be larger, and
            then travels alone.
        codec: ``none`` or ``zstd``.

    Raises:
        ConfigurationError: A value is out of its range.
    """

    max_events: int = 500
    max_bytes: int = 65_536
    codec: str = "none"

    def __post_init__(self) -> None:
        if not 1 <= self.max_events <= MAX_PACKED_EVENTS:
            raise ConfigurationError(f"A message packs 1 to {MAX_PACKED_EVENTS} events, not {self.max_events}.")
        if self.max_bytes < 1:
            raise ConfigurationError(f"The bytes of a packed message must be positive, got {self.max_bytes}.")
        if self.codec not in _CODECS:
            raise ConfigurationError(f"{self.codec!r} cannot compress packed messages; choose {' or '.join(_CODECS)}.")

    @property
    def encoding(self) -> str | None:
        """HTTP content encoding of the messages."""
        return None if self.codec == "none" else self.codec

    def cut(self, batch: EventBatch) -> Iterator[Span]:
        """Yield which events of a batch one message takes each, in order."""
        ends = batch.ends()
        start = before = 0
        while start < len(ends):
            fitting = int(ends.searchsorted(before + self.max_bytes, side="right"))
            stop = max(min(fitting, start + self.max_events), start + 1)
            after = int(ends[stop - 1])
            yield Span(start, stop - start, after - before)
            start, before = stop, after


def encode_packs(batch: EventBatch, spans: Sequence[Span], packing: Packing) -> pa.BinaryArray:
    """Return the payloads that pack these parts of a batch, one each.

    Headers below ``solace.`` are left out, as they are from any message.
    """
    columns = {name: column for name, column in batch.columns.items() if not is_reserved(name)}
    shared = {name: value for name, value in batch.shared.items() if not is_reserved(name)}
    fields = [pa.field("body", pa.binary()), *(pa.field(name, pa.string()) for name in columns)]
    schema = pa.schema(fields, metadata=shared)
    rows = pa.RecordBatch.from_arrays([batch.bodies, *columns.values()], schema=schema)
    # All of them into one buffer, which then is the column: no payload is copied once more.
    sink = pa.BufferOutputStream()
    ends = [0]
    for span in spans:
        with pa.ipc.new_stream(sink, schema, options=_IPC_OPTIONS) as writer:
            writer.write_batch(rows.slice(span.start, span.events))
        ends.append(sink.tell())
    content = sink.getvalue()
    if packing.codec == _ZSTD:
        compress = zstandard.ZstdCompressor(level=1).compress
        return pa.array([compress(content[start:end]) for start, end in pairwise(ends)], type=pa.binary())
    return pa.Array.from_buffers(pa.binary(), len(spans), [None, pa.py_buffer(np.array(ends, dtype=np.int32)), content])


def outgoing_messages(
    batch: EventBatch,
    topics: str | pa.StringArray,
    packing: Packing | None,
    fields: MessageFields = PLAIN_FIELDS,
) -> list[OutgoingEvents]:
    """Return what to publish for a batch. Events of one topic keep their order; with packing, topics come in turns.

    Args:
        batch: The events.
        topics: One topic for all, or one per event.
        packing: How many events go into one message; ``None`` for one. One that stands alone is not packed.
        fields: What the messages get beside that; with packing the same for all.

    Raises:
        PublishRefusedError: As :func:`~flumebeam.solace.outgoing.messages_of_events`.
    """
    if packing is None:
        return [messages_of_events(batch, topics, fields)]
    return [message for part, topic in by_topic(batch, topics) for message in _packs(part, topic, packing, fields)]


def message_count(batch: EventBatch, topics: str | pa.StringArray, packing: Packing | None) -> int:
    """Return how many messages :func:`outgoing_messages` makes of a batch."""
    if packing is None:
        return len(batch)
    return sum(1 for part, _ in by_topic(batch, topics) for _ in packing.cut(part))


def messages_in(batch: EventBatch) -> int:
    """Return how many messages the events of a received batch came in."""
    if batch.provenance is None or PACKED_HEADER not in batch.header_names:
        return len(batch)
    pairs = packed_pairs(batch)
    messages = np.column_stack((pairs[:, 0], pairs[:, 1] // MAX_PACKED_EVENTS))
    return len(batch) - len(pairs) + int(np.any(messages[1:] != messages[:-1], axis=1).sum()) + bool(len(pairs))


def packed_pairs(batch: EventBatch) -> npt.NDArray[np.uint64]:
    """Return the delivery ids of those events of a received batch that came packed, as pairs of numbers, in order."""
    if batch.provenance is None or PACKED_HEADER not in batch.header_names:
        return id_pairs(delivery_ids([]))
    pairs = id_pairs(batch.provenance.ids)
    if PACKED_HEADER in batch.shared:
        return pairs
    packed: npt.NDArray[np.bool_] = batch.columns[PACKED_HEADER].is_valid().to_numpy(zero_copy_only=False)
    return pairs[packed]


def by_topic(batch: EventBatch, topics: str | pa.StringArray) -> Iterator[tuple[EventBatch, str]]:
    """Yield the events of each topic, in order, with the topic.

    Raises:
        PublishRefusedError: As :func:`~flumebeam.solace.outgoing.messages_of_events`.
    """
    if isinstance(topics, str):
        yield batch, topics
        return
    messages_of_events(batch, topics)  # refuses topics that are missing or too many, by the event's name
    for topic in topics.unique().to_pylist():
        yield batch.filter(pc.equal(topics, topic)), topic


def _packs(batch: EventBatch, topic: str, packing: Packing, fields: MessageFields) -> Iterator[OutgoingEvents]:
    messages_of_events(batch, topic, fields)  # refuses an event by its place in the batch
    for alone, run in groupby(packing.cut(batch), lambda span: span.events == 1):
        spans = list(run)
        # All of them get the fields of their first events, checked above.
        firsts = messages_of_events(batch.take(pa.array([span.start for span in spans], pa.int64())), topic, fields)
        if alone:
            yield firsts
            continue
        yield replace(
            firsts,
            bodies=encode_packs(batch, spans, packing),
            columns={COUNT_PROPERTY: pa.array([str(span.events) for span in spans])},
            correlation_ids=None,
            content_type=PACK_TYPE,
            content_encoding=packing.encoding,
        )


class Marked(Protocol):
    """What a message says of its content."""

    @property
    def content_type(self) -> str | None:
        """Its HTTP content type."""
        ...

    @property
    def properties(self) -> Mapping[str, Any]:
        """Its user properties."""
        ...


def is_pack(message: Marked) -> bool:
    """Tell whether a message says that it is a pack."""
    kind = message.content_type
    return kind == PACK_TYPE or (kind == FLUME_BATCH_TYPE and COUNT_PROPERTY in message.properties)


def claimed_events(message: Marked) -> int:
    """Return how many events a message says that it has, at least 1 and at most what a pack may have."""
    if not is_pack(message):
        return 1
    said = message.properties.get(COUNT_PROPERTY)
    if isinstance(said, str) and said.isascii() and said.isdigit():
        return min(max(int(said[:_COUNT_DIGITS]), 1), MAX_PACKED_EVENTS)
    return MAX_PACKED_EVENTS


def events_of(messages: Sequence[ReceivedMessage], *, receiver: str, queue: str, fence: bool) -> EventBatch:
    """Return the events of received messages, packed or not, in order; arguments as of ``events_of_messages``.

    Raises:
        FormatError: See :func:`~flumebeam.ids.packed_ids`.
    """
    if not any(message.content_type for message in messages):
        return events_of_messages(messages, receiver=receiver, queue=queue, fence=fence)
    parts: list[EventBatch] = []
    for packed, run in groupby(messages, is_pack):
        if packed:
            parts += _unpacked(list(run), receiver=receiver, queue=queue, fence=fence)
        else:
            parts.append(events_of_messages(list(run), receiver=receiver, queue=queue, fence=fence))
    return EventBatch.concat(parts)


def _unpacked(messages: Sequence[ReceivedMessage], *, receiver: str, queue: str, fence: bool) -> Iterator[EventBatch]:
    """Yield the events of messages that say they are packs; one with its payload for each that cannot be read.

    Every event has the message's fields and properties as headers, its own headers, and a delivery id of its own.
    Work is done per run of messages whose events have the same headers, not for each: that is nearly always all.
    """
    read = [(message, _content(message)) for message in messages]
    for names, run in groupby(read, lambda pair: None if pair[1] is None else set(pair[1].header_names)):
        own, inside = zip(*run, strict=True)
        if names is None:
            yield events_of_messages(own, receiver=receiver, queue=queue, fence=fence)
        else:
            outside = events_of_messages(
                [message._replace(body=b"") for message in own],
                receiver=receiver,
                queue=queue,
                fence=fence,
                packed=True,
            )
            ids = packed_ids([message.delivery for message in own], [len(events) for events in inside])
            yield _inside_out(outside, inside, ids)


def _inside_out(outside: EventBatch, packs: Sequence[EventBatch], ids: pa.FixedSizeBinaryArray) -> EventBatch:
    """Return events of packs with what stood outside on their messages; what stands inside counts more."""
    inside = EventBatch.concat(packs)
    rows = pa.array(np.repeat(np.arange(len(packs), dtype=np.int32), list(map(len, packs))))
    drop = {*_OF_THE_PACK, *inside.header_names}
    shared = {name: value for name, value in outside.shared.items() if name not in drop}
    columns = {name: column.take(rows) for name, column in outside.columns.items() if name not in drop}
    origin = outside.provenance and replace(
        outside.provenance, ids=ids, redelivered=outside.provenance.redelivered.take(rows)
    )
    return EventBatch(
        inside.bodies, {**shared, **inside.shared, PACKED_HEADER: "true"}, {**columns, **inside.columns}, origin
    )


def _content(message: ReceivedMessage) -> EventBatch | None:
    """Return the events of a message that says it is a pack, or ``None`` if it cannot be read as one."""
    if message.content_type == PACK_TYPE:
        return decode_pack(message.body, message.content_encoding)
    try:
        return decode_flume_batch(_decompressed(message.body, message.content_encoding), claimed_events(message))
    except (zstandard.ZstdError, ValueError, MemoryError):
        return None


def decode_pack(payload: bytes, encoding: str | None) -> EventBatch | None:
    """Return the events of a payload, or ``None`` if it cannot be read as a pack.

    Args:
        payload: The message's payload.
        encoding: Its HTTP content encoding.
    """
    try:
        table = _read(payload, encoding)
        table.validate(full=True)
        names = table.schema.names
        if not 1 <= table.num_rows <= MAX_PACKED_EVENTS or names[:1] != ["body"] or len(set(names)) < len(names):
            return None
        bodies = _as(pa.binary(), table.column(0))
        headers = {name: _as(pa.string(), column) for name, column in zip(names[1:], table.columns[1:], strict=True)}
        shared = {name.decode(): value.decode() for name, value in (table.schema.metadata or {}).items()}
    except (pa.ArrowException, zstandard.ZstdError, ValueError, OSError, MemoryError):
        return None
    if bodies.null_count:
        return None
    columns = {name: column for name, column in headers.items() if not is_reserved(name)}
    own = {name: value for name, value in shared.items() if not is_reserved(name) and name not in columns}
    return EventBatch(bodies, own, columns)


def _as(kind: pa.DataType, column: pa.ChunkedArray) -> pa.Array:
    """Return a column as one array of this type, as it is if it is one: joining copies it."""
    array = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    return array if array.type == kind else array.cast(kind)


def _read(payload: bytes, encoding: str | None) -> pa.Table:
    with pa.ipc.open_stream(_decompressed(payload, encoding)) as reader:
        return reader.read_all()


def _decompressed(payload: bytes, encoding: str | None) -> bytes:
    if encoding == _ZSTD:
        if zstandard.frame_content_size(payload) > _MAX_PACK_BYTES:
            raise ValueError("too large")
        payload = zstandard.ZstdDecompressor().decompress(payload, max_output_size=_MAX_PACK_BYTES)
    elif encoding not in (None, "", "identity"):
        raise ValueError(encoding)
    if len(payload) > _MAX_PACK_BYTES:
        raise ValueError(len(payload))
    return payload
