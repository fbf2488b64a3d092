"""Dead letters to a topic: an event as it was, with the reason as headers, for a queue that somebody looks into."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

import apache_beam as beam

from flumebeam.batch import EventBatch
from flumebeam.channel.publishing import Publisher
from flumebeam.deliveries import DeadLetter, Durable
from flumebeam.errors import ConfigurationError
from flumebeam.event import CAUSE_HEADER, TARGET_HEADER, Event
from flumebeam.solace.config import SolaceOptions
from flumebeam.solace.fields import MessageFields
from flumebeam.transforms.element_types import taken
from flumebeam.transforms.events import FromEvents
from flumebeam.transforms.solace_write import WriteToSolace, open_channel, open_publisher
from flumebeam.transforms.stopping import stop_requested

__all__ = ["DeadLetterTopic", "DeadLettersToSolace", "LetterPublisher"]

_MAX_MESSAGES: Final = 256
"""Of one transaction: the broker's limit, unless it was raised."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetterTopic:
    """A topic for dead letters; plain data that a runner may pickle.

    Attributes:
        topic: The topic. A queue must subscribe to it: else its broker refuses the letters.
        connection: The broker.
        retry_seconds: For how long a broker that went away is tried again.
        max_body_bytes: Larger bodies are refused.

    Raises:
        ConfigurationError: No topic.
    """

    topic: str
    connection: SolaceOptions
    retry_seconds: float = 120.0
    max_body_bytes: int = 9_900_000

    def __post_init__(self) -> None:
        if not self.topic:
            raise ConfigurationError("Dead letters need a topic that is not empty.")

    def open(self) -> LetterPublisher:
        """Return what publishes there; it connects with the first letter."""
        limits = {
            "max_messages": _MAX_MESSAGES,
            "retry_seconds": self.retry_seconds,
            "max_body_bytes": self.max_body_bytes,
            "fields": MessageFields(provenance=True),
            "stopping": stop_requested,
        }
        return LetterPublisher(
            open_publisher(partial(open_channel, self.connection, _MAX_MESSAGES), limits), self.topic
        )


class LetterPublisher:
    """Publishes dead letters in transactions. Used by one thread.

    Each is a message with body and headers of its event, the cause as ``flumebeam.cause``, where it was to go as
    ``flumebeam.target``, and its delivery as ``flumebeam.origin`` and ``flumebeam.delivery``, which are the same if it
    comes again.

    Args:
        publisher: Publishes.
        topic: Where.
    """

    def __init__(self, publisher: Publisher, topic: str) -> None:
        self._publisher = publisher
        self._topic = topic

    def publish(self, letters: Iterable[DeadLetter]) -> list[DeadLetter]:
        """Publish dead letters; when this returns the broker has them.

        Returns:
            Those that it refuses, with that reason beside their own.

        Raises:
            ConnectionFailedError: The broker stayed away; some may be there.
            PublishRefusedError: It has no room, and this program is told to end.
        """
        self._publisher.forget()
        batch = EventBatch.from_events(map(_with_cause, letters))
        settled = [*self._publisher.add(batch, self._topic), *self._publisher.flush()]
        return [_refused(letter) for letter in settled if isinstance(letter, DeadLetter)]

    def close(self) -> None:
        """Disconnect. Idempotent."""
        self._publisher.close()


class DeadLettersToSolace(beam.PTransform):
    """Publishes dead letters to a topic: the same messages as those of :class:`LetterPublisher`.

    Input: a PCollection of :class:`~flumebeam.deliveries.DeadLetter`; output: a PCollection of
    :class:`~flumebeam.deliveries.Durable` for the commit step, after the transaction of the broker is committed. So an
    event leaves its queue only when its dead letter is in another one.

    A broker rejects a message for good only if it is eligible for a dead message queue and there is one; otherwise it
    deletes it, and no client is told which of both it will be. This transform needs to know neither.

    Delivery: at least once. What repeats: what was committed and not acknowledged when a worker died. What is never
    lost: a dead letter. One that the broker refuses, too, because no queue is subscribed to the topic or because it is
    too large, stops the run, and its source keeps it.

    Args:
        topic: A topic, or a template over headers. A queue must be subscribed to it.
        connection: Where and as whom; by default from the environment of the process that builds the pipeline.
        options: Further options of :class:`~flumebeam.transforms.solace_write.WriteToSolace`.

    Raises:
        ConfigurationError: An option that cannot work.
    """

    def __init__(self, topic: str, *, connection: SolaceOptions | None = None, **options: Any) -> None:
        super().__init__()
        if "dead_letters" in options or options.get("mode", "transacted") == "direct":
            raise ConfigurationError("Dead letters are the last resort: they have none themselves, and are confirmed.")
        fields = MessageFields(provenance=True)
        self._write = WriteToSolace(topic, connection=connection, **{"fields": fields, **options})

    def expand(self, letters: beam.PCollection[DeadLetter]) -> beam.PCollection[Durable]:
        """Add the sink."""
        events = taken(letters, DeadLetter, "DeadLettersToSolace") | "Label" >> beam.Map(_with_cause).with_output_types(
            Event
        )
        written: beam.PCollection[Durable] = (events | FromEvents() | "Keep" >> self._write).written
        return written


def _with_cause(letter: DeadLetter) -> Event:
    # No header can hold a NUL, which the text of somebody's exception may.
    told = {CAUSE_HEADER: letter.cause.replace("\0", " "), TARGET_HEADER: letter.target}
    return replace(letter.event, headers={**letter.event.headers, **told})


def _refused(letter: DeadLetter) -> DeadLetter:
    """Return a letter as it was before it was to be published."""
    headers = dict(letter.event.headers)
    cause, target = headers.pop(CAUSE_HEADER), headers.pop(TARGET_HEADER)
    cause += f" (and it cannot be published to {letter.target}: {letter.cause})"
    return DeadLetter(replace(letter.event, headers=headers), target, cause)
