"""What a receiver makes of what its flow hands over; the native library and its flow are stood in for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from solace.messaging.config._sol_constants import _SolClientFlowEvent

from flumebeam.batch import EventBatch
from flumebeam.clock import ManualClock
from flumebeam.errors import ConnectionFailedError, QueueError
from flumebeam.ids import DeliveryId, delivery_ids
from flumebeam.solace import _native, _queue_receiver, _receiver
from flumebeam.solace._receiver import FlowReceiver
from flumebeam.solace.config import SolaceOptions
from flumebeam.solace.flows import FlowOptions
from flumebeam.solace.incoming import ReceivedMessage

FLOW = 77


class StubFlow:
    def handle(self) -> int:
        return FLOW

    def terminate(self, _grace: int) -> None:
        pass


class StubReader:
    """Reads a handle that is the message itself."""

    def take(self, handle: Any) -> ReceivedMessage | None:
        if isinstance(handle, Exception):
            raise handle
        return None if handle is None else handle[0]

    def number(self, handle: Any) -> int:
        return handle[1]


class Unbound(FlowReceiver):
    def _bind(self, service: Any) -> Any:
        self._flow = StubFlow()  # type: ignore[assignment]
        self._reader = StubReader()  # type: ignore[assignment]
        return self._flow


@pytest.fixture
def acks(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    sent: list[tuple[int, int]] = []

    def send(flow: int, number: int) -> int:
        sent.append((flow, number))
        return 0

    monkeypatch.setattr(_native, "acknowledge", send)
    return sent


@pytest.fixture
def receiver(acks: list[tuple[int, int]]) -> FlowReceiver:
    return Unbound(None, SolaceOptions(host="b"), "q", None, FlowOptions(), lambda _: None)  # type: ignore[arg-type]


def hand_over(receiver: FlowReceiver, delivery: int, number: int, *, redelivered: bool = False) -> None:
    packed = DeliveryId(1, delivery).pack()
    receiver._on_message((ReceivedMessage(packed, redelivered, b"%d" % delivery, {}, "t"), number))  # type: ignore[arg-type]


def receive(receiver: FlowReceiver, count: int = 100) -> list[int]:
    return [int(event.body) for event in receiver.receive(count, 0).events()]


def acknowledge(receiver: FlowReceiver, *deliveries: int) -> None:
    receiver.acknowledge(delivery_ids([DeliveryId(1, delivery) for delivery in deliveries]))


def fences(batch: EventBatch) -> bool:
    assert batch.provenance is not None
    return batch.provenance.fence


def test_what_is_handed_over_twice_is_delivered_once(receiver: FlowReceiver) -> None:
    hand_over(receiver, 1, 11)
    hand_over(receiver, 1, 11)
    assert receive(receiver) == [1]

    hand_over(receiver, 1, 11, redelivered=True)
    hand_over(receiver, 2, 12)

    assert receive(receiver) == [2]


def test_a_message_that_came_under_a_new_number_is_acknowledged_by_it(
    receiver: FlowReceiver, acks: list[tuple[int, int]]
) -> None:
    hand_over(receiver, 1, 11)
    receive(receiver)
    hand_over(receiver, 1, 91, redelivered=True)

    acknowledge(receiver, 1)

    assert acks == [(FLOW, 91)]
    assert receiver.unacknowledged == 0


def test_a_message_that_comes_again_after_its_acknowledgement_is_acknowledged_again_and_not_delivered(
    receiver: FlowReceiver, acks: list[tuple[int, int]]
) -> None:
    hand_over(receiver, 1, 11)
    receive(receiver)
    acknowledge(receiver, 1)

    hand_over(receiver, 1, 91, redelivered=True)

    assert receive(receiver) == []
    assert acks == [(FLOW, 11), (FLOW, 91)]


def test_acknowledgements_are_remembered_up_to_a_limit(
    receiver: FlowReceiver, acks: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_queue_receiver, "_REMEMBERED", 2)
    for number in range(5):
        hand_over(receiver, number, number)
    receive(receiver)

    acknowledge(receiver, *range(5))

    assert len(receiver._acknowledged) == 2
    assert len(acks) == 5


def test_only_what_was_received_can_be_acknowledged(receiver: FlowReceiver, acks: list[tuple[int, int]]) -> None:
    hand_over(receiver, 1, 11)
    hand_over(receiver, 2, 12)
    assert receive(receiver, 1) == [1]

    acknowledge(receiver, 1, 2, 3)
    acknowledge(receiver, 1)

    assert acks == [(FLOW, 11)]
    assert receive(receiver) == [2]


def test_a_batch_ends_before_what_asks_for_a_fence(receiver: FlowReceiver) -> None:
    hand_over(receiver, 1, 1)
    hand_over(receiver, 2, 2)
    receiver.fence()
    receiver.fence()
    hand_over(receiver, 3, 3)
    hand_over(receiver, 4, 4)

    batches = [receiver.receive(100, 0) for _ in range(2)]

    assert [[int(event.body) for event in batch.events()] for batch in batches] == [[1, 2], [3, 4]]
    assert [fences(batch) for batch in batches] == [True, True]
    hand_over(receiver, 5, 5)
    assert not fences(receiver.receive(100, 0))


def test_a_fence_waits_for_the_message_that_comes_after_it(receiver: FlowReceiver) -> None:
    hand_over(receiver, 1, 1)
    receive(receiver)
    receiver.fence()
    assert receive(receiver) == []
    assert receive(receiver) == []

    hand_over(receiver, 2, 2)

    assert fences(receiver.receive(100, 0))


@pytest.mark.parametrize(
    ("handle", "told"), [(ValueError("odd"), "cannot be read: ValueError"), (None, "version 10 or later")]
)
def test_a_message_that_cannot_be_read_ends_receiving_with_an_error(
    receiver: FlowReceiver, handle: Any, told: str
) -> None:
    receiver._on_message(handle)

    with pytest.raises(QueueError, match=told):
        receiver.receive(1, 0)
    with pytest.raises(QueueError, match=told):
        acknowledge(receiver, 1)


def test_the_first_failure_counts(receiver: FlowReceiver) -> None:
    receiver.fail(QueueError("first"))
    receiver.fail(QueueError("second"))

    with pytest.raises(QueueError, match="first"):
        receiver.receive(1, 0)


def test_a_flow_that_takes_no_acknowledgement_keeps_the_delivery_open(
    receiver: FlowReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    hand_over(receiver, 1, 11)
    receive(receiver)
    monkeypatch.setattr(_native, "acknowledge", lambda flow, number: -1)

    with pytest.raises(ConnectionFailedError, match="cannot be acknowledged"):
        acknowledge(receiver, 1)

    assert receiver.unacknowledged == 1


@pytest.mark.parametrize(("name", "limit"), [("_MAX_BUFFERED_MESSAGES", 4), ("_MAX_BUFFERED_BYTES", 3)])
def test_the_flow_stops_at_the_limit_and_starts_at_half_of_it(
    receiver: FlowReceiver, monkeypatch: pytest.MonkeyPatch, name: str, limit: int
) -> None:
    turns: list[str] = []

    def turn(what: str) -> Any:
        def act(_flow: int) -> int:
            turns.append(what)
            return 0

        return act

    monkeypatch.setattr(_receiver, name, limit)
    monkeypatch.setattr(_native, "stop_flow", turn("stop"))
    monkeypatch.setattr(_native, "start_flow", turn("start"))
    for number in range(3):
        hand_over(receiver, number, number)
    assert turns == ["stop"]
    hand_over(receiver, 3, 3)
    assert turns == ["stop"]

    assert receive(receiver, 1) == [0]
    assert turns == ["stop"]
    assert receive(receiver) == [1, 2, 3]

    assert turns == ["stop", "start"]


def test_a_receiver_tells_how_old_its_oldest_open_delivery_is_and_how_long_acknowledged_ones_had_waited(
    acks: list[tuple[int, int]],
) -> None:
    clock = ManualClock()
    receiver = Unbound(None, SolaceOptions(host="b"), "q", None, FlowOptions(), lambda _: None, clock)  # type: ignore[arg-type]
    assert (receiver.oldest_age, receiver.acknowledged_after) == (0.0, None)
    for number in (1, 2):
        hand_over(receiver, number, 10 + number)
        receive(receiver)
        clock.advance(30)

    assert receiver.oldest_age == 60
    acknowledge(receiver, 1)
    assert (receiver.oldest_age, receiver.acknowledged_after) == (30, 60)
    acknowledge(receiver, 1, 2)
    assert (receiver.oldest_age, receiver.acknowledged_after) == (0, 30)
    acknowledge(receiver, 2)
    assert receiver.acknowledged_after is None
    assert acks == [(FLOW, 11), (FLOW, 12)]


@pytest.mark.parametrize(
    ("spoil", "settled"),
    [
        (lambda receiver: None, True),
        (lambda receiver: hand_over(receiver, 2, 12), True),
        (lambda receiver: (hand_over(receiver, 2, 12), receive(receiver)), False),
        (lambda receiver: receiver._on_event(_SolClientFlowEvent.SOLCLIENT_FLOW_EVENT_RECONNECTING.value), False),
        (lambda receiver: receiver.fail(QueueError("odd")), False),
    ],
    ids=["nothing", "buffered", "handed out", "flow went down", "failed"],
)
@pytest.mark.usefixtures("acks")
def test_a_receiver_is_settled_if_all_it_handed_out_was_acknowledged_on_one_unbroken_flow(
    receiver: FlowReceiver, spoil: Callable[[FlowReceiver], None], settled: bool
) -> None:
    receiver._on_event(_SolClientFlowEvent.SOLCLIENT_FLOW_EVENT_UP_NOTICE.value)
    hand_over(receiver, 1, 11)
    receive(receiver)
    acknowledge(receiver, 1)
    spoil(receiver)
    assert not receiver.settled

    receiver.close()

    assert receiver.settled is settled
