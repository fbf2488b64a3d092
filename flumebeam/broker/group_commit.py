"""Group commit: everything that happened while one commit was under way shares the next one."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

from flumebeam.broker.core.journal import Record
from flumebeam.broker.store import Store
from flumebeam.errors import StorageError

__all__ = ["GroupCommit"]

T = TypeVar("T")


class GroupCommit(Generic[T]):
    """Makes journal records durable beside the loop, and holds output back until then.

    Output is released in the order in which it came, and only when all records that came before or with it are durable.
    So nobody sees anything that a crash could undo. All methods are called from one loop.

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
        self._running: asyncio.Task[None] | None = None
        self._ended = False
        self._failure: StorageError | None = None

    def add(self, records: list[Record], output: list[T]) -> None:
        """Commit records, and release output when they and all before them are durable."""
        if self._ended:
            return
        if self._running is None and not records:
            self._release(output)
            return
        self._records += records
        self._held += output
        if self._running is None:
            # It begins in the next turn of the loop, so that all connections that have sent something share the commit.
            self._running = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while self._records or self._held:
            records, self._records = self._records, []
            held, self._held = self._held, []
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
