"""A broker without sockets, and clients that speak to it in messages."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flumebeam.broker.config import BrokerConfig
from flumebeam.broker.core.engine import Engine
from flumebeam.broker.fault_plan import FaultPlan
from flumebeam.broker.store import Store
from flumebeam.smf.assuredctrl import AckRange, AssuredControl, AssuredKind, ConsumerAck, PublisherNotify
from flumebeam.smf.clientctrl import ClientControl
from flumebeam.smf.header import Flag
from flumebeam.smf.messages import AnyMessage, Message, decode_frame
from flumebeam.smf.params import HeaderParameters
from flumebeam.smf.stream import FrameReader
from flumebeam.smf.subctrl import SubscriptionControl, SubscriptionKind
from tests.unit.broker.lives import keeping

SPOOLER = 1 << 60
EPOCH_MS = 1_700_000_000_000


class World:
    """An engine, the time, and what it reported."""

    def __init__(self, **options: Any) -> None:
        self.now = 100.0
        self.faults = FaultPlan()
        self.lines: list[str] = []
        self.config = BrokerConfig(port=0, **options)
        self.engine = Engine(self.config, self.faults, SPOOLER, EPOCH_MS, self.lines.append, self.now)

    def stranger(self) -> Peer:
        """Return a connection that has not logged in."""
        return Peer(self)

    def client(self, name: str = "app", **login: Any) -> Peer:
        """Return a connection that has."""
        peer = Peer(self)
        reply = peer.login(name, **login)
        assert reply.response is not None
        assert reply.response.code == 200
        return peer

    def transacted(self, name: str = "app", **login: Any) -> tuple[Peer, int]:
        """Return a client with a transacted session, and its publisher flow."""
        peer = self.client(name, **login)
        session = peer.session().session_id
        return peer, peer.publisher(session_id=session).flow_id

    def tick(self, seconds: float) -> None:
        self.now += seconds
        self.engine.tick(self.now)


class Peer:
    """The client's side of one connection."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.connection = world.engine.connect(world.now, "10.0.0.1:5")
        self._reader = FrameReader(100_000_000)
        self._tag = 0
        self.ids: dict[int, int] = {}
        """Last message id by publisher flow."""
        self.staged = 0
        self.transaction = 0
        self.session_id = 0

    # Bytes

    def feed(self, data: bytes) -> None:
        self.world.engine.receive(self.connection, data, self.world.now)

    def send(self, *messages: AnyMessage) -> None:
        self.feed(b"".join(message.encode() for message in messages))

    def received(self) -> list[Any]:
        """Return what the broker has sent since the last call."""
        output = self.connection.take_output()
        self.connection.make_room()
        return [decode_frame(frame) for frame in self._reader.receive(output)]

    def deliveries(self) -> list[Message]:
        """Return the messages among what was received."""
        return [message for message in self.received() if isinstance(message, Message)]

    def bodies(self) -> list[bytes]:
        """Return the bodies of the messages among what was received."""
        return bodies(self.deliveries())

    def ask(self, message: Any) -> Any:
        """Send a request with a correlation tag and return its one answer, leaving out deliveries."""
        self._tag += 1
        self.send(replace(message, correlation=self._tag))
        answers = [m for m in self.received() if getattr(m, "correlation", None) == self._tag]
        assert len(answers) == 1
        return answers[0]

    def leave(self) -> None:
        """Lose the connection."""
        self.world.engine.disconnect(self.connection, self.world.now)

    # Conversations

    def login(self, name: str = "app", **login: Any) -> ClientControl:
        options = {"username": "default", "password": "", "vpn": "default", "keepalive_seconds": 3} | login
        self.send(ClientControl(client_name=name, **options))
        (reply,) = self.received()
        assert isinstance(reply, ClientControl)
        return reply

    def publisher(self, **options: Any) -> Any:
        """Open a publisher flow."""
        request = AssuredControl(
            kind=AssuredKind.OPEN_PUBLISHER, **({"last_acked": 0, "last_sent": 0, "window": 255} | options)
        )
        opened = self.ask(request)
        if opened.response.code == 200:
            self.ids[opened.flow_id] = opened.last_sent
        return opened

    def publish(self, flow_id: int, *bodies: bytes, topic: str = "t/1", **options: Any) -> None:
        """Send guaranteed messages, all in one piece."""
        messages = []
        for body in bodies:
            previous_id = self.ids[flow_id]
            self.ids[flow_id] = message_id = previous_id + 1
            messages.append(self.message(flow_id, message_id, previous_id, body, topic, **options))
        self.staged += len(messages)
        self.send(*messages)

    @staticmethod
    def message(
        flow_id: int, message_id: int, previous_id: int, body: bytes = b"", topic: str = "t/1", **options: Any
    ) -> Message:
        parameters = HeaderParameters(
            topic=topic,
            priority=4,
            delivery_mode=1,
            publisher_id=flow_id,
            flow_id=flow_id,
            message_id=message_id,
            previous_id=previous_id,
            **options,
        )
        return Message(parameters=parameters, body=body, flags=Flag.ASSURED | Flag.DMQ_ELIGIBLE)

    def direct(self, body: bytes, topic: str = "t/1") -> None:
        self.send(Message(parameters=HeaderParameters(topic=topic, priority=4), body=body, flags=Flag.DMQ_ELIGIBLE))

    def subscribe(self, topic: str, queue: str | None = None, **options: Any) -> Any:
        kind = SubscriptionKind.ADD if queue is None else SubscriptionKind.ADD_TO_QUEUE
        return self.ask(SubscriptionControl(**({"kind": kind, "topic": topic, "target": queue} | options)))

    def bind(self, queue: str = "q", **options: Any) -> Any:
        """Bind to a queue and return the answer; deliveries that came with it are lost, so bind with window 0."""
        defaults = {"window": 0, "durability": 1, "wants_flow_changes": 1}
        return self.ask(AssuredControl(kind=AssuredKind.BIND, queue=queue, **(defaults | options)))

    def ack(self, flow_id: int, last: int = 0, *ranges: AckRange, window: int | None = 255) -> None:
        self.send(AssuredControl(kind=AssuredKind.ACK, flow_id=flow_id, last_acked=last, window=window, acks=ranges))

    def consume(self, queue: str = "q", **options: Any) -> int:
        """Bind with an open window and return the flow id; deliveries wait in ``received``."""
        flow_id: int = self.bind(queue, **options).flow_id
        self.ack(flow_id)
        return flow_id

    def session(self, **options: Any) -> Any:
        """Open a transacted session."""
        defaults = {"transaction_kind": 0, "transaction": (0, 1), "session_name": ""}
        opened = self.ask(AssuredControl(kind=AssuredKind.TRANSACTION, **(defaults | options)))
        self.session_id = opened.session_id
        return opened

    def ending(self, kind: int, **options: Any) -> AssuredControl:
        """Return a commit (2) or rollback (3) request of the next transaction."""
        self.transaction += 1
        defaults = {"session_id": self.session_id, "transaction": (self.transaction, self.transaction + 1)}
        return AssuredControl(
            kind=AssuredKind.TRANSACTION, pass_through=True, transaction_kind=kind, **(defaults | options)
        )

    def commit(self, flow_id: int | None = None, *consumed: ConsumerAck, **options: Any) -> Any:
        """Commit what was published on ``flow_id`` since the last commit, and what ``consumed`` names."""
        published = (PublisherNotify(flow_id, self.staged, self.ids[flow_id]),) if flow_id and self.staged else None
        self.staged = 0
        return self.ask(self.ending(2, **({"published": published, "consumed": consumed or None} | options)))

    def rollback(self) -> Any:
        self.staged = 0
        return self.ask(self.ending(3))


def bodies(messages: Iterable[Any]) -> list[bytes]:
    return [message.body for message in messages]


@pytest.fixture
def make_world() -> Callable[..., World]:
    """Return a function that makes a broker with options."""
    return World


@pytest.fixture
def world() -> World:
    """Return a broker with a queue ``q`` that gets ``t/>``."""
    made = World()
    made.engine.create_queue("q", "exclusive", ["t/>"])
    return made


@pytest.fixture
def keeper() -> World:
    """Return a broker that keeps a journal, with a queue ``q`` that gets ``t/>``."""
    made: World = keeping(World)
    return made


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Return a store in a new directory, for what a broker's journal says."""
    opened = Store.open(tmp_path, "default", SPOOLER)
    yield opened
    opened.close()
