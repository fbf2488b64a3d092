"""Publishing: publisher flows, direct and guaranteed messages, acknowledgements."""

from __future__ import annotations

from typing import Final

from flumebeam.broker.core.admission import Admission, fits
from flumebeam.broker.core.connection import Connection
from flumebeam.broker.core.counts import Count
from flumebeam.broker.core.journal import PublisherOpened
from flumebeam.broker.core.publishers import PublisherFlow
from flumebeam.broker.core.responses import NOT_PERMITTED, OK, TOO_MANY_FLOWS, UNKNOWN_SESSION
from flumebeam.broker.core.routes import NO_MATCH, Route
from flumebeam.broker.core.transactions import Begun
from flumebeam.broker.core.vpn import Vpn
from flumebeam.broker.faults import LosePublishAck, NackPublishes
from flumebeam.errors import ProtocolError
from flumebeam.smf.assuredctrl import AssuredControl, AssuredKind
from flumebeam.smf.header import Frame
from flumebeam.smf.pubmsg import MessageTemplate
from flumebeam.smf.values import Response

__all__ = [
    "MAX_WINDOW",
    "PUBLISH_DENIED",
    "acknowledge",
    "handle_close_publisher",
    "handle_message",
    "handle_open_publisher",
    "refusal_of",
    "route_of",
    "spool_message",
]

MAX_WINDOW: Final = 255
_NOT_BEGUN: Final = Begun.NOT
PUBLISH_DENIED: Final = Response(403, "Publish ACL Denied")


def handle_open_publisher(vpn: Vpn, connection: Connection, request: AssuredControl) -> None:
    """Open a new publisher flow, or give a client that comes back the one it had."""
    session = None
    if not connection.profile.send_guaranteed:
        _refuse(connection, request, NOT_PERMITTED)
        return
    if request.session_id is not None:
        session = connection.sessions.get(request.session_id)
        if session is None:
            _refuse(connection, request, UNKNOWN_SESSION)
            return
    window = min(request.window or MAX_WINDOW, MAX_WINDOW)
    if request.flow_name:
        flow = vpn.publishers.get(request.flow_name)
        if flow is None or flow.owner != connection.client_name or flow.session is not session:
            # 400 makes the client open a new flow and send again what is unacknowledged; 503 makes it give up. A
            # transacted session takes the answer for its own only if it names the session.
            _refuse(connection, request, Response(400, "Unknown Flow Name"))
            return
    elif (
        len(connection.publishers) >= connection.profile.max_sending
        or vpn.count(lambda client: client.publishers) >= vpn.settings.max_sending
    ):
        _refuse(connection, request, TOO_MANY_FLOWS)
        return
    else:
        flow_id = vpn.next_handle()
        name = f"flow-{vpn.spool.spooler_id:x}-{flow_id}"
        flow = PublisherFlow(flow_id, name, connection.client_name, session, eager=window < MAX_WINDOW)
        vpn.note(PublisherOpened(name, flow_id, flow.owner, session.name if session else None, flow.eager_acks))
    if session is not None:
        if session.publisher is not None and session.publisher is not flow:
            vpn.forget_publisher(session.publisher)
            connection.publishers.pop(session.publisher.id, None)
        session.publisher = flow
    flow.connection = connection
    connection.publishers[flow.id] = flow
    vpn.publishers.keep(flow.name, flow)
    connection.send(
        AssuredControl(
            kind=request.kind,
            correlation=request.correlation,
            response=OK,
            session_id=request.session_id,
            flow_id=flow.id,
            flow_name=flow.name,
            last_sent=flow.last_id,
            last_acked=flow.last_id,
            window=MAX_WINDOW,
            publisher_id=flow.id,
        )
    )


def _refuse(connection: Connection, request: AssuredControl, response: Response) -> None:
    connection.send(
        AssuredControl(
            kind=request.kind,
            correlation=request.correlation,
            response=response,
            session_id=request.session_id,
            flow_name=request.flow_name,
        )
    )


def handle_close_publisher(vpn: Vpn, connection: Connection, request: AssuredControl) -> None:
    """Close a publisher flow for good."""
    flow = connection.publishers.pop(request.flow_id or 0, None)
    response = Response(503, "Unknown Flow")
    if flow is not None:
        vpn.forget_publisher(flow)
        if flow.session is not None:
            flow.session.publisher = None
        response = OK
    connection.send(
        AssuredControl(kind=request.kind, correlation=request.correlation, response=response, flow_id=request.flow_id)
    )


def handle_message(vpn: Vpn, connection: Connection, frame: Frame) -> None:
    """Take a published message: stage it in its transaction, spool it, or pass it on at once.

    Raises:
        ProtocolError: It names a publisher flow that the connection does not have.
    """
    head, body = frame
    template, summary, message_id, previous_id = connection.messages.read(head)
    if not template.assured:
        if connection.publishing is not None and not connection.publishing.allows(template.topic):
            connection.traffic.denied += 1
            return
        _pass_on(vpn, connection, template, summary, body)
        return
    flow = connection.publishers.get(template.flow_id)
    if flow is None:
        raise ProtocolError(f"A message came on publisher flow {template.flow_id}, which is not open.")
    if flow.eager_acks:
        connection.acks_due[flow] = None
    if not flow.arrive(message_id, previous_id):
        return
    session = flow.session
    if session is not None:
        if session.begun is _NOT_BEGUN:
            vpn.begin_transaction(connection, session)
        session.stage((message_id, template, summary, body))
        return
    refusal = _spool(vpn, connection, template, summary, body)
    if refusal is not None:
        acknowledge(vpn, connection, flow, message_id, refusal)


def _pass_on(vpn: Vpn, connection: Connection, template: MessageTemplate, summary: bytes, body: bytes) -> None:
    route = route_of(vpn, connection, template.topic)
    if route.refusal is NO_MATCH:
        connection.traffic.unmatched += 1
        return
    for client in vpn.routes.one_of(route) if template.to_one and route.clients else route.clients:
        client.send_direct(template, summary, body)
    if route.queues or route.shut:
        if connection.others_only or not fits(vpn, route, len(body)):
            placed = _place(vpn, connection, route, template, body, can_refuse=False)
            if isinstance(placed, Response):
                return
            route = placed
        spool_message(vpn, route._replace(clients=()), template, summary, body)


def _spool(vpn: Vpn, connection: Connection, template: MessageTemplate, summary: bytes, body: bytes) -> Response | None:
    fault = vpn.faults.strike(NackPublishes) if vpn.faults else None
    if fault is not None:
        return Response(fault.code, fault.reason)
    route = route_of(vpn, connection, template.topic)
    refusal = route.refusal
    if refusal is not None or connection.publishing is not None:
        refusal = refusal_of(connection, route, template.topic)
    if refusal is not None:
        for queue in route.shut:
            queue.counts[Count.DISABLED] += 1
        return refusal
    if connection.others_only or not fits(vpn, route, len(body)):
        placed = _place(vpn, connection, route, template, body)
        if isinstance(placed, Response):
            return placed
        route = placed
    spool_message(vpn, route, template, summary, body)
    return None


def route_of(vpn: Vpn, connection: Connection, topic: str) -> Route:
    """Return where a client's messages on a topic go: not back to itself, if it does not want that."""
    route = vpn.routes.of(topic)
    if connection.no_local and connection in route.clients:
        return route._replace(clients=tuple(client for client in route.clients if client is not connection))
    return route


def refusal_of(connection: Connection, route: Route, topic: str, messages: int = 1) -> Response | None:
    """Return why a client's guaranteed messages on a topic are refused, so many of them, or None."""
    if connection.publishing is not None and not connection.publishing.allows(topic):
        connection.traffic.denied += 1
        return PUBLISH_DENIED
    if route.refusal is NO_MATCH:
        connection.traffic.unmatched += messages
        return NO_MATCH if connection.profile.reject_on_no_match else None
    return route.refusal


def _place(
    vpn: Vpn, connection: Connection, route: Route, template: MessageTemplate, body: bytes, can_refuse: bool = True
) -> Route | Response:
    admission = Admission(vpn, can_refuse, connection.closed_to_it)
    placed = admission.place(route, template, len(body))
    if isinstance(placed, Response):
        return placed
    admission.count()
    return route._replace(queues=placed)


def spool_message(vpn: Vpn, route: Route, template: MessageTemplate, summary: bytes, body: bytes) -> None:
    """Put a message into the queues of its route and pass it to the clients of its route."""
    queues = route.queues + route.logs
    if queues:
        message = vpn.spool.store(template, summary, body, vpn.time, len(queues))
        vpn.note_stored((message,), queues)
        for queue in queues:
            queue.extend((message,), message.size)
        vpn.touch(queues)
    for client in route.clients:
        client.send_direct(template, summary, body)


def acknowledge(
    vpn: Vpn, connection: Connection, flow: PublisherFlow, message_id: int, response: Response = OK
) -> None:
    """Tell the publisher that everything up to ``message_id`` is kept, or that this one is refused.

    A refusal acknowledges what came before it. Every acknowledgement carries a response: clients remember the last one
    they saw.
    """
    if response is OK and vpn.faults and vpn.faults.strike(LosePublishAck) is not None:
        return
    vpn.answer(
        connection,
        "publish-ack",
        AssuredControl(
            kind=AssuredKind.ACK,
            response=response,
            flow_id=flow.id,
            last_acked=message_id,
            window=MAX_WINDOW if response is OK else None,
        ),
    )
