"""Consuming: binding to queues, windows, settlement, unbinding."""

from __future__ import annotations

from dataclasses import replace

from flumebeam.broker.core.connection import Connection
from flumebeam.broker.core.flows import Browser, ConsumerFlow
from flumebeam.broker.core.partitions import Partitions
from flumebeam.broker.core.provisioning import invalid_queue_name
from flumebeam.broker.core.queues import Permission, Queue
from flumebeam.broker.core.replaying import replay_for_client
from flumebeam.broker.core.selectors import Selector, SelectorError
from flumebeam.broker.core.vpn import NOT_PERMITTED, OK, QUEUE_SHUTDOWN, UNKNOWN_QUEUE, Vpn
from flumebeam.broker.faults import LoseBindResponse
from flumebeam.smf.assuredctrl import (
    AccessType,
    AckRange,
    AssuredControl,
    AssuredKind,
    Durability,
    FlowType,
    Outcome,
)
from flumebeam.smf.values import Response

__all__ = ["handle_ack", "handle_bind", "handle_unbind"]

_PERMISSIONS = b"\0\0\0\x0f"
_TEMPORARY_PREFIX = "#P2P/QTMP/"


def handle_bind(vpn: Vpn, connection: Connection, request: AssuredControl) -> None:
    """Bind a consumer or a browser to a queue; a temporary queue is made by it."""
    queue = vpn.queues.get(request.queue or "")
    refusal = _refusal(vpn, connection, request, queue)
    selector = None
    if request.selector and refusal is None:
        try:
            selector = Selector(request.selector)
        except SelectorError as error:
            vpn.report(f"{connection.client_name} bound with a selector that is none: {error}")
            refusal = Response(400, "Invalid Selector")
    if request.start_replay is not None and refusal is None:
        replayed = replay_for_client(vpn, queue, request.start_replay, request.flow_type == FlowType.BROWSER)
        refusal = None if replayed is OK else replayed
    if refusal is not None:
        connection.send(AssuredControl(kind=request.kind, correlation=request.correlation, response=refusal))
        return
    if queue is None:
        queue = vpn.add_queue(request.queue or "", AccessType.EXCLUSIVE, connection.username, durable=False)
    if not queue.durable:
        vpn.orphans.keep(queue.name, queue)
    flow_id = vpn.next_handle()
    flow: ConsumerFlow | Browser
    if request.flow_type == FlowType.BROWSER:
        flow = Browser(flow_id, queue, connection, vpn.spool, request.last_received or 0, selector)
        queue.browsers.append(flow)
        active = True
    else:
        flow = ConsumerFlow(
            flow_id,
            queue,
            connection,
            vpn.spool,
            queue.settings.max_unacked,
            request.session_id,
            bool(request.wants_flow_changes),
            request.last_received or 0,
            selector,
        )
        queue.flows.append(flow)
        if selector is not None:
            queue.select()
        active = queue.is_active(flow)
        vpn.lineages.resume(flow, request.endpoint_error_id, vpn.spool.spooler_id)
    flow.confirm(0, request.window or 0)
    connection.consumers[flow_id] = flow
    vpn.touch((queue,))
    lost = vpn.faults.strike(LoseBindResponse) if vpn.faults else None
    if lost is None:
        vpn.answer(connection, "bind", _bound(vpn, request, flow, active))
    elif lost.cut:
        connection.break_off()
    kind = "browser" if isinstance(flow, Browser) else "consumer"
    vpn.report(f"{connection.client_name} bound a {kind} to queue {queue.name}" + ("" if active else ", standby"))


def _refusal(vpn: Vpn, connection: Connection, request: AssuredControl, queue: Queue | None) -> Response | None:
    profile = connection.profile
    if not profile.receive_guaranteed:
        return NOT_PERMITTED
    temporary = request.durability == Durability.NON_DURABLE
    name = request.queue or ""
    if queue is None and not temporary:
        return UNKNOWN_QUEUE
    needed = Permission.READ_ONLY if request.flow_type == FlowType.BROWSER else Permission.CONSUME
    if queue is not None and not queue.allows(connection.username, needed):
        return NOT_PERMITTED
    if queue is not None and not queue.settings.egress_enabled:
        return QUEUE_SHUTDOWN
    if queue is not None and len(queue.flows) + len(queue.browsers) >= queue.settings.max_consumers:
        return Response(503, "Max clients exceeded for queue")
    if queue is None and (not name.startswith(_TEMPORARY_PREFIX) or invalid_queue_name(name)):
        return Response(400, "Invalid Temporary Queue Name")
    if queue is None and (not profile.create_endpoints or profile.endpoint_durability == "durable"):
        return NOT_PERMITTED
    if queue is None and len(vpn.queues) >= vpn.settings.max_queues:
        return Response(503, "Max Num Queues Exceeded")
    if queue is not None and isinstance(queue.line, Partitions):
        if request.flow_type == FlowType.BROWSER:
            return Response(403, "Browsing Not Supported on Partitioned Queue")
        if request.selector:
            return Response(403, "Selectors Not Supported on Partitioned Queue")
    if request.session_id is not None and request.session_id not in connection.sessions:
        return Response(503, "Unknown Transacted Session")
    if len(connection.consumers) >= profile.max_receiving:
        return Response(503, "Max Flows Exceeded")
    return None


def _bound(vpn: Vpn, request: AssuredControl, flow: ConsumerFlow | Browser, active: bool) -> AssuredControl:
    queue = flow.queue
    return AssuredControl(
        kind=request.kind,
        correlation=request.correlation,
        response=OK,
        session_id=request.session_id,
        flow_id=flow.id,
        queue=queue.name,
        durability=Durability.DURABLE if queue.durable else Durability.NON_DURABLE,
        access=queue.access,
        granted_permissions=_PERMISSIONS,
        other_permissions=_PERMISSIONS,
        quota_mb=0 if queue.settings.last_value else queue.settings.max_bytes // 1_000_000,
        max_message_bytes=queue.settings.max_message_bytes,
        respect_ttl=int(queue.settings.respect_ttl),
        last_sent=0,
        last_acked=0,
        window=request.window or 0,
        active=int(active),
        endpoint_id=1,
        endpoint_error_id=flow.token if isinstance(flow, ConsumerFlow) else flow.id,
        spooler_id=vpn.spool.spooler_id,
        max_unacked=queue.settings.max_unacked,
        spooled_messages=queue.messages,
    )


def handle_ack(vpn: Vpn, connection: Connection, request: AssuredControl) -> None:
    """Take a client's transport acknowledgement with its window, and what its application has settled.

    Acknowledgements of a flow that has just ended are late, not wrong, and are ignored.
    """
    flow = connection.consumers.get(request.flow_id or 0)
    if flow is None:
        return
    flow.confirm(request.last_acked or 0, flow.window if request.window is None else request.window)
    queue = flow.queue
    if isinstance(flow, Browser):
        if queue.allows(connection.username, Permission.CONSUME):
            for item in request.acks:
                queue.remove_waiting(item.high)
    elif flow.session_id is None:
        # In a transacted session only the commit settles.
        for item in request.acks:
            _settle(queue, flow, item)
    vpn.touch((queue,))


def _settle(queue: Queue, flow: ConsumerFlow, item: AckRange) -> None:
    entries = flow.settled(item.low, item.high)
    if item.outcome in (Outcome.FAILED, Outcome.RELEASED):
        queue.put_back(entries)
    elif item.outcome is Outcome.REJECTED:
        queue.reject(entries)
    else:
        queue.remove(entries)


def handle_unbind(vpn: Vpn, connection: Connection, request: AssuredControl) -> None:
    """End a flow: what it holds goes back to its queue; a temporary queue ends with its last flow."""
    flow = connection.consumers.get(request.flow_id or 0)
    if flow is not None:
        vpn.release(flow)
        vpn.report(f"{connection.client_name} unbound from queue {flow.queue.name}")
        if not flow.queue.durable and not flow.queue.flows:
            vpn.remove_queue(flow.queue)
    connection.send(replace(_UNBOUND, correlation=request.correlation, flow_id=request.flow_id))


_UNBOUND = AssuredControl(kind=AssuredKind.UNBIND, response=OK)
