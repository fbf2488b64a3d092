"""Messages whose frames were cut and not read any further: one by one, or as the columns of a batch.

Most of what a message says is the same from message to message, and known from its layout. So values are made where
they are wanted: a column at a time, for all messages of one layout together, by a few calls on their bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import repeat
from operator import attrgetter, is_, itemgetter
from typing import Any, Final, NamedTuple, TypeAlias, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from flumebeam.batch import BatchProvenance, EventBatch
from flumebeam.ids import DELIVERY_ID_TYPE
from flumebeam.solace.incoming import (
    FIELD_HEADERS,
    REDELIVERED_HEADER,
    ReceivedMessage,
    add_event_ids,
    add_header,
    add_topics,
    header_text,
    property_header,
)
from flumebeam.solace.packing import events_of

__all__ = ["NO_METADATA", "Head", "Layout", "PlacedFrame", "Taken", "events_of_taken", "message_id"]

_FEW: Final = 10
"""Messages of one layout whose columns cost as much as the messages one by one."""
_BYTES, _EMPTY = "bytes", "empty"
_HEADER_OF: Final = dict(zip(ReceivedMessage._fields[5:], FIELD_HEADERS, strict=True))
_ID_TEXT: Final = np.frombuffer(b"rmid1:00000-00000000000-00000000-00000000", np.uint8)
_ID_DIGITS: Final = np.flatnonzero(_ID_TEXT == ord("0"))

_Bytes: TypeAlias = npt.NDArray[np.uint8]
Convert: TypeAlias = Callable[[bytes], Any]


class Head(NamedTuple):
    """What the parameters of a frame say, but for its ids and the sizes of its parts."""

    topic: str
    priority: int | None
    redelivered: bool
    spooler: bytes
    permanent_id: bytes | None
    message_id: slice
    summary: slice


class Layout(NamedTuple):
    """Where the values of a message's metadata are, and what they are; whether a content type is among them.

    Texts have a name and a place; all others also what converts their bytes. Fields have the names that they have in
    ``ReceivedMessage``.
    """

    typed: bool = False
    properties: Sequence[tuple[str, slice]] = ()
    fields: Sequence[tuple[str, slice]] = ()
    other_properties: Sequence[tuple[str, slice, Convert]] = ()
    other_fields: Sequence[tuple[str, slice, Convert]] = ()


NO_METADATA: Final = Layout()


class PlacedFrame(NamedTuple):
    """A message of the common kind, as its frame was cut. It has no content type: what may be a pack is read."""

    delivery: bytes
    body: bytes
    metadata: bytes
    head: Head
    layout: Layout

    @property
    def content_type(self) -> str | None:
        """Always ``None``; as messages have it."""
        return None

    @property
    def properties(self) -> Mapping[str, Any]:
        """Its user properties."""
        return self.message().properties

    def message(self) -> ReceivedMessage:
        """Return all that it carries."""
        data, layout = self.metadata, self.layout
        properties: dict[str, Any] = {name: _text(data[place]) for name, place in layout.properties}
        properties |= {name: convert(data[place]) for name, place, convert in layout.other_properties}
        fields: dict[str, Any] = {name: _text(data[place]) for name, place in layout.fields}
        fields |= {name: convert(data[place]) for name, place, convert in layout.other_fields}
        fields["expiration"] = fields.get("expiration") or None
        head = self.head
        return ReceivedMessage(
            self.delivery,
            head.redelivered,
            self.body,
            properties,
            head.topic,
            _BYTES if self.body else _EMPTY,
            message_id(self.delivery),
            priority=head.priority,
            **fields,
        )


_layout: Final = attrgetter("layout")

Taken: TypeAlias = PlacedFrame | ReceivedMessage
"""What a reader makes of a message: one that may be a pack, or is not of the common kind, is read at once."""


def message_id(delivery: bytes) -> str:
    """Return the replication group message id of a delivery, as the broker prints it."""
    text = delivery.hex()
    return f"rmid1:{text[:5]}-{text[5:16]}-{text[16:24]}-{text[24:]}"


def events_of_taken(taken: Sequence[Taken], *, receiver: str, queue: str, fence: bool) -> EventBatch:
    """Return the events of messages, packed or not, in order; arguments and errors as of ``events_of``."""
    if len(taken) >= _FEW and set(map(type, taken)) == {PlacedFrame}:
        frames = cast(Sequence[PlacedFrame], taken)
        layouts = list(map(_layout, frames))
        if all(map(is_, layouts, repeat(layouts[0]))):
            return _of_one_layout(frames, receiver, queue, fence)
        rows: dict[int, list[int]] = {}
        for row, layout in enumerate(layouts):
            rows.setdefault(id(layout), []).append(row)
        if len(rows) * _FEW <= len(frames):
            parts = [_of_one_layout([frames[row] for row in own], receiver, queue, fence) for own in rows.values()]
            return EventBatch.concat(parts).take(pa.array(np.argsort(np.concatenate(list(rows.values())))))
    messages = [one.message() if isinstance(one, PlacedFrame) else one for one in taken]
    return events_of(messages, receiver=receiver, queue=queue, fence=fence)


def _of_one_layout(frames: Sequence[PlacedFrame], receiver: str, queue: str, fence: bool) -> EventBatch:
    deliveries, bodies, metadata, heads = (list(map(itemgetter(at), frames)) for at in range(4))
    layout = frames[0].layout
    table = np.frombuffer(b"".join(metadata), np.uint8).reshape(len(frames), len(metadata[0]))
    shared: dict[str, str] = {}
    columns: dict[str, pa.StringArray] = {}
    for name, place in layout.properties:
        _add_texts(property_header(name), table[:, place], shared, columns)
    for name, place, convert in layout.other_properties:
        add_header(property_header(name), _converted(metadata, place, convert, header_text), shared, columns)
    # Most often all have one head, which is one object then: it is looked at once.
    some = heads[:1] if heads.count(heads[0]) == len(heads) else heads
    add_topics([head.topic for head in some], shared, columns)
    fields: dict[str, _Bytes | list[str | None]] = {
        name: _converted(metadata, place, convert, _FIELD_TEXT.get(name, _some))
        for name, place, convert in layout.other_fields
    }
    fields |= {name: table[:, place] for name, place in layout.fields}
    fields["payload"] = [_BYTES] if all(bodies) else [_BYTES if body else _EMPTY for body in bodies]
    fields["message_id"] = _id_texts(ids := b"".join(deliveries))
    fields["priority"] = [_some(head.priority) for head in some]
    for name, header in _HEADER_OF.items():
        values = fields.get(name)
        if isinstance(values, np.ndarray):
            _add_texts(header, values, shared, columns)
        elif values is not None:
            add_header(header, values, shared, columns)
    add_event_ids(shared, columns)
    redelivered = [head.redelivered for head in some] * (len(frames) // len(some))
    if again := any(redelivered):
        add_header(REDELIVERED_HEADER, ["true" if flag else None for flag in redelivered], shared, columns)
    origin = BatchProvenance(
        receiver,
        queue,
        pa.FixedSizeBinaryArray.from_buffers(DELIVERY_ID_TYPE, len(frames), [None, pa.py_buffer(ids)]),
        pa.array(redelivered, type=pa.bool_()),
        fence or again,
    )
    return EventBatch(pa.array(bodies, type=pa.binary()), shared, columns, origin)


def _add_texts(name: str, values: _Bytes, shared: dict[str, str], columns: dict[str, pa.StringArray]) -> None:
    """Add a header of which all values have as many bytes, a row each."""
    count, width = values.shape
    if (values == values[0]).all():
        shared[name] = _text(values[0].tobytes())
        return
    if values.all():
        ends = np.arange(0, (count + 1) * width, width, dtype=np.int32)
        data = np.ascontiguousarray(values)
        column = pa.StringArray.from_buffers(count, pa.py_buffer(ends), pa.py_buffer(data))
        try:
            column.validate(full=True)
        except pa.ArrowInvalid:
            pass  # not UTF-8
        else:
            columns[name] = column
            return
    add_header(name, [_text(row.tobytes()) for row in values], shared, columns)


def _text(value: bytes) -> str:
    """Return a text as the client's library hands it over: up to its first NUL, whatever is not UTF-8 replaced."""
    return value.partition(b"\0")[0].decode("utf-8", "replace")


def _converted(
    metadata: Sequence[bytes], place: slice, convert: Callable[[bytes], Any], text: Callable[[Any], str | None]
) -> list[str | None]:
    """Return values that are no texts as texts; each distinct one is made once, as there are few times in a batch."""
    raw = [data[place] for data in metadata]
    known = {value: text(convert(value)) for value in set(raw)}
    return [known[value] for value in raw]


def _some(value: Any) -> str | None:
    return None if value is None else str(value)


def _id_texts(ids: bytes) -> _Bytes:
    """Return what :func:`message_id` does for many deliveries, a row of ASCII each."""
    digits = np.frombuffer(ids.hex().encode(), np.uint8).reshape(-1, len(_ID_DIGITS))
    texts = np.tile(_ID_TEXT, (len(digits), 1))
    texts[:, _ID_DIGITS] = digits
    return texts


_FIELD_TEXT: Final[Mapping[str, Callable[[Any], str | None]]] = {"expiration": lambda value: _some(value or None)}
"""Fields with a value that stands for none."""
