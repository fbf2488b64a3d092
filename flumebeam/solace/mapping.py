"""Events to broker messages and back, pure and per batch.

**Out.** The body becomes the binary payload, every header a string user property, so that any other consumer on the
bus can read them. Reserved headers (below ``solace.``) are not published. The header ``flumebeam.id`` becomes the
message's application message id, and a user property only if it is no id as sources of files make them, or another
header was chosen for that field: it is the one value that differs from message to message, and to send it twice would
be a third of what a message costs its sender. What the client would cut or mangle in silence is refused by name before
anything of the batch is sent.

**In.** Any message of any producer becomes an event:

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

An application message id that is such an id is the header ``flumebeam.id`` again, unless there is a property of that
name, or the message is a pack of events with ids of their own.

The message's own fields are read-only headers, and present only if the message has them; see :data:`FIELD_HEADERS`,
:data:`TOPIC_HEADER` with its levels ``solace.topic.1`` and so on, and :data:`REDELIVERED_HEADER`.
"""

from __future__ import annotations

import json
import math
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from flumebeam.batch import BatchProvenance, EventBatch, has_nul
from flumebeam.errors import PublishRefusedError
from flumebeam.event import EVENT_ID_HEADER, is_reserved
from flumebeam.ids import DELIVERY_ID_TYPE, ID_TEXT, DeliveryId, are_id_texts
from flumebeam.solace.fields import (
    DELIVERY_HEADER,
    ORIGIN_HEADER,
    PARTITION_KEY_PROPERTY,
    PLAIN_FIELDS,
    MessageFields,
)

__all__ = [
    "FIELD_HEADERS",
    "MESSAGE_ID_HEADER",
    "PAYLOAD_HEADER",
    "PRIORITY_HEADER",
    "PROPERTY_PREFIX",
    "REDELIVERED_HEADER",
    "TOPIC_HEADER",
    "Destination",
    "OutgoingEvent",
    "OutgoingEvents",
    "ReceivedMessage",
    "add_event_ids",
    "add_header",
    "add_topics",
    "events_of_messages",
    "header_text",
    "json_body",
    "messages_of_events",
    "property_header",
    "queue_topic",
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
_QUEUE_TOPIC: Final = "#P2P/QUE/"
_MAX_PRIORITY: Final = 255
_MAX_TOPIC_BYTES: Final = 250  # limits of the broker
_MAX_TOPIC_LEVELS: Final = 128


def queue_topic(queue: str) -> str:
    """Return the topic by which a message is sent to one queue and nowhere else, whatever is subscribed."""
    return _QUEUE_TOPIC + queue


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


class OutgoingEvent(NamedTuple):
    """One event as the adapter publishes it: body, its own headers, topic, application message id."""

    body: bytes
    headers: Mapping[str, str]
    topic: str
    application_message_id: str | None


@dataclass(frozen=True, slots=True, eq=False)
class OutgoingEvents:
    """A checked batch, ready to be published, in columns.

    Attributes:
        shared: Headers that every message gets.
        bodies: Type ``binary``, one per event.
        columns: Other headers, null where an event has none.
        topics: One per event.
        application_message_ids: One per event, or ``None`` if no event has one; null where an event has none.
        content_type: HTTP content type of all messages, or ``None``.
        content_encoding: HTTP content encoding of all messages, or ``None``; only with a content type.
        correlation_ids: One per event, null where an event has none; ``None`` if no event has one.
        priorities: One per event, ``None`` where an event has none; ``None`` if no event has one.
        time_to_live_ms: Of all messages, milliseconds; 0 for ever.
        dmq_eligible: Whether all messages may go to a dead message queue.
    """

    shared: Mapping[str, str]
    bodies: pa.BinaryArray
    columns: Mapping[str, pa.StringArray]
    topics: Sequence[str]
    application_message_ids: pa.StringArray | None
    content_type: str | None = None
    content_encoding: str | None = None
    correlation_ids: pa.StringArray | None = None
    priorities: Sequence[int | None] | None = None
    time_to_live_ms: int = 0
    dmq_eligible: bool = True

    @property
    def tails(self) -> Iterator[tuple[str | None, int | None]] | None:
        """Correlation id and priority event by event; ``None`` if no event has either."""
        if self.correlation_ids is None and self.priorities is None:
            return None
        none = repeat(None, len(self.bodies))
        ids = none if self.correlation_ids is None else self.correlation_ids.to_pylist()
        return zip(ids, repeat(None, len(self.bodies)) if self.priorities is None else self.priorities, strict=True)

    @property
    def events(self) -> Iterator[OutgoingEvent]:
        """The same event by event, without the shared headers."""
        bodies, names = self.bodies.to_pylist(), list(self.columns)
        identities = self.application_message_ids
        ids = [None] * len(bodies) if identities is None else identities.to_pylist()
        rows = zip(*(column.to_pylist() for column in self.columns.values()), strict=True) if names else repeat(())
        for body, row, topic, identity in zip(bodies, rows, self.topics, ids, strict=False):
            headers = {name: value for name, value in zip(names, row, strict=True) if value is not None}
            yield OutgoingEvent(body, headers, topic, identity)


# -- in ----------------------------------------------------------------------------------------------------------------


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
        ids = pc.if_else(are_id_texts(found), found, pa.scalar(None, pa.string()))
        if own is not None:
            columns[EVENT_ID_HEADER] = pc.coalesce(own, ids)
        elif ids.null_count < len(ids):
            columns[EVENT_ID_HEADER] = ids


# -- out ---------------------------------------------------------------------------------------------------------------


def messages_of_events(
    batch: EventBatch, topics: str | pa.StringArray, fields: MessageFields = PLAIN_FIELDS
) -> OutgoingEvents:
    """Return what to publish for a batch.

    Args:
        batch: The events.
        topics: One topic for all, or one per event.
        fields: What the messages get beside that.

    Raises:
        PublishRefusedError: An event cannot be published as it is: a topic that the broker refuses, a header whose
            name is empty or whose text holds a NUL or half a surrogate pair. The text names the event by its place
            in the batch and by its ``flumebeam.id``, if it has one.
    """
    shared = {name: value for name, value in batch.shared.items() if not is_reserved(name)}
    columns = {name: column for name, column in batch.columns.items() if not is_reserved(name)}
    if fields is not PLAIN_FIELDS:
        _add_fields(batch, fields, shared, columns)
    if fields.application_message_id == EVENT_ID_HEADER:
        # The field says it.
        if ID_TEXT.fullmatch(shared.get(EVENT_ID_HEADER, "")):
            del shared[EVENT_ID_HEADER]
        elif (ids := columns.get(EVENT_ID_HEADER)) is not None and pc.all(are_id_texts(ids)).as_py():
            del columns[EVENT_ID_HEADER]
    for name, value in shared.items():
        _check_text("name", name, name, batch)
        _check_text("value", name, value, batch)
    for name, column in columns.items():
        _check_text("name", name, name, batch)
        _check_column(name, column, batch)
    targets = _check_topics(topics, batch)
    return OutgoingEvents(
        shared,
        batch.bodies,
        columns,
        targets,
        _field(batch, fields.application_message_id),
        correlation_ids=_field(batch, fields.correlation_id),
        priorities=_priorities(batch, fields.priority),
        time_to_live_ms=fields.time_to_live_ms,
        dmq_eligible=fields.dmq_eligible,
    )


def _field(batch: EventBatch, header: str) -> pa.StringArray | None:
    """Return a header that becomes a field, checked; ``None`` if no event has it."""
    if not header or header not in batch.header_names:
        return None
    column = batch.header(header)
    _check_column(header, column, batch)
    return column


def _priorities(batch: EventBatch, priority: int | str | None) -> Sequence[int | None] | None:
    if priority is None:
        return None
    if isinstance(priority, int):
        return [priority] * len(batch)
    if priority not in batch.header_names:
        return None
    values: list[int | None] = []
    for index, text in enumerate(batch.header(priority).to_pylist()):
        if text is not None and not (text.isascii() and text.isdigit() and int(text) <= _MAX_PRIORITY):
            raise _refusal(batch, index, f"header {priority!r} is {text!r} and no priority from 0 to {_MAX_PRIORITY}")
        values.append(None if text is None else int(text))
    return values


def _add_fields(
    batch: EventBatch, fields: MessageFields, shared: dict[str, str], columns: dict[str, pa.StringArray]
) -> None:
    """Add what travels as user properties."""
    if (key := fields.partition_key) and key in batch.header_names:
        shared.pop(PARTITION_KEY_PROPERTY, None)
        columns.pop(PARTITION_KEY_PROPERTY, None)
        if (value := batch.shared.get(key)) is not None:
            shared[PARTITION_KEY_PROPERTY] = value
        else:
            columns[PARTITION_KEY_PROPERTY] = batch.columns[key]
    if fields.provenance and (origin := batch.provenance) is not None:
        shared[ORIGIN_HEADER] = origin.queue
        columns.pop(ORIGIN_HEADER, None)
        shared.pop(DELIVERY_HEADER, None)
        columns[DELIVERY_HEADER] = pa.array(
            [str(DeliveryId.unpack(id_)) for id_ in origin.ids.to_pylist()], pa.string()
        )


def _check_text(part: str, name: str, text: str, batch: EventBatch) -> None:
    if part == "name" and not text:
        raise _refusal(batch, 0, "a header has an empty name")
    if "\0" in text:
        raise _refusal(batch, 0, f"the {part} of header {name!r} holds a NUL character, which the client would cut off")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise _refusal(batch, 0, f"the {part} of header {name!r} is no valid Unicode text") from None


def _check_column(name: str, column: pa.StringArray, batch: EventBatch) -> None:
    if has_nul(column):
        index = pc.index(pc.match_substring(column, "\0"), value=True).as_py()
        raise _refusal(batch, index, f"header {name!r} holds a NUL character, which the client would cut off")


def _check_topics(topics: str | pa.StringArray, batch: EventBatch) -> Sequence[str]:
    if isinstance(topics, str):
        if problem := _topic_problem(topics):
            raise _refusal(batch, 0, f"its topic {topics!r} {problem}")
        return [topics] * len(batch)
    targets: list[str | None] = topics.to_pylist()
    if len(targets) != len(batch):
        raise PublishRefusedError(f"{len(targets)} topics were given for {len(batch)} events.")
    for topic in set(targets):
        if problem := "is missing" if topic is None else _topic_problem(topic):
            raise _refusal(batch, targets.index(topic), f"its topic {topic!r} {problem}")
    return [topic for topic in targets if topic is not None]


def _topic_problem(topic: str) -> str:
    if not topic:
        return "is empty"
    if "\0" in topic:
        return "holds a NUL character"
    if len(topic.encode("utf-8", "replace")) > _MAX_TOPIC_BYTES:
        return f"is longer than the broker's {_MAX_TOPIC_BYTES} bytes"
    if topic.count("/") >= _MAX_TOPIC_LEVELS:
        return f"has more than the broker's {_MAX_TOPIC_LEVELS} levels"
    return ""


def _refusal(batch: EventBatch, index: int, problem: str) -> PublishRefusedError:
    identity = batch.header(EVENT_ID_HEADER)[index].as_py() if len(batch) else None
    named = f" ({EVENT_ID_HEADER} {identity})" if identity else ""
    return PublishRefusedError(f"Event {index} of the batch{named} cannot be published: {problem}.")
