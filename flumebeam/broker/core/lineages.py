"""Consumer flows over reconnects: what a client goes on holding while it is away.

A client that loses its connection keeps what it has received and not settled. When it binds again it says up to which
delivery id it has received, drops whatever comes with an id not above that, and settles what it holds by the old ids.
So nothing that it does not hold may come under such an id, and what it does hold must be known under its old one.

The flow before is recognised by the endpoint error id of its bind, which clients repeat (measured against
solace-pubsubplus 1.11, which does so if the broker has the capability for it).
"""

from __future__ import annotations

from collections.abc import Mapping

from flumebeam.broker.core.flows import ConsumerFlow
from flumebeam.broker.core.resumables import Resumables
from flumebeam.broker.core.spool import Entry

__all__ = ["Lineages"]

_U64 = (1 << 64) - 1


class Lineages:
    """What the flows of lost connections held, for a while.

    Args:
        retention_seconds: How long it is known.
        limit: Of how many flows; the one that is away longest is forgotten first.
    """

    def __init__(self, retention_seconds: float, limit: int) -> None:
        self._left: Resumables[Mapping[int, Entry]] = Resumables(retention_seconds, limit)

    def leave(self, flow: ConsumerFlow, now: float) -> None:
        """Remember what a flow holds whose connection is lost; its queue takes it back and may give it to others."""
        if flow.unacked:
            name = _name(flow)
            self._left.keep(name, dict(flow.unacked))
            self._left.leave(name, now)

    def resume(self, flow: ConsumerFlow, token: int | None, spooler_id: int) -> None:
        """Let a new flow hold what its client has received before and nobody else has got meanwhile.

        What is above the client's last received id never arrived, and a standby flow has nothing to go on with. All
        that comes to the flow from now on has a higher id.

        Args:
            flow: Bound, and nothing was delivered on it yet.
            token: Endpoint error id that the client repeats, or None.
            spooler_id: Makes a new token unlike those of other brokers.
        """
        flow.token = token or (spooler_id << 32 | flow.id) & _U64
        name = _name(flow)
        held = self._left.get(name)
        self._left.remove(name)
        if held is not None and flow.last_id and flow.is_active:
            # An id that was changed since is not the one the client knows.
            known = {entry for number, entry in held.items() if number <= flow.last_id and number == entry.delivery_id}
            flow.queue.resume(flow, known)

    def expire(self, now: float) -> None:
        """Forget those that nobody came back for."""
        self._left.expire(now)


def _name(flow: ConsumerFlow) -> str:
    return f"{flow.token:x} {flow.connection.client_name} {flow.queue.name}"
