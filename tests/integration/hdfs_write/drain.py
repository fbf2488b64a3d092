"""A drain that is a process of its own and gets a signal from itself at a named place.

Usage: ``python drain.py URL TARGET POINT NTH SIGNAL``; it empties the queue into TARGET, and sends itself SIGNAL at the
NTH passing of POINT (``-`` for never).
"""

from __future__ import annotations

import os
import signal
import sys

import apache_beam as beam

from flumebeam.commitlog.steps import CrashPoint
from flumebeam.solace.config import ReconnectPolicy, SolaceOptions
from flumebeam.transforms.acknowledge import Acknowledge
from flumebeam.transforms.hdfs_write import WriteToHdfs
from flumebeam.transforms.running import run_pipeline
from flumebeam.transforms.solace_read import ReadFromSolace

QUEUE = "logs"


def options(url: str) -> SolaceOptions:
    """Return how to connect: soon back after an outage, and not put off by a machine that is busy for some seconds."""
    patience = ReconnectPolicy(attempts=240, wait_seconds=0.25, connect_timeout_seconds=20, keepalive_seconds=5)
    return SolaceOptions(host=url, reconnect=patience)


class Signal:
    """A crash point that sends this process a signal, once."""

    def __init__(self, point: str, nth: int, number: int) -> None:
        self.point = point
        self.left = nth
        self.number = number

    def __call__(self, reached: CrashPoint) -> None:
        if reached.name == self.point:
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), self.number)


def drain(url: str, target: str, at: Signal, **limits: int) -> None:
    """Empty the queue into files."""
    pipeline = beam.Pipeline(runner="FnApiRunner")
    (
        pipeline
        | ReadFromSolace(QUEUE, connection=options(url), until_empty=True, idle_seconds=1)
        | WriteToHdfs(target, queue=QUEUE, at=at, **({"max_events": 100, "roll": None} | limits))
        | Acknowledge()
    )
    run_pipeline(pipeline)


if __name__ == "__main__":
    _, url, target, point, nth, name = sys.argv
    drain(url, target, Signal(point, int(nth), signal.Signals[name]))
