"""The same log once more with many events in one message, to show what a message costs."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from flumebeam.broker import DevelopmentBroker
from flumebeam.demo.processes import Stage
from flumebeam.demo.proof import LayerProof, files_below, prove_lines

__all__ = ["Packed", "move_packed"]

_TOPIC: Final = "demo/packed"
_QUEUE: Final = "packed"
_TICK_SECONDS: Final = 0.02


@dataclass(frozen=True, slots=True)
class Packed:
    """What came of it.

    Attributes:
        messages: Messages that carried the events.
        seconds: From the first message at the broker to the last acknowledgement.
        proof: Lines of the log beside the lines of the files.
    """

    messages: int
    seconds: float
    proof: LayerProof


def move_packed(
    broker: DevelopmentBroker, log: Path, place: Path, environment: dict[str, str], stopped: Callable[[], bool]
) -> Packed | None:
    """Move all lines of a log through a queue of its own into files, packed, from the beginning.

    Args:
        broker: Where the queue is made, and deleted again.
        log: The log.
        place: Directory for files, positions and what the stages say; emptied first.
        environment: Where the broker is, for the stages.
        stopped: Asked whether to give up.

    Returns:
        What was measured, or ``None`` if it was stopped.

    Raises:
        StageFailedError: A stage ended with an error.
    """
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    if any(status.name == _QUEUE for status in broker.queues()):
        broker.delete_queue(_QUEUE)  # of a demonstration that was killed
    broker.create_queue(_QUEUE, access="exclusive", subscriptions=[_TOPIC])
    files = place / "files"
    reading = ["--pack", "--input", str(log), "--topic", _TOPIC, "--tracker_dir", str(place / "positions")]
    ingest = Stage("ingest", reading, place / "ingest.log", environment)
    writing = ["--queue", _QUEUE, "--target", str(files)]
    drain = Stage("drain_to_hdfs", writing, place / "drain.log", environment)
    first = last = 0.0
    try:
        drain.start()
        ingest.start()
        while not (ingest.check() and broker.queue(_QUEUE).messages == 0):
            if stopped():
                return None
            drain.check()
            first = first or (time.monotonic() if broker.queue(_QUEUE).received else 0.0)
            time.sleep(_TICK_SECONDS)  # the pace of the measurement, not a wait for luck
        last = time.monotonic()
    finally:
        ingest.stop()
        drain.stop()
    drain.check()
    messages = broker.queue(_QUEUE).received
    broker.delete_queue(_QUEUE)
    return Packed(messages, last - (first or last), prove_lines([(log, log.stat().st_size)], files_below(files)))
