"""Where things of a commit log stand below its target.

::

    <target>/.flumebeam               a file: which layout this target has (:mod:`flumebeam.commitlog.founding`)
    <target>/.flumebeam.logs/_<queue>-<hash>/
        _new/_<fresh>             directories on their way to become epochs, records on their way to _retired/
        _epochs/<epoch>/          open epochs, one per life; only a rename puts anything into one
            _c-0000000007         transaction 7, committed
            _p-0000000006         transaction 6, committed and published
            _s-0000000007-0-1     first other name of part 0 of transaction 7, or of the file that is merged from it
            _m-0000000003-0       merge of the file whose first segment is part 0 of transaction 3, committed
            _d-0000000001-0       another one, committed, published, its segments gone
            _f-0000000005         ids of transactions 1 to 5, all published, and their segments that are not merged
        _closed/<epoch>.<fresh>/  the same, after a successor closed it
        _closed/_<fresh>/         one that is settled and on its way out
        _parts/<epoch>/_<fresh>   parts and segments, and records before they are renamed into the epoch
        _retired/_r-<fresh>       ids of epochs that are published and gone
        _days/_<yyyymmdd>/        days on which something was committed
        _partitions/<epoch>/      if partitions are watched: what an epoch may still write into
            _o-<path>.<fresh>     a partition, named by a hash, of which something may be unpublished
            _r-<path>.<fresh>     one of which everything that was committed is published
            _w-<milliseconds>     how far its receiver's watermark has come

Every name begins with ``_`` or a dot. A pattern such as ``/data/*/*`` looks into hidden directories, since Hadoop and
Spark leave hidden names out only where the pattern ends, and below that (measured with Hadoop 3.4 and Spark 3.5). So
there must be none at any depth that is not hidden: MapReduce would take a directory for input, and stop.

Targets of earlier versions keep their layout: ``<target>/.flumebeam`` is the directory of the logs then, and only files
are hidden by their names; directories have the same names without ``_``.
"""

from __future__ import annotations

import functools
import hashlib
import re
from dataclasses import dataclass, replace
from enum import Enum, IntEnum
from typing import Final

__all__ = ["MARKER", "Entry", "EntryKind", "FoundLog", "LayoutVersion", "LogLayout", "QueueIdentity"]

MARKER: Final = ".flumebeam"
"""Name below a target that says which layout it has."""

_LOGS: Final = ".flumebeam.logs"
"""Name of the directory below a target that holds its commit logs."""

_UNSAFE: Final = re.compile(r"[^A-Za-z0-9_.=-]+")
_ENTRY: Final = re.compile(r"_([cpf])-(\d{10})|_([md])-(\d{10})-(\d+)|_(s)-(\d{10})-(\d+)-(\d+)")


@dataclass(frozen=True, slots=True)
class QueueIdentity:
    """Which queue in the world: one commit log per target and queue.

    Attributes:
        broker: The broker's address or router name; empty for sources that are no broker.
        vpn: Message VPN; empty for sources that are no broker.
        queue: Name of the queue, or of the directory that a file source reads.
    """

    broker: str
    vpn: str
    queue: str

    @property
    def log_name(self) -> str:
        """Name of the log's directory: readable, safe on every file system, different for different queues."""
        return _log_name(self)


@dataclass(frozen=True, slots=True)
class FoundLog(QueueIdentity):
    """A log known by the name of its directory, from which the queue cannot be told for certain."""

    @property
    def log_name(self) -> str:
        """Name of the log's directory."""
        return self.queue


class LayoutVersion(IntEnum):
    """How a target's logs are laid out; decided once, for all logs of the target."""

    PLAIN = 1
    """The logs are in ``.flumebeam``, and their directories have plain names."""
    HIDDEN = 2
    """Every name is hidden."""


class EntryKind(Enum):
    """What a file in an epoch is, as its name says."""

    COMMITTED = "c"
    PUBLISHED = "p"
    FOLD = "f"
    MERGED = "m"
    DONE = "d"
    SUPERSEDING = "s"


@dataclass(frozen=True, slots=True)
class Entry:
    """The name of a file in an epoch.

    Attributes:
        kind: What it is.
        number: Number of the transaction.
        part: Which part a superseding record renames, or is the first segment of a merge, from 0; else 0.
        turn: How often it was renamed by then, from 1; else 0.
    """

    kind: EntryKind
    number: int
    part: int = 0
    turn: int = 0

    @property
    def order(self) -> tuple[int, int, int]:
        """Sorts entries by transaction, part and turn."""
        return (self.number, self.part, self.turn)

    @property
    def name(self) -> str:
        """The file's name."""
        tail = ""
        if self.kind in (EntryKind.MERGED, EntryKind.DONE, EntryKind.SUPERSEDING):
            tail = f"-{self.part}"
        if self.kind is EntryKind.SUPERSEDING:
            tail += f"-{self.turn}"
        return f"_{self.kind.value}-{self.number:010d}{tail}"

    @classmethod
    def parse(cls, name: str) -> Entry | None:
        """Return what a name stands for; ``None`` if it is no name of ours."""
        match = _ENTRY.fullmatch(name)
        if match is None:
            return None
        if match[1]:
            return cls(EntryKind(match[1]), int(match[2]))
        if match[3]:
            return cls(EntryKind(match[3]), int(match[4]), int(match[5]))
        return cls(EntryKind.SUPERSEDING, int(match[7]), int(match[8]), int(match[9]))


@dataclass(frozen=True, slots=True)
class LogLayout:
    """Paths of one log.

    Attributes:
        target: Directory under which final files appear, absolute, without ``/`` at its end.
        queue: The queue.
        version: The target's layout.
    """

    target: str
    queue: QueueIdentity
    version: LayoutVersion = LayoutVersion.HIDDEN

    @property
    def logs(self) -> str:
        """Directory of all logs of the target."""
        return f"{self.target}/{MARKER if self.version is LayoutVersion.PLAIN else _LOGS}"

    @property
    def base(self) -> str:
        """Directory of the log."""
        return f"{self.logs}/{self.hidden(self.queue.log_name)}"

    @property
    def new(self) -> str:
        """Directory of what is not yet in its place."""
        return self._directory("new")

    @property
    def epochs(self) -> str:
        """Directory of the open epochs."""
        return self._directory("epochs")

    @property
    def closed(self) -> str:
        """Directory of the closed epochs."""
        return self._directory("closed")

    @property
    def parts(self) -> str:
        """Directory of the parts, by epoch."""
        return self._directory("parts")

    @property
    def retired(self) -> str:
        """Directory of the retired ids."""
        return self._directory("retired")

    @property
    def days(self) -> str:
        """Directory of the served days."""
        return self._directory("days")

    @property
    def partitions(self) -> str:
        """Directory of what is known of partitions, by epoch."""
        return self._directory("partitions")

    def _directory(self, name: str) -> str:
        return f"{self.base}/{self.hidden(name)}"

    def hidden(self, name: str) -> str:
        """Return the name that a directory of this layout has; :meth:`plain` is the way back."""
        return name if self.version is LayoutVersion.PLAIN else f"_{name}"

    def plain(self, name: str) -> str:
        """Return what a directory of this layout is named after."""
        return name if self.version is LayoutVersion.PLAIN else name.removeprefix("_")

    def sibling(self, log_name: str) -> LogLayout:
        """Return another log of the target.

        Args:
            log_name: Its name, without what hides its directory.
        """
        return replace(self, queue=FoundLog("", "", log_name))

    def epoch_partitions(self, epoch: str) -> str:
        """Directory of what an epoch says of partitions."""
        return f"{self.partitions}/{epoch}"

    def epoch(self, epoch: str) -> str:
        """Directory of an open epoch."""
        return f"{self.epochs}/{epoch}"

    def epoch_parts(self, epoch: str) -> str:
        """Directory of an epoch's parts."""
        return f"{self.parts}/{epoch}"

    def in_log(self, path: str) -> str:
        """Absolute path of something that a record names relative to the log."""
        return f"{self.base}/{path}"

    def in_target(self, path: str) -> str:
        """Absolute path of something that a record names relative to the target."""
        return f"{self.target}/{path}"

    def epoch_name(self, receiver_id: str, fresh: str) -> str:
        """Name of a new epoch."""
        return self.hidden(f"{safe_name(receiver_id)}.{fresh}")

    @staticmethod
    def epoch_of(closed_name: str) -> str:
        """Name that a closed epoch had while it was open."""
        return closed_name.rpartition(".")[0]


def safe_name(text: str) -> str:
    """Return text as a short name that every file system takes."""
    return _UNSAFE.sub("_", text)[:80].lstrip(".") or "_"


@functools.lru_cache(maxsize=1024)
def _log_name(queue: QueueIdentity) -> str:
    digest = hashlib.sha256("\0".join((queue.broker, queue.vpn, queue.queue)).encode()).hexdigest()[:16]
    return f"{safe_name(queue.queue)}-{digest}"
