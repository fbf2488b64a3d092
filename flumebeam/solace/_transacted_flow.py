"""The consumer flow of a transacted session, and what the client tells of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from solace.messaging.receiver._impl._transactional_message_receiver import _TransactionalMessageReceiver
from solace.messaging.resources.queue import Queue

__all__ = ["bind_transacted_flow"]

_TELL_WHO_IS_SERVED: Final = {"FLOW_ACTIVE_FLOW_IND": "1"}


class _WatchedFlow(_TransactionalMessageReceiver):  # type: ignore[misc]
    """The vendor's receiver, whose events are also led to us, in the thread that sees them first."""

    def __init__(self, builder: Any, session: Any, on_event: Callable[[int], None]) -> None:
        self._on_event = on_event
        super().__init__(builder._config, builder, session)
        self._config |= _TELL_WHO_IS_SERVED

    def _event_callback_routine(self, flow: int, info: Any, user: Any) -> int:
        self._on_event(info.contents.flow_event)
        result: int = super()._event_callback_routine(flow, info, user)
        return result


def bind_transacted_flow(session: Any, queue: str, selector: str, on_event: Callable[[int], None] | None) -> Any:
    """Bind a flow within a transacted session of the vendor's layer, and start it.

    Args:
        session: The session, connected.
        queue: Name of a durable queue.
        selector: Take only messages that it matches; empty for all.
        on_event: Called with the number of each flow event, by the client's thread.

    Raises:
        PubSubPlusClientError: It cannot be bound.
    """
    builder = session.create_transactional_message_receiver_builder()
    if selector:
        builder = builder.with_message_selector(selector)
    place = Queue.durable_exclusive_queue(queue)
    if on_event is None:
        return builder.build(place).start()
    builder._endpoint_to_consume_from = place
    return _WatchedFlow(builder, session, on_event).start()
