"""The action API: ``/SEMP/v2/action``."""

from __future__ import annotations

from typing import Final

from flumebeam.broker.core.administration import delete_messages, disconnect
from flumebeam.broker.semp.configuring import CONFIG
from flumebeam.broker.semp.resources import Resource

__all__ = ["ACTION"]

ACTION: Final = Resource(
    name=CONFIG.name,
    key=CONFIG.key,
    noun=CONFIG.noun,
    members=CONFIG.members,
    show=lambda world, vpn: {},
    children=(
        Resource(
            name="queues",
            key="queueName",
            noun="queue",
            members=lambda world, vpn: vpn.queues,
            show=lambda world, queue: {},
            actions={"deleteMsgs": lambda world, queue: delete_messages(world.vpn, queue)},
        ),
        Resource(
            name="clients",
            key="clientName",
            noun="client",
            members=lambda world, vpn: vpn.clients,
            show=lambda world, client: {},
            actions={"disconnect": lambda world, client: disconnect(world.vpn, client)},
        ),
    ),
)
