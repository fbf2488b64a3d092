"""A copy of a broker's state at another site, some messages behind, for disasters that take the first site."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Final

from flumebeam.broker.core.journal import (
    InVpn,
    Issued,
    PublisherClosed,
    PublisherMoved,
    PublisherOpened,
    Record,
    SessionClosed,
    SessionEnded,
    SessionOpened,
    Stored,
)
from flumebeam.broker.store import Store

__all__ = ["Replica"]

MAX_LAG: Final = 10_000
"""Messages that a copy can be behind at most."""
_APPLIED_AT_ONCE: Final = 1_000
_OF_THE_FIRST_SITE: Final = (
    Issued,
    PublisherOpened,
    PublisherMoved,
    PublisherClosed,
    SessionOpened,
    SessionEnded,
    SessionClosed,
)
"""What is not copied: ids, and what clients could resume."""


class Replica:
    """Takes the journal of a broker, and gives back the state that it stood for a number of messages ago.

    Args:
        store: Keeps what is older than any lag.
        there: Records of the state that the first site begins with.
    """

    def __init__(self, store: Store, there: Iterable[Record] = ()) -> None:
        self._store = store
        store.commit(record for record in there if not isinstance(record, _OF_THE_FIRST_SITE))
        self._late: deque[tuple[InVpn, Record]] = deque()
        self._late_messages = 0
        self._due: list[tuple[InVpn, Record]] = []
        self._vpn = InVpn("")

    def add(self, records: list[Record]) -> None:
        """Take what has happened at the first site.

        Raises:
            StorageError: The copy cannot be written.
        """
        for record in records:
            if isinstance(record, InVpn):
                self._vpn = record
            elif not isinstance(record, _OF_THE_FIRST_SITE):
                self._late.append((self._vpn, record))
                self._late_messages += _messages(record)
        self._catch_up(MAX_LAG)
        if len(self._due) >= _APPLIED_AT_ONCE:
            self._apply()

    def state(self, lag: int) -> Iterator[Record]:
        """Return what the copy holds if it is ``lag`` messages behind; what happened since is lost.

        Raises:
            StorageError: The copy cannot be written.
            ConfigurationError: The copy cannot be read.
        """
        self._catch_up(lag)
        if self._late_messages > lag:
            # Only messages keep what comes after them waiting.
            vpn, record = self._late[0]
            assert isinstance(record, Stored)  # noqa: S101 - for the type checker
            self._due.append((vpn, Stored(record.messages[: self._late_messages - lag], record.queues)))
        self._late.clear()
        self._late_messages = 0
        self._apply()
        return (record for record in self._store.records() if not isinstance(record, _OF_THE_FIRST_SITE))

    def close(self) -> None:
        """Forget the copy."""
        self._store.close()

    def _catch_up(self, lag: int) -> None:
        while self._late:
            messages = _messages(self._late[0][1])
            if messages and self._late_messages - messages < lag:
                return
            self._late_messages -= messages
            self._due.append(self._late.popleft())

    def _apply(self) -> None:
        records: list[Record] = []
        now: InVpn | None = None
        for vpn, record in self._due:
            if vpn is not now:
                now = vpn
                if vpn.name:
                    records.append(vpn)
            records.append(record)
        self._due.clear()
        self._store.commit(records)


def _messages(record: Record) -> int:
    return len(record.messages) if isinstance(record, Stored) else 0
