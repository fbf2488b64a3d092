"""Suite ``stages``: what each step of a batch costs by itself, in one process: codec, mapping, packs, lines.

Each stage gets the same batch again and again; the fastest round counts, by CPU time, since whatever else the machine
does can only add to it.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from flumebeam.batch import EventBatch
from flumebeam.ids import DeliveryId
from flumebeam.interceptors import SeverityInterceptor
from flumebeam.smf.pubmsg import MessageReader, encode_delivery, spooler_stamp
from flumebeam.smf.stream import FrameReader
from flumebeam.solace.incoming import ReceivedMessage, events_of_messages
from flumebeam.solace.outgoing import messages_of_events
from flumebeam.solace.packing import Packing, events_of, outgoing_messages
from flumebeam.sources.event_ids import id_column, id_text
from flumebeam.sources.lines import LineSplitter
from tests.bench.workload import line

__all__ = ["SIZES", "StageFigure", "Stages", "measure_stages"]

SIZES: Final = (200, 2_000)
"""Bytes of a body."""
_TOPIC: Final = "bench/stages"
_Stage = tuple[str, str, Callable[[], object]]


@dataclass(frozen=True, slots=True)
class StageFigure:
    """What one stage costs.

    Attributes:
        stage: Its name, with what it is given.
        of: What part of the program it belongs to.
        size: Bytes of a body.
        headers: Whether events have headers of their own.
        microseconds: CPU for an event.
    """

    stage: str
    of: str
    size: int
    headers: bool
    microseconds: float


@dataclass(frozen=True, slots=True)
class Stages:
    """All figures.

    Attributes:
        events: Events of a batch.
        figures: One for each stage, size, and with headers or without.
    """

    events: int
    figures: list[StageFigure]

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain data, CPU by stage, size and headers."""
        found: dict[str, Any] = {"events": self.events}
        for one in self.figures:
            headers = "with headers" if one.headers else "without headers"
            stage = found.setdefault(one.stage, {}).setdefault("cpu_seconds_per_million", {})
            stage[f"{one.size} bytes, {headers}"] = one.microseconds
        return found


def measure_stages(*, events: int, rounds: int, tell: Callable[[str], None]) -> Stages:
    """Measure every stage.

    Args:
        events: Events of a batch.
        rounds: How often each stage gets it.
        tell: Called with what is done at the moment.
    """
    figures = []
    for size in SIZES:
        for headers in (False, True):
            tell(f"{size} bytes, {'with' if headers else 'without'} headers")
            for of, stage, run in _stages(events, size, headers):
                figures.append(StageFigure(stage, of, size, headers, _fastest(run, rounds) / events * 1e6))
    return Stages(events, figures)


def _fastest(run: Callable[[], object], rounds: int) -> float:
    best = float("inf")
    for _ in range(rounds + 1):  # the first one is to get warm
        begin = time.process_time_ns()
        run()
        best = min(best, (time.process_time_ns() - begin) / 1e9)
    return best


def _stages(events: int, size: int, headers: bool) -> Iterator[_Stage]:
    bodies = [line(number, size) for number in range(events)]
    block = b"".join(body + b"\n" for body in bodies)
    ends = np.arange(1, events + 1, dtype=np.uint64) * np.uint64(size + 1)
    columns = {"level": ["info", "warn"] * (events // 2) + ["info"] * (events % 2)} if headers else None
    batch = EventBatch.from_bodies(bodies, {"host": "web1", "basename": "app.log"} if headers else None, columns)
    if headers:
        batch = batch.with_column("flumebeam.id", id_text(7, ends))
    messages = list(_received(batch))
    packs = [_received_pack(number, payload) for number, payload in enumerate(_payloads(batch))]
    yield "source", "lines of a block", lambda: LineSplitter(0, 1 << 20).feed(block)
    yield "source", "ids of lines", lambda: (id_column(7, ends), id_text(7, ends))
    yield "interceptor", "severity", lambda: SeverityInterceptor()(batch)
    yield "mapping", "events to messages", lambda: messages_of_events(batch, _TOPIC)
    yield "mapping", "messages to events", lambda: events_of_messages(messages, receiver="r", queue="q", fence=False)
    yield "packs", "events to packs", lambda: outgoing_messages(batch, _TOPIC, Packing())
    yield "packs", "events to packs, zstd", lambda: outgoing_messages(batch, _TOPIC, Packing(codec="zstd"))
    yield "packs", "packs to events", lambda: events_of(packs, receiver="r", queue="q", fence=False)
    if not headers:
        frames = b"".join(_frame(number, body) for number, body in enumerate(bodies, start=1))
        yield "codec", "frames in", lambda: _read(frames)
        yield "codec", "frames out", lambda: _write(bodies)


def _received(batch: EventBatch) -> Iterator[ReceivedMessage]:
    for number, event in enumerate(batch.events(), start=1):
        yield ReceivedMessage(DeliveryId(7, number).pack(), False, event.body, event.headers, _TOPIC)


def _payloads(batch: EventBatch) -> Iterator[tuple[bytes, str, str | None]]:
    for outgoing in outgoing_messages(batch, _TOPIC, Packing()):
        counts = outgoing.columns["flumebeam.events"].to_pylist()
        for payload, count in zip(outgoing.bodies.to_pylist(), counts, strict=True):
            yield payload, count, outgoing.content_type


def _received_pack(number: int, pack: tuple[bytes, str, str | None]) -> ReceivedMessage:
    payload, count, kind = pack
    properties = {"flumebeam.events": count}
    return ReceivedMessage(DeliveryId(7, number).pack(), False, payload, properties, _TOPIC, content_type=kind)


# -- frames as the vendor's client writes them -------------------------------------------------------------------------


def _frame(number: int, body: bytes) -> bytes:
    topic = _TOPIC.encode() + b"\0"
    parameters = (
        bytes((0x98, len(topic) + 2))
        + topic
        + b"\x96\x05\x23"
        + len(body).to_bytes(2, "big")
        + bytes.fromhex("030304 900301 2c 170600000005 010600000006")
        + struct.pack(">HQHQ", 0x920A, number - 1, 0x910A, number)
        + bytes((0x26, 0, len(topic)))
    )
    head = 12 + len(parameters)
    return struct.pack(">BBBBII", 0x1B, 0x8D, 0, 0xFF, head, head + len(body)) + parameters + body


def _read(frames: bytes) -> None:
    reader = MessageReader()
    for head, _body in FrameReader(1 << 20).receive(frames):
        reader.read(head)


def _write(bodies: list[bytes]) -> bytes:
    template, summary, _, _ = MessageReader().read(_head(_frame(1, bodies[0])))
    stamp = spooler_stamp(7)
    parts: list[bytes] = []
    for number, body in enumerate(bodies, start=1):
        parts += encode_delivery(template, summary, body, 1, number, number - 1, stamp)
    return b"".join(parts)


def _head(frame: bytes) -> bytes:
    return next(iter(FrameReader(1 << 20).receive(frame)))[0]
