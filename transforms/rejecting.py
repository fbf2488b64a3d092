"""Events of bundles that failed, to a dead-letter topic: published with the cause, and only then acknowledged."""

from __future__ import annotations

import logging
import sys
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from flumebeam.batch import EventBatch
from flumebeam.deliveries import DeadLetter
from flumebeam.errors import FlumebeamError, FormatError
from flumebeam.ids import delivery_ids
from flumebeam.transforms.deadletter_topic import DeadLetterTopic

__all__ = ["Rejections", "failure"]

_logger: Final = logging.getLogger(__name__)


def failure() -> str | None:
    """Return why the bundle fails whose steps this thread tears down, if that may be the fault of its events.

    Workers of Beam 2.77 tear a stage down within the handling of what its bundle raised. An error of flumebeam's own is
    about broker, target or worker, unless it is about a format, and no event is to blame for it.
    """
    error = sys.exception()
    if not isinstance(error, Exception) or (isinstance(error, FlumebeamError) and not isinstance(error, FormatError)):
        return None
    return f"{type(error).__name__}: {error}"


class Rejections:
    """What one receiver has handed out and nobody has acknowledged: bounded by what its bundles read.

    Args:
        topic: Where it goes if its bundle fails.
        source: Where it came from.
    """

    def __init__(self, topic: DeadLetterTopic, source: str) -> None:
        self._topic = topic
        self._source = source
        self._held: list[EventBatch] = []

    def hold(self, batch: EventBatch) -> None:
        """Keep a batch until it is acknowledged."""
        self._held.append(batch)

    def forget(self, ids: pa.FixedSizeBinaryArray) -> None:
        """Let go of what was acknowledged."""
        rests = []
        for batch in self._held:
            if batch.provenance is not None:
                rest = batch.filter(pc.invert(pc.is_in(batch.provenance.ids, value_set=ids)))
                rests += [rest] if len(rest) else []
        self._held = rests

    def publish(self, cause: str) -> pa.FixedSizeBinaryArray:
        """Publish all of it, and let go of it.

        Args:
            cause: Why its bundle failed.

        Returns:
            The deliveries whose letters the broker has; the others are to stay where they are.
        """
        held, self._held = self._held, []
        letters = [DeadLetter(event, self._source, cause) for batch in held for event in batch.events()]
        publisher = self._topic.open()
        try:
            refused = publisher.publish(letters)
        except FlumebeamError as error:
            # The run ends with the error of its bundle; the broker still has the messages, and they come again.
            _logger.warning("%d events of a failed bundle stay on %s: %s", len(letters), self._source, error)
            return delivery_ids([])
        finally:
            publisher.close()
        kept = {letter.event.provenance.delivery for letter in refused if letter.event.provenance is not None}
        if refused:
            _logger.warning("%d events of a failed bundle stay on %s: %s", len(kept), self._source, refused[0].cause)
        origins = [letter.event.provenance for letter in letters]
        return delivery_ids([found.delivery for found in origins if found is not None and found.delivery not in kept])
