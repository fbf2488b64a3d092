"""The life of a receiver begins before its bind, is shared by a sink's instances, and ends with the receiver."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from apache_beam.internal import pickler

from flumebeam.commitlog.rolling import RollOptions
from flumebeam.commitlog.steps import CrashPoint
from flumebeam.testing.memory_queue import MemoryQueue, MemoryReceiver, MemoryReceiverFactory
from flumebeam.transforms.hdfs_lives import Lives
from flumebeam.transforms.hdfs_write import WriteToHdfs
from flumebeam.transforms.receivers import RECEIVERS
from tests.unit.transforms.sinks import FailAt, Worker, batch_of, drain, epochs, lines, numbers_of, proofs
from tests.waiting import eventually


def test_instances_of_one_sink_share_the_life_of_a_receiver(tmp_path: Path) -> None:
    transform = WriteToHdfs(str(tmp_path), roll=None)
    first = Worker(transform)
    second = Worker(pickler.loads(pickler.dumps(transform)))
    assert numbers_of(first.bundle(batch_of(1))) == [1]
    assert numbers_of(second.bundle(batch_of(2))) == [2]
    assert numbers_of(first.bundle(batch_of(1, 3))) == [1, 3]
    first.fn.teardown()
    second.fn.teardown()

    assert lines(tmp_path) == [1, 2, 3]
    assert len(list(tmp_path.glob(".flumebeam.logs/*/_epochs/*"))) == 1


def test_the_epoch_of_a_named_queue_is_open_before_its_receiver_is_bound(
    worker: Callable[..., Worker], tmp_path: Path
) -> None:
    worker(queue="q")

    RECEIVERS._before_bind("q", "r1")
    RECEIVERS._before_bind("another", "r2")

    assert epochs(tmp_path) == ["r1"]


def test_without_a_name_epochs_are_opened_before_binds_once_the_queue_is_known(
    worker: Callable[..., Worker], tmp_path: Path
) -> None:
    one = worker()
    RECEIVERS._before_bind("q", "r1")
    assert epochs(tmp_path) == []
    one.bundle(batch_of(1))

    RECEIVERS._before_bind("q", "r2")
    RECEIVERS._before_bind("another", "r3")

    assert epochs(tmp_path) == ["r1", "r2"]


def test_the_first_silence_of_a_receiver_that_is_served_shows_what_a_dead_drain_left(
    worker: Callable[..., Worker], queue: MemoryQueue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MemoryReceiver, "active", True, raising=False)
    worker(queue=queue.name, roll=RollOptions()).bundle(batch_of(1, queue=queue.name))
    worker(queue=queue.name, roll=RollOptions())
    user = RECEIVERS.join("source")
    RECEIVERS.acquire(user, 0, MemoryReceiverFactory(queue.name))
    assert lines(tmp_path) == []

    RECEIVERS.note_silence(user, 0, 0)

    eventually(lambda: lines(tmp_path) == [1])
    RECEIVERS.leave(user)


def test_ids_of_a_drain_that_ended_in_order_are_retired_as_proven(queue: MemoryQueue, tmp_path: Path) -> None:
    queue.put(b"%d" % number for number in range(100))

    drain(queue, tmp_path)

    assert proofs(tmp_path) == [True]
    assert epochs(tmp_path) == []


def test_ids_of_a_failed_drain_are_proven_by_the_next_one(queue: MemoryQueue, tmp_path: Path) -> None:
    queue.put(b"%d" % number for number in range(1_000))
    FailAt.left = True
    with pytest.raises(Exception, match=CrashPoint.MARKED.value):
        drain(queue, tmp_path, max_events=250, at=FailAt(CrashPoint.MARKED))
    assert proofs(tmp_path) == []

    drain(queue, tmp_path, max_events=250)

    assert set(proofs(tmp_path)) == {True}
    assert epochs(tmp_path) == []


class Stage:
    """A source and a sink in one process, torn down in the order that a test wants."""

    def __init__(self, queue: MemoryQueue, target: Path) -> None:
        self.user = RECEIVERS.join(queue)
        self.sink = Worker(WriteToHdfs(str(target), queue=queue.name, roll=None))
        self.receiver = RECEIVERS.acquire(self.user, 0, MemoryReceiverFactory(queue.name))

    def run(self, *, acknowledge: int) -> None:
        for durable in self.sink.bundle(self.receiver.receive(100, 0)):
            RECEIVERS.acknowledge(durable.receiver, durable.ids[:acknowledge])

    def tear_down(self, order: str) -> None:
        parts = {"source": lambda: RECEIVERS.leave(self.user), "sink": self.sink.fn.teardown}
        for part in order.split(", "):
            parts[part]()


@pytest.mark.parametrize("order", ["source, sink", "sink, source"])
@pytest.mark.parametrize(("acknowledged", "proven"), [(100, [True]), (99, [])])
def test_lives_end_with_their_receivers_in_whatever_order_a_runner_tears_down(
    queue: MemoryQueue, tmp_path: Path, order: str, acknowledged: int, proven: list[bool]
) -> None:
    queue.put(b"%d" % number for number in range(100))
    stage = Stage(queue, tmp_path)
    stage.run(acknowledge=acknowledged)

    stage.tear_down(order)

    assert proofs(tmp_path) == proven
    assert not Lives._shared
    assert not RECEIVERS._close_hooks


def test_a_sink_that_is_set_up_again_while_its_receivers_are_open_goes_on_with_their_lives(
    queue: MemoryQueue, tmp_path: Path
) -> None:
    queue.put(b"%d" % number for number in range(150))
    stage = Stage(queue, tmp_path)
    stage.run(acknowledge=100)

    stage.sink.fn.teardown()
    stage.sink.fn.setup()
    stage.run(acknowledge=100)

    assert len(epochs(tmp_path)) == 1
    stage.tear_down("source, sink")
    assert proofs(tmp_path) == [True]
    assert lines(tmp_path) == list(range(150))
