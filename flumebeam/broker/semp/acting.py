"""The action API: ``/SEMP/v2/action``."""

from __future__ import annotations

from typing import Final

from flumebeam.broker.core.administration import delete_messages, disconnect
from flumebeam.broker.semp.configuring import CONFIG
from flumebeam.broker.semp.replays import LOG_ACTIONS, QUEUE_ACTIONS
from flumebeam.broker.semp.resources import Action, Resource

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
            actions={"deleteMsgs": Action(lambda world, queue, _: delete_messages(world.vpn, queue))} | QUEUE_ACTIONS,
        ),
        Resource(
            name="clients",
            key="clientName",
            noun="client",
            members=lambda world, vpn: vpn.clients,
            show=lambda world, client: {},
            actions={"disconnect": Action(lambda world, client, _: disconnect(world.vpn, client))},
        ),
        LOG_ACTIONS,
    ),
)
