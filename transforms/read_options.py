"""How a source is read: until when, how much at a time, and who acknowledges."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from flumebeam.errors import ConfigurationError

__all__ = ["AcknowledgeBy", "BundleLimits", "ReadLimits"]


class AcknowledgeBy(Enum):
    """Who tells the source that deliveries are durable."""

    COMMIT_STEP = "commit-step"
    """A step of the graph behind the sink, in the same fused stage: works on every runner."""
    BUNDLE_FINALIZATION = "bundle-finalization"
    """The runner, once it has persisted the output of a bundle: for any graph, on runners that can do it."""
    AT_ONCE = "at-once"
    """The reader, before anybody has seen the events: whatever is under way when a worker dies is LOST."""


@dataclass(frozen=True, kw_only=True)
class ReadLimits:
    """When a read ends, and how long it waits for others; without any limit it never ends.

    Attributes:
        max_events: Events in all, at least 1. Never exceeded, except by a runner that goes back to a checkpoint.
        max_seconds: Seconds after the first call of the reader, more than 0.
        until_empty: End when nothing has come for ``idle_seconds``.
        idle_seconds: 0 for sources that know at once that nothing is left, like files.
        acknowledge_within: Seconds after which deliveries that nobody has acknowledged are given back to the source,
            more than 0; ``None`` waits for ever.
        watermark_idle_seconds: How far the watermark stays behind the clock while nothing comes, where senders give the
            event time; not negative.
    """

    max_events: int | None = None
    max_seconds: float | None = None
    until_empty: bool = False
    idle_seconds: float = 2.0
    acknowledge_within: float | None = None
    watermark_idle_seconds: float = 5.0

    def __post_init__(self) -> None:
        """Check the limits.

        Raises:
            ConfigurationError: One of them is not positive.
        """
        if self.max_events is not None and self.max_events < 1:
            raise ConfigurationError(f"max_events must be at least 1, got {self.max_events}.")
        if self.max_seconds is not None and self.max_seconds <= 0:
            raise ConfigurationError(f"max_seconds must be more than 0, got {self.max_seconds}.")
        if self.idle_seconds < 0:
            raise ConfigurationError(f"idle_seconds must not be negative, got {self.idle_seconds}.")
        if self.acknowledge_within is not None and self.acknowledge_within <= 0:
            raise ConfigurationError(f"acknowledge_within must be more than 0, got {self.acknowledge_within}.")
        if self.watermark_idle_seconds < 0:
            raise ConfigurationError(f"watermark_idle_seconds must not be negative, got {self.watermark_idle_seconds}.")

    @property
    def bounded(self) -> bool:
        """Whether the read ends by itself."""
        return self.until_empty or self.max_events is not None or self.max_seconds is not None


@dataclass(frozen=True, kw_only=True)
class BundleLimits:
    """How much one bundle reads: what a transaction of the sink, and a part of a file, can hold at most.

    A bundle that has read so many events or bytes goes on only if the commit step has acknowledged all of them
    meanwhile: to end a bundle costs a runner as much as to read hundreds of events. So a sink that commits within a
    bundle makes few of them, and one that commits at their ends gets no more than this.

    Attributes:
        events: Events, or of packed ones their messages, at least 1. Half of the broker's limit of unacknowledged
            messages per flow (10,000 unless it was changed) lets it deliver while the sink commits.
        nbytes: Bytes of bodies and headers, at least 1; one batch may exceed it. Four times as many end a bundle in any
            case.
        seconds: Seconds, more than 0. Bounds the delay of a commit at low rates, and how long a stop takes.
        transaction: Whether a bundle is a transaction of the source, which gives no more than ``events`` before all of
            them are acknowledged.
    """

    events: int = 5_000
    nbytes: int = 16 << 20
    seconds: float = 1.0
    transaction: bool = False

    def __post_init__(self) -> None:
        """Check the limits.

        Raises:
            ConfigurationError: One of them is not positive.
        """
        if self.events < 1 or self.nbytes < 1 or self.seconds <= 0:
            raise ConfigurationError(
                f"A bundle needs room: events, bytes and seconds must be positive, got {self.events}, {self.nbytes} "
                f"and {self.seconds}."
            )
