"""A client of the wire protocol that costs next to nothing, so that what is measured is the broker.

It is no client to build upon: it sends frames made beforehand, differing in their ids only, and looks at the ids of
what it receives. ``python -m tests.bench.wire publish|consume`` runs it.
"""

from __future__ import annotations

import argparse
import json
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt

from flumebeam.smf.assuredctrl import AckRange, AssuredControl, AssuredKind, ConsumerAck, PublisherNotify
from flumebeam.smf.clientctrl import ClientControl
from flumebeam.smf.header import Flag, Frame, Protocol
from flumebeam.smf.messages import Message, decode_frame
from flumebeam.smf.params import HeaderParameters
from flumebeam.smf.stream import FrameReader

__all__ = ["main"]

_RECEIVE_BYTES: Final = 1 << 20
_MAX_FRAME_BYTES: Final = 64 << 20
_WINDOW: Final = 255
_TRANSACTION: Final = 256
_TIMEOUT_SECONDS: Final = 60.0


class _WireClient:
    """One connection, logged in."""

    def __init__(self, url: str, name: str) -> None:
        parts = urlsplit(url)
        self._socket = socket.create_connection((parts.hostname, parts.port), _TIMEOUT_SECONDS)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._reader = FrameReader(_MAX_FRAME_BYTES)
        self._tag = 0
        self._waiting: list[Frame] = []
        self.send(ClientControl(client_name=name, username="default", vpn="default", keepalive_seconds=600).encode())
        _check(decode_frame(self._next()))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def send(self, data: bytes | memoryview) -> None:
        self._socket.sendall(data)

    def ask(self, request: AssuredControl) -> Any:
        """Send a request and return its answer; what comes before it is kept for :meth:`frames`."""
        self._tag += 1
        self.send(replace(request, correlation=self._tag).encode())
        before: list[Frame] = []
        while True:
            frame = self._next()
            if frame[0][1] & 0x3F != Protocol.MESSAGE:
                answer = decode_frame(frame)
                if getattr(answer, "correlation", None) == self._tag:
                    self._waiting = before + self._waiting
                    _check(answer)
                    return answer
            before.append(frame)

    def frames(self) -> list[Frame]:
        """Return what has come; wait for the first."""
        if not self._waiting:
            self._receive()
        found, self._waiting = self._waiting, []
        return found

    def _next(self) -> Frame:
        while not self._waiting:
            self._receive()
        return self._waiting.pop(0)

    def _receive(self) -> None:
        data = self._socket.recv(_RECEIVE_BYTES)
        if not data:
            raise ConnectionError("The broker has closed the connection.")
        self._waiting += self._reader.receive(data)


def _check(answer: Any) -> None:
    response = getattr(answer, "response", None)
    if response is None or response.code != 200:
        raise RuntimeError(f"The broker refused: {response}")


def _blocks(flow_id: int, topic: str, size: int, count: int) -> Iterator[tuple[int, int, npt.NDArray[np.uint8]]]:
    """Yield frames in blocks of up to a transaction: how many, the last id, the bytes of shape ``(n, frame bytes)``."""

    def frame(message_id: int, previous_id: int) -> npt.NDArray[np.uint8]:
        parameters = HeaderParameters(
            topic=topic,
            priority=4,
            delivery_mode=1,
            publisher_id=flow_id,
            flow_id=flow_id,
            message_id=message_id,
            previous_id=previous_id,
        )
        body = bytes(size)
        message = Message(parameters=parameters, body=body, flags=Flag.ASSURED | Flag.DMQ_ELIGIBLE)
        return np.frombuffer(message.encode(), np.uint8)

    plain = frame(0, 0)
    id_at, previous_at = (int(np.flatnonzero(frame(*ids) != plain)[0]) for ids in ((2**64 - 1, 0), (0, 2**64 - 1)))
    block = np.tile(plain, (min(_TRANSACTION, count), 1))
    sent = 0
    while sent < count:
        rows = min(_TRANSACTION, count - sent)
        ids = np.arange(sent, sent + rows + 1, dtype=">u8").view(np.uint8).reshape(-1, 8)
        block[:rows, previous_at : previous_at + 8], block[:rows, id_at : id_at + 8] = ids[:-1], ids[1:]
        sent += rows
        yield rows, sent, block[:rows]


def _publish_transacted(client: _WireClient, options: argparse.Namespace) -> None:
    session = client.ask(
        AssuredControl(kind=AssuredKind.TRANSACTION, transaction_kind=0, transaction=(0, 1), session_name="")
    )
    flow = client.ask(replace(_OPEN_PUBLISHER, session_id=session.session_id))
    number = 0
    for rows, last, block in _blocks(flow.flow_id, options.topic, options.size, options.count):
        client.send(memoryview(np.ascontiguousarray(block)).cast("B"))
        number += 1
        client.ask(_commit(session.session_id, number, published=(PublisherNotify(flow.flow_id, rows, last),)))


def _publish_persistent(client: _WireClient, options: argparse.Namespace) -> None:
    flow = client.ask(_OPEN_PUBLISHER)
    acked = 0
    for _, last, block in _blocks(flow.flow_id, options.topic, options.size, options.count):
        for piece in (block[: len(block) // 2], block[len(block) // 2 :]):
            client.send(memoryview(np.ascontiguousarray(piece)).cast("B"))
            # Half of the window is on its way while the other half is acknowledged.
            while last - len(block) - acked > 0:
                acked = max(acked, *(_acked(frame) for frame in client.frames()))
        while last - acked > _WINDOW // 2:
            acked = max(acked, *(_acked(frame) for frame in client.frames()))
    while acked < options.count:
        acked = max(acked, *(_acked(frame) for frame in client.frames()))


def _acked(frame: Frame) -> int:
    answer: Any = decode_frame(frame)
    _check(answer)
    return answer.last_acked or 0


def _consume(client: _WireClient, options: argparse.Namespace) -> None:
    session_id = None
    if options.mode == "transacted":
        session_id = client.ask(
            AssuredControl(kind=AssuredKind.TRANSACTION, transaction_kind=0, transaction=(0, 1), session_name="")
        ).session_id
    flow_id = client.ask(
        AssuredControl(kind=AssuredKind.BIND, queue=options.queue, window=_WINDOW, durability=1, session_id=session_id)
    ).flow_id
    taken = number = 0
    while taken < options.count:
        ids = [_message_id(frame) for frame in client.frames() if frame[0][1] & 0x3F == Protocol.MESSAGE]
        if not ids:
            continue
        taken += len(ids)
        low, high = ids[0], ids[-1]
        if session_id is None:
            settled = AssuredControl(
                kind=AssuredKind.ACK, flow_id=flow_id, last_acked=high, window=_WINDOW, acks=(AckRange(low, high),)
            )
            client.send(settled.encode())
        else:
            number += 1
            consumed = ConsumerAck(flow_id, low, high, len(ids), high, _WINDOW)
            client.ask(_commit(session_id, number, consumed=(consumed,)))


def _message_id(frame: Frame) -> int:
    """Return the delivery id: the one parameter of 8 bytes and type 0x11, found without reading the others."""
    head = frame[0]
    at = head.find(b"\x11\x0a", 12)
    return int.from_bytes(head[at + 2 : at + 10], "big")


def _commit(session_id: int, number: int, **what: Any) -> AssuredControl:
    return AssuredControl(
        kind=AssuredKind.TRANSACTION,
        pass_through=True,
        transaction_kind=2,
        session_id=session_id,
        transaction=(number, number + 1),
        **what,
    )


_OPEN_PUBLISHER: Final = AssuredControl(
    kind=AssuredKind.OPEN_PUBLISHER, last_acked=0, last_sent=0, window=_WINDOW, flow_name=""
)


def main() -> None:
    """Publish or consume so many messages; print how long that took, starting left out."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.wire")
    parser.add_argument("side", choices=["publish", "consume"])
    parser.add_argument("--host", required=True)
    parser.add_argument("--mode", choices=["persistent", "transacted"], required=True)
    parser.add_argument("--topic")
    parser.add_argument("--queue")
    parser.add_argument("--size", type=int, default=200)
    parser.add_argument("--count", type=int, required=True)
    options = parser.parse_args()
    with _WireClient(options.host, f"wire-{options.side}") as client:
        begin = time.monotonic()
        if options.side == "consume":
            _consume(client, options)
        elif options.mode == "transacted":
            _publish_transacted(client, options)
        else:
            _publish_persistent(client, options)
        sys.stdout.write(json.dumps(time.monotonic() - begin) + "\n")


if __name__ == "__main__":
    main()
