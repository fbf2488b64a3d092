"""Messages as the columns of a batch: for all of one layout together, by a few calls on their bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from flumebeam.batch import BatchProvenance, EventBatch
from flumebeam.ids import DELIVERY_ID_TYPE
from flumebeam.solace._placed_frames import (
    FrameBlock,
    Head,
    Layout,
    PlacedFrame,
    Table,
    TakenMessages,
    table_of,
    text_of,
)
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

__all__ = ["events_of_taken"]

_FEW: Final = 10
"""Messages of one layout whose columns cost as much as the messages one by one."""
_BYTES, _EMPTY = "bytes", "empty"
_HEADER_OF: Final = dict(zip(ReceivedMessage._fields[5:], FIELD_HEADERS, strict=True))
_ID_TEXT: Final = np.frombuffer(b"rmid1:00000-00000000000-00000000-00000000", np.uint8)
_ID_DIGITS: Final = np.flatnonzero(_ID_TEXT == ord("0"))

_Places: TypeAlias = Sequence[int] | npt.NDArray[np.int64]
"""Of messages among all that were taken, ascending."""


def events_of_taken(taken: TakenMessages, *, receiver: str, queue: str, fence: bool) -> EventBatch:
    """Return the events of messages, packed or not, in order; other arguments and errors as of ``events_of``."""
    if not all(isinstance(one, PlacedFrame) for _, one in taken.singles):
        messages = [one.message() if isinstance(one, PlacedFrame) else one for one in taken.one_by_one()]
        return events_of(messages, receiver=receiver, queue=queue, fence=fence)
    parts: list[tuple[_Places, _Rows | list[ReceivedMessage]]] = [*_merged(taken), *_of_few_layouts(taken)]
    batches = [
        _of_one_layout(rows, receiver, queue, fence)
        if isinstance(rows, _Rows)
        else events_of(rows, receiver=receiver, queue=queue, fence=fence)
        for _, rows in parts
    ]
    batch = EventBatch.concat(batches)
    if len(parts) > 1:
        batch = batch.take(pa.array(np.argsort(np.concatenate([places for places, _ in parts]))))
    return batch


class _Rows(NamedTuple):
    """Messages of one layout, as columns."""

    ids: bytes
    """Delivery ids, 16 bytes each."""
    bodies: Sequence[bytes]
    metadata: Table
    heads: Sequence[Head]
    """One for each, or a single one that all have."""
    layout: Layout


def _merged(taken: TakenMessages) -> Iterator[tuple[npt.NDArray[np.int64], _Rows]]:
    """Yield the blocks, those of one kind as one, with the places of their messages."""
    kinds: dict[tuple[int, int], list[tuple[npt.NDArray[np.int64], FrameBlock]]] = {}
    for places, block in taken.blocks:
        kinds.setdefault((id(block.head), id(block.layout)), []).append((places, block))
    for alike in kinds.values():
        blocks = [block for _, block in alike]
        yield (
            np.concatenate([places for places, _ in alike]),
            _Rows(
                b"".join(block.ids.tobytes() for block in blocks),
                list(chain.from_iterable(block.bodies for block in blocks)),
                np.concatenate([block.metadata for block in blocks]),
                [blocks[0].head],
                blocks[0].layout,
            ),
        )


def _of_few_layouts(taken: TakenMessages) -> Iterator[tuple[list[int], _Rows | list[ReceivedMessage]]]:
    """Yield the frames that are in no block with their places: as columns those of a layout that many have."""
    layouts: dict[int, list[tuple[int, PlacedFrame]]] = {}
    for place, one in taken.singles:
        if isinstance(one, PlacedFrame):
            layouts.setdefault(id(one.layout), []).append((place, one))
    few: list[tuple[int, PlacedFrame]] = []
    for own in layouts.values():
        if len(own) < _FEW:
            few += own
            continue
        places, frames = zip(*own, strict=True)
        deliveries, bodies, metadata, heads, _ = zip(*frames, strict=True)
        # Most often all have one head, which is one object then: it is looked at once.
        some = heads[:1] if heads.count(heads[0]) == len(heads) else heads
        yield list(places), _Rows(b"".join(deliveries), bodies, table_of(metadata), some, frames[0].layout)
    few.sort(key=itemgetter(0))
    if few:
        yield [place for place, _ in few], [frame.message() for _, frame in few]


def _of_one_layout(rows: _Rows, receiver: str, queue: str, fence: bool) -> EventBatch:
    count = len(rows.bodies)
    table, layout, heads = rows.metadata, rows.layout, rows.heads
    shared: dict[str, str] = {}
    columns: dict[str, pa.StringArray] = {}
    for name, place in layout.properties:
        _add_texts(property_header(name), table[:, place], shared, columns)
    for name, place, convert in layout.other_properties:
        add_header(property_header(name), _converted(table[:, place], convert, header_text), shared, columns)
    add_topics([head.topic for head in heads], shared, columns)
    fields: dict[str, Table | Sequence[str | None]] = {
        name: _converted(table[:, place], convert, _FIELD_TEXT.get(name, _some))
        for name, place, convert in layout.other_fields
    }
    fields |= {name: table[:, place] for name, place in layout.fields}
    fields["payload"] = [_BYTES] if all(rows.bodies) else [_BYTES if body else _EMPTY for body in rows.bodies]
    fields["message_id"] = _id_texts(rows.ids)
    fields["priority"] = [_some(head.priority) for head in heads]
    for name, header in _HEADER_OF.items():
        values = fields.get(name)
        if isinstance(values, np.ndarray):
            _add_texts(header, values, shared, columns)
        elif values is not None:
            add_header(header, values, shared, columns)
    add_event_ids(shared, columns)
    redelivered = [head.redelivered for head in heads] * (count // len(heads))
    if again := any(redelivered):
        add_header(REDELIVERED_HEADER, ["true" if flag else None for flag in redelivered], shared, columns)
    origin = BatchProvenance(
        receiver,
        queue,
        pa.FixedSizeBinaryArray.from_buffers(DELIVERY_ID_TYPE, count, [None, pa.py_buffer(rows.ids)]),
        pa.array(redelivered, type=pa.bool_()),
        fence or again,
    )
    return EventBatch(pa.array(rows.bodies, type=pa.binary()), shared, columns, origin)


def _add_texts(name: str, values: Table, shared: dict[str, str], columns: dict[str, pa.StringArray]) -> None:
    """Add a header of which all values have as many bytes, a row each."""
    count, width = values.shape
    if (values == values[0]).all():
        shared[name] = text_of(values[0].tobytes())
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
    add_header(name, [text_of(row.tobytes()) for row in values], shared, columns)


def _converted(values: Table, convert: Callable[[bytes], Any], text: Callable[[Any], str | None]) -> list[str | None]:
    """Return values that are no texts as texts; one that comes several times in a row is made once, as times do."""
    begins = np.flatnonzero((values[1:] != values[:-1]).any(axis=1)) + 1
    made = [text(convert(values[at].tobytes())) for at in (0, *begins.tolist())]
    ends = [*begins.tolist(), len(values)]
    found: list[str | None] = []
    for one, end in zip(made, ends, strict=True):
        found += [one] * (end - len(found))
    return found


def _some(value: Any) -> str | None:
    return None if value is None else str(value)


def _id_texts(ids: bytes) -> Table:
    """Return what ``message_id`` does for many deliveries, a row of ASCII each."""
    digits = np.frombuffer(ids.hex().encode(), np.uint8).reshape(-1, len(_ID_DIGITS))
    texts = np.tile(_ID_TEXT, (len(digits), 1))
    texts[:, _ID_DIGITS] = digits
    return texts


_FIELD_TEXT: Final[Mapping[str, Callable[[Any], str | None]]] = {"expiration": lambda value: _some(value or None)}
"""Fields with a value that stands for none."""
