"""A drain that kills or freezes itself at a named moment: the graph of ``drain_to_hdfs``, with hooks in it."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import apache_beam as beam
import pyarrow as pa

from flumebeam.commitlog.options import CommitLogOptions
from flumebeam.commitlog.steps import CrashPoint
from flumebeam.pipelines import drain_to_hdfs
from flumebeam.transforms.hdfs_write import WriteToHdfs
from flumebeam.transforms.receivers import RECEIVERS
from flumebeam.transforms.solace_read import ReadFromSolace

__all__ = ["RECEIVED", "TOLD", "WRITTEN", "DyingDrain", "drain_that_dies"]

RECEIVED = "a batch received, nothing written"
WRITTEN = "files published, nothing acknowledged"
TOLD = "acknowledged"

_TRANSACTION = 300
_passed = 0
"""How often this process has passed its moment: the hooks below are pickled, and so there are several."""


@dataclass(frozen=True)
class DyingDrain:
    """When to die.

    Attributes:
        moment: The name of a :class:`CrashPoint`, or one of the names above.
        nth: At which pass; 0 for never.
        by: SIGKILL, or SIGSTOP to stand still until SIGCONT.
    """

    moment: str
    nth: int = 1
    by: signal.Signals = signal.SIGKILL

    def pass_by(self, moment: str) -> None:
        global _passed
        if moment == self.moment:
            _passed += 1
            if _passed == self.nth:
                os.kill(os.getpid(), self.by)

    def at(self, point: CrashPoint) -> None:
        self.pass_by(point.name)

    def element(self, element: Any, moment: str) -> Any:
        self.pass_by(moment)
        return element


class _Write(beam.PTransform):  # type: ignore[misc]
    def __init__(self, dying: DyingDrain, target: str, **options: Any) -> None:
        super().__init__()
        self._dying = dying
        # Small transactions, and records that are folded soon: all moments come within some hundred events.
        options["commit_log"] = replace(options.get("commit_log") or CommitLogOptions(), fold_after=2)
        self._write = WriteToHdfs(target, at=dying.at, max_events=_TRANSACTION, **options)

    def expand(self, batches: beam.PCollection) -> beam.PCollection:
        return batches | "Received" >> beam.Map(self._dying.element, RECEIVED) | self._write


def drain_that_dies(arguments: Sequence[str], moment: str, nth: int = 1, by: signal.Signals = signal.SIGKILL) -> int:
    """Run ``drain_to_hdfs`` and die at that moment; to be called in a process of its own."""
    dying = DyingDrain(moment, nth, by)
    acknowledge = RECEIVERS.acknowledge

    def tell(receiver_id: str, ids: pa.FixedSizeBinaryArray) -> None:
        dying.pass_by(WRITTEN)
        acknowledge(receiver_id, ids)
        dying.pass_by(TOLD)

    hooked = {
        "ReadFromSolace": partial(ReadFromSolace, bundle_events=_TRANSACTION),
        "WriteToHdfs": partial(_Write, dying),
    }
    vars(drain_to_hdfs).update(hooked)
    vars(RECEIVERS).update(acknowledge=tell)
    return drain_to_hdfs.main(arguments)
