"""Events as what the broker is sent, pure and per batch.

The body becomes the binary payload, every header a string user property, so that any other consumer on the bus can read
them. Reserved headers (below ``solace.``) are not published. The header ``flumebeam.id`` becomes the
message's application message id, and a user property only if it is no id as sources of files make them, or another
header was chosen for that field: it is the one value that differs from message to message, and to send it twice would
be a third of what a message costs its sender. What the client would cut or mangle in silence is refused by name before
anything of the batch is sent.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from flumebeam.batch import EventBatch, has_nul
from flumebeam.errors import PublishRefusedError
from flumebeam.event import EVENT_ID_HEADER, is_reserved
from flumebeam.ids import ID_TEXT, DeliveryId, are_id_texts
from flumebeam.solace.fields import (
    DELIVERY_HEADER,
    ORIGIN_HEADER,
    PARTITION_KEY_PROPERTY,
    PLAIN_FIELDS,
    MessageFields,
)

__all__ = ["OutgoingEvent", "OutgoingEvents", "messages_of_events", "queue_topic"]

_QUEUE_TOPIC: Final = "#P2P/QUE/"
_MAX_PRIORITY: Final = 255
_MAX_TOPIC_BYTES: Final = 250  # limits of the broker
_MAX_TOPIC_LEVELS: Final = 128


def queue_topic(queue: str) -> str:
    """Return the topic by which a message is sent to one queue and nowhere else, whatever is subscribed."""
    return _QUEUE_TOPIC + queue


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
