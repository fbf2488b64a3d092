"""Any message of any producer as an event, pure and per batch.

What the body is, and what :data:`PAYLOAD_HEADER` says of it:

============ ================================================= =====================
payload      body                                              ``solace.payload``
============ ================================================= =====================
binary       its bytes                                         ``bytes``
text         UTF-8                                             ``text``
map          a JSON object, keys sorted, no spaces             ``map``
stream       a JSON array                                      ``stream``
XML          its bytes                                         ``xml``
none         empty                                             ``empty``
============ ================================================= =====================

A string user property is the header's text; of any other type it is the value as JSON (``true``, ``42``, ``1.5``,
``null``, ``{"a":1}``). Inside JSON, and as headers, bytes are base64, a character is a string of one character, a
destination is its name, a number that JSON lacks is ``NaN``, ``Infinity`` or ``-Infinity``. A property below
``solace.`` would pass for a field of the message, so it is found below ``property.``. Text that is not UTF-8 carries
U+FFFD where it is broken.

An application message id that is an id as sources of files make them is the header ``flumebeam.id``, as
:mod:`~flumebeam.solace.outgoing` had it, unless there is a property of that name, or the message is a pack of events
with ids of their own.

The message's own fields are read-only headers, and present only if the message has them; see :data:`FIELD_HEADERS`,
:data:`TOPIC_HEADER` with its levels ``solace.topic.1`` and so on, and :data:`REDELIVERED_HEADER`.
"""

from __future__ import annotations

import json
import math
from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from flumebeam.batch import BatchProvenance, EventBatch
from flumebeam.event import EVENT_ID_HEADER, is_reserved
from flumebeam.ids import DELIVERY_ID_TYPE, ID_TEXT, are_id_texts

__all__ = [
    "FIELD_HEADERS",
    "MESSAGE_ID_HEADER",
    "PAYLOAD_HEADER",
    "PRIORITY_HEADER",
    "PROPERTY_PREFIX",
    "REDELIVERED_HEADER",
    "TOPIC_HEADER",
    "Destination",
    "ReceivedMessage",
    "add_event_ids",
    "add_header",
    "add_topics",
    "events_of_messages",
    "header_text",
    "json_body",
    "property_header",
]

TOPIC_HEADER: Final = "solace.topic"
"""The topic (or queue) that the message was sent to; ``solace.topic.1`` and up are its levels, from 1."""

PAYLOAD_HEADER: Final = "solace.payload"
"""What the payload was: ``bytes``, ``text``, ``map``, ``stream``, ``xml`` or ``empty``."""

MESSAGE_ID_HEADER: Final = "solace.message-id"
"""The replication group message id, as the broker prints it."""

PRIORITY_HEADER: Final = "solace.priority"

REDELIVERED_HEADER: Final = "solace.redelivered"
"""``true`` on a message that the broker may have delivered before; absent on any other."""

PROPERTY_PREFIX: Final = "property."
"""Where a foreign user property below the reserved prefix is found."""

FIELD_HEADERS: Final = (
    PAYLOAD_HEADER,
    MESSAGE_ID_HEADER,
    "solace.sender-timestamp",
    "solace.sender-id",
    "solace.application-message-id",
    "solace.application-message-type",
    "solace.correlation-id",
    "solace.reply-to",
    "solace.sequence-number",
    PRIORITY_HEADER,
    "solace.expiration",
    "solace.content-type",
    "solace.content-encoding",
)
"""Headers of the message's other fields, in the order of :class:`ReceivedMessage`; times in milliseconds since 1970."""

_APPLICATION_ID_HEADER: Final = "solace.application-message-id"


class Destination(NamedTuple):
    """A topic or queue that stands in a property, or inside a map or stream."""

    name: str


class ReceivedMessage(NamedTuple):
    """What the adapter reads off one message; ``None`` where the message lacks a field.

    The fields from ``payload`` on stand in the order of :data:`FIELD_HEADERS`.
    """

    delivery: bytes
    redelivered: bool
    body: bytes
    properties: Mapping[str, Any]
    topic: str | None
    payload: str = "bytes"
    message_id: str | None = None
    sender_timestamp: int | None = None
    sender_id: str | None = None
    application_message_id: str | None = None
    application_message_type: str | None = None
    correlation_id: str | None = None
    reply_to: str | None = None
    sequence_number: int | None = None
    priority: int | None = None
    expiration: int | None = None
    content_type: str | None = None
    content_encoding: str | None = None


def events_of_messages(
    messages: Sequence[ReceivedMessage], *, receiver: str, queue: str, fence: bool, packed: bool = False
) -> EventBatch:
    """Return the events of received messages, in order.

    Args:
        messages: What was received.
        receiver: Identity of the receiver.
        queue: Name of the queue.
        fence: Whether something happened before them, see :class:`~flumebeam.batch.BatchProvenance`; a redelivered
            message among them sets it too.
        packed: Whether they are packs: their application message ids are none of their events.
    """
    if not messages:
        return EventBatch.empty()
    ids, redelivered, bodies, properties, topics, *fields = zip(*messages, strict=True)
    again = any(redelivered)
    shared: dict[str, str] = {}
    columns: dict[str, pa.StringArray] = {}
    _add_properties(properties, shared, columns)
    add_topics(topics, shared, columns)
    for name, values in zip(FIELD_HEADERS, fields, strict=True):
        if values.count(None) == len(values):  # most fields of most messages
            continue
        add_header(name, [v if v is None else str(v) for v in values], shared, columns)
    if not packed:
        add_event_ids(shared, columns)
    if again:
        add_header(REDELIVERED_HEADER, ["true" if flag else None for flag in redelivered], shared, columns)
    origin = BatchProvenance(
        receiver,
        queue,
        pa.array(ids, type=DELIVERY_ID_TYPE),
        pa.array(redelivered, type=pa.bool_()),
        fence or again,
    )
    return EventBatch(pa.array(bodies, type=pa.binary()), shared, columns, origin)


def header_text(value: Any) -> str:
    """Return a user property's value as the text of a header: strings as they are, anything else as JSON."""
    plain = _plain(value)
    return plain if isinstance(plain, str) else _json(plain)


def json_body(value: Mapping[str, Any] | Sequence[Any]) -> bytes:
    """Return the body that stands for a map or a stream: JSON in UTF-8, keys sorted, no spaces."""
    return _json(_plain(value)).encode("utf-8", "replace")


def _plain(value: Any) -> Any:
    """Return a value with only what JSON has in it."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        if math.isfinite(value):
            return value
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, (bytes, bytearray)):
        return b64encode(value).decode()
    if isinstance(value, Destination):
        return value.name
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return str(value)


def _json(plain: Any) -> str:
    return json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _add_properties(
    properties: Sequence[Mapping[str, Any]], shared: dict[str, str], columns: dict[str, pa.StringArray]
) -> None:
    names = properties[0].keys()
    if all(names == own.keys() for own in properties):  # the common case: one producer, one set of names
        for name in names:
            add_header(property_header(name), [_text(own[name]) for own in properties], shared, columns)
        return
    for name in dict.fromkeys(name for own in properties for name in own):
        texts = [_text(own[name]) if name in own else None for own in properties]
        add_header(property_header(name), texts, shared, columns)


def _text(value: Any) -> str:
    return value if type(value) is str else header_text(value)


def property_header(name: str) -> str:
    """Return the header under which a user property is found."""
    return PROPERTY_PREFIX + name if is_reserved(name) else name


def add_topics(topics: Sequence[str | None], shared: dict[str, str], columns: dict[str, pa.StringArray]) -> None:
    """Add the headers of topics, one per event, and of their levels."""
    first = topics[0]
    if first is not None and topics.count(first) == len(topics):
        shared[TOPIC_HEADER] = first
        for number, level in enumerate(first.split("/"), 1):
            shared[f"{TOPIC_HEADER}.{number}"] = level
        return
    column = pa.array(topics, type=pa.string())
    coded = column.dictionary_encode()  # levels are cut out of each distinct topic once
    levels = [topic.split("/") for topic in coded.dictionary.to_pylist()]
    columns[TOPIC_HEADER] = column
    for number in range(max(map(len, levels), default=0)):
        texts = pa.array([own[number] if number < len(own) else None for own in levels], type=pa.string())
        columns[f"{TOPIC_HEADER}.{number + 1}"] = texts.take(coded.indices)


def add_header(
    name: str, texts: Sequence[str | None], shared: dict[str, str], columns: dict[str, pa.StringArray]
) -> None:
    """Add one header: shared if all events have it with one value, a column if some have it."""
    first = texts[0]
    # Distinct values, the expensive column, are mostly told by the last one already.
    if first == texts[-1] and texts.count(first) == len(texts):
        if first is not None:
            shared[name] = first
    else:
        columns[name] = pa.array(texts, type=pa.string())


def add_event_ids(shared: dict[str, str], columns: dict[str, pa.StringArray]) -> None:
    """Add the header ``flumebeam.id`` of events whose id came as application message id."""
    if EVENT_ID_HEADER in shared:
        return
    own = columns.get(EVENT_ID_HEADER)
    if (one := shared.get(_APPLICATION_ID_HEADER)) is not None:
        if ID_TEXT.fullmatch(one) is None:
            return
        if own is None:
            shared[EVENT_ID_HEADER] = one
        else:
            columns[EVENT_ID_HEADER] = pc.fill_null(own, one)
    elif (found := columns.get(_APPLICATION_ID_HEADER)) is not None:
        are_ids = are_id_texts(found)
        ids = found if pc.all(are_ids).as_py() else pc.if_else(are_ids, found, pa.scalar(None, pa.string()))
        if own is not None:
            columns[EVENT_ID_HEADER] = pc.coalesce(own, ids)
        elif ids.null_count < len(ids):
            columns[EVENT_ID_HEADER] = ids
