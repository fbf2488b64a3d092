from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from flumebeam.deliveries import Receiver
from flumebeam.errors import ConnectionFailedError, QueueError, ReceiverLostError
from flumebeam.testing.memory_queue import MemoryQueue, MemoryReceiver, MemoryReceiverFactory
from flumebeam.transforms.receivers import ReceiverRegistry, SourceUser


@pytest.fixture
def queue(request: pytest.FixtureRequest) -> Iterator[MemoryQueue]:
    made = MemoryQueue(request.node.nodeid)
    made.put([b"a", b"b", b"c"])
    yield made
    made.remove()


@pytest.fixture
def registry() -> ReceiverRegistry:
    return ReceiverRegistry()


def acquire(registry: ReceiverRegistry, user: SourceUser, queue: MemoryQueue, **options: bool) -> Receiver:
    return registry.acquire(user, 0, MemoryReceiverFactory(queue.name), **options)


def test_bundles_of_one_flow_take_turns_on_one_receiver(registry: ReceiverRegistry, queue: MemoryQueue) -> None:
    first, second = registry.join("source"), registry.join("source")

    assert acquire(registry, first, queue) is acquire(registry, second, queue) is acquire(registry, first, queue)
    assert len(queue.opened) == 1


def test_flows_and_sources_have_receivers_of_their_own(registry: ReceiverRegistry, queue: MemoryQueue) -> None:
    one, other = registry.join("one"), registry.join("other")
    factory = MemoryReceiverFactory(queue.name)

    receivers = {id(registry.acquire(user, flow, factory)) for user in (one, other) for flow in (0, 1)}

    assert len(receivers) == 4


def test_acknowledgement_finds_the_receiver_by_its_id(registry: ReceiverRegistry, queue: MemoryQueue) -> None:
    batch = acquire(registry, registry.join("source"), queue).receive(2, 0)
    assert batch.provenance is not None

    registry.acknowledge(batch.provenance.receiver, batch.provenance.ids)

    assert queue.acknowledged == [b"a", b"b"]


def test_acknowledging_for_an_unknown_receiver_fails_loudly(registry: ReceiverRegistry, queue: MemoryQueue) -> None:
    user = registry.join("source")
    batch = acquire(registry, user, queue).receive(2, 0)
    assert batch.provenance is not None
    registry.leave(user)

    with pytest.raises(ReceiverLostError, match="2 durable deliveries"):
        registry.acknowledge(batch.provenance.receiver, batch.provenance.ids)


def test_the_last_user_closes_the_receivers(registry: ReceiverRegistry, queue: MemoryQueue) -> None:
    first, second = registry.join("source"), registry.join("source")
    acquire(registry, first, queue)

    registry.leave(first)
    assert len(queue.open) == 1
    registry.leave(second)

    assert not queue.open
    assert not registry.open_receivers


def test_a_receiver_that_holds_deliveries_of_a_failed_bundle_is_closed_before_it_is_used_again(
    registry: ReceiverRegistry, queue: MemoryQueue
) -> None:
    failed, next_one = registry.join("source"), registry.join("source")
    acquire(registry, failed, queue).receive(2, 0)

    batch = acquire(registry, next_one, queue).receive(10, 0)

    assert batch.bodies.to_pylist() == [b"a", b"b", b"c"]
    assert len(queue.open) == 1


def test_deliveries_of_the_instance_itself_are_on_their_way_and_stay_open(
    registry: ReceiverRegistry, queue: MemoryQueue
) -> None:
    user = registry.join("source")
    acquire(registry, user, queue).receive(2, 0)

    assert acquire(registry, user, queue).unacknowledged == 2


def test_a_leaving_user_takes_a_receiver_with_it_that_its_failed_bundle_read_from(
    registry: ReceiverRegistry, queue: MemoryQueue
) -> None:
    failed = registry.join("source")
    registry.join("source")
    acquire(registry, failed, queue).receive(2, 0)

    registry.leave(failed)

    assert not queue.open
    assert len(queue) == 3


def test_bundles_that_are_settled_later_share_a_receiver_with_open_deliveries(
    registry: ReceiverRegistry, queue: MemoryQueue
) -> None:
    first, second = registry.join("source"), registry.join("source")
    receiver = acquire(registry, first, queue, settled_later=True)
    receiver.receive(1, 0)
    registry.hold(first, receiver.receiver_id)

    assert acquire(registry, second, queue, settled_later=True) is receiver


def test_a_user_whose_bundles_are_all_settled_leaves_the_receiver_to_the_others(
    registry: ReceiverRegistry, queue: MemoryQueue
) -> None:
    first, second = registry.join("source"), registry.join("source")
    receiver = acquire(registry, first, queue, settled_later=True)
    for _ in range(2):
        registry.hold(first, receiver.receiver_id)
    registry.settle(first, receiver.receiver_id)
    registry.settle(first, receiver.receiver_id)
    acquire(registry, second, queue, settled_later=True).receive(1, 0)

    registry.leave(first)

    assert len(queue.open) == 1


def test_a_user_that_leaves_an_unsettled_bundle_behind_takes_the_receiver_with_it(
    registry: ReceiverRegistry, queue: MemoryQueue
) -> None:
    first, second = registry.join("source"), registry.join("source")
    receiver = acquire(registry, first, queue, settled_later=True)
    for _ in range(2):
        registry.hold(first, receiver.receiver_id)
    registry.settle(first, receiver.receiver_id)
    acquire(registry, second, queue, settled_later=True)

    registry.leave(first)

    assert not queue.open


def test_an_abandoned_receiver_is_closed_and_replaced(registry: ReceiverRegistry, queue: MemoryQueue) -> None:
    user = registry.join("source")
    refused = acquire(registry, user, queue)
    refused.receive(2, 0)

    registry.abandon(refused.receiver_id)
    registry.abandon(refused.receiver_id)

    assert acquire(registry, user, queue).receive(10, 0).bodies.to_pylist() == [b"a", b"b", b"c"]


def test_only_what_failed_is_given_back_before_its_receiver_is_closed(
    registry: ReceiverRegistry, queue: MemoryQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed: list[tuple[str, bool]] = []
    monkeypatch.setattr(
        MemoryReceiver,
        "give_back",
        lambda self: failed.append((self.receiver_id, self.receiver_id in queue.open)),
        raising=False,
    )
    first, second, third = (registry.join("source") for _ in range(3))
    acquire(registry, first, queue).receive(1, 0)
    acquire(registry, second, queue).receive(1, 0)  # the bundle of the first has failed
    registry.abandon(acquire(registry, second, queue).receiver_id)
    acquire(registry, second, queue).receive(1, 0)
    registry.leave(second)
    acquire(registry, third, queue)
    for user in (first, third):
        registry.leave(user)

    assert len(queue.opened) == 4
    assert failed == [(receiver, True) for receiver in queue.opened[:3]]


def test_silence_is_told_of_a_receiver_that_is_served_and_owes_nothing(
    registry: ReceiverRegistry, queue: MemoryQueue
) -> None:
    user = registry.join("source")
    receiver = acquire(registry, user, queue)
    assert registry.silence(receiver.receiver_id) is None
    registry.note_silence(user, 0, 7)
    batch = receiver.receive(3, 0)
    assert batch.provenance is not None
    assert registry.silence(receiver.receiver_id) is None

    registry.acknowledge(receiver.receiver_id, batch.provenance.ids)

    assert registry.silence(receiver.receiver_id) == 7


def test_silence_of_a_standby_says_nothing(registry: ReceiverRegistry, queue: MemoryQueue) -> None:
    class Standby(MemoryReceiver):
        active = False

    class Factory:
        source = queue.name

        def open(self, before_bind: Callable[[str], None]) -> Receiver:
            return Standby(queue, before_bind)

    user = registry.join("source")
    receiver = registry.acquire(user, 0, Factory())
    registry.note_silence(user, 0, 7)

    assert registry.silence(receiver.receiver_id) is None


class Served(MemoryReceiver):
    active = True


@dataclass(frozen=True)
class ServedFactory(MemoryReceiverFactory):
    def open(self, before_bind: Callable[[str], None]) -> MemoryReceiver:
        return Served(MemoryQueue.named(self.source), before_bind)


def test_the_first_silence_of_a_receiver_that_is_served_is_told_once(
    registry: ReceiverRegistry, queue: MemoryQueue
) -> None:
    told: list[str] = []
    registry.on_silence(told.append)
    user = registry.join("source")
    receiver = registry.acquire(user, 0, ServedFactory(queue.name))
    assert isinstance(receiver, Served)
    receiver.active = False
    registry.note_silence(user, 0, 6)
    assert told == []

    receiver.active = True
    registry.note_silence(user, 0, 7)
    registry.note_silence(user, 0, 8)

    assert told == [receiver.receiver_id]


def test_no_silence_is_told_of_a_receiver_whose_source_does_not_say_that_it_is_served(
    registry: ReceiverRegistry, queue: MemoryQueue
) -> None:
    told: list[str] = []
    registry.on_silence(told.append)
    user = registry.join("source")
    acquire(registry, user, queue)

    registry.note_silence(user, 0, 7)

    assert told == []


def test_silence_is_known_while_a_receiver_closes_and_forgotten_then(
    registry: ReceiverRegistry, queue: MemoryQueue
) -> None:
    user = registry.join("source")
    receiver = acquire(registry, user, queue)
    registry.note_silence(user, 0, 7)
    seen: list[int | None] = []
    registry.after_close(lambda receiver_id, _settled: seen.append(registry.silence(receiver_id)))

    registry.leave(user)

    assert seen == [7]
    assert registry.silence(receiver.receiver_id) is None


def test_hooks_run_before_each_bind_with_source_and_receiver(registry: ReceiverRegistry, queue: MemoryQueue) -> None:
    seen: list[tuple[str, str, int]] = []
    with registry.before_bind(lambda source, receiver: seen.append((source, receiver, len(queue.opened)))):
        acquire(registry, registry.join("one"), queue)
        acquire(registry, registry.join("other"), queue)
    acquire(registry, registry.join("third"), queue)

    assert seen == [(queue.name, queue.opened[0], 0), (queue.name, queue.opened[1], 1)]


def test_a_hook_that_fails_stops_the_bind(registry: ReceiverRegistry, queue: MemoryQueue) -> None:
    def refuse(source: str, receiver: str) -> None:
        raise QueueError("No epoch.")

    with registry.before_bind(refuse), pytest.raises(QueueError):
        acquire(registry, registry.join("source"), queue)

    assert not queue.opened
    assert not registry.open_receivers


def test_hooks_are_told_after_each_close_whether_all_acknowledgements_have_arrived(
    registry: ReceiverRegistry, queue: MemoryQueue
) -> None:
    seen: list[tuple[str, bool, bool]] = []
    with registry.after_close(lambda receiver, settled: seen.append((receiver, settled, receiver in queue.open))):
        # Everything acknowledged.
        user = registry.join("source")
        batch = acquire(registry, user, queue).receive(2, 0)
        assert batch.provenance is not None
        registry.acknowledge(batch.provenance.receiver, batch.provenance.ids)
        registry.leave(user)
        # A failed bundle, before its receiver is used again.
        failed, following = registry.join("source"), registry.join("source")
        acquire(registry, failed, queue).receive(1, 0)
        abandoned = acquire(registry, following, queue)
        # Refused by a sink.
        abandoned.receive(1, 0)
        registry.abandon(abandoned.receiver_id)
        # The end of the process.
        acquire(registry, following, queue)
        registry.shut_down()

    assert seen == [(receiver, settled, False) for receiver, settled in zip(queue.opened, (1, 0, 0, 1), strict=True)]


def test_a_removed_hook_is_told_nothing(registry: ReceiverRegistry, queue: MemoryQueue) -> None:
    seen: list[str] = []
    registry.after_close(lambda receiver, settled: seen.append(receiver)).remove()
    user = registry.join("source")
    acquire(registry, user, queue)

    registry.leave(user)

    assert len(queue.opened) == 1
    assert not seen


class StuckReceiver(MemoryReceiver):
    """Cannot be closed in order."""

    def close(self) -> bool:
        super().close()
        raise ConnectionFailedError("No answer.")


class StuckFactory:
    def __init__(self, queue: MemoryQueue) -> None:
        self.source = queue.name

    def open(self, before_bind: Callable[[str], None]) -> MemoryReceiver:
        return StuckReceiver(MemoryQueue.named(self.source), before_bind)


def test_a_close_that_fails_proves_nothing_and_others_are_closed_all_the_same(
    registry: ReceiverRegistry, queue: MemoryQueue
) -> None:
    user = registry.join("source")
    for flow in range(2):
        registry.acquire(user, flow, StuckFactory(queue))
    seen: list[tuple[str, bool]] = []

    with registry.after_close(lambda *told: seen.append(told)), pytest.raises(ConnectionFailedError):
        registry.leave(user)

    assert seen == [(receiver, False) for receiver in queue.opened]
    assert not queue.open


def test_a_user_that_has_left_opens_nothing(registry: ReceiverRegistry, queue: MemoryQueue) -> None:
    user = registry.join("source")
    registry.leave(user)
    registry.leave(user)

    with pytest.raises(ReceiverLostError):
        acquire(registry, user, queue)
    assert not queue.opened


def test_after_shutdown_nothing_is_opened(registry: ReceiverRegistry, queue: MemoryQueue) -> None:
    user = registry.join("source")
    acquire(registry, user, queue)

    registry.shut_down()

    assert not queue.open
    with pytest.raises(ReceiverLostError):
        acquire(registry, user, queue)


class SlowFactory:
    """Opens a receiver only after a test lets it go on."""

    def __init__(self, queue: MemoryQueue) -> None:
        self.source = queue.name
        self.entered = threading.Event()
        self.go_on = threading.Event()

    def open(self, before_bind: Callable[[str], None]) -> MemoryReceiver:
        self.entered.set()
        assert self.go_on.wait(60)
        return MemoryReceiver(MemoryQueue.named(self.source), before_bind)


def test_a_receiver_that_opens_while_its_user_leaves_is_closed(registry: ReceiverRegistry, queue: MemoryQueue) -> None:
    user, factory = registry.join("source"), SlowFactory(queue)
    errors: list[BaseException] = []

    def open_it() -> None:
        try:
            registry.acquire(user, 0, factory)
        except ReceiverLostError as error:
            errors.append(error)

    thread = threading.Thread(target=open_it)
    thread.start()
    assert factory.entered.wait(60)
    registry.leave(user)
    factory.go_on.set()
    thread.join(60)

    assert len(errors) == 1
    assert len(queue.opened) == 1
    assert not queue.open


def test_two_instances_that_come_at_once_open_one_receiver(registry: ReceiverRegistry, queue: MemoryQueue) -> None:
    factory, found = SlowFactory(queue), []
    users = [registry.join("source") for _ in range(2)]
    threads = [
        threading.Thread(target=lambda user=user: found.append(registry.acquire(user, 0, factory))) for user in users
    ]
    for thread in threads:
        thread.start()
    assert factory.entered.wait(60)
    factory.go_on.set()
    for thread in threads:
        thread.join(60)

    assert found[0] is found[1]
    assert len(queue.opened) == 1


def test_acknowledging_does_not_wait_for_an_opening_receiver(registry: ReceiverRegistry, queue: MemoryQueue) -> None:
    batch = acquire(registry, registry.join("fast"), queue).receive(1, 0)
    slow, factory = registry.join("slow"), SlowFactory(queue)
    thread = threading.Thread(target=registry.acquire, args=(slow, 0, factory))
    thread.start()
    assert factory.entered.wait(60)

    assert batch.provenance is not None
    registry.acknowledge(batch.provenance.receiver, batch.provenance.ids)
    acknowledged = list(queue.acknowledged)
    factory.go_on.set()
    thread.join(60)

    assert acknowledged == [b"a"]
