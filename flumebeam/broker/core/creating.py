"""Creating and deleting endpoints, and taking the topic from a topic endpoint: requests of clients."""

from __future__ import annotations

from typing import Final

from flumebeam.broker.core.connection import Connection
from flumebeam.broker.core.endpoints import (
    change_topic,
    full_name,
    invalid_endpoint_name,
    requested_setup,
)
from flumebeam.broker.core.queue_settings import Permission
from flumebeam.broker.core.responses import NOT_PERMITTED, OK, TOO_MANY_QUEUES, UNKNOWN_ENDPOINT, UNKNOWN_QUEUE
from flumebeam.broker.core.vpn import Vpn
from flumebeam.smf.assuredctrl import AssuredControl, Durability
from flumebeam.smf.values import Response

__all__ = ["handle_create", "handle_delete", "handle_unsubscribe"]

_BOUND: Final = Response(400, "Unsubscribe not allowed, client(s) bound to DTE")


def handle_create(vpn: Vpn, connection: Connection, request: AssuredControl) -> None:
    """Create a durable queue or topic endpoint, which is its maker's own."""
    setup = requested_setup(vpn, connection, request)
    existing, profile = vpn.queues.get(full_name(request)), connection.profile
    if existing is not None:
        same = existing.access is setup.access and existing.durable
        response = Response(400, "Already Exists" if same else "Endpoint Property Mismatch")
    elif not profile.create_endpoints or profile.endpoint_durability == "non-durable":
        response = NOT_PERMITTED
    elif request.durability == Durability.NON_DURABLE or invalid_endpoint_name(request):
        response = Response(400, "Invalid Queue Name Or Durability")
    elif len(vpn.queues) >= vpn.settings.max_queues or _owned(vpn, connection.username) >= profile.max_endpoints:
        response = TOO_MANY_QUEUES
    else:
        vpn.add_queue(full_name(request), setup.access, setup.owner, setup.permission, settings=setup.settings)
        response = OK
    connection.send(
        AssuredControl(
            kind=request.kind,
            correlation=request.correlation,
            response=response,
            queue=request.queue,
            endpoint=request.endpoint,
            durability=Durability.DURABLE,
            access=setup.access,
        )
    )


def _owned(vpn: Vpn, username: str) -> int:
    return sum(queue.owner == username for queue in vpn.queues.values())


def handle_delete(vpn: Vpn, connection: Connection, request: AssuredControl) -> None:
    """Delete a queue or topic endpoint."""
    queue = vpn.queues.get(full_name(request))
    if queue is None:
        response = UNKNOWN_QUEUE if request.endpoint is None else UNKNOWN_ENDPOINT
    elif not connection.profile.create_endpoints or not queue.allows(connection.username, Permission.DELETE):
        response = NOT_PERMITTED
    else:
        vpn.remove_queue(queue)
        response = OK
    _answer(connection, request, response)


def handle_unsubscribe(vpn: Vpn, connection: Connection, request: AssuredControl) -> None:
    """Take its topic from a topic endpoint, and delete what it holds."""
    queue = vpn.queues.get(full_name(request))
    if queue is None or not queue.is_topic_endpoint:
        response = UNKNOWN_ENDPOINT
    elif not queue.allows(connection.username, Permission.MODIFY_TOPIC):
        response = NOT_PERMITTED
    elif queue.flows or queue.browsers:
        response = _BOUND
    else:
        change_topic(vpn, queue, None)
        response = OK
    _answer(connection, request, response)


def _answer(connection: Connection, request: AssuredControl, response: Response) -> None:
    connection.send(
        AssuredControl(
            kind=request.kind,
            correlation=request.correlation,
            response=response,
            queue=request.queue,
            endpoint=request.endpoint,
        )
    )
