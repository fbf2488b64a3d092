"""A source's position in the broker, shared by the source that reads it and the sink that moves it."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from flumebeam.channel.base import Transaction
from flumebeam.errors import ConfigurationError
from flumebeam.solace.config import SolaceOptions

if TYPE_CHECKING:
    from flumebeam.channel.positioned import PositionedChannel

__all__ = ["BrokerPosition", "SharedChannel", "share"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerPosition:
    """Where the position of one source is kept: in a queue of the broker that gets its events.

    Give it to the source and to the sink, in one graph and one fused stage: each transaction of the sink then moves the
    position with the events, so they are in the broker exactly once.

    Attributes:
        queue: The position queue, for this source alone; made if it does not exist. Nobody else may take from it.
        connection: The broker, the same as the sink's.
        max_transaction_messages: The broker's limit of messages per transaction; the position needs four of them.

    Raises:
        ConfigurationError: The queue has no name.
    """

    queue: str
    connection: SolaceOptions = field(default_factory=SolaceOptions.from_environment)
    max_transaction_messages: int = 256

    def __post_init__(self) -> None:
        if not self.queue:
            raise ConfigurationError("The position queue needs a name of its own for each source.")


class _Shared:
    """An open channel and how many use it."""

    def __init__(self, channel: PositionedChannel) -> None:
        self.channel = channel
        self.users = 0


_lock: Final = threading.Lock()
_shared: Final[dict[BrokerPosition, _Shared]] = {}


def share(position: BrokerPosition) -> SharedChannel:
    """Return a use of the one channel of this process that keeps a position; to be closed."""
    # Loads a native library, which a process that only builds graphs does not need.
    from flumebeam.channel.positioned import PositionedChannel

    with _lock:
        shared = _shared.get(position)
        if shared is None:
            channel = PositionedChannel(
                position.connection,
                position.queue,
                max_transaction_messages=position.max_transaction_messages,
            )
            shared = _shared[position] = _Shared(channel)
        shared.users += 1
    return SharedChannel(position, shared)


class SharedChannel:
    """One use of a shared channel; the last one to close it releases the position."""

    def __init__(self, position: BrokerPosition, shared: _Shared) -> None:
        self._position = position
        self._shared: _Shared | None = shared
        self.channel = shared.channel

    @property
    def room(self) -> int:
        """Messages of events that one transaction takes."""
        return self.channel.room

    def transaction(self) -> Transaction:
        """Return a new transaction, which moves the position."""
        return self.channel.transaction()

    def close(self) -> None:
        """End this use. Idempotent."""
        shared, self._shared = self._shared, None
        if shared is None:
            return
        with _lock:
            shared.users -= 1
            last = shared.users == 0
            if last:
                _shared.pop(self._position, None)
        if last:
            shared.channel.close()
