"""Messages whose frames were cut and not read any further: one by one, or many of one kind as columns.

Most of what a message says is the same from message to message, and known from its layout. So values are made where
they are wanted, see :mod:`~flumebeam.solace._taken_events`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from flumebeam.solace.incoming import ReceivedMessage

__all__ = [
    "NO_METADATA",
    "FrameBlock",
    "Head",
    "Layout",
    "PlacedFrame",
    "Table",
    "Taken",
    "TakenMessages",
    "message_id",
    "table_of",
    "text_of",
]

_ID_BYTES: Final = 16
_BYTES, _EMPTY = "bytes", "empty"

Convert: TypeAlias = Callable[[bytes], Any]
Table: TypeAlias = npt.NDArray[np.uint8]
"""Bytes of many messages, a row each."""


class Head(NamedTuple):
    """What the parameters of a frame say, but for its ids and the sizes of its parts."""

    topic: str
    priority: int | None
    redelivered: bool
    spooler: bytes
    permanent_id: bytes | None
    message_id: slice
    summary: slice
    varying: bytes
    """Of each byte of a header, whether it may differ from frame to frame."""


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
    varying: bytes = b""
    """Of each byte of the metadata, whether it may differ from message to message."""


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
        properties: dict[str, Any] = {name: text_of(data[place]) for name, place in layout.properties}
        properties |= {name: convert(data[place]) for name, place, convert in layout.other_properties}
        fields: dict[str, Any] = {name: text_of(data[place]) for name, place in layout.fields}
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


class FrameBlock(NamedTuple):
    """Messages with one head and one layout, as columns."""

    ids: Table
    """Delivery ids, 16 bytes each."""
    bodies: Sequence[bytes]
    metadata: Table
    head: Head
    layout: Layout

    @classmethod
    def of(cls, frames: Sequence[PlacedFrame]) -> FrameBlock:
        """Return frames that all have the head and the layout of the first."""
        deliveries, bodies, metadata, (head, *_), (layout, *_) = zip(*frames, strict=True)
        return cls(table_of(deliveries), bodies, table_of(metadata), head, layout)

    def deliveries(self) -> list[bytes]:
        """Return the delivery ids one by one."""
        ids = self.ids.tobytes()
        return [ids[at : at + _ID_BYTES] for at in range(0, len(ids), _ID_BYTES)]

    def frames(self) -> Iterator[PlacedFrame]:
        """Yield the messages one by one."""
        for delivery, body, metadata in zip(self.deliveries(), self.bodies, self.metadata, strict=True):
            yield PlacedFrame(delivery, body, metadata.tobytes(), self.head, self.layout)


Taken: TypeAlias = PlacedFrame | ReceivedMessage
"""What a reader makes of a message: one that may be a pack, or is not of the common kind, is read at once."""


@dataclass(slots=True, eq=False)
class TakenMessages:
    """Messages as they were taken: those of a kind as columns, others one by one, each with its place among all.

    Attributes:
        count: How many there are.
        blocks: Places, ascending, and the messages that have them.
        singles: A place, and its message; ``None`` for one without a replication group message id.
    """

    count: int = 0
    blocks: list[tuple[npt.NDArray[np.int64], FrameBlock]] = field(default_factory=list)
    singles: list[tuple[int, Taken | None]] = field(default_factory=list)

    @classmethod
    def of(cls, messages: Sequence[Taken]) -> TakenMessages:
        """Return messages that are at hand one by one."""
        return cls(len(messages), [], list(enumerate(messages)))

    def __len__(self) -> int:
        """Return how many there are."""
        return self.count

    def append(self, others: TakenMessages) -> None:
        """Add those that came behind these."""
        self.blocks += [(places + self.count, block) for places, block in others.blocks]
        self.singles += [(place + self.count, one) for place, one in others.singles]
        self.count += others.count

    @property
    def nameless(self) -> bool:
        """Whether the broker gave no replication group message id to one of them."""
        return any(one is None for _, one in self.singles)

    @property
    def last_single(self) -> Taken | None:
        """The last of all, if it is none of a block."""
        place, last = self.singles[-1] if self.singles else (-1, None)
        return last if place == self.count - 1 else None

    def deliveries(self) -> list[bytes]:
        """Return their delivery ids, in order."""
        if len(self.blocks) == 1 and not self.singles:
            return self.blocks[0][1].deliveries()
        found = [b""] * self.count
        for places, block in self.blocks:
            if places[-1] - places[0] == len(places) - 1:
                found[places[0] : places[-1] + 1] = block.deliveries()
                continue
            for place, delivery in zip(places.tolist(), block.deliveries(), strict=True):
                found[place] = delivery
        for place, one in self.singles:
            if one is not None:
                found[place] = one.delivery
        return found

    def one_by_one(self) -> list[Taken]:
        """Return them one by one, in order, but for those that have no id."""
        found: list[Taken | None] = [None] * self.count
        for places, block in self.blocks:
            for place, frame in zip(places.tolist(), block.frames(), strict=True):
                found[place] = frame
        for place, one in self.singles:
            found[place] = one
        return [one for one in found if one is not None]


def message_id(delivery: bytes) -> str:
    """Return the replication group message id of a delivery, as the broker prints it."""
    text = delivery.hex()
    return f"rmid1:{text[:5]}-{text[5:16]}-{text[16:24]}-{text[24:]}"


def table_of(rows: Sequence[bytes]) -> Table:
    """Return texts of one length as a table."""
    return np.frombuffer(b"".join(rows), np.uint8).reshape(len(rows), -1)


def text_of(value: bytes) -> str:
    """Return a text as the client's library hands it over: up to its first NUL, whatever is not UTF-8 replaced."""
    return value.partition(b"\0")[0].decode("utf-8", "replace")
