"""The HDFS sink in a runner's hands, call by call or in a graph, and what readers then see."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import apache_beam as beam
import pyarrow as pa

from flumebeam.batch import BatchProvenance, EventBatch
from flumebeam.commitlog.records import Record
from flumebeam.commitlog.steps import CrashPoint
from flumebeam.deliveries import Durable
from flumebeam.ids import DeliveryId, delivery_ids
from flumebeam.testing.memory_queue import MemoryQueue, MemoryReceiverFactory
from flumebeam.transforms.acknowledge import Acknowledge
from flumebeam.transforms.hdfs_write import WriteToHdfs
from flumebeam.transforms.read_options import BundleLimits, ReadLimits
from flumebeam.transforms.receiver_read import ReadFromReceivers
from flumebeam.transforms.running import run_pipeline

__all__ = [
    "FailAt",
    "FailedOnceError",
    "Worker",
    "batch_of",
    "drain",
    "epochs",
    "finals",
    "lines",
    "numbers_of",
    "proofs",
]


def batch_of(
    *numbers: int,
    receiver: str = "r1",
    fence: bool = False,
    queue: str = "q",
    headers: dict[str, list[str]] | None = None,
) -> EventBatch:
    """Return what a receiver got of a queue: messages whose bodies are their numbers."""
    origin = BatchProvenance(
        receiver,
        queue,
        delivery_ids(DeliveryId(1, number) for number in numbers),
        pa.array([False] * len(numbers)),
        fence,
    )
    return EventBatch.from_bodies([b"%d" % number for number in numbers], None, headers, origin)


def finals(target: Path) -> list[Path]:
    """What readers see: no hidden directory, no hidden file."""
    found = [path for path in target.rglob("*") if path.is_file()]
    return sorted(path for path in found if not any(name[0] in "._" for name in path.relative_to(target).parts))


def lines(target: Path) -> list[int]:
    """Numbers in the lines that readers see, sorted."""
    return sorted(int(line) for path in finals(target) for line in path.read_bytes().splitlines())


def numbers_of(durable: list[Durable]) -> list[int]:
    """Messages that were reported."""
    return [DeliveryId.unpack(packed).number for one in durable for packed in one.ids.to_pylist()]


def epochs(target: Path) -> list[str]:
    """Receivers whose epochs are open."""
    return sorted(path.name.partition(".")[0].removeprefix("_") for path in target.glob(".flumebeam.logs/*/_epochs/*"))


def proofs(target: Path) -> list[bool]:
    """For each file of retired ids, whether their acknowledgement is proven."""
    files = target.glob(".flumebeam.logs/*/_retired/*")
    return [Record.from_bytes(file.read_bytes(), str(file)).facts["proven"] for file in files]


class Worker:
    """What a runner does with one instance of the sink, call by call."""

    def __init__(self, transform: WriteToHdfs) -> None:
        self.fn: Any = transform._fn
        self.fn.setup()

    def bundle(self, *batches: EventBatch) -> list[Durable]:
        self.fn.start_bundle()
        durable = [one for batch in batches for one in self.process(batch)]
        return durable + self.finish()

    def process(self, batch: EventBatch) -> list[Durable]:
        return list(self.fn.process(batch, 0, None))

    def finish(self) -> list[Durable]:
        return [windowed.value for windowed in self.fn.finish_bundle()]


class FailedOnceError(Exception):
    """Fails a bundle."""


class FailAt:
    """A crash point that fails the bundle instead of the process, once."""

    left: bool = True

    def __init__(self, point: CrashPoint) -> None:
        self.point = point

    def __call__(self, reached: CrashPoint) -> None:
        if reached is self.point and FailAt.left:
            FailAt.left = False
            raise FailedOnceError(reached.value)


def drain(
    queue: MemoryQueue,
    target: Path,
    *between: beam.PTransform,
    idle_seconds: float = 0,
    bundle: BundleLimits | None = None,
    **options: Any,
) -> None:
    """Drain a queue until it is empty, with transforms of a user between the source and the sink."""
    options.setdefault("roll", None)
    events = beam.Pipeline(runner="FnApiRunner") | ReadFromReceivers(
        MemoryReceiverFactory(queue.name),
        limits=ReadLimits(until_empty=True, idle_seconds=idle_seconds),
        bundle=bundle or BundleLimits(events=300),
    )
    for transform in between:
        events |= transform
    events | WriteToHdfs(str(target), **options) | Acknowledge()
    run_pipeline(events.pipeline)
