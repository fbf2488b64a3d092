"""Publisher flows: which message ids have arrived, in order and without gaps."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flumebeam.broker.core.connection import Connection
    from flumebeam.broker.core.transactions import TransactedSession

__all__ = ["PublisherFlow"]


class PublisherFlow:
    """The broker's side of one publisher flow. It outlives its connection, so that the client can resume by name.

    Attributes:
        id: Flow id, kept over reconnects.
        name: Name that the client resumes it by.
        owner: Client name that may resume it.
        session: Transacted session that it publishes for, or None.
        connection: Connection that it is open on, or None while the client is away.
        last_id: Last message id that arrived in order.
        eager_acks: Whether it acknowledges before a commit. A client whose window is smaller than the largest waits
            for acknowledgements inside a transaction; the others do not need them there.
    """

    __slots__ = ("_may_skip", "connection", "eager_acks", "id", "last_id", "name", "owner", "session")

    def __init__(self, flow_id: int, name: str, owner: str, session: TransactedSession | None, eager: bool) -> None:
        self.id = flow_id
        self.name = name
        self.owner = owner
        self.session = session
        self.eager_acks = eager or session is None
        self.connection: Connection | None = None
        self.last_id = 0
        self._may_skip = True

    def arrive(self, message_id: int, previous_id: int) -> bool:
        """Return whether a message is the next one and to be kept, and take note of it if it is.

        Others are dropped: a message that is here already, whose acknowledgement the client missed, and one after a
        gap, which the client will send again with what is missing. The first one of a flow may have any id.
        """
        if message_id <= self.last_id or (previous_id != self.last_id and not self._may_skip):
            return False
        self._may_skip = False
        self.last_id = message_id
        return True

    def resume_after(self, last_id: int) -> None:
        """Go on where an earlier life of the broker was.

        The next message must follow without a gap, except in a transacted session: there the earlier life took more
        messages than it remembers, those of the transaction that was open, which can no longer be committed.
        """
        self.last_id = last_id
        self._may_skip = self.session is not None
