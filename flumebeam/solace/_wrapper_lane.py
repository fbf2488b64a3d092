"""Publishing and taking by the vendor's Python layer, a call per message.

Each of its messages holds itself (solace-pubsubplus 1.11), so only Python's collector of cycles frees it, which our
programs run seldom: thousands of messages are several megabytes then, and no longer in a processor's cache. Where it
runs often enough, a chain is half as fast again (measured).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from solace.messaging.config.solace_properties import message_properties
from solace.messaging.messaging_service import MessagingService
from solace.messaging.publisher.outbound_message import OutboundMessage
from solace.messaging.resources.topic import Topic

from flumebeam.garbage import collect_often_enough
from flumebeam.solace._placed_frames import Taken, TakenMessages
from flumebeam.solace._reader import MessageReader
from flumebeam.solace.outgoing import OutgoingEvents

__all__ = ["WrapperLane"]


class WrapperLane:
    """A lane through documented calls only.

    Args:
        service: A connected service.
        publisher: The transacted session's publisher, started.
        flow: Its receiver, started, or ``None``.
    """

    def __init__(self, service: MessagingService, publisher: Any, flow: Any) -> None:
        self._service = service
        self._publisher = publisher
        self._flow = flow
        collect_often_enough()

    def publish(self, outgoing: OutgoingEvents) -> None:
        """Publish all events; see :meth:`flumebeam.solace._lanes.Lane.publish`."""
        for message, target in outbound_messages(self._service, outgoing):
            self._publisher.publish(message, target)

    def receive(self, max_messages: int, timeout_ms: int, reader: MessageReader) -> TakenMessages:
        """Take messages; see :meth:`flumebeam.solace._lanes.Lane.receive`."""
        messages: list[Taken | None] = []
        while len(messages) < max_messages:
            native = self._flow.receive_message(0 if messages else timeout_ms)
            if native is None:
                break
            messages.append(reader.take(native.solace_message.msg_p.value))
        return TakenMessages(len(messages), [], list(enumerate(messages)))

    def close(self) -> None:
        """Nothing is held."""


def outbound_messages(service: MessagingService, outgoing: OutgoingEvents) -> Iterator[tuple[OutboundMessage, Topic]]:
    """Yield the vendor's message for each event, and its topic.

    Args:
        service: A connected service.
        outgoing: The events.
    """
    # What is equal in all events is put into one message, of which the client makes the others. What is set on it
    # stays, so that there is another one for events that have an application message id.
    plain, named = _builder(service, outgoing), _builder(service, outgoing)
    tails = outgoing.tails
    targets: dict[str, Topic] = {}
    for body, headers, topic, identity in outgoing.events:
        target = targets.get(topic)
        if target is None:
            target = targets[topic] = Topic.of(topic)
        own: dict[str, Any] = {**headers}
        if tails is not None:
            correlation, priority = next(tails)
            if correlation is not None:
                own[message_properties.CORRELATION_ID] = correlation
            if priority is not None:
                own[message_properties.PRIORITY] = priority
        # Given with the other properties, it would cost a quarter of all that it costs to build a message.
        builder = plain if identity is None else named.with_application_message_id(identity)
        yield builder.build(bytearray(body), own or None), target


def _builder(service: MessagingService, outgoing: OutgoingEvents) -> Any:
    builder = service.message_builder()
    fixed: dict[str, Any] = dict(outgoing.shared)
    if outgoing.time_to_live_ms:
        fixed[message_properties.PERSISTENT_TIME_TO_LIVE] = outgoing.time_to_live_ms
    if not outgoing.dmq_eligible:
        fixed[message_properties.PERSISTENT_DMQ_ELIGIBLE] = False
    if fixed:
        builder = builder.from_properties(fixed)
    if outgoing.content_type is not None:
        builder = builder.with_http_content_header(outgoing.content_type, outgoing.content_encoding or "")
    return builder
