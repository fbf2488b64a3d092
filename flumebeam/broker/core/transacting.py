"""Transacted sessions: open, resume, commit, roll back, close.

A commit is all or nothing: everything that can refuse it is asked first, then it is applied in one go. Success is
answered with the request's own type, and a failed commit with the type of a rollback: the clients disagree on other
types, some hang on them (measured against solace-pubsubplus 1.11).
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from operator import attrgetter
from typing import Final

from flumebeam.broker.core.admission import OVER_QUOTA, Admission, all_fit
from flumebeam.broker.core.connection import Connection
from flumebeam.broker.core.flows import ConsumerFlow
from flumebeam.broker.core.journal import PublisherMoved, SessionEnded, SessionOpened
from flumebeam.broker.core.publishing import MAX_WINDOW, PUBLISH_DENIED, refusal_of, route_of
from flumebeam.broker.core.queues import Queue
from flumebeam.broker.core.responses import NOT_PERMITTED, OK
from flumebeam.broker.core.routes import NO_MATCH, Route
from flumebeam.broker.core.spool import SpooledMessage
from flumebeam.broker.core.states import TransactionState
from flumebeam.broker.core.transactions import Begun, Staged, TransactedSession
from flumebeam.broker.core.vpn import Vpn
from flumebeam.broker.faults import (
    AcceptUnknownSession,
    CutAfterCommit,
    FailCommit,
    LoseCommitResponse,
    LoseRollbackResponse,
)
from flumebeam.errors import ProtocolError
from flumebeam.smf.assuredctrl import (
    AssuredControl,
    AssuredKind,
    ConsumerAck,
    PublisherAck,
    SessionState,
    TransactionKind,
)
from flumebeam.smf.pubmsg import MessageTemplate
from flumebeam.smf.values import Response

__all__ = ["handle_transaction"]

_FIRST: Final = (0, 1)
_by_id: Final = attrgetter("id")


def handle_transaction(vpn: Vpn, connection: Connection, request: AssuredControl) -> None:
    """Handle a request of a transacted session.

    Raises:
        ProtocolError: Its type is none of open, close, commit and rollback.
    """
    handler = _HANDLERS.get(request.transaction_kind)
    if handler is None:
        raise ProtocolError(f"Transaction control type {request.transaction_kind} is no request.")
    handler(vpn, connection, request)


def _open(vpn: Vpn, connection: Connection, request: AssuredControl) -> None:
    transaction = request.transaction or _FIRST
    name = request.session_name
    response, state, session_id = OK, SessionState.NEW, 0
    if name:
        session = vpn.sessions.get(name)
        if session is None or session.owner != connection.client_name:
            # Refused by name and with some session id, or the client waits a minute in every send. A fresh session
            # instead would lose what the client published before, in silence.
            response = Response(503, "Unknown Transacted Session Name")
            session = None
            if vpn.faults and vpn.faults.strike(AcceptUnknownSession) is not None:
                response, session = OK, _new_session(vpn, connection)
    elif not connection.profile.transact:
        session, response = None, NOT_PERMITTED
    elif (
        len(connection.sessions) >= connection.profile.max_sessions
        or vpn.count(lambda client: client.sessions) >= vpn.settings.max_sessions
    ):
        session, response = None, Response(503, "Max Transacted Sessions Exceeded")
    else:
        session = _new_session(vpn, connection)
    if session is not None:
        session.connection = connection
        session.limit(connection.profile.max_transaction_messages)
        connection.sessions[session.id] = session
        vpn.sessions.keep(session.name, session)
        state, session_id, name = session.outcome(transaction), session.id, session.name
    connection.send(
        AssuredControl(
            kind=AssuredKind.TRANSACTION,
            correlation=request.correlation,
            response=response,
            transaction_kind=TransactionKind.OPEN_RESPONSE,
            session_id=session_id,
            session_name=name,
            transaction=transaction,
            session_state=state,
        )
    )


def _new_session(vpn: Vpn, connection: Connection) -> TransactedSession:
    handle = vpn.next_handle()
    session = TransactedSession(
        handle,
        f"session-{vpn.spool.spooler_id:x}-{handle}",
        connection.client_name,
        connection.profile.max_transaction_messages,
        vpn.config.max_transaction_bytes,
    )
    vpn.note(SessionOpened(session.name, session.id, session.owner))
    return session


def _close(vpn: Vpn, connection: Connection, request: AssuredControl) -> None:
    session = connection.sessions.get(request.session_id or 0)
    if session is not None:
        vpn.drop_session(session)
    if request.correlation is None:
        # An answer to a close without tag makes JCSMP fail, and nobody waits for it.
        return
    connection.send(
        AssuredControl(
            kind=AssuredKind.TRANSACTION,
            correlation=request.correlation,
            response=OK,
            transaction_kind=TransactionKind.CLOSE_RESPONSE,
            session_id=request.session_id,
        )
    )


def _session(connection: Connection, request: AssuredControl) -> tuple[TransactedSession, tuple[int, int]]:
    session = connection.sessions.get(request.session_id or 0)
    if session is None or request.transaction is None:
        raise ProtocolError("A transaction ended in a session that is not open, or without its counters.")
    return session, request.transaction


def _commit(vpn: Vpn, connection: Connection, request: AssuredControl) -> None:
    session, transaction = _session(connection, request)
    lost = vpn.faults.strike(LoseCommitResponse) if vpn.faults else None
    if lost is None or lost.applied:
        failure = _apply(vpn, connection, session, request)
        if failure is None:
            _end(vpn, session, transaction, "commit carried out")
        else:
            _roll_back(vpn, connection, session, transaction)
            vpn.report(f"commit of {connection.client_name} failed: {failure}")
        if lost is None:
            _answer(vpn, connection, session, request, failure)
            if vpn.faults and vpn.faults.strike(CutAfterCommit) is not None:
                connection.close()
            return
    if lost.cut:
        connection.break_off()


def _rollback(vpn: Vpn, connection: Connection, request: AssuredControl) -> None:
    session, transaction = _session(connection, request)
    lost = vpn.faults.strike(LoseRollbackResponse) if vpn.faults else None
    if lost is None or lost.applied:
        _roll_back(vpn, connection, session, transaction)
    if lost is None:
        _answer(vpn, connection, session, request, None)
    elif lost.cut:
        connection.break_off()


def _answer(
    vpn: Vpn, connection: Connection, session: TransactedSession, request: AssuredControl, failure: str | None
) -> None:
    publisher = session.publisher
    vpn.answer(
        connection,
        "rollback" if request.transaction_kind == TransactionKind.ROLLBACK else "commit",
        AssuredControl(
            kind=AssuredKind.TRANSACTION,
            pass_through=True,
            correlation=request.correlation,
            response=OK if failure is None else Response(503, failure),
            transaction_kind=request.transaction_kind if failure is None else TransactionKind.ROLLBACK,
            session_id=session.id,
            transaction=request.transaction,
            publisher_acks=(PublisherAck(publisher.id, publisher.last_id, MAX_WINDOW),) if publisher else None,
        ),
    )


def _end(vpn: Vpn, session: TransactedSession, transaction: tuple[int, int], event: str) -> None:
    outcome = session.end(transaction, event)
    vpn.end_transaction(session)
    vpn.note(SessionEnded(session.name, transaction, outcome))
    publisher = session.publisher
    if publisher is not None:
        vpn.note(PublisherMoved(publisher.name, publisher.last_id))


def _roll_back(vpn: Vpn, connection: Connection, session: TransactedSession, transaction: tuple[int, int]) -> None:
    _end(vpn, session, transaction, "rolled back")
    for flow in connection.consumers.values():
        if isinstance(flow, ConsumerFlow) and flow.session_id == session.id:
            flow.queue.put_back(flow.take_back())
            vpn.touch((flow.queue,))


def _apply(vpn: Vpn, connection: Connection, session: TransactedSession, request: AssuredControl) -> str | None:
    """Carry out a commit, or return why not, with nothing changed."""
    fault = vpn.faults.strike(FailCommit) if vpn.faults else None
    if fault is not None:
        return fault.reason
    notified, consumed = request.published or (), request.consumed or ()
    size = sum(item.messages for item in notified) + sum(item.messages for item in consumed)
    if size > connection.profile.max_transaction_messages:
        return "Transaction Failure"
    if session.begun is Begun.REFUSED:
        return "Max Transactions Exceeded"
    published = session.published(notified)
    if published is None or session.state is TransactionState.INTERRUPTED:
        return "Message Publish Failure"
    flows = _consumed_flows(connection, session, consumed)
    if flows is None:
        return "Message Consume Failure"
    shares = _shares(vpn, connection, published)
    if isinstance(shares, str):
        return shares
    _spool(vpn, published, shares)
    for flow, item in flows:
        flow.queue.remove(flow.settled(item.low, item.high))
        flow.confirm(item.last_received, item.window)
        vpn.touch((flow.queue,))
    return None


def _consumed_flows(
    connection: Connection, session: TransactedSession, consumed: tuple[ConsumerAck, ...]
) -> list[tuple[ConsumerFlow, ConsumerAck]] | None:
    flows = []
    for item in consumed:
        flow = connection.consumers.get(item.flow_id)
        if not isinstance(flow, ConsumerFlow) or flow.session_id != session.id:
            return None
        if flow.count(item.low, item.high) < item.messages:
            # Some went back to the queue with a lost connection, and perhaps to somebody else.
            return None
        flows.append((flow, item))
    return flows


class _Share:
    """What a transaction publishes that takes the same route: all with one template, for which it is looked up once."""

    __slots__ = ("holders", "messages", "route", "size", "stored")

    def __init__(self, route: Route) -> None:
        self.route = route
        self.holders = route.queues + route.logs
        self.stored: list[SpooledMessage] = []
        self.messages = 0
        self.size = 0


def _shares(vpn: Vpn, connection: Connection, published: list[Staged]) -> list[_Share] | str:
    """Return the share of each message, or why the transaction fails."""
    shares: dict[MessageTemplate, _Share] = {}
    placed = []
    for _, template, _, body in published:
        share = shares.get(template)
        if share is None:
            share = shares[template] = _Share(route_of(vpn, connection, template.topic))
        share.messages += 1
        share.size += len(body)
        placed.append(share)
    for template, share in shares.items():
        refusal = refusal_of(connection, share.route, template.topic, share.messages)
        if refusal is not None:
            return refusal.text if refusal in (NO_MATCH, PUBLISH_DENIED) else "Message Publish Failure"
    if not connection.others_only and all_fit(
        vpn, ((share.route, share.messages, share.size) for share in shares.values())
    ):
        return placed
    return _place(vpn, connection, published, placed)


def _place(vpn: Vpn, connection: Connection, published: list[Staged], placed: list[_Share]) -> list[_Share] | str:
    # Some queue does not take everything: look at each message, and part those that go to different queues.
    admission = Admission(vpn, closed=connection.closed_to_it)
    parted: dict[tuple[_Share, tuple[Queue, ...]], _Share] = {}
    result = []
    for (_, template, _, body), whole in zip(published, placed, strict=True):
        queues = admission.place(whole.route, template, len(body))
        if isinstance(queues, Response):
            return queues.text if queues is OVER_QUOTA else "Message Publish Failure"
        share = parted.get((whole, queues))
        if share is None:
            share = parted[whole, queues] = _Share(whole.route._replace(queues=queues))
        share.size += len(body)
        result.append(share)
    admission.count()
    return result


def _spool(vpn: Vpn, published: list[Staged], shares: list[_Share]) -> None:
    distinct = list(dict.fromkeys(shares))
    time = vpn.time
    ids = vpn.spool.reserve(len(published), sum(share.size for share in distinct if share.holders))
    messages = [
        SpooledMessage(id_, template, summary, body, time, len(share.holders))
        for id_, (_, template, summary, body), share in zip(ids, published, shares, strict=True)
    ]
    if len(distinct) == 1:
        distinct[0].stored = messages
    else:
        for message, share in zip(messages, shares, strict=True):
            share.stored.append(message)
    sizes: dict[Queue, int] = {}
    arrivals: dict[Queue, list[list[SpooledMessage]]] = {}
    for share in distinct:
        if share.holders:
            vpn.note_stored(share.stored, share.holders)
        for queue in share.holders:
            arrivals.setdefault(queue, []).append(share.stored)
            sizes[queue] = sizes.get(queue, 0) + share.size
    for queue, rows in arrivals.items():
        # In the order of their ids, from whichever shares they came.
        queue.extend(rows[0] if len(rows) == 1 else sorted(chain.from_iterable(rows), key=_by_id), sizes[queue])
    vpn.touch(arrivals)
    if any(share.route.clients for share in distinct):
        for (_, template, summary, body), share in zip(published, shares, strict=True):
            for client in share.route.clients:
                client.send_direct(template, summary, body)


_HANDLERS: Final[dict[int | None, Callable[[Vpn, Connection, AssuredControl], None]]] = {
    TransactionKind.OPEN: _open,
    TransactionKind.CLOSE: _close,
    TransactionKind.COMMIT: _commit,
    TransactionKind.ROLLBACK: _rollback,
}
