"""What of a broker's state is to survive it, in a form that can be compared."""

from __future__ import annotations

from typing import Any

from flumebeam.broker.core.engine import Engine

__all__ = ["durable_state", "whole_state"]


def whole_state(engine: Engine) -> dict[str, Any]:
    """Return the durable part of a broker's state, of all its message VPNs."""
    return {name: (vpn.settings, durable_state(engine, name)) for name, vpn in engine.host.vpns.items()}


def durable_state(engine: Engine, name: str = "default") -> dict[str, Any]:
    """Return the durable part of a message VPN's state, and check that its parts agree with each other."""
    vpn = engine.host.vpns[name]
    held: dict[int, int] = {}
    bodies: dict[int, int] = {}
    queues = {}
    for queue in vpn.queues.values():
        entries = list(queue.waiting())
        for flow in queue.flows:
            entries += flow.unacked.values()
        entries.sort(key=lambda entry: entry.message.id)
        for entry in entries:
            held[entry.message.id] = held.get(entry.message.id, 0) + 1
            bodies[entry.message.id] = entry.message.size
            assert entry.message.references >= held[entry.message.id]
        assert (queue.messages, queue.bytes) == (len(entries), sum(entry.message.size for entry in entries))
        if queue.durable:
            queues[queue.name] = (
                queue.access,
                queue.owner,
                queue.permission,
                queue.settings,
                tuple(queue.subscriptions),
                [
                    (
                        entry.message.id,
                        entry.delivery_id,
                        entry.deliveries,
                        entry.message.arrived,
                        entry.message.template.parameters,
                        entry.message.summary,
                        entry.message.body,
                    )
                    for entry in entries
                ],
            )
    for entry in vpn.log.ready if vpn.log else ():
        bodies[entry.message.id] = entry.message.size
    assert vpn.spool.bytes == sum(bodies.values())
    publishers = vpn.publishers._things.values()
    sessions = vpn.sessions._things.values()
    log = vpn.log
    return {
        "queues": queues,
        "log": log and (log.name, log.settings, [(one.message.id, one.message.arrived) for one in log.ready]),
        "publishers": {
            flow.name: (flow.id, flow.owner, flow.session and flow.session.name, flow.eager_acks) for flow in publishers
        },
        # What a transacted session has staged does not survive, and so its flow's position does not either.
        "positions": {flow.name: flow.last_id for flow in publishers if flow.session is None},
        "sessions": {
            session.name: (session.id, session.owner, session.ended, session._outcome) for session in sessions
        },
    }
