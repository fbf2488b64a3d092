"""Bytes as they arrive, cut into frames.

The reader holds at most one incomplete frame, whose size its header announced and the limits allowed, so a peer can
make it hold ``max_frame_bytes`` and not more.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

from flumebeam.errors import ProtocolError
from flumebeam.smf.header import HEADER_BYTES, VERSION, Frame

__all__ = ["FrameReader"]

_FIXED: Final = struct.Struct(">B3xII")


class FrameReader:
    """Cuts a byte stream into frames.

    Args:
        max_frame_bytes: Largest frame accepted; may be changed between frames.
        max_head_bytes: Largest header accepted. Headers hold names and ids; a large one is an attack or a mistake.
    """

    def __init__(self, max_frame_bytes: int, max_head_bytes: int = 65_536) -> None:
        self.max_frame_bytes = max_frame_bytes
        self._max_head_bytes = max_head_bytes
        self._held = bytearray()
        self._needed = HEADER_BYTES

    def receive(self, data: bytes) -> Iterator[Frame]:
        """Yield the frames that are complete with ``data``; exhaust it before the next call.

        Raises:
            ProtocolError: The bytes are no SMF frame, or one beyond the limits. Frames before it were yielded.
        """
        position, end = 0, len(data)
        held = self._held
        while held:
            # Only the frame that is cut is put together; copying all that came with it would cost as much again.
            missing = self._needed - len(held)
            held += data[position : position + missing]
            position += missing
            if position > end:
                return
            _, payload, self._needed = sizes = _FIXED.unpack_from(held)
            self._check(*sizes)
            if self._needed == len(held):
                frame = bytes(held)
                held.clear()
                yield frame[:payload], frame[payload:]
        self._needed = HEADER_BYTES
        most_head_bytes = self._max_head_bytes
        while end - position >= HEADER_BYTES:
            first, head_bytes, frame_bytes = _FIXED.unpack_from(data, position)
            if not (
                first & 0x07 == VERSION
                and HEADER_BYTES <= head_bytes <= most_head_bytes
                and head_bytes <= frame_bytes <= self.max_frame_bytes
            ):
                self._check(first, head_bytes, frame_bytes)  # which costs a call, and says what is wrong
            following = position + frame_bytes
            if following > end:
                self._needed = frame_bytes
                break
            payload = position + head_bytes
            yield data[position:payload], data[payload:following]
            position = following
        held += data[position:]

    def _check(self, first: int, head_bytes: int, frame_bytes: int) -> None:
        if first & 0x07 != VERSION:
            raise ProtocolError("The peer does not speak SMF version 3.")
        if not HEADER_BYTES <= head_bytes <= min(frame_bytes, self._max_head_bytes):
            raise ProtocolError(f"A frame of {frame_bytes} bytes claims a header of {head_bytes} bytes.")
        if frame_bytes > self.max_frame_bytes:
            raise ProtocolError(f"A frame of {frame_bytes} bytes exceeds the limit of {self.max_frame_bytes}.")
