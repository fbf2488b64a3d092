"""Reading one message of the native client, whatever it carries, without ever failing because of it.

The vendor's Python layer cuts bytes at NUL, mistakes characters after long fields, calls every destination a topic and
raises on text that is not UTF-8 (solace-pubsubplus 1.11). So fields and SDT containers are read here, by the documented
C functions that the layer calls itself. They only look at memory, so the GIL is kept.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from ctypes import (
    POINTER,
    PYFUNCTYPE,
    byref,
    c_bool,
    c_char_p,
    c_double,
    c_float,
    c_int,
    c_int8,
    c_int16,
    c_int32,
    c_int64,
    c_ssize_t,
    c_uint8,
    c_uint16,
    c_uint32,
    c_uint64,
    c_void_p,
    py_object,
    pythonapi,
    sizeof,
    string_at,
)
from typing import Any, Final

from flumebeam.solace._frames import FrameReader
from flumebeam.solace._native import message_function
from flumebeam.solace._placed_frames import Taken, TakenMessages
from flumebeam.solace.incoming import Destination, ReceivedMessage, json_body

__all__ = ["MOST_AT_ONCE", "MessageReader", "metadata_kind"]

MOST_AT_ONCE: Final = 255
"""Messages that are read together at most: the client holds no more of a flow."""
_TOGETHER_BYTES: Final = 4 << 20
"""Of frames that are cut together: while they are, both they and what was cut of them are held."""
_OK: Final = 0
_MAX_DEPTH: Final = 32  # nested containers deeper than this are somebody's attack, not data
_NO_PRIORITY: Final = -1
_TEXT_ITEM, _FIRST_MAP_ITEM, _LAST_STREAM_ITEM = 0x1C, 0x28, 0x2F  # first bytes of SDT items
_TEXT_PAYLOAD, _MAP_PAYLOAD, _STREAM_PAYLOAD = 0x07, 0x0A, 0x0B  # first byte of the binary metadata
_CONTENTS_SUMMARY: Final = 0x16
_METADATA_PART: Final = 4
_METADATA_KIND_AT: Final = 12  # behind the block's header (5), its stream item (5) and its byte array item (2)
_ID_TEXT_BYTES: Final = 64


class _DestinationField(ctypes.Structure):
    _fields_ = (("type", c_int), ("name", c_char_p))


class _ReplicationGroupId(ctypes.Structure):
    _fields_ = (("bytes", ctypes.c_char * 16),)


class _Value(ctypes.Union):
    _fields_ = (
        ("boolean", c_bool),
        ("uint8", c_uint8),
        ("int8", c_int8),
        ("uint16", c_uint16),
        ("int16", c_int16),
        ("uint32", c_uint32),
        ("int32", c_int32),
        ("uint64", c_uint64),
        ("int64", c_int64),
        ("float32", c_float),
        ("float64", c_double),
        ("pointer", c_void_p),
        ("destination", _DestinationField),
    )


class _Field(ctypes.Structure):
    _anonymous_ = ("value",)
    _fields_ = (("type", c_int), ("length", c_uint32), ("value", _Value))


_STRING, _BYTES, _MAP, _STREAM, _NULL, _DESTINATION, _WCHAR = 10, 11, 14, 15, 16, 17, 9
_SCALARS: Final = {
    0: "boolean",
    1: "uint8",
    2: "int8",
    3: "uint16",
    4: "int16",
    5: "uint32",
    6: "int32",
    7: "uint64",
    8: "int64",
    12: "float32",
    13: "float64",
}

_FIELD_BYTES: Final = sizeof(_Field)
_GROUP_ID_BYTES: Final = sizeof(_ReplicationGroupId)
_DESTINATION_BYTES: Final = sizeof(_DestinationField)

_get_body = message_function("msg_getBinaryAttachmentPtr", c_void_p, POINTER(c_void_p), POINTER(c_uint32))
_get_xml = message_function("msg_getXmlPtr", c_void_p, POINTER(c_void_p), POINTER(c_uint32))
_get_frame = message_function("msg_getSMFPtr", c_void_p, c_void_p, c_void_p)
_get_map = message_function("msg_getBinaryAttachmentMap", c_void_p, POINTER(c_void_p))
_get_stream = message_function("msg_getBinaryAttachmentStream", c_void_p, POINTER(c_void_p))
_get_properties = message_function("msg_getUserPropertyMap", c_void_p, POINTER(c_void_p))
_next_field = message_function("container_getNextField", c_void_p, POINTER(_Field), ctypes.c_size_t, POINTER(c_char_p))
_close_container = message_function("container_closeMapStream", POINTER(c_void_p))
_get_destination = message_function("msg_getDestination", c_void_p, POINTER(_DestinationField), ctypes.c_size_t)
_get_reply_to = message_function("msg_getReplyTo", c_void_p, POINTER(_DestinationField), ctypes.c_size_t)
_get_number = message_function("msg_getMsgId", c_void_p, POINTER(c_uint64))
_get_group_id = message_function(
    "msg_getReplicationGroupMessageId", c_void_p, POINTER(_ReplicationGroupId), ctypes.c_size_t
)
_group_id_text = message_function(
    "replicationGroupMessageId_toString", POINTER(_ReplicationGroupId), ctypes.c_size_t, c_char_p, ctypes.c_size_t
)
_is_redelivered = message_function("msg_isRedelivered", c_void_p)
_is_redelivered.restype = c_bool
_get_sender_timestamp = message_function("msg_getSenderTimestamp", c_void_p, POINTER(c_int64))
_get_sequence_number = message_function("msg_getSequenceNumber", c_void_p, POINTER(c_int64))
_get_expiration = message_function("msg_getExpiration", c_void_p, POINTER(c_int64))
_get_priority = message_function("msg_getPriority", c_void_p, POINTER(c_int32))
_get_sender_id = message_function("msg_getSenderId", c_void_p, POINTER(c_char_p))
_get_application_id = message_function("msg_getApplicationMessageId", c_void_p, POINTER(c_char_p))
_get_application_type = message_function("msg_getApplicationMsgType", c_void_p, POINTER(c_char_p))
_get_correlation_id = message_function("msg_getCorrelationId", c_void_p, POINTER(c_char_p))
_get_content_type = message_function("msg_getHttpContentType", c_void_p, POINTER(c_char_p))
_get_content_encoding = message_function("msg_getHttpContentEncoding", c_void_p, POINTER(c_char_p))


_bytes_at = PYFUNCTYPE(py_object, c_void_p, c_ssize_t)(("PyBytes_FromStringAndSize", pythonapi))
"""What :func:`string_at` calls, without its own call around it."""


class MessageReader:
    """Reads messages; belongs to one thread, since it keeps its buffers."""

    def __init__(self) -> None:
        self._frames = FrameReader()
        # The references are made once as well: making one costs as much as the call that it is for.
        self._pointer, self._size = c_void_p(), c_uint32()
        self._pointer_at, self._size_at = byref(self._pointer), byref(self._size)
        self._container, self._field, self._name = c_void_p(), _Field(), c_char_p()
        self._container_at, self._field_at, self._name_at = (
            byref(self._container),
            byref(self._field),
            byref(self._name),
        )
        self._destination, self._group_id = _DestinationField(), _ReplicationGroupId()
        self._destination_at, self._group_id_at = byref(self._destination), byref(self._group_id)
        self._number, self._time, self._small, self._text = c_uint64(), c_int64(), c_int32(), c_char_p()
        self._number_at, self._time_at = byref(self._number), byref(self._time)
        self._small_at, self._text_at = byref(self._small), byref(self._text)
        self._id_text = ctypes.create_string_buffer(_ID_TEXT_BYTES)
        self._pointers, self._sizes = (c_void_p * MOST_AT_ONCE)(), (c_uint32 * MOST_AT_ONCE)()
        self._pointers_at = [byref(self._pointers, sizeof(c_void_p) * at) for at in range(MOST_AT_ONCE)]
        self._sizes_at = [byref(self._sizes, sizeof(c_uint32) * at) for at in range(MOST_AT_ONCE)]

    def number(self, message: int) -> int:
        """Return the number under which the message is acknowledged on its flow."""
        return self._number.value if _get_number(message, self._number_at) == _OK else 0

    def take(self, message: int) -> Taken | None:
        """Return what a message carries, or where in its frame it is; ``None`` without replication group message id.

        Args:
            message: Handle of a message that stays valid during the call.
        """
        if _get_frame(message, self._pointer_at, self._size_at) == _OK:
            found = self._frames.place(_bytes_at(self._pointer.value, self._size.value))
            if found is not None:
                return found
        return self.read_fields(message)

    def take_all(self, messages: Sequence[int]) -> TakenMessages:
        """Return what :meth:`take` does, for as many as :data:`MOST_AT_ONCE` messages.

        Args:
            messages: Handles of messages that stay valid during the call.
        """
        # A loop in Python costs a third of it all.
        codes = list(map(_get_frame, messages, self._pointers_at, self._sizes_at))
        count = len(codes)
        if any(codes):  # one was not received: it has no frame
            return TakenMessages(count, [], list(enumerate(map(self.take, messages))))
        sizes = self._sizes[:count]
        frames = map(_bytes_at, self._pointers[:count], sizes)
        if sum(sizes) > _TOGETHER_BYTES:
            taken = TakenMessages(count, [], list(enumerate(map(self._frames.place, frames))))
        else:
            taken = self._frames.place_all(list(frames))
        taken.singles = [
            (place, self.read_fields(messages[place]) if found is None else found) for place, found in taken.singles
        ]
        return taken

    def content(self, message: int) -> tuple[bytes, dict[str, Any]]:
        """Return body and user properties of a message that need not have been received."""
        return self._payload(message)[0], self._properties(message)

    def read_fields(self, message: int) -> ReceivedMessage | None:
        """Return what :meth:`take` finds, field by field through the library's getters, whatever a message carries."""
        if _get_group_id(message, self._group_id_at, _GROUP_ID_BYTES) != _OK:
            return None
        _group_id_text(self._group_id_at, _GROUP_ID_BYTES, self._id_text, _ID_TEXT_BYTES)
        message_id = self._id_text.value.decode("ascii", "replace")
        body, kind = self._payload(message)
        priority = self._small.value if _get_priority(message, self._small_at) == _OK else _NO_PRIORITY
        return ReceivedMessage(
            # rmid1: and four groups of hexadecimal digits, which are the 16 bytes of a delivery id in their order.
            bytes.fromhex(message_id[6:].replace("-", "")),
            _is_redelivered(message),
            body,
            self._properties(message),
            self._destination_name(_get_destination, message),
            kind,
            message_id,
            self._integer(_get_sender_timestamp, message),
            self._string(_get_sender_id, message),
            self._string(_get_application_id, message),
            self._string(_get_application_type, message),
            self._string(_get_correlation_id, message),
            self._destination_name(_get_reply_to, message),
            self._integer(_get_sequence_number, message),
            None if priority == _NO_PRIORITY else priority,
            self._integer(_get_expiration, message) or None,
            self._string(_get_content_type, message),
            self._string(_get_content_encoding, message),
        )

    def _string(self, getter: Any, message: int) -> str | None:
        if getter(message, self._text_at) != _OK:
            return None
        value = self._text.value
        return None if value is None else value.decode("utf-8", "replace")

    def _integer(self, getter: Any, message: int) -> int | None:
        return self._time.value if getter(message, self._time_at) == _OK else None

    def _destination_name(self, getter: Any, message: int) -> str | None:
        if getter(message, self._destination_at, _DESTINATION_BYTES) != _OK:
            return None
        name = self._destination.name
        return None if name is None else name.decode("utf-8", "replace")

    def _payload(self, message: int) -> tuple[bytes, str]:
        if _get_body(message, self._pointer_at, self._size_at) == _OK:
            raw = string_at(self._pointer.value or 0, self._size.value) if self._size.value else b""
            # Text, map and stream payloads are one SDT item over the whole attachment. Any bytes may look like that,
            # and the library then takes them for text; only the metadata of the frame tells.
            if raw and _TEXT_ITEM <= raw[0] <= _LAST_STREAM_ITEM and _item_length(raw) == len(raw):
                return self._structured(message, raw)
            return raw, "bytes"
        if _get_xml(message, self._pointer_at, self._size_at) == _OK and self._size.value:
            return string_at(self._pointer.value or 0, self._size.value), "xml"
        return b"", "empty"

    def _structured(self, message: int, raw: bytes) -> tuple[bytes, str]:
        kind = self._metadata_kind(message)
        if kind == _TEXT_PAYLOAD and raw[0] < _FIRST_MAP_ITEM:
            return raw[2 + (raw[0] & 3) : -1], "text"
        if kind == _MAP_PAYLOAD and _get_map(message, self._container_at) == _OK:
            return json_body(self._read_container(self._container.value, named=True)), "map"
        if kind == _STREAM_PAYLOAD and _get_stream(message, self._container_at) == _OK:
            return json_body(self._read_container(self._container.value, named=False)), "stream"
        return raw, "bytes"

    def _metadata_kind(self, message: int) -> int | None:
        """Return what the frame's binary metadata says that the payload is."""
        if _get_frame(message, self._pointer_at, self._size_at) != _OK:
            return None
        return metadata_kind(string_at(self._pointer.value or 0, self._size.value))

    def _properties(self, message: int) -> dict[str, Any]:
        if _get_properties(message, self._container_at) != _OK:
            return {}
        properties: dict[str, Any] = self._read_container(self._container.value, named=True)
        return properties

    def _read_container(self, handle: int | None, *, named: bool, depth: int = 0) -> Any:
        """Return a map as a dict, or a stream as a list, and close the container."""
        field, field_at, name, name_at = self._field, self._field_at, self._name, self._name_at
        entries: dict[str, Any] = {}
        items: list[Any] = []
        try:
            while _next_field(handle, field_at, _FIELD_BYTES, name_at) == _OK:
                if named:
                    key = (name.value or b"").decode("utf-8", "replace")
                    entries[key] = self._value(field, depth)
                else:
                    items.append(self._value(field, depth))
        finally:
            _close_container(byref(c_void_p(handle)))
        return entries if named else items

    def _value(self, field: _Field, depth: int) -> Any:
        kind, pointer = field.type, field.pointer
        if kind == _STRING:
            return string_at(pointer).decode("utf-8", "replace") if pointer else ""
        if scalar := _SCALARS.get(kind):
            return getattr(field, scalar)
        if kind == _NULL:
            return None
        if kind == _WCHAR:
            code = field.uint16
            return "\ufffd" if 0xD800 <= code < 0xE000 else chr(code)
        if kind in (_MAP, _STREAM):
            if depth == _MAX_DEPTH:
                return None
            return self._read_container(pointer, named=kind == _MAP, depth=depth + 1)
        if kind == _DESTINATION:
            text = field.destination.name
            return None if text is None else Destination(text.decode("utf-8", "replace"))
        return string_at(pointer, field.length) if pointer and field.length else b""


def _item_length(raw: bytes) -> int:
    """Return the length that an SDT item says it has, its header included."""
    return int.from_bytes(raw[1 : 2 + (raw[0] & 3)], "big")


def metadata_kind(frame: bytes) -> int | None:
    """Return the first byte of a message frame's binary metadata, which names the kind of its payload.

    Args:
        frame: A whole SMF message as received.

    Returns:
        0x07 text, 0x0A map, 0x0B stream, 0x80 binary; ``None`` if the frame has no metadata, or is no such frame.
    """
    header = min(int.from_bytes(frame[4:8], "big"), len(frame))
    at = 12
    while at + 1 < header:
        first = frame[at]
        if first == 0:
            at += 1
        elif first & 0x20:
            at += 1 + (first & 3)
        else:
            length, skip = frame[at + 1], 2
            if length == 0:
                length, skip = int.from_bytes(frame[at + 2 : at + 6], "big"), 6
            if first & 0x1F == _CONTENTS_SUMMARY:
                return _kind_in_parts(frame[header:], frame[at + skip : at + length])
            at += max(length, skip)
    return None


def _kind_in_parts(payload: bytes, summary: bytes) -> int | None:
    """Find the metadata among the parts that a contents summary lists, in the order of the payload."""
    at = offset = 0
    while at < len(summary):
        part, width = summary[at] >> 4, summary[at] & 0x0F
        if part == _METADATA_PART:
            kind = payload[offset + _METADATA_KIND_AT : offset + _METADATA_KIND_AT + 1]
            return kind[0] if kind else None
        offset += int.from_bytes(summary[at + 1 : at + width], "big")
        at += max(width, 1)
    return None
