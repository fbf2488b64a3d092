"""Reading a message from the bytes of its frame, several times faster than by the library's getters.

A getter costs a call into the library for each field, also for those that a message lacks. The whole frame is one call
(``solClient_msg_getSMFPtr``). Messages of one producer are alike: most have the same fields at the same places, and
differ in ids and values only. So a part is read item by item once, and what is found is remembered with everything that
does not differ; from then on a part that matches is cut at the known places.

Layout of frames: measured with solace-pubsubplus 1.11. Whatever is not of the common kind (a structured payload, nested
properties, a reply-to destination, anything unknown) is left to the getters: :meth:`FrameReader.place` returns
``None``.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import compress, cycle, pairwise
from typing import Any, Final, TypeGuard

import numpy as np

from flumebeam.solace._alike_frames import BODY_PART, METADATA_PART, can_be_alike, cut_alike
from flumebeam.solace._placed_frames import NO_METADATA, FrameBlock, Head, Layout, PlacedFrame, Taken, TakenMessages

__all__ = ["FrameReader"]

_FIXED: Final = 12
_ANY: Final = ((0, 4), (8, 12))
"""Of these, what differs from frame to frame and does not make another kind: flags, and the length of the frame."""
_LENGTHS: Final = struct.Struct(">4xII").unpack_from
"""Of the header, and of the whole frame."""
_new: Final = tuple.__new__
"""What a named tuple's own constructor calls, for half the cost."""
_QUEUE_TOPIC: Final = b"#P2P/QUE/"
"""Before the name of a queue that a message was sent to; the library leaves it out of the name, too."""
_MAX_KNOWN: Final = 4096
"""Heads and summaries remembered; then all are forgotten, so that no producer can fill the memory."""

_MANY: Final = 64
"""Frames, from which on they cost less together than one by one."""
_KINDS: Final = 4
"""Kinds of frames that are looked for: with more, to look for each would cost more than it gains."""

_PRIORITY, _MESSAGE_ID, _PREVIOUS_ID, _REDELIVERED, _SUMMARY, _TOPIC, _EXTENDED = (
    0x03,
    0x11,
    0x12,
    0x13,
    0x16,
    0x18,
    0x1F,
)
_PLAIN: Final = frozenset((0x01, 0x10, 0x17, 0x1C))
"""Publisher id, delivery mode, flow id, time to live: they do not matter to an event."""
_ID_BYTES: Final = 8
_SPOOLER, _PERMANENT_ID, _COUNT = 0x2C, 0x29, 0x2E
_EXTENDED_SIZES: Final = (0, 1, 2, 4, 8)

_ONE_SDT_BLOCK: Final = b"\x01\x00"
_BLOCK_HEADER: Final = 5
_KIND_ITEM: Final = b"\x18\x04\x80\x00"
"""Two bytes: a binary payload, and that the message is no reply."""
_NULL, _BOOLEAN, _SIGNED, _UNSIGNED, _FLOAT, _BYTES, _STRING, _MAP, _STREAM = 0, 1, 2, 3, 4, 6, 7, 10, 11
_FIELDS: Final = {
    b"ts": "sender_timestamp",
    b"si": "sender_id",
    b"mi": "application_message_id",
    b"mt": "application_message_type",
    b"ci": "correlation_id",
    b"sn": "sequence_number",
    b"ex": "expiration",
    b"ct": "content_type",
    b"ce": "content_encoding",
}


Span = tuple[int, int]
Cut = Callable[[bytes, int], Any]


class _UncommonError(Exception):
    """The getters must read this message."""


class FrameReader:
    """Reads frames of one flow; belongs to one thread. Remembers what is the same from message to message."""

    def __init__(self) -> None:
        # By length: how to cut off what differs from message to message. Then by all the rest of it.
        self._head_cuts: dict[int, Cut] = {}
        self._heads: dict[Any, Head] = {}
        self._sizes: dict[bytes, tuple[int, int]] = {}
        self._metadata_cuts: dict[int, Cut] = {}
        self._layouts: dict[Any, Layout] = {}
        self._last_rest: Any = None
        self._last_around: Any = None
        self._last_head: Any = None
        self._last_layout: Any = None

    def place(self, frame: bytes) -> Taken | None:
        """Return a message as its frame is cut, read if it may be a pack; ``None`` if the getters must read it.

        Args:
            frame: A whole message as it was received.
        """
        try:
            start, end = _LENGTHS(frame)
            if end != len(frame):
                return None
            cut = self._head_cuts.get(start)
            rest = cut and cut(frame, _FIXED)
            if rest is not None and rest == self._last_rest:  # to compare costs less than to look up
                head = self._last_head
            else:
                head = (rest and self._heads.get(rest)) or self._learn_head(frame, start)
                self._last_rest, self._last_head = rest, head
            summary = frame[head.summary]
            size, metadata = self._sizes.get(summary) or self._learn_sizes(summary, end - start)
            middle = start + size
            if middle + metadata != end:
                return None
            layout = NO_METADATA
            if metadata:
                cut = self._metadata_cuts.get(metadata)
                rest = cut and cut(frame, middle)
                if rest is not None and rest == self._last_around:
                    layout = self._last_layout
                else:
                    layout = (rest and self._layouts.get(rest)) or self._learn_metadata(frame[middle:])
                    self._last_around, self._last_layout = rest, layout
        except (_UncommonError, IndexError, UnicodeDecodeError, struct.error):
            return None
        delivery = head.spooler + (head.permanent_id or frame[head.message_id])
        placed = _new(PlacedFrame, (delivery, frame[start:middle], frame[middle:], head, layout))
        return placed.message() if layout.typed else placed

    def place_all(self, frames: Sequence[bytes]) -> TakenMessages:
        """Return what :meth:`place` does, for many frames: those of a kind as columns, where many are alike."""
        taken = TakenMessages(len(frames))
        rest, places = frames, np.arange(len(frames))
        while len(rest) >= _MANY:
            model = self.place(rest[0])
            if not isinstance(model, PlacedFrame) or not can_be_alike(model):
                break
            rows, block = cut_alike(rest, model, _LENGTHS(rest[0])[0])
            before = len(rest)
            taken.blocks.append((places[rows], block))
            others = np.ones(before, np.bool_)
            others[rows] = False
            rest, places = list(compress(rest, others)), places[others]
            if len(rows) * _KINDS < before:
                break
        singles = list(map(self.place, rest))
        if singles and _of_one_kind(singles):
            taken.blocks.append((places, FrameBlock.of(singles)))
        else:
            taken.singles += zip(places.tolist(), singles, strict=True)
        return taken

    # -- parameters ----------------------------------------------------------------------------------------------------

    def _learn_head(self, frame: bytes, end: int) -> Head:
        """Read the parameters of a header one by one."""
        raw = frame[:end]
        found: dict[int, tuple[int, int]] = {}
        at = _FIXED
        while at < end:
            first = raw[at]
            if first == 0:
                at += 1
                continue
            if first & 0x20:
                at += 1 + (first & 3)
                continue
            length, skip = raw[at + 1], 2
            if length == 0:
                length, skip = int.from_bytes(raw[at + 2 : at + 6], "big"), 6
            kind = first & 0x1F
            if length < skip or at + length > end or kind in found:
                raise _UncommonError
            found[kind] = at + skip, at + length
            at += length
        required = found.keys() >= {_MESSAGE_ID, _TOPIC, _EXTENDED}
        if not required or found.keys() - _PLAIN - {
            _PRIORITY,
            _MESSAGE_ID,
            _PREVIOUS_ID,
            _REDELIVERED,
            _SUMMARY,
            _TOPIC,
            _EXTENDED,
        }:
            raise _UncommonError
        extended = _extended(raw[slice(*found[_EXTENDED])])
        topic = raw[slice(*found[_TOPIC])]
        if _SPOOLER not in extended or not topic.endswith(b"\0") or topic.count(b"\0") != 1:
            raise _UncommonError
        nowhere = (end, end)
        spans = sorted((found[_MESSAGE_ID], found.get(_PREVIOUS_ID, nowhere), found.get(_SUMMARY, nowhere)))
        head = Head(
            topic[:-1].removeprefix(_QUEUE_TOPIC).decode("utf-8", "replace"),
            raw[found[_PRIORITY][0]] if _PRIORITY in found else None,
            _REDELIVERED in found,
            extended[_SPOOLER],
            extended.get(_PERMANENT_ID),
            slice(*found[_MESSAGE_ID]),
            slice(*found.get(_SUMMARY, nowhere)),
            _marks((*spans, *_ANY), end),
        )
        if len(self._heads) >= _MAX_KNOWN:
            self._heads.clear()
            self._head_cuts.clear()
        cut = self._head_cuts[end] = _around(spans, _FIXED, end)
        self._heads[cut(raw, _FIXED)] = head
        return head

    def _learn_sizes(self, summary: bytes, payload: int) -> tuple[int, int]:
        """Return the bytes of the body and of the metadata behind it."""
        if not summary:
            return payload, 0
        sizes = {BODY_PART: 0, METADATA_PART: 0}
        at, last = 0, 0
        while at < len(summary):
            part, width = summary[at] >> 4, summary[at] & 0x0F
            if part not in sizes or part <= last or width == 0:
                raise _UncommonError
            sizes[part] = int.from_bytes(summary[at + 1 : at + width], "big")
            last = part
            at += width
        if len(self._sizes) >= _MAX_KNOWN:
            self._sizes.clear()
        found = self._sizes[summary] = sizes[BODY_PART], sizes[METADATA_PART]
        return found

    # -- metadata ------------------------------------------------------------------------------------------------------

    def _learn_metadata(self, data: bytes) -> Layout:
        """Read the message's own fields and its user properties item by item."""
        if data[:2] != _ONE_SDT_BLOCK or int.from_bytes(data[2:5], "big") != len(data) - _BLOCK_HEADER:
            raise _UncommonError
        kind, at, end = _item(data, _BLOCK_HEADER)
        if kind != _STREAM or end != len(data) or data[at : at + 4] != _KIND_ITEM:
            raise _UncommonError
        kind, at, map_end = _item(data, at + 4)
        if kind != _MAP or map_end != end:
            raise _UncommonError
        found: dict[bytes, list[tuple[bytes, Any, Span]]] = {b"h": [], b"p": []}
        while at < end:
            name, at = _name(data, at)
            kind, begin, at = _item(data, at)
            if kind != _MAP or at > end or found.get(name) != []:
                raise _UncommonError
            found[name] = list(_entries(data, begin, at))
        own, users = found[b"h"], found[b"p"]
        if any(name not in _FIELDS for name, _, _ in own) or len({name for name, _, _ in users}) < len(users):
            raise _UncommonError
        entries = [(True, name.decode(), convert, span) for name, convert, span in users]
        entries += [(False, _FIELDS[name], convert, span) for name, convert, span in own]
        texts = [(is_property, name, slice(*span)) for is_property, name, convert, span in entries if convert is str]
        others = [
            (is_property, name, slice(*span), convert)
            for is_property, name, convert, span in entries
            if convert is not str
        ]
        spans = sorted(span for *_, span in entries)
        layout = Layout(
            any(name == b"ct" for name, _, _ in own),
            [(name, place) for is_property, name, place in texts if is_property],
            [(name, place) for is_property, name, place in texts if not is_property],
            [(name, place, convert) for is_property, name, place, convert in others if is_property],
            [(name, place, convert) for is_property, name, place, convert in others if not is_property],
            _marks(spans, len(data)),
        )
        if len(self._layouts) >= _MAX_KNOWN:
            self._layouts.clear()
            self._metadata_cuts.clear()
        cut = self._metadata_cuts[len(data)] = _around(spans, 0, len(data))
        self._layouts[cut(data, 0)] = layout
        return layout


def _of_one_kind(messages: Sequence[Taken | None]) -> TypeGuard[Sequence[PlacedFrame]]:
    """Tell whether all are frames with the head and the layout of the first one."""
    first = messages[0]
    return isinstance(first, PlacedFrame) and all(
        isinstance(one, PlacedFrame) and one.head is first.head and one.layout is first.layout for one in messages
    )


def _around(spans: Sequence[Span], start: int, end: int) -> Cut:
    """Return what gives everything from ``start`` to ``end`` but these spans, of bytes and a place in them."""
    edges = [start, *(edge for span in spans for edge in span), end]
    sizes = [after - before for before, after in pairwise(edges)]
    return struct.Struct("".join(f"{size}{kind}" for size, kind in zip(sizes, cycle("sx")))).unpack_from


def _marks(spans: Iterable[Span], size: int) -> bytes:
    """Return a byte for each of so many: 1 in these spans, 0 elsewhere."""
    marks = bytearray(size)
    for begin, end in spans:
        marks[begin:end] = b"\1" * (end - begin)
    return bytes(marks)


def _item(data: bytes, at: int) -> tuple[int, int, int]:
    """Return the kind of an SDT item, and where its value begins and ends."""
    first = data[at]
    width = (first & 3) + 1
    end = at + int.from_bytes(data[at + 1 : at + 1 + width], "big")
    if end < at + 1 + width or end > len(data):
        raise _UncommonError
    return first >> 2, at + 1 + width, end


def _name(data: bytes, at: int) -> tuple[bytes, int]:
    """Return a key of a map, and where its value begins."""
    kind, begin, end = _item(data, at)
    name = data[begin : end - 1]
    if kind != _STRING or begin == end or data[end - 1] or b"\0" in name:
        raise _UncommonError
    return name, end


def _entries(data: bytes, at: int, end: int) -> Iterator[tuple[bytes, Any, Span]]:
    """Yield the entries of a map of plain values: name, how to convert the value (``str`` for text), where it is."""
    while at < end:
        name, at = _name(data, at)
        kind, begin, at = _item(data, at)
        size = at - begin
        if kind == _STRING and size and data[at - 1] == 0:
            yield name, str, (begin, at - 1)
        elif kind in _CONVERT:
            yield name, _CONVERT[kind], (begin, at)
        elif kind == _FLOAT and size in _FLOATS:
            yield name, _FLOATS[size], (begin, at)
        else:
            raise _UncommonError


_CONVERT: Final[dict[int, Callable[[bytes], Any]]] = {
    _NULL: lambda raw: None,
    _BOOLEAN: lambda raw: raw != b"\0",
    _SIGNED: lambda raw: int.from_bytes(raw, "big", signed=True),
    _UNSIGNED: lambda raw: int.from_bytes(raw, "big"),
    _BYTES: bytes,
}
_FLOATS: Final[dict[int, Callable[[bytes], Any]]] = {
    4: lambda raw: struct.unpack(">f", raw)[0],
    8: lambda raw: struct.unpack(">d", raw)[0],
}


def _extended(stream: bytes) -> dict[int, bytes]:
    """Return the items of an extended parameter stream that have a fixed size."""
    items: dict[int, bytes] = {}
    at = 0
    while at < len(stream):
        word = int.from_bytes(stream[at : at + 2], "big")
        form, kind = word >> 12 & 7, word & 0xFFF
        if form >= len(_EXTENDED_SIZES) or kind not in (_SPOOLER, _PERMANENT_ID, _COUNT):
            raise _UncommonError
        size = _EXTENDED_SIZES[form]
        items[kind] = stream[at + 2 : at + 2 + size]
        at += 2 + size
    return items
