"""A plain loop that does all that the drain does, but for Beam: receives, commits to files, acknowledges, in turn."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

from flumebeam.commitlog.layout import QueueIdentity
from flumebeam.commitlog.life import Life
from flumebeam.commitlog.log import CommitLog
from flumebeam.commitlog.options import CommitLogOptions
from flumebeam.commitlog.rolling import RollOptions
from flumebeam.formats import open_format
from flumebeam.hdfs.options import HdfsOptions
from flumebeam.hdfs.paths import PathTemplate
from flumebeam.hdfs.targets import open_target
from flumebeam.solace.config import SolaceOptions
from flumebeam.solace.flows import FlowOptions
from flumebeam.solace.session import connect
from flumebeam.transforms.hdfs_transaction import FileNaming, PendingTransaction

__all__ = ["drain_to_files"]

_MESSAGES: Final = 5_000
"""Messages of a transaction, as the drain's."""
_PACKED_BYTES: Final = 4 << 20
_PACKED_EVENTS: Final = 100_000
_WAIT_SECONDS: Final = 30.0
_PREFIX: Final = "FlumeData"


def drain_to_files(host: str, queue: str, target: Path, events: int, *, transaction: int, packed: bool) -> None:
    """Write so many events of a queue to text files, exactly once, and end.

    Args:
        host: Address of the broker.
        queue: Name of the queue.
        target: Directory.
        events: How many events to take.
        transaction: Take in transactions of up to so many messages; 0 acknowledges by id.
        packed: Messages hold many events.
    """
    place = open_target(str(target), options=HdfsOptions())
    file_format, template, naming = open_format("text"), PathTemplate("", None, prefix=_PREFIX), FileNaming(_PREFIX, "")
    log = CommitLog.open(
        place.filesystem, place.root, QueueIdentity("", "", queue), CommitLogOptions(roll=RollOptions())
    )
    lives: list[Life] = []
    connection = connect(SolaceOptions(host=host))
    receiver = connection.receiver(
        queue,
        before_bind=lambda name: lives.append(log.begin_life(name)),
        flow=FlowOptions(transaction_messages=transaction),
    )
    (life,) = lives
    taken = 0
    while taken < events:
        pending = PendingTransaction(life, time.monotonic())
        room = min(_PACKED_EVENTS if packed else _MESSAGES, events - taken)
        while room and pending.nbytes < _PACKED_BYTES:
            batch = receiver.receive(room, _WAIT_SECONDS)
            if batch.provenance is None:
                raise RuntimeError(f"Nothing came for {_WAIT_SECONDS:.0f} s after {taken} events.")
            if batch.provenance.fence or not life.fenced:
                life.fence()
            if life.committed(batch.provenance.ids).any():
                raise RuntimeError("Something came twice: this run measures nothing.")
            pending.add(batch, template, time.time_ns() // 1_000_000, file_format)
            room -= len(batch)
            taken += len(batch)
        receiver.acknowledge(life.commit(pending.drafts(file_format, naming, ""), pending.ids))
    receiver.close()
    life.roll_all()
    connection.close()
    life.end()
    log.close()
    place.filesystem.close()
