"""Ids in the commit log of a drain, through the vendor's client: forgotten when their acknowledgement is proven."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from flumebeam.batch import EventBatch
from flumebeam.broker import DevelopmentBroker
from flumebeam.clock import ManualClock
from flumebeam.commitlog.layout import QueueIdentity
from flumebeam.commitlog.log import CommitLog
from flumebeam.commitlog.options import CommitLogOptions
from flumebeam.commitlog.protocol import PartDraft
from flumebeam.commitlog.records import Record
from flumebeam.commitlog.steps import CrashPoint
from flumebeam.hdfs.local import LocalFileSystem
from flumebeam.solace.config import SolaceOptions
from flumebeam.solace.session import connect
from flumebeam.transforms.solace_read import SolaceReceiverFactory
from tests.integration.hdfs_write import drain as program
from tests.integration.hdfs_write.drain import QUEUE, Signal, drain

Publish = Callable[[Sequence[bytes]], None]
_NEVER = Signal("-", 1, 0)


def _numbers(first: int, count: int) -> list[bytes]:
    return [b"%d" % number for number in range(first, first + count)]


def _events(target: Path) -> list[int]:
    return sorted(int(line) for path in target.glob("FlumeData.*") for line in path.read_bytes().splitlines())


def _retired(target: Path) -> list[tuple[bool, int]]:
    """For each file of retired ids, whether it is proven, and how many ids are in it."""
    files = target.glob(".flumebeam.logs/*/_retired/*")
    records = [Record.from_bytes(file.read_bytes(), str(file)) for file in files]
    return sorted((record.facts["proven"], len(record.ids)) for record in records)


def _epochs(target: Path) -> list[Path]:
    return list(target.glob(".flumebeam.logs/*/_epochs/*"))


def test_a_drain_that_ends_in_order_retires_its_ids_as_proven(
    broker: DevelopmentBroker, publish: Publish, tmp_path: Path
) -> None:
    publish(_numbers(0, 500))

    drain(broker.url, str(tmp_path), _NEVER)

    assert _retired(tmp_path) == [(True, 500)]
    assert not _epochs(tmp_path)


def test_a_killed_drain_proves_nothing_and_the_next_one_that_ends_in_order_proves_it_all(
    broker: DevelopmentBroker, publish: Publish, tmp_path: Path
) -> None:
    publish(_numbers(0, 500))
    command = [
        sys.executable,
        "-m",
        program.__name__,
        broker.url,
        str(tmp_path),
        CrashPoint.MARKED.name,
        "3",
        "SIGKILL",
    ]
    assert subprocess.run(command, stdin=subprocess.DEVNULL, timeout=200, check=False).returncode == -signal.SIGKILL
    assert not _retired(tmp_path)
    assert len(_epochs(tmp_path)) == 1

    drain(broker.url, str(tmp_path), _NEVER)

    assert _events(tmp_path) == list(range(500))
    assert _retired(tmp_path) == [(True, 200), (True, 300)]
    assert not _epochs(tmp_path)


def test_a_connection_that_is_frozen_at_the_close_proves_nothing(
    broker: DevelopmentBroker, publish: Publish, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(_numbers(0, 100))
    with monkeypatch.context() as patch:
        patch.setattr(Signal, "__call__", lambda _, point: broker.freeze() if point is CrashPoint.MARKED else None)
        drain(broker.url, str(tmp_path), _NEVER)
    assert not _retired(tmp_path)
    assert len(_epochs(tmp_path)) == 1
    broker.cut_connections()
    broker.thaw()
    publish(_numbers(100, 1))

    drain(broker.url, str(tmp_path), _NEVER)

    assert _events(tmp_path) == list(range(101))
    assert _retired(tmp_path) == [(True, 1), (True, 100)]


def test_the_log_of_many_short_runs_stays_small_though_other_queues_leave_gaps_in_the_ids(
    broker: DevelopmentBroker, connection: SolaceOptions, tmp_path: Path
) -> None:
    broker.create_queue("other", subscriptions=["other/>"])
    clock, sizes = ManualClock(), []
    factory = SolaceReceiverFactory(source=QUEUE, connection=connection)
    for _ in range(80):
        clock.advance(86_400 / 4)
        with connect(connection) as opened:
            session = opened.transacted_session()
            for _event in range(20):
                session.publish(EventBatch.from_bodies([b"x"]), "logs/app")
                session.publish(EventBatch.from_bodies([b"y"]), "other/app")
            assert session.commit().committed
        log = CommitLog.open(
            LocalFileSystem(), str(tmp_path), QueueIdentity("", "", QUEUE), CommitLogOptions(keep_days=3), clock=clock
        )
        receiver = factory.open(lambda _: None)
        life = log.begin_life(receiver.receiver_id)
        life.fence()
        got = 0
        while got < 20:
            batch = receiver.receive(100, 10)
            assert batch.provenance is not None
            draft = PartDraft("", f"{life.file_stem()}.txt", lambda: [b"x\n"], len(batch))
            receiver.acknowledge(life.commit([draft], batch.provenance.ids))
            got += len(batch)
        assert receiver.close()
        life.end()
        log.close()
        places = list(tmp_path.glob(".flumebeam.logs/*/*/**/*"))
        sizes.append((len(places), sum(path.stat().st_size for path in places if path.is_file())))

    files, nbytes = (max(figures) for figures in zip(*sizes[20:40], strict=True))
    assert all(now <= files and size <= 1.2 * nbytes for now, size in sizes[40:])
    assert files < 30
