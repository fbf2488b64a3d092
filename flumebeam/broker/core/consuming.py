"""Consuming: binding to queues, windows, settlement, unbinding."""

from __future__ import annotations

from dataclasses import replace

from flumebeam.broker.core.connection import Connection
from flumebeam.broker.core.endpoints import (
    change_topic,
    encode_permission,
    endpoint_name,
    full_name,
    invalid_endpoint_name,
    refused_topic,
    temporary_name,
    temporary_settings,
)
from flumebeam.broker.core.flows import Browser, ConsumerFlow
from flumebeam.broker.core.partitions import Partitions
from flumebeam.broker.core.provisioning import subscription_denial
from flumebeam.broker.core.queue_settings import Permission
from flumebeam.broker.core.queues import Queue
from flumebeam.broker.core.replaying import replay_for_client
from flumebeam.broker.core.responses import (
    NOT_PERMITTED,
    OK,
    QUEUE_SHUTDOWN,
    TOO_MANY_FLOWS,
    TOO_MANY_QUEUES,
    UNKNOWN_ENDPOINT,
    UNKNOWN_QUEUE,
    UNKNOWN_SESSION,
)
from flumebeam.broker.core.selectors import Selector, SelectorError
from flumebeam.broker.core.shared import parse_subscription
from flumebeam.broker.core.vpn import Vpn
from flumebeam.broker.faults import LoseBindResponse
from flumebeam.smf.assuredctrl import (
    AccessType,
    AckRange,
    AssuredControl,
    AssuredKind,
    Durability,
    EndpointBehavior,
    FlowType,
    Outcome,
)
from flumebeam.smf.single_ack import SingleAck
from flumebeam.smf.values import Response

__all__ = ["handle_ack", "handle_bind", "handle_unbind"]

_ENDPOINT_SHUTDOWN = Response(503, "Durable Topic Endpoint Shutdown")
_QUEUE_FULL = Response(503, "Max clients exceeded for queue")
_ENDPOINT_FULL = Response(503, "Max clients exceeded for durable topic endpoint")


def handle_bind(vpn: Vpn, connection: Connection, request: AssuredControl) -> None:
    """Bind a consumer or a browser to a queue; a temporary queue is made by it."""
    queue = vpn.queues.get(full_name(request))
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
        name = full_name(request) or temporary_name(vpn)
        settings = temporary_settings(vpn, connection, request)
        queue = vpn.add_queue(name, AccessType.EXCLUSIVE, connection.username, durable=False, settings=settings)
    if request.topic is not None and queue.is_topic_endpoint:
        change_topic(vpn, queue, request.topic)
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
        queue.bind(flow)
        if request.no_local:
            connection.others_only.add(flow)
        if selector is not None:
            queue.select()
        active = flow.is_active
        vpn.lineages.resume(flow, request.endpoint_error_id, vpn.spool.spooler_id)
    flow.confirm(0, request.window or 0)
    connection.consumers[flow_id] = flow
    vpn.touch((queue,))
    lost = vpn.faults.strike(LoseBindResponse) if vpn.faults else None
    if lost is None:
        vpn.answer(connection, "bind", _bound(vpn, connection.username, request, flow, active))
    elif lost.cut:
        connection.break_off()
    kind = "browser" if isinstance(flow, Browser) else "consumer"
    vpn.report(f"{connection.client_name} bound a {kind} to queue {queue.name}" + ("" if active else ", standby"))


def _refusal(vpn: Vpn, connection: Connection, request: AssuredControl, queue: Queue | None) -> Response | None:
    profile = connection.profile
    if not profile.receive_guaranteed:
        return NOT_PERMITTED
    temporary = request.durability == Durability.NON_DURABLE
    by_topic = request.endpoint is not None
    if (queue is None and not temporary) or (queue is not None and queue.is_topic_endpoint is not by_topic):
        return UNKNOWN_ENDPOINT if by_topic else UNKNOWN_QUEUE
    needed = Permission.READ_ONLY if request.flow_type == FlowType.BROWSER else Permission.CONSUME
    if queue is not None and not queue.allows(connection.username, needed):
        return NOT_PERMITTED
    if queue is not None and not queue.settings.egress_enabled:
        return _ENDPOINT_SHUTDOWN if by_topic else QUEUE_SHUTDOWN
    if queue is not None and len(queue.flows) + len(queue.browsers) >= queue.settings.max_consumers:
        return _ENDPOINT_FULL if by_topic else _QUEUE_FULL
    if queue is None and invalid_endpoint_name(request):
        return Response(400, "Invalid Temporary Queue Name")
    if queue is None and (not profile.create_endpoints or profile.endpoint_durability == "durable"):
        return NOT_PERMITTED
    if queue is None and len(vpn.queues) >= vpn.settings.max_queues:
        return TOO_MANY_QUEUES
    if queue is not None and isinstance(queue.line, Partitions):
        if request.flow_type == FlowType.BROWSER:
            return Response(403, "Browsing Not Supported on Partitioned Queue")
        if request.selector:
            return Response(403, "Selectors Not Supported on Partitioned Queue")
    if by_topic:
        may_change = queue is None or queue.allows(connection.username, Permission.MODIFY_TOPIC)
        refused = refused_topic(vpn, queue, request.topic, may_change)
        if refused is not None:
            return refused
        denial = subscription_denial(connection, parse_subscription(request.topic)) if request.topic else None
        if denial is not None:
            return denial
    if request.session_id is not None and request.session_id not in connection.sessions:
        return UNKNOWN_SESSION
    if len(connection.consumers) >= profile.max_receiving:
        return TOO_MANY_FLOWS
    if vpn.count(lambda client: client.consumers) >= vpn.settings.max_receiving:
        return TOO_MANY_FLOWS
    return None


def _bound(
    vpn: Vpn, username: str, request: AssuredControl, flow: ConsumerFlow | Browser, active: bool
) -> AssuredControl:
    queue = flow.queue
    granted = Permission.DELETE if username == queue.owner else queue.permission
    counts = queue.settings.delivery_count
    return AssuredControl(
        kind=request.kind,
        correlation=request.correlation,
        response=OK,
        session_id=request.session_id,
        flow_id=flow.id,
        queue=None if queue.is_topic_endpoint else queue.name,
        endpoint=endpoint_name(queue),
        topic=request.topic,
        durability=Durability.DURABLE if queue.durable else Durability.NON_DURABLE,
        access=queue.access,
        granted_permissions=encode_permission(granted),
        other_permissions=encode_permission(queue.permission),
        quota_mb=0 if queue.settings.last_value else queue.settings.max_bytes // 1_000_000,
        max_message_bytes=queue.settings.max_message_bytes,
        respect_ttl=int(queue.settings.respect_ttl),
        behavior=EndpointBehavior.DELIVERY_COUNT if counts else EndpointBehavior.NO_DELIVERY_COUNT,
        max_redeliveries=queue.settings.max_redeliveries,
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


def handle_ack(vpn: Vpn, connection: Connection, request: AssuredControl | SingleAck) -> None:
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
