"""Lives of receivers in the commit logs of a target, shared by all instances of a sink in this process.

Bundles of one receiver may come to different instances of a sink in turns, so its life belongs to the process. The
epoch of a life is made before its receiver is bound if this sink writes that queue, and else when its first batch
comes; a life fences before its first commit either way, so the difference is only who gives way to whom.

A life ends in order when its receiver was closed and all its acknowledgements are known to have arrived. Any other one
is left to a successor.
"""

from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from flumebeam.clock import SystemClock
from flumebeam.commitlog.completing import PartitionKeeper
from flumebeam.commitlog.driver import Driver
from flumebeam.commitlog.layout import QueueIdentity
from flumebeam.commitlog.life import Life
from flumebeam.commitlog.log import CommitLog
from flumebeam.commitlog.options import CommitLogOptions, QueueAccess
from flumebeam.commitlog.partition_options import PartitionOptions
from flumebeam.commitlog.steps import CrashPoint
from flumebeam.errors import EpochClosedError
from flumebeam.hdfs.targets import Target, TargetAddress
from flumebeam.transforms.receivers import RECEIVERS, HookRegistration

__all__ = ["Lives", "LivesPlan"]

_MOST_LIVES: Final = 256
"""Lives remembered. One that is forgotten and comes back gets a new epoch, which is safe at any time."""


@dataclass(frozen=True, kw_only=True)
class LivesPlan:
    """What lives are made of; plain data.

    Attributes:
        identity: Names the sink, the same for all its instances.
        address: The target.
        queue: The only queue that this sink writes; ``None`` if that shows when batches come.
        broker: Tells queues of one name on several brokers apart.
        options: How the commit logs work.
        partitions: When partitions are complete, and who is told; ``None`` if nobody asks.
        at: Called at each named place of the commit protocol; pickled.
    """

    identity: str
    address: TargetAddress
    queue: str | None
    broker: str
    options: CommitLogOptions
    partitions: PartitionOptions | None
    at: Callable[[CrashPoint], None]


class Lives:
    """The lives of one sink. Thread-safe; get it with :meth:`join`, give it back with :meth:`leave`.

    Attributes:
        keeper: Watches the partitions of the target; ``None`` if nobody asks.
    """

    _shared: Final[dict[str, Lives]] = {}
    _shared_lock: Final = threading.Lock()

    def __init__(self, plan: LivesPlan) -> None:
        self._plan = plan
        self._users = 0
        self._lock = threading.Lock()
        self._target: Target = plan.address.open()
        self._logs: dict[QueueIdentity, CommitLog] = {}
        self._lives: OrderedDict[str, Life] = OrderedDict()
        self.keeper = self._make_keeper()
        self._hooks: tuple[HookRegistration, ...] = (
            RECEIVERS.before_bind(self._before_bind),
            RECEIVERS.after_close(self._after_close),
            RECEIVERS.on_silence(self._on_silence),
        )

    def _make_keeper(self) -> PartitionKeeper | None:
        plan, clock = self._plan, SystemClock()
        if plan.partitions is None:
            return None
        log = plan.options
        driver = Driver(self._target.filesystem, clock=clock, patience=log.patience_seconds, threads=log.threads)
        return PartitionKeeper(
            driver,
            plan.address.url,
            plan.partitions,
            clock=clock,
            silence=RECEIVERS.silence,
            at=plan.at,
        )

    @classmethod
    def join(cls, plan: LivesPlan) -> Lives:
        """Return the lives of a sink, the same for all who join; to be followed by one :meth:`leave`. Does no I/O."""
        with cls._shared_lock:
            lives = cls._shared.get(plan.identity)
            if lives is None:
                lives = cls._shared[plan.identity] = Lives(plan)
            lives._users += 1
            return lives

    def leave(self) -> None:
        """End an instance's use. After the last one the target is closed, as soon as all receivers are that it served.

        What is not settled then, a successor settles.
        """
        with self._shared_lock:
            self._users -= 1
        self._close_if_unused()

    def _close_if_unused(self) -> None:
        with self._shared_lock:
            if self._users or self._shared.get(self._plan.identity) is not self:
                return
            # A runner that tears down sinks first leaves receivers open whose lives are still to end.
            if not self._lives.keys().isdisjoint(RECEIVERS.open_receivers):
                return
            del self._shared[self._plan.identity]
        for hook in self._hooks:
            hook.remove()
        with self._lock:
            try:
                if self.keeper is not None:
                    self.keeper.close()
            finally:
                for log in self._logs.values():
                    log.close()
                self._lives.clear()
                self._target.filesystem.close()

    def of(self, receiver_id: str, queue: str) -> Life:
        """Return the life of a receiver.

        Args:
            receiver_id: Identity of the receiver.
            queue: Name of what it reads.

        Raises:
            StorageError: The target cannot be read or written.
            CommitLogError: The log is damaged, or was written by a newer version.
        """
        return self._of(receiver_id, QueueIdentity(self._plan.broker, "", queue), self._plan.options)

    def of_nobody(self, name: str) -> Life:
        """Return a life for events that no receiver delivered: files are published whole, and nothing is remembered.

        Args:
            name: Unique in the world.
        """
        # No receiver ends such a life, so nothing would end its files.
        options = replace(self._plan.options, access=QueueAccess.SHARED, bridge_gaps=False, roll=None)
        return self._of(name, QueueIdentity("", "", "events"), options)

    def _of(self, receiver_id: str, queue: QueueIdentity, options: CommitLogOptions) -> Life:
        with self._lock:
            life = self._lives.get(receiver_id)
            if life is None:
                log = self._logs.get(queue)
                if log is None:
                    log = CommitLog.open(self._target.filesystem, self._target.root, queue, options, at=self._plan.at)
                    self._logs[queue] = log
                life = self._lives[receiver_id] = log.begin_life(receiver_id)
                if self.keeper is not None and options is self._plan.options:
                    self.keeper.adopt(life)
                if len(self._lives) > _MOST_LIVES:
                    self._lives.popitem(last=False)
            return life

    def _before_bind(self, queue: str, receiver_id: str) -> None:
        if self._plan.queue is None:
            with self._lock:
                ours = QueueIdentity(self._plan.broker, "", queue) in self._logs
        else:
            ours = queue == self._plan.queue
        if ours:
            self.of(receiver_id, queue)

    def _on_silence(self, receiver_id: str) -> None:
        with self._lock:
            life = self._lives.get(receiver_id)
        if life is not None:
            life.succeed()

    def _after_close(self, receiver_id: str, settled: bool) -> None:
        life = None
        try:
            with self._lock:
                life = self._lives.get(receiver_id)
                if life is not None and settled:
                    life.end()
                elif life is not None and not life.over:
                    with contextlib.suppress(EpochClosedError):
                        life.roll_all()
        finally:
            if self.keeper is not None and life is not None:
                self.keeper.closed(life, settled=settled)
            self._close_if_unused()
