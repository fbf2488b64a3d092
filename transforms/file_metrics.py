"""What the sinks of files tell of what they write: the same of each of them."""

from __future__ import annotations

from flumebeam.hdfs.targets import TargetAddress
from flumebeam.transforms import metrics

__all__ = ["FileMetrics"]


class FileMetrics:
    """Metrics of an instance of a sink of files, and what it tells of its target.

    Args:
        address: The target.
    """

    def __init__(self, address: TargetAddress) -> None:
        self.written = metrics.counter("events_written")
        self.known = metrics.counter("events_known")
        self.dead = metrics.counter("events_dead")
        self.files = metrics.counter("files_written")
        self._commit_ms = metrics.distribution("commit_ms")
        self._transaction_events = metrics.distribution("transaction_events")
        self._lineage = metrics.LineageNote(*metrics.target_lineage(address), sink=True)

    def committed(self, events: int, seconds: float) -> None:
        """Note a commit, of a transaction or of a file that is one.

        Args:
            events: How many it has.
            seconds: How long it took.
        """
        self._commit_ms.update(round(1000 * seconds))
        self._transaction_events.update(events)

    def tell_target(self) -> None:
        """Tell where files go, if that was not done; to be called while a bundle is processed."""
        self._lineage.tell()
