"""Connections that the transacted sessions of a process share, closed with the last of them.

A runner makes several instances of a sink in a process. Each has a transacted session of its own; none needs a
connection of its own, of which a broker allows only so many. What is published outside of transactions is not shared:
a client sends again by itself what it has no receipt for, so a connection whose receipts did not come must go.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from flumebeam.solace.config import SolaceOptions
from flumebeam.solace.flows import FlowOptions
from flumebeam.solace.ports import Connection, FlowOfQueue, MessagePublisher, TransactedSession
from flumebeam.solace.session import connect

__all__ = ["ConnectionPool", "PooledConnection", "share_connection"]


@dataclass(slots=True, eq=False)
class _Shared:
    """An open connection and how many use it."""

    connection: Connection
    users: int = 0


@dataclass(slots=True)
class ConnectionPool:
    """Open connections by their options. Safe for threads.

    Attributes:
        connector: Opens a connection.
    """

    connector: Callable[[SolaceOptions], Connection] = connect
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _opening: dict[SolaceOptions, threading.Lock] = field(default_factory=dict)
    _open: dict[SolaceOptions, _Shared] = field(default_factory=dict)

    def share(self, options: SolaceOptions) -> PooledConnection:
        """Return a use of the connection with these options, which is opened if there is none, or if it is dead.

        Raises:
            FlumebeamError: It cannot be opened.
        """
        with self._lock:
            opening = self._opening.setdefault(options, threading.Lock())
        with opening:  # connecting may take long: only those wait that want the same
            with self._lock:
                shared = self._open.get(options)
                if shared is not None and shared.connection.alive:
                    shared.users += 1
                    return PooledConnection(self, options, shared)
            opened = _Shared(self.connector(options), users=1)
            with self._lock:
                self._open[options] = opened  # a dead one is closed by its last user
            return PooledConnection(self, options, opened)

    def _leave(self, options: SolaceOptions, shared: _Shared) -> bool:
        with self._lock:
            shared.users -= 1
            last = shared.users == 0
            if last and self._open.get(options) is shared:
                del self._open[options]
        return last


class PooledConnection:
    """One use of a shared connection, with the sessions that were opened by it; to be closed."""

    def __init__(self, pool: ConnectionPool, options: SolaceOptions, shared: _Shared) -> None:
        self._pool = pool
        self._options = options
        self._shared: _Shared | None = shared
        self._connection = shared.connection
        self._sessions: list[TransactedSession] = []

    @property
    def away(self) -> bool:
        """Whether the connection is lost and being restored."""
        return self._connection.away

    @property
    def alive(self) -> bool:
        """Whether this use may go on, and the connection stands or is being restored."""
        return self._shared is not None and self._connection.alive

    def transacted_session(self, *, queue: str | None = None, selector: str = "") -> TransactedSession:
        """Open a session; see :class:`~flumebeam.solace.ports.Connection`."""
        session = self._connection.transacted_session(queue=queue, selector=selector)
        self._sessions.append(session)
        return session

    def receiver(
        self, queue: str, *, before_bind: Callable[[str], None] | None = None, flow: FlowOptions | None = None
    ) -> FlowOfQueue:
        """Bind a flow, which whoever binds it closes; see :class:`~flumebeam.solace.ports.Connection`."""
        return self._connection.receiver(queue, before_bind=before_bind, flow=flow)

    def publisher(self, *, direct: bool = False) -> MessagePublisher:
        """Open a publisher, which whoever opens it closes; see :class:`~flumebeam.solace.ports.Connection`."""
        return self._connection.publisher(direct=direct)

    def close(self) -> bool:
        """Close what was opened here, and the connection if nobody else uses it. Idempotent.

        Returns:
            What closing the connection returned; False, which says nothing, if others go on.
        """
        shared, self._shared = self._shared, None
        if shared is None:
            return False
        if self._pool._leave(self._options, shared):
            return shared.connection.close()
        for session in self._sessions:
            session.close()
        return False


_POOL: Final = ConnectionPool()


def share_connection(options: SolaceOptions) -> PooledConnection:
    """Return a use of the connection that this process has with these options; see :meth:`ConnectionPool.share`."""
    return _POOL.share(options)
