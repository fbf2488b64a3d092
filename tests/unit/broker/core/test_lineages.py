"""Consumer flows over reconnects: nothing is taken for a duplicate, nothing that the client holds comes twice."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flumebeam.smf.assuredctrl import AckRange, ConsumerAck, FlowType, Outcome
from tests.unit.broker.conftest import World


class Consumer:
    """A client as the vendor's library is: it keeps what it has received, and drops what its last id covers.

    Args:
        world: Where it connects.
        name: Client name.
        window: Messages that it takes at once.
    """

    def __init__(self, world: Any, name: str = "app", window: int = 255) -> None:
        self.world, self.name, self.window = world, name, window
        self.last_received = 0
        self.token: int | None = None
        self.held: dict[int, bytes] = {}
        self.dropped = 0
        self.bind()

    def bind(self) -> None:
        self.peer = self.world.client(self.name)
        options = {"last_received": self.last_received} if self.last_received else {}
        bound = self.peer.bind(window=0, endpoint_error_id=self.token, **options)
        self.flow_id, self.token = bound.flow_id, bound.endpoint_error_id
        self.receive()

    def receive(self) -> list[bytes]:
        """Confirm what has come, open the window, and return what came."""
        got: list[bytes] = []
        self.peer.ack(self.flow_id, self.last_received, window=self.window)
        for message in self.peer.deliveries():
            message_id = message.parameters.message_id
            if message_id <= self.last_received:
                self.dropped += 1
                continue
            self.last_received = message_id
            self.held[message_id] = message.body
            got.append(message.body)
        return got

    def cut(self, *, arrives: bool = True) -> None:
        """Lose the connection, with or without having read what was under way, and come back."""
        if arrives:
            self.receive()
        self.peer.leave()
        self.bind()

    def settle(self, *bodies: bytes, outcome: Outcome = Outcome.ACCEPTED) -> None:
        for message_id in [number for number, body in self.held.items() if body in bodies]:
            del self.held[message_id]
            self.peer.ack(
                self.flow_id, self.last_received, AckRange(message_id, message_id, outcome), window=self.window
            )
        self.receive()


def fill(world: Any, *bodies: bytes) -> None:
    peer = world.client("publisher")
    peer.publish(peer.publisher().flow_id, *bodies)
    peer.leave()


def status(world: Any) -> tuple[int, int]:
    queue = world.engine.queue("q")
    return queue.messages, queue.unacknowledged


def test_older_message_that_was_never_delivered_is_not_taken_for_a_duplicate(world: Any) -> None:
    fill(world, b"a", b"b", b"c")
    client = Consumer(world, window=1)
    client.settle(b"a", outcome=Outcome.FAILED)
    assert list(client.held.values()) == [b"a"]
    client.window = 0
    client.settle(b"a")
    client.window = 255
    client.cut()

    assert list(client.held.values()) == [b"b", b"c"]
    assert client.dropped == 0


def test_what_the_client_holds_is_not_sent_again_and_settled_by_its_old_id(world: Any) -> None:
    fill(world, b"a", b"b", b"c")
    client = Consumer(world)
    client.cut()
    assert client.dropped == 0
    assert client.receive() == []
    assert status(world) == (3, 3)
    client.settle(b"b")
    client.cut()
    client.settle(b"a", b"c")

    assert status(world) == (0, 0)


def test_what_the_client_holds_takes_up_its_window_until_it_is_confirmed(world: Any) -> None:
    # A transacted session confirms what its application has taken, and has no place for what comes beyond the window.
    fill(world, b"a", b"b", b"c")
    client = Consumer(world, window=2)
    client.window = 0
    client.receive()
    client.cut()
    client.peer.ack(client.flow_id, min(client.held), window=2)

    assert [message.body for message in client.peer.deliveries()] == [b"c"]


def test_what_was_under_way_comes_again_and_in_order(world: Any) -> None:
    fill(world, b"a", b"b", b"c")
    client = Consumer(world, window=1)
    client.window = 255
    client.peer.ack(client.flow_id, client.last_received)
    client.cut(arrives=False)

    assert list(client.held.values()) == [b"a", b"b", b"c"]
    assert sorted(client.held) == list(client.held)
    assert client.dropped == 0


def test_client_that_forgot_gets_everything_again(world: Any) -> None:
    # So does the vendor's client after a commit whose fate it does not know.
    fill(world, b"a", b"b")
    client = Consumer(world)
    client.held.clear()
    client.last_received = 0
    client.cut(arrives=False)

    assert list(client.held.values()) == [b"a", b"b"]


def test_what_somebody_else_got_meanwhile_stays_with_him_and_comes_back_under_a_higher_id(world: Any) -> None:
    fill(world, b"a", b"b")
    first = Consumer(world, "first")
    second = Consumer(world, "second", window=1)
    first.peer.leave()
    assert second.receive() == [b"a"]
    first.bind()
    assert status(world) == (2, 1)
    second.peer.leave()
    first.receive()

    # Its own copies can no longer be settled: they come once more.
    assert list(first.held.values()) == [b"a", b"b", b"a", b"b"]
    first.settle(b"a", b"b")
    assert status(world) == (0, 0)


def test_standby_flow_goes_on_with_nothing(world: Any) -> None:
    fill(world, b"a", b"b")
    first = Consumer(world, "first")
    second = Consumer(world, "second", window=0)
    first.peer.leave()
    first.bind()
    assert status(world) == (2, 0)
    second.window = 255
    second.receive()

    assert list(second.held.values()) == [b"a", b"b"]


def test_two_flows_of_one_client_get_each_its_own(world: Any) -> None:
    world.engine.create_queue("both", "non-exclusive", ["t/>"])
    fill(world, b"a", b"b", b"c", b"d")
    peer = world.client()
    flows = [peer.bind("both"), peer.bind("both")]
    for bound in flows:
        peer.ack(bound.flow_id, window=2)
    first = {message.parameters.flow_id: message.parameters.message_id for message in peer.deliveries()}
    peer.leave()
    peer = world.client()
    again = [
        peer.bind("both", endpoint_error_id=bound.endpoint_error_id, last_received=first[bound.flow_id])
        for bound in reversed(flows)
    ]
    for bound in again:
        peer.ack(bound.flow_id)
    assert peer.deliveries() == []
    for bound, before in zip(again, reversed(flows), strict=True):
        peer.ack(bound.flow_id, first[before.flow_id], AckRange(0, first[before.flow_id]))

    assert world.engine.queue("both").messages == 0


def test_settled_outside_while_it_was_away_is_gone(world: Any) -> None:
    fill(world, b"a", b"b")
    client = Consumer(world)
    client.peer.leave()
    browser = world.client("browser")
    flow = browser.bind(flow_type=FlowType.BROWSER, window=255).flow_id
    oldest = min(client.held)
    browser.ack(flow, 0, AckRange(oldest, oldest))
    client.bind()

    assert status(world) == (1, 1)


def test_name_or_token_of_another_gives_nothing(world: Any) -> None:
    fill(world, b"a")
    client = Consumer(world)
    client.peer.leave()
    thief = world.client("thief")
    bound = thief.bind(endpoint_error_id=client.token, last_received=client.last_received)
    assert status(world) == (1, 0)
    thief.ack(bound.flow_id)

    assert [message.body for message in thief.deliveries()] == [b"a"]


def test_what_a_client_holds_is_forgotten_after_its_time(make_world: Callable[..., Any]) -> None:
    world = make_world(session_retention_seconds=10)
    world.engine.create_queue("q", "exclusive", ["t/>"])
    fill(world, b"a")
    client = Consumer(world)
    client.peer.leave()
    world.tick(11)
    client.bind()

    assert client.dropped == 0
    assert list(client.held.values()) == [b"a", b"a"]


def test_browser_goes_on_behind_what_it_has_shown(world: Any) -> None:
    fill(world, b"a", b"b", b"c")
    peer = world.client()
    bound = peer.bind(flow_type=FlowType.BROWSER)
    peer.ack(bound.flow_id, window=2)
    last = peer.deliveries()[-1].parameters.message_id
    peer.leave()
    peer = world.client()
    peer.ack(peer.bind(flow_type=FlowType.BROWSER, last_received=last).flow_id)

    assert [message.body for message in peer.deliveries()] == [b"c"]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.randoms(use_true_random=False), st.sampled_from(["exclusive", "non-exclusive"]))
def test_everything_is_settled_in_the_end_and_nothing_stalls(chance: random.Random, access: str) -> None:
    world = World()
    world.engine.create_queue("q", access, ["t/>"])
    clients = [Consumer(world, name, window=chance.randint(1, 5)) for name in ("one", "two")]
    published = 0
    for _ in range(chance.randint(1, 40)):
        client = chance.choice(clients)
        some = chance.sample(sorted(client.held.values()), min(len(client.held), chance.randint(0, 3)))
        action = chance.choice(("publish", "settle", "fail", "cut", "cut unread"))
        if action == "publish":
            count = chance.randint(1, 6)
            fill(world, *(b"%d" % number for number in range(published, published + count)))
            published += count
        elif action == "settle":
            client.settle(*some)
        elif action == "fail":
            client.settle(*some, outcome=Outcome.FAILED)
        else:
            client.cut(arrives=action == "cut")
        assert client.dropped == 0
    for _ in range(2 * published + 2):
        for client in clients:
            client.settle(*client.held.values())

    assert status(world) == (0, 0)
    assert sum(client.dropped for client in clients) == 0


@pytest.mark.parametrize("kind", ["rollback", "commit"])
def test_transaction_goes_on_with_what_was_received_before_the_cut(world: Any, kind: str) -> None:
    fill(world, b"a", b"b")
    peer = world.client()
    opened = peer.session()
    bound = peer.bind(session_id=opened.session_id)
    peer.ack(bound.flow_id)
    ids = [message.parameters.message_id for message in peer.deliveries()]
    peer.leave()
    peer = world.client()
    peer.session(session_name=opened.session_name)
    bound = peer.bind(
        session_id=opened.session_id, last_received=ids[-1], endpoint_error_id=bound.endpoint_error_id, window=255
    )
    assert status(world) == (2, 2)
    if kind == "commit":
        answer = peer.commit(None, ConsumerAck(bound.flow_id, ids[0], ids[-1], 2, ids[-1], 255))
        assert answer.response.code == 200
        assert status(world) == (0, 0)
    else:
        peer.send(peer.ending(3))
        again = peer.deliveries()
        assert [message.body for message in again] == [b"a", b"b"]
        assert again[0].parameters.previous_id == 0
        assert again[0].parameters.message_id > ids[-1]
