"""Dead letters to a topic of the broker, so that a queue of its own keeps them until somebody looks at them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import apache_beam as beam

from flumebeam.deliveries import DeadLetter, Durable
from flumebeam.errors import ConfigurationError
from flumebeam.event import Event
from flumebeam.solace.config import SolaceOptions
from flumebeam.solace.fields import MessageFields
from flumebeam.transforms.events import FromEvents
from flumebeam.transforms.solace_write import WriteToSolace

__all__ = ["CAUSE_HEADER", "TARGET_HEADER", "DeadLettersToSolace"]

CAUSE_HEADER: Final = "flumebeam.dead-letter.cause"
"""Why an event became a dead letter, for people."""
TARGET_HEADER: Final = "flumebeam.dead-letter.target"
"""Where it was to go; no such header if it had no target yet."""
_FIELDS: Final = MessageFields(provenance=True)


class DeadLettersToSolace(beam.PTransform):
    """Publishes dead letters to a topic, each with its cause, its body and its headers.

    Input: a PCollection of :class:`~flumebeam.deliveries.DeadLetter`; output: a PCollection of
    :class:`~flumebeam.deliveries.Durable` for the commit step, after the transaction of the broker is committed. So an
    event leaves its queue only when its dead letter is in another one.

    A broker rejects a message for good only if it is eligible for a dead message queue and there is one; otherwise it
    deletes it. No client is told which of both it will be. This transform needs to know neither.

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
        self._write = WriteToSolace(topic, connection=connection, **{"fields": _FIELDS, **options})

    def expand(self, letters: beam.PCollection[DeadLetter]) -> beam.PCollection[Durable]:
        """Add the sink."""
        events = letters | "Label" >> beam.Map(_labelled).with_output_types(Event)
        written: beam.PCollection[Durable] = (events | FromEvents() | "Keep" >> self._write).written
        return written


def _labelled(letter: DeadLetter) -> Event:
    """Return the event with what is known of its failure."""
    labels = {CAUSE_HEADER: letter.cause.replace("\0", " "), TARGET_HEADER: letter.target}
    known = {name: text for name, text in labels.items() if text}
    return replace(letter.event, headers={**letter.event.headers, **known})
