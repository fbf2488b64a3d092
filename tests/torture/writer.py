"""A drain without Beam: the vendor's client, the commit log, and nothing between; it may be told when to die."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from flumebeam.batch import EventBatch
from flumebeam.commitlog.completing import PartitionKeeper, PartitionPoint
from flumebeam.commitlog.layout import QueueIdentity
from flumebeam.commitlog.life import Life
from flumebeam.commitlog.log import CommitLog
from flumebeam.commitlog.options import CommitLogOptions
from flumebeam.commitlog.protocol import PartDraft
from flumebeam.commitlog.rolling import RollOptions
from flumebeam.commitlog.steps import CrashPoint
from flumebeam.errors import EpochClosedError, FlumebeamError
from flumebeam.formats import open_format
from flumebeam.hdfs.options import HdfsOptions
from flumebeam.hdfs.targets import open_target
from flumebeam.solace.config import ReconnectPolicy, SolaceOptions
from flumebeam.solace.flows import FlowOptions
from flumebeam.solace.session import connect
from tests.torture import partitioned

__all__ = ["ENDED", "RECEIVED", "TOLD", "WRITTEN", "write"]

RECEIVED = "a batch received, nothing written"
WRITTEN = "files published, nothing acknowledged"
TOLD = "acknowledged"
ENDED = "told to end"

_EVENTS = 10
_FORMAT = open_format("text")


class _Moment:
    """Counts how often a moment was passed, and ends or freezes the process there."""

    def __init__(self, name: str, nth: int, by: signal.Signals) -> None:
        self._name, self._left, self._by = name, nth, by

    def pass_by(self, name: str) -> None:
        if name == self._name:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), self._by)

    def at(self, point: CrashPoint | PartitionPoint | partitioned.HookPoint) -> None:
        self.pass_by(point.name)


def write(
    host: str,
    queue: str,
    target: str,
    moment: str,
    nth: int,
    by: signal.Signals,
    rolled: bool = False,
    transaction_messages: int = 0,
    told: str = "",
) -> int:
    """Drain a queue until SIGTERM; return 0 then, 1 for what ends a drain, 3 if partitions wait for another drain.

    Args:
        host: The broker.
        queue: The queue.
        target: Address of the target.
        moment: Name of a :class:`CrashPoint`, a :class:`PartitionPoint` or a :class:`HookPoint`, or one of those above,
            at which ``by`` is sent to this process.
        nth: At which pass; 0 for never.
        by: SIGKILL or SIGSTOP.
        rolled: Whether files are merged of several transactions.
        transaction_messages: Take in transactions of up to so many; 0 acknowledges by id.
        told: If partitions are watched, the file that gets what their hook is told.
    """
    stopped: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: stopped.append(number))
    dying = _Moment(moment, nth, by)
    place = open_target(target, options=HdfsOptions(connect_timeout_secs=2, read_timeout_secs=4))
    roll = RollOptions(max_bytes=400, max_seconds=1) if rolled else None
    options = CommitLogOptions(fold_after=3, patience_seconds=60, roll=roll)
    log = CommitLog.open(place.filesystem, place.root, QueueIdentity("", "", queue), options, at=dying.at)
    flow = FlowOptions(transaction_messages=transaction_messages)
    drained: list[bool] = []
    keeper = partitioned.keeper_of(place, Path(told), lambda: bool(drained), dying.at) if told else None
    connection = connect(SolaceOptions(host=host, reconnect=ReconnectPolicy(attempts=20)))
    try:
        while not stopped:
            lives: list[Life] = []
            receiver = connection.receiver(
                queue,
                before_bind=lambda name: lives.append(log.begin_life(name)),  # noqa: B023
                flow=flow,
            )
            life = lives[0]
            if keeper is not None:
                keeper.adopt(life)
            try:
                while not stopped:
                    batch = receiver.receive(_EVENTS, 0.05)
                    if batch.provenance is None or not len(batch):
                        continue
                    dying.pass_by(RECEIVED)
                    for ids in _committed(life, batch, keeper):
                        dying.pass_by(WRITTEN)
                        receiver.acknowledge(ids)
                        dying.pass_by(TOLD)
            except EpochClosedError:
                receiver.close()
                time.sleep(0.05)
                continue
            settled = receiver.close()
            with contextlib.suppress(EpochClosedError):
                if not life.over:
                    life.roll_all()
            if not transaction_messages:
                # Acknowledgements by id are answered when the connection is closed.
                settled = connection.close()
            if settled and not life.over:
                life.end()
            if settled:
                drained.append(True)
            if keeper is not None:
                keeper.closed(life, settled=settled)
        if keeper is not None:
            keeper.close()
    except FlumebeamError as error:
        os.write(2, f"{type(error).__name__}: {error}\n".encode())
        return 1
    finally:
        connection.close()
        log.close()
        place.filesystem.close()
    # Without an answer to its last acknowledgements a drain does not know that its partitions are complete.
    return 0 if drained or keeper is None else 3


def _committed(life: Life, batch: EventBatch, keeper: PartitionKeeper | None) -> Iterator[pa.FixedSizeBinaryArray]:
    """Commit a batch and yield ids that may be acknowledged."""
    assert batch.provenance is not None
    if batch.provenance.fence or not life.fenced:
        if keeper is not None:
            keeper.begin(life)
        life.fence()
    watermark_ms = partitioned.watermark_ms(batch) if keeper is not None else None
    known = life.committed(batch.provenance.ids)
    if known.any():
        yield batch.provenance.ids.filter(pa.array(known))
        batch = batch.filter(pa.array(~known))
    if not len(batch):
        if keeper is not None:
            keeper.leave(life, [], watermark_ms)
        return
    ids = batch.provenance.ids
    name = f"events.{life.file_stem()}.txt"
    pieces = _halves(batch) if keeper is None else _partitions(batch)
    drafts = [
        PartDraft(directory, name, lambda part=part: _FORMAT.encode([part]), len(part), "bytes")  # type: ignore[misc]
        for directory, part in pieces
        if len(part)
    ]
    if keeper is None:
        yield life.commit(drafts, ids)
        return
    ends = {directory: partitioned.end_ms(directory) for directory, _ in pieces}
    keeper.enter(life, ends)
    committed = False
    try:
        durable = life.commit(drafts, ids)
        committed = True
    finally:
        keeper.leave(life, ends, watermark_ms if committed else None)
    yield durable


def _halves(batch: EventBatch) -> list[tuple[str, EventBatch]]:
    half = len(batch) // 2
    return [("half=0", batch.slice(0, half)), ("half=1", batch.slice(half))]


def _partitions(batch: EventBatch) -> list[tuple[str, EventBatch]]:
    where = [partitioned.partition_of(body) for body in batch.bodies.to_pylist()]
    return [(name, batch.filter(pa.array([one == name for one in where]))) for name in sorted(set(where))]
