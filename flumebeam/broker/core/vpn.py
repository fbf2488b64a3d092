"""The message VPN: everything that connections share, and the operations that keep it consistent."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence, Sized
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from flumebeam.broker.config import BrokerConfig
from flumebeam.broker.core.acl import AclProfile
from flumebeam.broker.core.connection import Connection
from flumebeam.broker.core.dead_messages import bury
from flumebeam.broker.core.flows import Browser, ConsumerFlow
from flumebeam.broker.core.host import Host
from flumebeam.broker.core.journal import (
    PublisherClosed,
    PublisherMoved,
    PublisherOpened,
    QueueDeleted,
    QueueSet,
    Record,
    SessionClosed,
    SessionEnded,
    SessionOpened,
    Stored,
)
from flumebeam.broker.core.lineages import Lineages
from flumebeam.broker.core.profiles import ClientProfile, ClientUsername
from flumebeam.broker.core.publishers import PublisherFlow
from flumebeam.broker.core.queue_settings import Permission, QueueSettings
from flumebeam.broker.core.queues import Queue
from flumebeam.broker.core.replay_log import ReplayLog
from flumebeam.broker.core.resumables import Resumables
from flumebeam.broker.core.routes import Routes
from flumebeam.broker.core.spool import Spool, SpooledMessage
from flumebeam.broker.core.templates import QueueTemplate, TopicEndpointTemplate
from flumebeam.broker.core.traffic import Traffic
from flumebeam.broker.core.transactions import Begun, TransactedSession
from flumebeam.broker.faults import DelayAnswer, DuplicateAnswer
from flumebeam.smf.assuredctrl import AccessType, AssuredControl, AssuredKind
from flumebeam.smf.values import Response

__all__ = ["Vpn", "VpnSettings"]

_MAX_EXPIRED: Final = 20_000
"""Messages that expire at one tick; more have to wait for the next, so that clients need not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VpnSettings:
    """Whether a message VPN is open, and its limits.

    Attributes:
        enabled: Whether clients may log in.
        by_password: Whether they may with a username and a password.
        checks_passwords: Whether these must be right; if not, an unknown username is taken for ``default``.
        by_certificate: Whether they may with a client certificate that the shell has verified.
        plain_after_tls: Whether they may end TLS after their login.
        max_spool_bytes: Bodies that it may hold.
        max_connections: Clients that may be logged in.
        max_subscriptions: Topic subscriptions of its clients and queues together.
        max_queues: Queues that it may have.
        max_smf_connections: The same as ``max_connections``, for the one protocol that there is.
        max_receiving: Flows of its clients that consume or browse.
        max_sending: Publisher flows of its clients.
        max_sessions: Transacted sessions of its clients.
        max_transactions: Transactions in which something was published and that have not ended.
        kept: What else was set, by the vendor's names: it is shown and has no effect here.
    """

    enabled: bool = True
    by_password: bool = True
    checks_passwords: bool = True
    by_certificate: bool = True
    plain_after_tls: bool = False
    max_spool_bytes: int
    max_connections: int
    max_subscriptions: int
    max_queues: int
    max_smf_connections: int = 1_000
    max_receiving: int = 10_000
    max_sending: int = 10_000
    max_sessions: int = 10_000
    max_transactions: int = 10_000
    kept: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, config: BrokerConfig) -> VpnSettings:
        """Return the settings of a message VPN that nobody has set up otherwise: the limits of the whole broker."""
        return cls(
            max_spool_bytes=config.max_spool_bytes,
            max_connections=config.max_connections,
            max_subscriptions=config.max_subscriptions,
            max_queues=config.max_queues,
            max_smf_connections=config.max_connections,
            max_receiving=config.max_flows,
            max_sending=config.max_flows,
            max_sessions=config.max_sessions,
            max_transactions=config.max_transactions,
        )


class Vpn:
    """State that the clients of one message VPN share. Others see nothing of it.

    Args:
        name: Its name.
        host: The broker around it.
        settings: Whether it is open, and its limits.
    """

    def __init__(self, name: str, host: Host, settings: VpnSettings) -> None:
        config = host.config
        self.name = name
        self.host = host
        self.settings = settings
        self.config = config
        self.spool = Spool(host.ids, host.portions)
        self.faults = host.faults
        self.report = host.report
        self.now = 0.0
        """Time of the event being handled, seconds of the shell's clock."""
        self.clients: dict[str, Connection] = {}
        self.users: dict[str, ClientUsername] = {}
        self.acl_profiles: dict[str, AclProfile] = {}
        self.client_profiles: dict[str, ClientProfile] = {}
        self.queue_templates: dict[str, QueueTemplate] = {}
        self.endpoint_templates: dict[str, TopicEndpointTemplate] = {}
        self.queues: dict[str, Queue] = {}
        self.routes = Routes(self.queues)
        self.publishers: Resumables[PublisherFlow] = Resumables(
            config.publisher_retention_seconds, config.max_resumable
        )
        self.sessions: Resumables[TransactedSession] = Resumables(
            config.session_retention_seconds, config.max_resumable
        )
        self.lineages = Lineages(config.session_retention_seconds, config.max_resumable)
        self.orphans: Resumables[Queue] = Resumables(config.temporary_queue_grace_seconds, config.max_queues)
        """Temporary queues."""
        self.open_transactions = 0
        """Transactions in which something was published and that have not ended, but for those that were refused."""
        self.log: ReplayLog | None = None
        self.former_traffic = Traffic()
        """What passed through connections that are gone."""
        self._touched: dict[Queue, None] = {}

    def next_handle(self) -> int:
        """Return a flow or session id that this broker has not used before (32 bits)."""
        return self.host.next_handle()

    @property
    def time(self) -> float:
        """Time of the event being handled as messages are dated by."""
        return self.now + self.host.clock_offset

    def answer(self, connection: Connection, kind: str, message: AssuredControl) -> None:
        """Send an answer, unless the fault plan has something else in mind for one of this kind."""
        if self.faults:
            late = self.faults.strike(DelayAnswer, answer=kind)
            if late is not None:
                self.host.late.append((late.seconds, connection, message))
                return
            if self.faults.strike(DuplicateAnswer, answer=kind) is not None:
                connection.send(message)
        connection.send(message)

    # Journal

    def note(self, record: Record) -> None:
        """Append to the journal, if there is one."""
        journal = self.spool.journal
        if journal is not None:
            journal.append(record)

    def note_stored(self, messages: Sequence[SpooledMessage], queues: tuple[Queue, ...]) -> None:
        """Append to the journal, if there is one, that messages were put into queues."""
        journal = self.spool.journal
        if journal is not None and messages:
            names = tuple(queue.name for queue in queues if queue.durable)
            if names:
                journal.append(Stored(messages, names))

    def note_setup(self, queue: Queue) -> None:
        """Append to the journal, if there is one, how a queue is set up."""
        if queue.durable:
            self.note(QueueSet(queue.name, queue.access, queue.owner, queue.permission, queue.settings))

    # Queues

    def add_queue(
        self,
        name: str,
        access: AccessType,
        owner: str | None,
        permission: Permission = Permission.NO_ACCESS,
        durable: bool = True,
        settings: QueueSettings | None = None,
    ) -> Queue:
        """Create a queue under a name that is free, by default open and with the broker's limits."""
        settings = settings or self.default_settings()
        queue = self.queues[name] = Queue(
            name, access, self.spool, owner, permission, settings, partial(bury, self), lambda: self.time, durable
        )
        if not durable:
            self.orphans.keep(name, queue)
        self.note_setup(queue)
        self.routes.forget()
        self.report(f"queue {name} created, {queue.status().access}" + ("" if durable else ", temporary"))
        return queue

    def default_settings(self, topic_endpoint: bool = False) -> QueueSettings:
        """Return the settings of a queue, or a topic endpoint, that nobody has set up otherwise."""
        config = self.config
        return QueueSettings(
            max_bytes=config.max_queue_bytes,
            max_unacked=config.max_delivered_unacked,
            max_consumers=1 if topic_endpoint else config.max_queue_consumers,
            max_message_bytes=config.max_message_bytes,
            reject_on_discard="never" if topic_endpoint else "when-queue-enabled",
        )

    def unbind_all(self, queue: Queue, reason: Response) -> None:
        """End all flows of a queue and tell their clients why; what they held goes back."""
        bound: list[ConsumerFlow | Browser] = [*queue.flows, *queue.browsers]
        for flow in bound:
            flow.connection.consumers.pop(flow.id, None)
            flow.connection.send(AssuredControl(kind=AssuredKind.UNBIND, flow_id=flow.id, response=reason))
            if isinstance(flow, ConsumerFlow):
                flow.advance("unbound")
                flow.connection.others_only.discard(flow)
                queue.put_back(flow.take_back())
        queue.flows.clear()
        queue.browsers.clear()

    def remove_queue(self, queue: Queue) -> None:
        """Delete a queue with its messages and subscriptions, and unbind its consumers."""
        self.unbind_all(queue, Response(503, "Queue Deleted"))
        queue.clear()
        for subscription in queue.subscriptions:
            self.routes.remove(subscription, queue)
        del self.queues[queue.name]
        self.orphans.remove(queue.name)
        self._touched.pop(queue, None)
        if queue.durable:
            self.note(QueueDeleted(queue.name))
        self.routes.forget()
        self.report(f"queue {queue.name} deleted")

    # Replay log

    def put_log(self, name: str, settings: QueueSettings) -> ReplayLog:
        """Create the replay log, which there is none of yet, or change the one that there is."""
        log = self.log
        if log is None:
            log = self.log = self.routes.log = ReplayLog(
                name, self.spool, settings, partial(bury, self), lambda: self.time, self.config.max_queue_messages
            )
        log.settings = settings
        self.note_setup(log)
        self.routes.forget()
        self.touch((log,))
        self.report(f"replay log {name} set up")
        return log

    def remove_log(self, log: ReplayLog) -> None:
        """Delete the replay log with its messages; what was replayed of them stays in the queues."""
        log.clear()
        self.note(QueueDeleted(log.name))
        self.log = self.routes.log = None
        self._touched.pop(log, None)
        self.routes.forget()
        self.report(f"replay log {log.log_name} deleted")

    def holder(self, name: str) -> Queue:
        """Return what has this name in the journal: a queue, or the replay log.

        Raises:
            KeyError: There is nothing of that name.
        """
        log = self.log
        return log if log is not None and log.name == name else self.queues[name]

    def touch(self, queues: Iterable[Queue]) -> None:
        """Have queues pumped at the end of the event being handled, each once."""
        for queue in queues:
            self._touched[queue] = None

    def settle(self) -> None:
        """Pump the touched queues."""
        while self._touched:
            self._touched.popitem()[0].pump(self.now)

    # Flows

    def release(self, flow: ConsumerFlow | Browser) -> None:
        """End a flow: what it held goes back, and an exclusive queue is handed over to the next flow."""
        queue = flow.queue
        flow.connection.consumers.pop(flow.id, None)
        if isinstance(flow, Browser):
            queue.browsers.remove(flow)
            return
        flow.connection.others_only.discard(flow)
        successor = queue.unbind(flow)
        if successor is not None and successor.wants_changes:
            successor.connection.send(AssuredControl(kind=AssuredKind.FLOW_CHANGE, flow_id=successor.id, active=1))
        self.touch((queue,))

    def drop_session(self, session: TransactedSession) -> None:
        """Roll a transacted session back and forget it with its publisher flow."""
        session.clear()
        self.end_transaction(session)
        self.sessions.remove(session.name)
        publisher = session.publisher
        if publisher is not None:
            self.forget_publisher(publisher)
            if publisher.connection is not None:
                publisher.connection.publishers.pop(publisher.id, None)
        connection = session.connection
        if connection is not None:
            connection.sessions.pop(session.id, None)
            for flow in list(connection.consumers.values()):
                if isinstance(flow, ConsumerFlow) and flow.session_id == session.id:
                    self.release(flow)
        self.note(SessionClosed(session.name))

    def begin_transaction(self, connection: Connection, session: TransactedSession) -> None:
        """Note that the first message of a transaction has come; its commit fails if there are too many of them."""
        others = sum(other.begun is Begun.COUNTED for other in connection.sessions.values())
        if self.open_transactions >= self.settings.max_transactions or others >= connection.profile.max_transactions:
            session.begun = Begun.REFUSED
        else:
            session.begun = Begun.COUNTED
            self.open_transactions += 1

    def end_transaction(self, session: TransactedSession) -> None:
        """Note that a transaction is over, if it had begun."""
        if session.begun is Begun.COUNTED:
            self.open_transactions -= 1
        session.begun = Begun.NOT

    def count(self, kind: Callable[[Connection], Sized]) -> int:
        """Return how many of something its clients have that are there now."""
        return sum(len(kind(connection)) for connection in self.clients.values())

    def forget_publisher(self, flow: PublisherFlow) -> None:
        """Forget the position of a publisher flow."""
        self.publishers.remove(flow.name)
        self.note(PublisherClosed(flow.name))

    # Connections

    def traffic(self) -> Traffic:
        """Return what has passed through all its connections."""
        total = Traffic()
        for part in (self.former_traffic, *(connection.traffic for connection in self.clients.values())):
            total.add(part)
        return total

    def rename(self, connection: Connection, name: str) -> None:
        """Give a client another name, and what it may resume by its own name with it."""
        del self.clients[connection.client_name]
        connection.client_name = name
        self.clients[name] = connection
        for session in connection.sessions.values():
            session.owner = name
            self.note(SessionClosed(session.name))
            self.note(SessionOpened(session.name, session.id, name))
            if session.ended is not None:
                self.note(SessionEnded(session.name, session.ended, session.outcome(session.ended)))
        for publisher in connection.publishers.values():
            publisher.owner = name
            self.note(PublisherClosed(publisher.name))
            inside = publisher.session.name if publisher.session else None
            self.note(PublisherOpened(publisher.name, publisher.id, name, inside, publisher.eager_acks))
            self.note(PublisherMoved(publisher.name, publisher.last_id))

    def drop(self, connection: Connection) -> None:
        """Take a connection out of everything that knows it; what can be resumed is kept for its client."""
        if connection not in self.host.connections:
            return
        self.host.connections.discard(connection)
        self.former_traffic.add(connection.traffic)
        if self.clients.get(connection.client_name) is connection:
            del self.clients[connection.client_name]
        for subscription in connection.subscriptions:
            self.routes.remove(subscription, connection)
        connection.subscriptions.clear()
        for flow in list(connection.consumers.values()):
            if isinstance(flow, ConsumerFlow):
                self.lineages.leave(flow, self.now)
            self.release(flow)
            if not flow.queue.durable:
                self.orphans.leave(flow.queue.name, self.now)
        for publisher in connection.publishers.values():
            publisher.connection = None
            self.publishers.leave(publisher.name, self.now)
        for session in connection.sessions.values():
            session.connection = None
            self.sessions.leave(session.name, self.now)
        connection.publishers.clear()
        connection.sessions.clear()
        if connection.client_name:
            self.report(f"{connection.client_name} left")

    def expire(self) -> None:
        """Forget what clients that are away have not come back for, and messages whose time is over."""
        for session in self.sessions.expire(self.now):
            self.report(f"transacted session {session.name} of {session.owner} rolled back: its client stayed away")
            self.drop_session(session)
        for publisher in self.publishers.expire(self.now):
            self.note(PublisherClosed(publisher.name))
        self.lineages.expire(self.now)
        self.touch(queue for queue in self.queues.values() if queue.due())
        for queue in self.orphans.expire(self.now):
            self.remove_queue(queue)
        left = _MAX_EXPIRED
        for queue in list(self.queues.values()):
            left -= queue.expire(left)
