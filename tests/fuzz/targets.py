"""What is fuzzed: bytes become frames, most of them well-formed enough to reach what is behind the codec.

Whatever comes, a target ends in messages, answers or a closed connection. It raises on anything else: a traceback, a
broker that no longer serves the others, or memory that a client can make grow.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from flumebeam.broker.core.connection import ConnectionState
from flumebeam.errors import ProtocolError
from flumebeam.smf.header import Header, Protocol, encode_frame
from flumebeam.smf.messages import KeepAlive, decode_frame
from flumebeam.smf.pubmsg import MessageReader
from flumebeam.smf.stream import FrameReader
from tests.unit.broker.conftest import World

__all__ = ["TARGETS", "codec", "engine"]

_MAX_FRAME = 100_000
_MOST_OUTPUT = 5_000_000
"""Bytes that one input of some kilobytes may be answered with: deliveries within windows, and answers."""
_VALUE_BYTES = (0, 1, 2, 4, 8, 16, 17, 24)


def codec(data: bytes) -> None:
    """Cut bytes into frames and decode them, in one piece and byte by byte."""
    found = []
    for pieces in ([data], [data[index : index + 1] for index in range(len(data))]):
        reader, messages, frames = FrameReader(_MAX_FRAME), MessageReader(), []
        with contextlib.suppress(ProtocolError):
            for piece in pieces:
                for frame in reader.receive(piece):
                    frames.append(frame)
                    with contextlib.suppress(ProtocolError):
                        decode_frame(frame)
                    with contextlib.suppress(ProtocolError):
                        messages.read(frame[0])
        found.append(frames)
    assert found[0] == found[1], "the stream reads differently in one piece and byte by byte"


def engine(data: bytes) -> None:
    """Let a client that is logged in, publishes, consumes and has a transacted session say what it wants."""
    world = World(max_delivered_unacked=100, max_message_bytes=_MAX_FRAME)
    world.engine.create_queue("q", "exclusive", ["t/>"])
    world.engine.create_queue("n", "non-exclusive", ["t/>", "u"])
    good, bad = world.client("good"), world.client("bad")
    bad.session()
    flow = bad.publisher(session_id=bad.session_id).flow_id
    plain = bad.publisher().flow_id
    bad.publish(plain, b"1", b"2", b"3")
    bad.consume("q", session_id=bad.session_id)
    bad.consume("n")
    bad.publish(flow, b"4")
    bad.received()
    handles = world.engine.vpn.host.last_handle
    output = 0
    for frame in _frames(data, handles):
        bad.feed(frame)
        output += len(bad.connection.take_output())
        bad.connection.make_room()
        if bad.connection.state is not ConnectionState.LOGGED_IN:
            break
    assert output < _MOST_OUTPUT, f"{len(data)} bytes were answered with {output}"
    world.tick(1)
    good.send(KeepAlive())
    assert KeepAlive() in good.received(), "the others are no longer served"
    bad.leave()
    world.tick(10_000)
    for status in world.engine.queues():
        assert status.messages >= 0
        assert status.bytes >= 0
        assert status.unacknowledged == 0
    assert not world.engine.vpn.sessions._things
    assert not world.engine.vpn.publishers._things


TARGETS: dict[str, Callable[[bytes], None]] = {"codec": codec, "engine": engine}


class _Bytes:
    """Input that is eaten from the front; zeros follow its end."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def __bool__(self) -> bool:
        return self._at < len(self._data)

    def byte(self) -> int:
        self._at += 1
        return self._data[self._at - 1] if self._at <= len(self._data) else 0

    def take(self, size: int) -> bytes:
        self._at += size
        return self._data[self._at - size : self._at].ljust(size, b"\0")


def _frames(data: bytes, handles: int) -> Iterator[bytes]:
    source = _Bytes(data)
    while source:
        kind = source.byte() % 7
        if kind == 0:
            yield source.take(source.byte())
        elif kind in (1, 2, 3):
            body = bytes((3, source.byte() & 0x0F))
            parameters = _parameters(source, handles, lambda code, value: bytes((code & 0x3F, len(value) + 2)) + value)
            protocol = Protocol.PASS_THROUGH if kind == 3 else Protocol.ASSURED_CONTROL
            payload = body + (6 + len(parameters)).to_bytes(4, "big") + parameters
            yield encode_frame(Header(protocol), b"\x23" + source.take(3), payload)
        elif kind == 4:
            head = _parameters(source, handles, lambda code, value: bytes((code & 0x1F, len(value) + 2)) + value)
            topic = b"\x18\x06t/1\0"
            yield encode_frame(Header(Protocol.MESSAGE, source.byte() & 0xF8), topic + head, source.take(3))
        elif kind == 5:
            content = source.take(source.byte() % 32)
            payload = bytes((0x80 | source.byte() % 7,)) + (6 + len(content)).to_bytes(4, "big") + b"\x0c" + content
            yield encode_frame(Header(Protocol.SUBSCRIPTION_CONTROL), b"\x23\0\0\1", payload)
        else:
            content = source.take(source.byte() % 32)
            payload = bytes((1, source.byte() & 1)) + (6 + len(content)).to_bytes(4, "big") + content
            yield encode_frame(Header(Protocol.CLIENT_CONTROL), b"", payload)


def _parameters(source: _Bytes, handles: int, write: Callable[[int, bytes], bytes]) -> bytes:
    written = b""
    for _ in range(source.byte() % 8):
        code, shape = source.byte(), source.byte()
        size = _VALUE_BYTES[shape % len(_VALUE_BYTES)]
        if shape & 0x80 and size:
            # Small numbers are ids that exist.
            value = (source.byte() % (handles + 2)).to_bytes(size, "big")
        elif shape & 0x40:
            value = (b"q\0", b"n\0", b"t/>\0", b"flow\0")[shape % 4]
        else:
            value = source.take(size)
        written += write(code, value)
    return written
