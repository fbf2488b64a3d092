"""The metrics of all transforms: each has its name, its kind and its meaning here, and nowhere else."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlsplit

from apache_beam.metrics import Metrics
from apache_beam.metrics.metric import Lineage

from flumebeam.hdfs.targets import Store, TargetAddress

__all__ = [
    "COUNTERS",
    "DISTRIBUTIONS",
    "GAUGES",
    "NAMESPACE",
    "LineageNote",
    "counter",
    "distribution",
    "gauge",
    "target_lineage",
]

NAMESPACE: Final = "flumebeam"

COUNTERS: Final = {
    "events_received": "handed on by a source",
    "events_acknowledged": "acknowledged by the commit step, or at once",
    "events_given_back": "not acknowledged within `acknowledge_within`, and given back to the broker",
    "events_repeated": "dropped by `deduplicate`",
    "events_intercepted": "passed by interceptors",
    "events_committed": "published, and taken by the broker for good",
    "transactions_committed": "applied by the broker (a window of receipts counts as one), or committed to files",
    "transactions_rolled_back": "not applied by the broker, and tried again or given up",
    "transactions_unknown": "commits, or windows of receipts, whose answer was lost",
    "over_quota_waits": "how often a transaction was tried again because the broker had no room for it",
    "dead_letters": "events that were refused by the broker, or bodies that are no rows",
    "dead_letters_kept": "written to a file by `DeadLettersToFiles`",
    "events_moved": "taken and published in one transaction",
    "events_written": "durable in files",
    "events_known": "delivered again, and found in the commit log, or in a file that was there",
    "events_dead": "events that their file's format refused",
    "files_written": "files that got their final name",
    "files_small": "files among them with less than 64 MB, half a block",
}
DISTRIBUTIONS: Final = {
    "publish_ms": "from the first message of a transaction handed to the client to the last one",
    "commit_ms": "how long a commit took: the broker's answer, a window of receipts, or segments and record of files",
    "transaction_events": "events of a committed transaction",
    "acknowledge_latency_ms": "from receiving to acknowledging, for the oldest message of each acknowledgement",
}
GAUGES: Final = {
    "events_unacknowledged": "handed on and not acknowledged in this process, when a bundle's read ended",
    "queue_messages": "messages of the queue, unacknowledged ones included, as `semp` told at most ten seconds ago",
    "queue_bytes": "bytes of them",
}


def counter(name: str) -> Any:
    """Return a counter.

    Raises:
        KeyError: It is not one of :data:`COUNTERS`.
    """
    return Metrics.counter(NAMESPACE, _known(COUNTERS, name))


def distribution(name: str) -> Any:
    """Return a distribution.

    Raises:
        KeyError: It is not one of :data:`DISTRIBUTIONS`.
    """
    return Metrics.distribution(NAMESPACE, _known(DISTRIBUTIONS, name))


def gauge(name: str) -> Any:
    """Return a gauge.

    Raises:
        KeyError: It is not one of :data:`GAUGES`.
    """
    return Metrics.gauge(NAMESPACE, _known(GAUGES, name))


def _known(table: dict[str, str], name: str) -> str:
    table[name]
    return name


def target_lineage(address: TargetAddress) -> tuple[str, ...]:
    """Return what a target of files is, for :class:`LineageNote`."""
    if address.store is Store.LOCAL:
        return "filesystem", "localhost", address.root
    return "hdfs", urlsplit(address.url).netloc, address.root


class LineageNote:
    """Tells Beam, once in the life of a step's instance, what it reads or writes; for catalogues that runners feed.

    Args:
        segments: What it is, the largest part first, such as host, message VPN and queue.
        system: What kind of place that is.
        sink: Whether it is written, and not read.
    """

    def __init__(self, system: str, *segments: str, sink: bool = False) -> None:
        self._system = system
        self._segments = tuple(Lineage.wrap_segment(segment) for segment in segments)
        self._sink = sink
        self._told = False

    def tell(self) -> None:
        """Tell it, if that was not done; to be called while a bundle is processed."""
        if not self._told:
            (Lineage.sinks() if self._sink else Lineage.sources()).add(self._system, *self._segments)
            self._told = True
