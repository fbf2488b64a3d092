"""What tests of pipelines do: make a log, look into a queue, run a pipeline as a program."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

from flumebeam.broker import DevelopmentBroker
from flumebeam.event import Event
from flumebeam.solace.config import SolaceOptions
from flumebeam.solace.session import connect

ODD_LINES = (b"", b"\xff\xfe\x00 no text", b"ends in a carriage return\r", b"x" * 100_000, b"WARN  tabs\tand spaces ")


def make_lines(count: int, seed: int = 1) -> list[bytes]:
    """Lines of an application's log; some odd ones among them."""
    rng = random.Random(seed)
    lines = []
    for number in range(count):
        if number % 97 == 13:
            lines.append(ODD_LINES[number // 97 % len(ODD_LINES)])
            continue
        level = rng.choice(("INFO", "INFO", "INFO", "DEBUG", "WARN", "ERROR"))
        lines.append(
            b"2026-03-02 08:%02d:%02d %s [w-%d] order %d"
            % (number // 60 % 60, number % 60, level.encode(), rng.randint(1, 9), rng.randrange(10**6))
        )
    return lines


def stored(broker: DevelopmentBroker, queue: str) -> list[Event]:
    """Take everything out of a queue."""
    with connect(SolaceOptions(host=broker.url)) as opened:
        receiver = opened.receiver(queue)
        events: list[Event] = []
        while broker.queue(queue).messages:
            batch = receiver.receive(10_000, 0.5)
            events += batch.events()
            if batch.provenance is not None:
                receiver.acknowledge(batch.provenance.ids)
        receiver.close()
    return events


def start(broker: DevelopmentBroker, module: str, *arguments: str, program: str | None = None) -> subprocess.Popen[str]:
    """Start a pipeline, or a program that runs one, in a process of its own."""
    command = ["-m", f"flumebeam.pipelines.{module}"] if program is None else ["-c", program]
    environment = {**os.environ, "SOLACE_HOST": broker.url, "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(
        [sys.executable, *command, *arguments],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def spooled(directory: Path, name: str, lines: list[bytes]) -> Path:
    """Put a finished file into a spool directory."""
    hidden = directory / f".{name}"
    hidden.write_bytes(b"\n".join(lines))
    return hidden.rename(directory / name)
