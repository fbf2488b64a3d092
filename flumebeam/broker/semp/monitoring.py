"""The monitoring API: ``/SEMP/v2/monitor``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from flumebeam.broker.core.connection import Connection
from flumebeam.broker.core.counts import Cause, Count
from flumebeam.broker.core.flows import Browser, ConsumerFlow
from flumebeam.broker.core.partitions import Partitions
from flumebeam.broker.core.publishers import PublisherFlow
from flumebeam.broker.core.publishing import MAX_WINDOW
from flumebeam.broker.core.queues import Queue
from flumebeam.broker.core.selection import Selection
from flumebeam.broker.core.spool import Entry
from flumebeam.broker.core.traffic import Traffic
from flumebeam.broker.core.transactions import TransactedSession
from flumebeam.broker.core.vpn import Vpn
from flumebeam.broker.semp.access_settings import ACL_PROFILES, CLIENT_PROFILES, CLIENT_USERNAMES
from flumebeam.broker.semp.configuring import CONFIG, show_queue
from flumebeam.broker.semp.endpoint_settings import MEGABYTE
from flumebeam.broker.semp.message_list import Messages
from flumebeam.broker.semp.replays import MONITOR_LOGS, show_replays
from flumebeam.broker.semp.resources import Resource, World, read_only
from flumebeam.broker.semp.templates import QUEUE_TEMPLATES, TOPIC_ENDPOINT_TEMPLATES
from flumebeam.broker.semp.topic_endpoints import queues_of, show_topic_endpoint, topic_endpoints_of
from flumebeam.broker.semp.vpn_settings import show_vpn

__all__ = ["MONITOR", "all_traffic", "show_broker"]

_COUNTS: Final = [count for count in Count if count not in Cause.REJECTED.value]
"""The vendor has no names for what was rejected."""


def all_traffic(vpn: Vpn) -> list[Traffic]:
    """Return the counters of all clients."""
    return [connection.traffic for connection in vpn.clients.values()]


def _show_traffic(traffic: Traffic) -> dict[str, Any]:
    return {
        "aclDeniedRxDiscardedMsgCount": traffic.denied,
        "dataRxByteCount": traffic.received_bytes,
        "dataRxMsgCount": traffic.received,
        "dataTxByteCount": traffic.delivered_bytes,
        "dataTxMsgCount": traffic.delivered,
        "discardedRxMsgCount": traffic.denied + traffic.unmatched,
        "discardedTxMsgCount": traffic.discarded,
        "rxByteCount": traffic.received_bytes,
        "noSubscriptionMatchRxDiscardedMsgCount": traffic.unmatched,
        "rxDiscardedMsgCount": traffic.denied + traffic.unmatched,
        "rxMsgCount": traffic.received,
        "txByteCount": traffic.delivered_bytes,
        "txDiscardedMsgCount": traffic.discarded,
        "txMsgCount": traffic.delivered,
    }


def show_broker(world: World) -> dict[str, Any]:
    """Return the broker as a whole: what it spools, and what passes through all message VPNs."""
    vpns, config = world.host.vpns.values(), world.host.config
    total = Traffic()
    for vpn in vpns:
        total.add(vpn.traffic())
    return {
        **world.rates.of([one for vpn in vpns for one in all_traffic(vpn)]),
        "guaranteedMsgingEnabled": True,
        "guaranteedMsgingMaxMsgSpoolUsage": config.max_spool_bytes // MEGABYTE,
        "guaranteedMsgingOperationalStatus": "enabled-active",
        "msgSpoolMsgCount": sum(queue.messages for vpn in vpns for queue in vpn.queues.values()),
        "msgSpoolUsage": world.host.spooled_bytes(),
        **{name: value for name, value in _show_traffic(total).items() if name.startswith(("rx", "tx"))},
    }


def _show_vpn(world: World, vpn: Vpn) -> dict[str, Any]:
    queues = vpn.queues.values()
    return (
        show_vpn(world, vpn)
        | world.rates.of(all_traffic(vpn))
        | _show_traffic(vpn.traffic())
        | {
            "maxEffectiveSubscriptionCount": vpn.settings.max_subscriptions,
            "msgSpoolCurrentQueuesAndTopicEndpoints": len(queues),
            "msgSpoolMsgCount": sum(queue.messages for queue in queues),
            "msgSpoolUsage": vpn.spool.bytes,
            "msgVpnConnections": len(vpn.clients),
            "msgVpnConnectionsServiceRestOutgoing": 0,
            "msgVpnConnectionsServiceSmf": len(vpn.clients),
            "state": "up" if vpn.settings.enabled else "down",
            "uniqueSubscriptionCount": len(vpn.routes),
        }
    )


def _show_queue(world: World, queue: Queue) -> dict[str, Any]:
    line = queue.line
    return (
        show_queue(world, queue)
        | show_replays(queue)
        | _show_state(world, queue)
        | {
            "partitionOperationalCount": len(line.partitions) if isinstance(line, Partitions) else 0,
            "topicSubscriptionCount": len(queue.subscriptions),
            "partitionRebalanceStatus": "in-progress" if isinstance(line, Partitions) and line.rebalancing else "ready",
        }
    )


def _show_topic_endpoint(world: World, endpoint: Queue) -> dict[str, Any]:
    topic = next(iter(endpoint.subscriptions), "")
    return show_topic_endpoint(world, endpoint) | _show_state(world, endpoint) | {"destinationTopic": topic}


def _show_state(world: World, queue: Queue) -> dict[str, Any]:
    return (
        world.rates.of((queue,))
        | {count.value: queue.counts[count] for count in _COUNTS}
        | {
            "deletedMsgCount": queue.deleted,
            "durable": queue.durable,
            "msgSpoolPeakUsage": queue.peak_bytes,
            "msgSpoolUsage": queue.bytes,
            "redeliveredMsgCount": queue.redelivered,
            "spooledByteCount": queue.received_bytes,
            "spooledMsgCount": queue.received,
            "txSelector": isinstance(queue.line, Selection),
            "txUnackedMsgCount": sum(len(flow.unacked) for flow in queue.flows),
            "virtualRouter": "primary",
        }
    )


def _flows(world: World, queue: Queue) -> Mapping[str, ConsumerFlow | Browser]:
    flows: list[ConsumerFlow | Browser] = [*queue.flows, *queue.browsers]
    return {str(flow.id): flow for flow in flows}


def _show_message(world: World, entry: Entry) -> dict[str, Any]:
    message = entry.message
    spooler = f"{world.vpn.spool.spooler_id:016x}"
    number = f"{message.id:016x}"
    return {
        "attachmentSize": message.size,
        "contentSize": message.size,
        "dmqEligible": message.template.dmq_eligible,
        "msgId": message.id,
        "priority": message.template.priority,
        "redeliveryCount": max(entry.deliveries - 1, 0),
        "replicationGroupMsgId": f"rmid1:{spooler[:5]}-{spooler[5:]}-{number[:8]}-{number[8:]}",
        "undelivered": entry.deliveries == 0,
    }


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
    return shown | {
        "activityState": "active-consumer" if flow.is_active else "inactive",
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
        "description": connection.description,
        "platform": connection.platform,
        "softwareVersion": connection.software,
        "slowSubscriber": not connection.writable,
        "subscriptionCount": len(connection.subscriptions),
        "uptime": max(int(world.vpn.now - connection.opened_at), 0),
        **world.rates.of((connection.traffic,)),
        **_show_traffic(connection.traffic),
    }


def _show_connection(world: World, connection: Connection) -> dict[str, Any]:
    return {"uptime": max(int(world.vpn.now - connection.opened_at), 0)}


def _client_flows(world: World, connection: Connection) -> Mapping[str, ConsumerFlow | Browser]:
    return {str(number): flow for number, flow in connection.consumers.items()}


def _show_client_flow(world: World, flow: ConsumerFlow | Browser) -> dict[str, Any]:
    return _show_flow(world, flow) | {"queueName": flow.queue.name}


def _publishers(world: World, connection: Connection) -> Mapping[str, PublisherFlow]:
    return {str(number): flow for number, flow in connection.publishers.items()}


def _show_publisher(world: World, flow: PublisherFlow) -> dict[str, Any]:
    return {
        "flowId": flow.id,
        "flowName": flow.name,
        "lastRxMsgId": flow.last_id,
        "publisherId": flow.id,
        "sessionName": flow.session.name if flow.session else "",
        "windowSize": MAX_WINDOW,
    }


def _sessions(world: World, connection: Connection) -> Mapping[str, TransactedSession]:
    return {session.name: session for session in connection.sessions.values()}


def _show_session(world: World, session: TransactedSession) -> dict[str, Any]:
    return {"clientName": session.owner, "pendingPublishedMsgCount": session.pending}


_SUBSCRIPTIONS: Final = Resource(
    name="subscriptions",
    key="subscriptionTopic",
    noun="subscription",
    members=lambda world, client: {topic: topic for topic in client.subscriptions},
    show=lambda world, topic: {},
)
_QUEUE_SUBSCRIPTIONS: Final = replace(
    _SUBSCRIPTIONS,
    members=lambda world, queue: queue.subscriptions,
    show=lambda world, managed: {"createdByManagement": managed},
)
_MESSAGES: Final = Resource(
    name="msgs", key="msgId", noun="message", members=lambda world, queue: Messages(queue), show=_show_message
)
_FLOWS: Final = Resource(name="txFlows", key="flowId", noun="flow", members=_flows, show=_show_flow)
MONITOR: Final = Resource(
    name=CONFIG.name,
    key=CONFIG.key,
    noun=CONFIG.noun,
    members=CONFIG.members,
    show=_show_vpn,
    counts=lambda world, vpn: {
        "clients": len(vpn.clients),
        "queues": len(queues_of(vpn)),
        "topicEndpoints": len(topic_endpoints_of(vpn)),
    },
    children=(
        Resource(
            name="queues",
            key="queueName",
            noun="queue",
            members=lambda world, vpn: queues_of(vpn),
            show=_show_queue,
            counts=lambda world, queue: {
                "msgs": queue.messages,
                "subscriptions": len(queue.subscriptions),
                "txFlows": len(queue.flows) + len(queue.browsers),
            },
            children=(_QUEUE_SUBSCRIPTIONS, _MESSAGES, _FLOWS),
        ),
        Resource(
            name="topicEndpoints",
            key="topicEndpointName",
            noun="topic endpoint",
            members=lambda world, vpn: topic_endpoints_of(vpn),
            show=_show_topic_endpoint,
            counts=lambda world, endpoint: {
                "msgs": endpoint.messages,
                "txFlows": len(endpoint.flows) + len(endpoint.browsers),
            },
            children=(_MESSAGES, _FLOWS),
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
            children=(
                _SUBSCRIPTIONS,
                Resource(
                    name="connections",
                    key="clientAddress",
                    noun="connection",
                    members=lambda world, client: {client.peer: client},
                    show=_show_connection,
                ),
                Resource(name="rxFlows", key="flowId", noun="flow", members=_publishers, show=_show_publisher),
                Resource(
                    name="transactedSessions",
                    key="sessionName",
                    noun="transacted session",
                    members=_sessions,
                    show=_show_session,
                ),
                Resource(name="txFlows", key="flowId", noun="flow", members=_client_flows, show=_show_client_flow),
            ),
        ),
        MONITOR_LOGS,
        *map(read_only, (ACL_PROFILES, CLIENT_PROFILES, QUEUE_TEMPLATES, TOPIC_ENDPOINT_TEMPLATES)),
        replace(
            read_only(CLIENT_USERNAMES),
            show=lambda world, user: CLIENT_USERNAMES.show(world, user) | {"dynamic": False},
        ),
    ),
)
