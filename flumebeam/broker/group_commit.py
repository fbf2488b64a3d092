"""Group commit: everything that happened while one commit was under way shares the next one."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, Protocol, TypeVar

from flumebeam.broker.core.journal import Record
from flumebeam.broker.store import Store
from flumebeam.errors import StorageError

__all__ = ["GroupCommit", "Held"]


class Held(Protocol):
    """Output that may have to wait."""

    @property
    def connection(self) -> Hashable:
        """Where it goes; its order there is kept."""
        ...

    @property
    def portion(self) -> int:
        """Number of the last portion of the journal that it tells of, the first one being 1."""
        ...


T = TypeVar("T", bound=Held)


class GroupCommit(Generic[T]):
    """Makes journal records durable beside the loop, and holds output back until what it tells of is durable.

    So nobody sees anything that a crash could undo. Output to one connection is released in the order in which it came;
    what tells of nothing new passes by a commit that is under way. All methods are called from one loop.

    Args:
        store: Where records go.
        release: Told of output that may be sent.
        failed: Told of a commit that failed, once; nothing more is committed or released then.
        crashes: Asked at each point of a commit whether all ends there: ``before-store``, ``after-store`` and
            ``after-answers``.
    """

    def __init__(
        self,
        store: Store,
        release: Callable[[list[T]], None],
        failed: Callable[[StorageError], None],
        crashes: Callable[[str], bool] = lambda point: False,
    ) -> None:
        self._store = store
        self._release = release
        self._failed = failed
        self._crashes = crashes
        self._worker = ThreadPoolExecutor(1, "flumebeam-broker-store")
        self._records: list[Record] = []
        self._held: list[T] = []
        self._waiting: set[Hashable] = set()
        """Connections with output that is held, also by the commit that is under way."""
        self._added = self._durable = 0
        """Portions of the journal."""
        self._running: asyncio.Task[None] | None = None
        self._ended = False
        self._failure: StorageError | None = None

    def add(self, records: list[Record], output: list[T]) -> None:
        """Commit records, the next portion of the journal if there are any, and release output when it may be sent."""
        if self._ended:
            return
        if self._running is None and not records:
            self._release(output)
            return
        if records:
            self._records += records
            self._added += 1
        self._release([item for item in output if not self._hold(item)])
        if self._running is None:
            # It begins in the next turn of the loop, so that all connections that have sent something share the commit.
            self._running = asyncio.get_running_loop().create_task(self._run())

    def _hold(self, item: T) -> bool:
        held = item.portion > self._durable or item.connection in self._waiting
        if held:
            self._held.append(item)
            self._waiting.add(item.connection)
        return held

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while self._records or self._held:
            records, self._records = self._records, []
            held, self._held = self._held, []
            added = self._added
            if records:
                self._ended = self._ended or self._crashes("before-store")
            if records and not self._ended:
                try:
                    await loop.run_in_executor(self._worker, self._store.commit, records)
                except StorageError as error:
                    if not self._ended:
                        self._ended, self._failure = True, error
                        self._failed(error)
                self._ended = self._ended or self._crashes("after-store")
            if self._ended:
                break
            self._durable = added
            self._waiting = {item.connection for item in self._held}
            self._release(held)
            self._ended = bool(records) and self._crashes("after-answers")
        self._running = None

    async def durable(self) -> None:
        """Return when everything added until now is durable, or was dropped by :meth:`end`.

        Raises:
            StorageError: A commit failed.
        """
        if self._running is not None:
            await asyncio.shield(self._running)
        if self._failure is not None:
            raise self._failure

    async def end(self) -> None:
        """Drop what no commit has begun on, wait for the one under way, and end the worker."""
        self._ended = True
        self._records.clear()
        self._held.clear()
        with contextlib.suppress(StorageError):
            await self.durable()
        self._worker.shutdown()
