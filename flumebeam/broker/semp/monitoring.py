"""The monitoring API: ``/SEMP/v2/monitor``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from flumebeam.broker.core.connection import Connection
from flumebeam.broker.core.counts import Cause, Count
from flumebeam.broker.core.flows import Browser, ConsumerFlow
from flumebeam.broker.core.partitions import Partitions
from flumebeam.broker.core.queues import Queue
from flumebeam.broker.core.selection import Selection
from flumebeam.broker.core.vpn import Vpn
from flumebeam.broker.semp.configuring import CONFIG, show_queue
from flumebeam.broker.semp.replays import MONITOR_LOGS, show_replays
from flumebeam.broker.semp.resources import Resource, World
from flumebeam.broker.semp.vpn_settings import show_vpn

__all__ = ["MONITOR"]

_COUNTS: Final = [count for count in Count if count not in Cause.REJECTED.value]
"""The vendor has no names for what was rejected."""


def _show_vpn(world: World, vpn: Vpn) -> dict[str, Any]:
    queues = vpn.queues.values()
    return (
        show_vpn(world, vpn)
        | world.rates.of(queues)
        | {
            "msgSpoolMsgCount": sum(queue.messages for queue in queues),
            "msgSpoolUsage": vpn.spool.bytes,
            "msgVpnConnections": len(vpn.clients),
            "state": "up",
        }
    )


def _show_queue(world: World, queue: Queue) -> dict[str, Any]:
    line = queue.line
    return (
        show_queue(world, queue)
        | world.rates.of((queue,))
        | show_replays(queue)
        | {count.value: queue.counts[count] for count in _COUNTS}
        | {
            "deletedMsgCount": queue.deleted,
            "durable": queue.durable,
            "msgSpoolPeakUsage": queue.peak_bytes,
            "msgSpoolUsage": queue.bytes,
            "partitionOperationalCount": len(line.partitions) if isinstance(line, Partitions) else 0,
            "partitionRebalanceStatus": "in-progress" if isinstance(line, Partitions) and line.rebalancing else "ready",
            "redeliveredMsgCount": queue.redelivered,
            "spooledByteCount": queue.received_bytes,
            "spooledMsgCount": queue.received,
            "txSelector": isinstance(line, Selection),
            "txUnackedMsgCount": sum(len(flow.unacked) for flow in queue.flows),
            "virtualRouter": "primary",
        }
    )


def _flows(world: World, queue: Queue) -> Mapping[str, ConsumerFlow | Browser]:
    flows: list[ConsumerFlow | Browser] = [*queue.flows, *queue.browsers]
    return {str(flow.id): flow for flow in flows}


def _show_flow(world: World, flow: ConsumerFlow | Browser) -> dict[str, Any]:
    selector = flow.selector
    shown: dict[str, Any] = {
        "clientName": flow.connection.client_name,
        "flowId": flow.id,
        "selector": selector is not None,
        "selectorExaminedMsgCount": selector.examined if selector else 0,
        "selectorMatchedMsgCount": selector.matched if selector else 0,
        "selectorNotMatchedMsgCount": selector.examined - selector.matched if selector else 0,
        "windowSize": flow.window,
    }
    if isinstance(flow, Browser):
        return shown | {"activityState": "active-browser"}
    active = flow.queue.is_active(flow)
    return shown | {
        "activityState": "active-consumer" if active else "inactive",
        "highestAckPendingMsgId": max(flow.unacked, default=0),
        "lowestAckPendingMsgId": min(flow.unacked, default=0),
        "sessionName": _session_name(flow),
        "unackedMsgCount": len(flow.unacked),
    }


def _session_name(flow: ConsumerFlow) -> str:
    session = flow.connection.sessions.get(flow.session_id or 0)
    return session.name if session else ""


def _show_client(world: World, connection: Connection) -> dict[str, Any]:
    return {
        "aclProfileName": connection.user.acl_profile,
        "clientAddress": connection.peer,
        "clientProfileName": connection.user.client_profile,
        "clientUsername": connection.username,
        "slowSubscriber": not connection.writable,
        "uptime": max(int(world.vpn.now - connection.opened_at), 0),
    }


_SUBSCRIPTIONS: Final = Resource(
    name="subscriptions",
    key="subscriptionTopic",
    noun="subscription",
    members=lambda world, owner: {topic: topic for topic in owner.subscriptions},
    show=lambda world, topic: {},
)
MONITOR: Final = Resource(
    name=CONFIG.name,
    key=CONFIG.key,
    noun=CONFIG.noun,
    members=CONFIG.members,
    show=_show_vpn,
    counts=lambda world, vpn: {"clients": len(vpn.clients), "queues": len(vpn.queues)},
    children=(
        Resource(
            name="queues",
            key="queueName",
            noun="queue",
            members=lambda world, vpn: vpn.queues,
            show=_show_queue,
            counts=lambda world, queue: {
                "msgs": queue.messages,
                "subscriptions": len(queue.subscriptions),
                "txFlows": len(queue.flows) + len(queue.browsers),
            },
            children=(
                _SUBSCRIPTIONS,
                Resource(name="txFlows", key="flowId", noun="flow", members=_flows, show=_show_flow),
            ),
        ),
        Resource(
            name="clients",
            key="clientName",
            noun="client",
            members=lambda world, vpn: vpn.clients,
            show=_show_client,
            counts=lambda world, client: {
                "rxFlows": len(client.publishers),
                "subscriptions": len(client.subscriptions),
                "transactedSessions": len(client.sessions),
                "txFlows": len(client.consumers),
            },
            children=(_SUBSCRIPTIONS,),
        ),
        MONITOR_LOGS,
    ),
)
