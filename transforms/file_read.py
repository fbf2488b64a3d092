"""Reading files and spool directories in Beam."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import apache_beam as beam

from flumebeam.batch import EventBatch
from flumebeam.deliveries import Receiver
from flumebeam.sources.files import FileReceiver
from flumebeam.sources.marked_positions import MarkedPositions
from flumebeam.sources.options import FileSourceOptions
from flumebeam.sources.positions import Positions
from flumebeam.transforms.broker_position import BrokerPosition, SharedChannel, share
from flumebeam.transforms.read_options import BundleLimits, ReadLimits
from flumebeam.transforms.receiver_read import ReadFromReceivers

__all__ = ["ReadFromFiles"]


@dataclass(frozen=True, slots=True)
class _FileReceivers:
    """Opens the receiver of one source of files."""

    options: FileSourceOptions
    position: BrokerPosition | None

    @property
    def source(self) -> str:
        return self.options.path

    @property
    def lineage(self) -> tuple[str, ...]:
        return "filesystem", "localhost", self.options.path

    def open(self, before_bind: Callable[[str], None]) -> Receiver:
        receiver = FileReceiver(self.options, positions=self._positions())
        try:
            before_bind(receiver.receiver_id)
        except BaseException:  # an interrupt, too, must leave no file open
            receiver.close()
            raise
        return receiver

    def _positions(self) -> Positions | None:
        if self.position is None:
            return None
        shared = share(self.position)
        try:
            return _SharedPositions(shared)
        except BaseException:  # an interrupt, too, must not keep what is shared
            shared.close()
            raise


class _SharedPositions(MarkedPositions):
    """Positions that the sink moves; they hold the channel that does as long as they are open."""

    def __init__(self, shared: SharedChannel) -> None:
        super().__init__(shared.channel)
        self._shared = shared

    def close(self) -> None:
        self._shared.close()


class ReadFromFiles(beam.PTransform):
    """Reads the lines of files as events: a file, several by a pattern, or a spool directory.

    Input: the pipeline; output: a PCollection of :class:`~flumebeam.batch.EventBatch`. What an event is, and which ids
    it has, is said by :class:`~flumebeam.sources.files.FileReceiver`.

    Put :class:`~flumebeam.transforms.acknowledge.Acknowledge` behind the sink, in the same stage: positions move, and
    files of a spool directory are renamed, only by what it acknowledges. Without it every run reads everything again.

    Unit of parallelism: the source; one process reads it. What repeats: events that were read and not acknowledged
    when a bundle failed or a worker died. What is never lost: a line that stood in a file.

    Args:
        source: A path or pattern, or options that say more, a spool directory for example.
        max_events: End after so many events. Without it the read ends at the end of what is there, or, if ``source``
            follows a spool directory, when a stop is requested.
        bundle: How much one bundle reads.
        position: Keep positions in the broker, where the sink of the same graph moves them with the events: then they
            are there exactly once. By default they are files in the tracker directory.

    Raises:
        ConfigurationError: The options cannot work. While running: there is no such file, or another process reads it.
        FormatError: While running: a line is longer than the limit, or a stored position is damaged.
        StorageError: While running: a file cannot be read or renamed, or a position not be written.
    """

    def __init__(
        self,
        source: str | FileSourceOptions,
        *,
        max_events: int | None = None,
        bundle: BundleLimits | None = None,
        position: BrokerPosition | None = None,
    ) -> None:
        super().__init__()
        self._options = FileSourceOptions(path=source) if isinstance(source, str) else source
        # A source of files knows at once that nothing is left: there is nothing to wait for.
        self._limits = ReadLimits(max_events=max_events, until_empty=not self._options.follow, idle_seconds=0)
        self._bundle = bundle
        self._position = position

    def expand(self, pbegin: beam.pvalue.PBegin) -> beam.PCollection[EventBatch]:
        """Add the source to a pipeline."""
        return pbegin | ReadFromReceivers(
            _FileReceivers(self._options, self._position), limits=self._limits, bundle=self._bundle
        )

    def display_data(self) -> dict[str, Any]:
        """Return what a runner's interface shows about this source."""
        return {"path": self._options.path, "spool": self._options.spool, "follow": self._options.follow}
