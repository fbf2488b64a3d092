"""What an administrator may do beyond what clients can: set up queues, delete messages, disconnect."""

from __future__ import annotations

from dataclasses import dataclass

from flumebeam.broker.core.connection import Connection
from flumebeam.broker.core.queue_settings import Permission, QueueSettings
from flumebeam.broker.core.queues import Queue
from flumebeam.broker.core.responses import QUEUE_SHUTDOWN
from flumebeam.broker.core.vpn import Vpn
from flumebeam.smf.assuredctrl import AccessType
from flumebeam.smf.values import Response

__all__ = [
    "QueueSetup",
    "clear_counters",
    "clear_queue_counters",
    "configure_queue",
    "delete_message",
    "delete_messages",
    "disconnect",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueSetup:
    """Everything that can be set on a queue.

    Attributes:
        access: Whether one flow receives at a time, or all in turn.
        owner: Username that may do everything with it, or None.
        permission: What other usernames may do.
        settings: Whether it is open, and its limits.
    """

    access: AccessType
    owner: str | None
    permission: Permission
    settings: QueueSettings

    @classmethod
    def of(cls, queue: Queue) -> QueueSetup:
        """Return how a queue is set up."""
        return cls(access=queue.access, owner=queue.owner, permission=queue.permission, settings=queue.settings)


def configure_queue(vpn: Vpn, queue: Queue, setup: QueueSetup) -> None:
    """Change a queue. Consumers whose binding no longer holds are unbound; what they held goes back to the queue."""
    former = QueueSetup.of(queue)
    queue.access, queue.owner, queue.permission = setup.access, setup.owner, setup.permission
    queue.settings = setup.settings
    queue.watch_all()
    if not setup.settings.egress_enabled:
        vpn.unbind_all(queue, QUEUE_SHUTDOWN)
    elif (former.access, former.owner, former.permission, former.settings.partitions) != (
        setup.access,
        setup.owner,
        setup.permission,
        setup.settings.partitions,
    ):
        vpn.unbind_all(queue, Response(503, "Endpoint Modified"))
    queue.form_line()
    vpn.touch((queue,))
    vpn.note_setup(queue)
    vpn.routes.forget()
    vpn.report(f"queue {queue.name} changed")


def delete_messages(vpn: Vpn, queue: Queue) -> int:
    """Delete all messages of a queue and return how many, delivered but unacknowledged ones included.

    Acknowledgements of these are ignored when they come, and a commit that counts on them fails.
    """
    deleted = queue.clear()
    for flow in queue.flows:
        delivered = list(flow.unacked.values())
        flow.unacked.clear()
        queue.remove(delivered)
        deleted += len(delivered)
    queue.deleted += deleted
    vpn.report(f"queue {queue.name}: {deleted} messages deleted")
    return deleted


def delete_message(vpn: Vpn, queue: Queue, message_id: int) -> None:
    """Delete a waiting message of a queue; one that was delivered and not acknowledged stays."""
    before = queue.messages
    queue.remove_waiting(message_id)
    queue.deleted += before - queue.messages
    vpn.report(f"queue {queue.name}: message {message_id} deleted")


def clear_queue_counters(queue: Queue) -> None:
    """Let a queue count from zero again."""
    queue.received = queue.received_bytes = queue.delivered = queue.delivered_bytes = 0
    queue.redelivered = queue.deleted = 0
    queue.peak_bytes = queue.bytes
    queue.counts.clear()


def clear_counters(vpn: Vpn) -> None:
    """Let a message VPN count what passes through it from zero again, for all its clients."""
    for traffic in (vpn.former_traffic, *(connection.traffic for connection in vpn.clients.values())):
        traffic.clear()


def disconnect(vpn: Vpn, connection: Connection) -> None:
    """Close a client's connection; the client may come back."""
    vpn.report(f"{connection.client_name} is disconnected by an administrator")
    connection.close()
