"""The action API: ``/SEMP/v2/action``."""

from __future__ import annotations

from typing import Final

from flumebeam.broker.core.administration import (
    clear_counters,
    clear_queue_counters,
    delete_message,
    delete_messages,
    disconnect,
)
from flumebeam.broker.semp.configuring import CONFIG
from flumebeam.broker.semp.message_list import WaitingMessages
from flumebeam.broker.semp.replays import LOG_ACTIONS, QUEUE_ACTIONS
from flumebeam.broker.semp.resources import Action, Resource
from flumebeam.broker.semp.topic_endpoints import ENDPOINT_ACTIONS, queues_of

__all__ = ["ACTION"]


ACTION: Final = Resource(
    name=CONFIG.name,
    key=CONFIG.key,
    noun=CONFIG.noun,
    members=CONFIG.members,
    show=lambda world, vpn: {},
    actions={"clearStats": Action(lambda world, vpn, _: clear_counters(vpn))},
    children=(
        Resource(
            name="queues",
            key="queueName",
            noun="queue",
            members=lambda world, vpn: queues_of(vpn),
            show=lambda world, queue: {},
            actions={
                "clearStats": Action(lambda world, queue, _: clear_queue_counters(queue)),
                "deleteMsgs": Action(lambda world, queue, _: delete_messages(world.vpn, queue)),
                **QUEUE_ACTIONS,
            },
            children=(
                Resource(
                    name="msgs",
                    key="msgId",
                    noun="message",
                    members=lambda world, queue: WaitingMessages(queue),
                    show=lambda world, message: {},
                    actions={"delete": Action(lambda world, message, _: delete_message(world.vpn, *message))},
                ),
            ),
        ),
        Resource(
            name="clients",
            key="clientName",
            noun="client",
            members=lambda world, vpn: vpn.clients,
            show=lambda world, client: {},
            actions={
                "clearStats": Action(lambda world, client, _: client.traffic.clear()),
                "disconnect": Action(lambda world, client, _: disconnect(world.vpn, client)),
            },
        ),
        ENDPOINT_ACTIONS,
        LOG_ACTIONS,
    ),
)
