"""What tests of transactions say in commits and see of them."""

from __future__ import annotations

from typing import Any

from flumebeam.smf.assuredctrl import ConsumerAck
from flumebeam.smf.values import Response

__all__ = ["OK", "consumed", "stored"]

OK = Response(200, "OK")


def consumed(flow: int, messages: list[Any]) -> ConsumerAck:
    """Return what a commit says to consume the messages that came on a flow."""
    ids = [message.parameters.message_id for message in messages]
    return ConsumerAck(flow, ids[0], ids[-1], len(ids), ids[-1], 255)


def stored(world: Any, queue: str = "q") -> int:
    """Return how many messages a queue holds."""
    return int(world.engine.queue(queue).messages)
