"""The hot path of messages: what is equal in all messages of one publisher flow and topic is decoded once.

Two messages of a flow and topic differ in their two ids, in the sizes that the contents summary gives, and in the
payload. :class:`MessageReader` cuts those out of the header and looks the rest up among the templates it has seen, so a
message costs a few slices instead of a walk through its parameters. The delivered form of the rest is part of the
template, ready to be joined.
"""

from __future__ import annotations

import struct
from typing import Final, TypeAlias

from flumebeam.errors import ProtocolError
from flumebeam.smf.fields import encode_parameter
from flumebeam.smf.header import HEADER_BYTES, Flag
from flumebeam.smf.params import ParameterCode, walk_header
from flumebeam.smf.values import TEXT, U8, U32, U64

__all__ = ["MessageReader", "MessageTemplate", "encode_delivery", "encode_direct", "encode_redelivery", "spooler_stamp"]

_IDS: Final = struct.Struct(">QHQ")
_ID_BYTES: Final = _IDS.size
_MESSAGE_ID_TAGS: Final = (0x910A, 0x110A)
_FIXED: Final = struct.Struct(">4sII")
_DELIVERY: Final = struct.Struct(">HIHQHQ")
_FLOW_TAG: Final = 0x1706
_ID_TAG: Final = 0x110A
_PREVIOUS_TAG: Final = 0x120A
# Plain numbers: operations on enumerations cost as much as all the rest of a lookup.
_ASSURED: Final = int(Flag.ASSURED)
_TOPIC: Final = int(ParameterCode.TOPIC)
_SUMMARY: Final = int(ParameterCode.CONTENTS_SUMMARY)
_DMQ_ELIGIBLE: Final = int(Flag.DMQ_ELIGIBLE)
_KEPT_FLAGS: Final = int(Flag.ELIDING | Flag.DMQ_ELIGIBLE)
_NORMAL_PRIORITY: Final = 4
_Key: TypeAlias = tuple[bytes, ...]
"""What is left of a header without ids, summary and sizes."""
_MAX_CACHED_HEAD: Final = 1024
"""Longer headers are decoded each time, so that the cache stays below ``max_templates`` times this size."""

_NOT_FORWARDED_DIRECT: Final = frozenset(
    (
        ParameterCode.DELIVERY_MODE,
        ParameterCode.MESSAGE_ID,
        ParameterCode.PREVIOUS_ID,
        ParameterCode.REDELIVERED,
        ParameterCode.FLOW_ID,
        ParameterCode.PUBLISHER_ID,
        ParameterCode.EXTENDED,
        ParameterCode.CONTENTS_SUMMARY,
    )
)
_NOT_FORWARDED_GUARANTEED: Final = _NOT_FORWARDED_DIRECT - {ParameterCode.DELIVERY_MODE, ParameterCode.PUBLISHER_ID}


class MessageTemplate:
    """What all messages with the same header, ids and sizes apart, have in common.

    Attributes:
        topic: Where they are published to.
        assured: Whether they are guaranteed messages.
        flow_id: Publisher flow of guaranteed messages, else 0.
        ttl_ms: Time to live in milliseconds, or None.
        priority: 0 to 255; 4 is normal.
        to_one: Whether one client only is to get them, and those that always do.
        lead: First four header bytes of the delivered form (flags, protocol, service, hops).
        parameters: Forwarded parameters of the guaranteed delivered form, without contents summary and ids.
        direct_lead: As ``lead``, for delivery to direct subscribers.
        direct_parameters: As ``parameters``, for delivery to direct subscribers.
    """

    __slots__ = (
        "_ineligible",
        "assured",
        "direct_lead",
        "direct_parameters",
        "flow_id",
        "lead",
        "parameters",
        "priority",
        "to_one",
        "topic",
        "ttl_ms",
    )

    def __init__(self, head: bytes) -> None:
        topic, flow_id, ttl_ms, priority = None, 0, None, _NORMAL_PRIORITY
        guaranteed: list[bytes] = []
        direct: list[bytes] = []
        has_mode = False
        for code, lightweight, start, value, end in walk_header(head):
            if lightweight:
                continue
            if code == ParameterCode.TOPIC:
                topic = TEXT.decode(head[value:end])
            elif code == ParameterCode.FLOW_ID:
                flow_id = U32.decode(head[value:end])
            elif code == ParameterCode.TIME_TO_LIVE:
                ttl_ms = U64.decode(head[value:end])
            elif code == ParameterCode.PRIORITY:
                priority = U8.decode(head[value:end])
            elif code == ParameterCode.DELIVERY_MODE:
                has_mode = True
            if code not in _NOT_FORWARDED_GUARANTEED:
                guaranteed.append(head[start:end])
            if code not in _NOT_FORWARDED_DIRECT:
                direct.append(head[start:end])
        if topic is None:
            raise ProtocolError("A message has no topic.")
        if not has_mode:
            guaranteed.append(encode_parameter(ParameterCode.DELIVERY_MODE, U8.encode(0)))
        self.topic: str = topic
        self.assured = bool(head[0] & _ASSURED)
        self.to_one = bool(head[0] & Flag.DELIVER_TO_ONE)
        self.flow_id: int = flow_id
        self.ttl_ms: int | None = ttl_ms
        self.priority = priority
        self._ineligible: MessageTemplate | None = None
        kept = head[0] & (_KEPT_FLAGS | 0x07)
        self.lead = bytes((kept | _ASSURED,)) + head[1:4]
        self.direct_lead = bytes((kept,)) + head[1:4]
        self.parameters = b"".join(guaranteed)
        self.direct_parameters = b"".join(direct)

    @property
    def dmq_eligible(self) -> bool:
        """Whether a queue that gives such a message up may move it to its dead message queue."""
        return bool(self.lead[0] & _DMQ_ELIGIBLE)

    def ineligible(self) -> MessageTemplate:
        """Return the same for messages that are not eligible for a dead message queue."""
        if self._ineligible is None:
            head = self.head()
            self._ineligible = MessageTemplate(bytes((head[0] & ~_DMQ_ELIGIBLE,)) + head[1:])
        return self._ineligible

    def head(self) -> bytes:
        """Return a header from which an equal template can be made, for any flow and without sizes."""
        return self.lead + bytes(HEADER_BYTES - len(self.lead)) + self.parameters


class MessageReader:
    """Reads the headers of message frames of one connection.

    Args:
        max_templates: Templates kept; when they are more (a publisher with very many topics) all are dropped.

    Attributes:
        decoded: Headers that had to be walked through; the rest was found among the templates.
    """

    def __init__(self, max_templates: int = 4096) -> None:
        self.decoded = 0
        self._max_templates = max_templates
        self._templates: dict[_Key, MessageTemplate] = {}
        self._id_offsets: dict[int, int] = {}
        self._last_key: _Key | None = None
        self._last_template: MessageTemplate

    def read(self, head: bytes) -> tuple[MessageTemplate, bytes, int, int]:
        """Return template, contents summary parameter (may be empty), message id and previous id (0 if direct).

        Raises:
            ProtocolError: The header is damaged, or lacks its topic or, on a guaranteed message, its ids.
        """
        size = len(head)
        # The topic comes first and the contents summary right behind it, from every client seen; a header of another
        # order is decoded in full each time.
        if HEADER_BYTES + 2 < size <= _MAX_CACHED_HEAD and head[12] & 0x3F == _TOPIC:
            start = 12 + head[13]
            end = start
            if start + 1 < size and head[start] & 0x3F == _SUMMARY:
                end += head[start + 1]
                if end > size or end < start + 2:
                    return self._decode(head)
            if not head[0] & _ASSURED:
                template = self._templates.get((head[:4], head[12:start], head[end:]))
                if template is not None:
                    return template, head[start:end], 0, 0
            else:
                # Where the ids stand, counted from the end, follows from how much comes after the summary.
                offset = self._id_offsets.get(size - end)
                if offset is not None:
                    ids = size - offset
                    previous_id, tag, message_id = _IDS.unpack_from(head, ids)
                    key = (head[:4], head[12:start], head[end:ids], head[ids + _ID_BYTES :])
                    if tag in _MESSAGE_ID_TAGS:
                        if key == self._last_key:  # to compare costs less than to look up
                            return self._last_template, head[start:end], message_id, previous_id
                        template = self._templates.get(key)
                        if template is not None:
                            self._last_key, self._last_template = key, template
                            return template, head[start:end], message_id, previous_id
        return self._decode(head)

    def _decode(self, head: bytes) -> tuple[MessageTemplate, bytes, int, int]:
        self.decoded += 1
        template = MessageTemplate(head)
        summary_start = summary_end = previous_at = message_at = 0
        first = True
        regular = len(head) <= _MAX_CACHED_HEAD
        position = HEADER_BYTES
        for code, lightweight, start, value, end in walk_header(head):
            regular = regular and (start == position or lightweight)
            if first:
                regular = regular and not lightweight and code == ParameterCode.TOPIC and value == start + 2
                summary_start = summary_end = end
                first = False
            elif not lightweight and code == ParameterCode.CONTENTS_SUMMARY:
                regular = regular and start == summary_start and value == start + 2
                summary_start, summary_end = start, end
            elif not lightweight and code == ParameterCode.PREVIOUS_ID:
                U64.decode(head[value:end])
                previous_at = value
            elif not lightweight and code == ParameterCode.MESSAGE_ID:
                U64.decode(head[value:end])
                message_at = value
            position = end
        summary = head[summary_start:summary_end]
        if not template.assured:
            if regular:
                self._keep((head[:4], head[12:summary_start], head[summary_end:]), template)
            return template, summary, 0, 0
        if not (previous_at and message_at and template.flow_id):
            raise ProtocolError("A guaranteed message lacks its flow or its ids.")
        if regular and message_at == previous_at + 10:
            behind = head[summary_end:previous_at], head[previous_at + _ID_BYTES :]
            self._keep((head[:4], head[12:summary_start], *behind), template)
            self._id_offsets[len(head) - summary_end] = len(head) - previous_at
        message_id = int.from_bytes(head[message_at : message_at + 8], "big")
        return template, summary, message_id, int.from_bytes(head[previous_at : previous_at + 8], "big")

    def _keep(self, key: _Key, template: MessageTemplate) -> None:
        if len(self._templates) >= self._max_templates:
            self._templates.clear()
            self._id_offsets.clear()
        self._templates[key] = template


def spooler_stamp(spooler_id: int) -> bytes:
    """Return the extended parameter that names the spool; it ends the header of every first delivery."""
    return encode_parameter(ParameterCode.EXTENDED, b"\x40\x2c" + U64.encode(spooler_id))


def encode_delivery(
    template: MessageTemplate,
    summary: bytes,
    body: bytes,
    flow_id: int,
    message_id: int,
    previous_id: int,
    stamp: bytes,
) -> tuple[bytes, ...]:
    """Return the first delivery of a message as parts to be joined.

    Args:
        template: Template that the message was read with.
        summary: Its contents summary parameter.
        body: Its payload.
        flow_id: Consumer flow that it is delivered on.
        message_id: Delivery id, which is also the permanent id.
        previous_id: Delivery id of the message before, 0 for none.
        stamp: The spool's :func:`spooler_stamp`, or the longer tail of a redelivery.
    """
    parameters = template.parameters
    size = HEADER_BYTES + _DELIVERY.size + len(parameters) + len(summary) + len(stamp)
    return (
        _FIXED.pack(template.lead, size, size + len(body)),
        parameters,
        summary,
        _DELIVERY.pack(_FLOW_TAG, flow_id, _ID_TAG, message_id, _PREVIOUS_TAG, previous_id) + stamp,
        body,
    )


def encode_redelivery(spooler_id: int, stable_id: int, count: int) -> bytes:
    """Return the end of a header that replaces the stamp where a message was delivered before.

    Args:
        spooler_id: Identity of the spool.
        stable_id: The message's permanent id.
        count: How often it was delivered before; 0 for a first delivery under another id than the permanent one.
    """
    items = b"\x40\x2c" + U64.encode(spooler_id) + b"\x40\x29" + U64.encode(stable_id)
    if not count:
        return encode_parameter(ParameterCode.EXTENDED, items)
    return b"\x13\x02" + encode_parameter(ParameterCode.EXTENDED, items + b"\x30\x2e" + U32.encode(count))


def encode_direct(template: MessageTemplate, summary: bytes, body: bytes, discarded: bool) -> tuple[bytes, ...]:
    """Return a message as delivered to a direct subscriber, as parts to be joined.

    Args:
        template: Template that the message was read with.
        summary: Its contents summary parameter.
        body: Its payload.
        discarded: Whether messages to this subscriber were discarded before this one.
    """
    parameters, lead = template.direct_parameters, template.direct_lead
    if discarded:
        lead = bytes((lead[0] | Flag.DISCARDED,)) + lead[1:]
    size = HEADER_BYTES + len(parameters) + len(summary)
    return _FIXED.pack(lead, size, size + len(body)), parameters, summary, body
