"""The errors of flumebeam, as one tree.

::

    FlumebeamError
    ├── ConfigurationError            a user's mistake: an option, an address, a combination that cannot work
    ├── ConnectionFailedError         the broker cannot be reached, or went away for longer than the reconnect policy
    │   └── LoginRefusedError         the broker answered and said no (password, VPN, client name)
    ├── QueueError                    a queue cannot be used: unknown, shut down, no permission
    ├── ChannelError                  a channel transaction cannot go on
    │   ├── TransactionStateError     misuse: a call that the transaction's state does not allow
    │   ├── TransactionTooLargeError  one transaction would exceed the broker's limit
    │   ├── PublishRefusedError       the broker refused events of a transaction (no queue, quota, ACL)
    │   └── PositionError             a source's position in the broker is another process's, or unreadable
    ├── ReceiverLostError             ids to acknowledge belong to a receiver that is not open in this process
    ├── StorageError                  a target file system refused or failed
    │   ├── StorageUnavailableError   it does not answer, or answers "later": retriable
    │   ├── StorageFullError          no space or no quota
    │   ├── StorageMissingError       the file to be read is not there
    │   └── StorageConflictError      somebody else's file stands where ours should go
    ├── CommitLogError                the commit log of a target is damaged or of an unknown version
    │   └── EpochClosedError          a successor fenced this writer: what it holds belongs to its successor
    ├── HookError                     a command or an address that was to be told something did not take it
    ├── RunnerError                   a runner outside this process does not answer, or did not do what it was asked
    ├── FormatError                   bytes that are not what their format says
    │   └── MisfitError               an event does not fit the schema of a table
    └── ProtocolError                 bytes that break the SMF protocol (broker side)

An error's text is one sentence for the person who meets it: what happened, and what to do. ``retriable`` says whether
the same call may succeed later without anybody changing anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

__all__ = [
    "ChannelError",
    "CommitLogError",
    "ConfigurationError",
    "ConnectionFailedError",
    "EpochClosedError",
    "FlumebeamError",
    "FormatError",
    "HookError",
    "LoginRefusedError",
    "MisfitError",
    "PositionError",
    "ProtocolError",
    "PublishRefusedError",
    "QueueError",
    "ReceiverLostError",
    "RunnerError",
    "StorageConflictError",
    "StorageError",
    "StorageFullError",
    "StorageMissingError",
    "StorageUnavailableError",
    "TransactionStateError",
    "TransactionTooLargeError",
]


class FlumebeamError(Exception):
    """Root of every error that flumebeam raises on purpose."""

    retriable: ClassVar[bool] = False


class ConfigurationError(FlumebeamError):
    """An option, an address or a combination of options that cannot work."""


class ConnectionFailedError(FlumebeamError):
    """The broker cannot be reached, or stayed away for longer than the reconnect policy allows."""

    retriable = True


class LoginRefusedError(ConnectionFailedError):
    """The broker answered and refused the login: wrong password, unknown VPN, client name in use."""

    retriable = False


class QueueError(FlumebeamError):
    """A queue cannot be used: it does not exist, is shut down, or permission is missing."""


class ChannelError(FlumebeamError):
    """A channel transaction cannot go on."""


class TransactionStateError(ChannelError):
    """A call that the state of the transaction does not allow (misuse by the caller, nothing was sent)."""


class TransactionTooLargeError(ChannelError):
    """One transaction would exceed the broker's limit of messages per transaction."""


class PublishRefusedError(ChannelError):
    """The broker refused events of a transaction: no queue subscribed, quota reached, ACL, size."""


class PositionError(ChannelError):
    """The position of a source, kept in the broker, belongs to another process now; nothing was published."""


class ReceiverLostError(FlumebeamError):
    """Ids to acknowledge belong to a receiver that is not open in this process; the broker redelivers them."""


class StorageError(FlumebeamError):
    """A target file system refused or failed an operation."""


class StorageUnavailableError(StorageError):
    """The file system does not answer, or asks to come back later."""

    retriable = True


class StorageFullError(StorageError):
    """No space left, or a quota is used up."""

    retriable = True


class StorageMissingError(StorageError):
    """A file that was to be read is not there."""


class StorageConflictError(StorageError):
    """A foreign file stands under a name that ours should get; it is never overwritten."""


class CommitLogError(FlumebeamError):
    """The commit log of a target is damaged, or was written by a newer version."""


class EpochClosedError(CommitLogError):
    """A successor fenced this writer; what it holds unacknowledged belongs to the successor."""


class HookError(FlumebeamError):
    """A command or an address that was to be told something did not take it; it is told again."""

    retriable = True


class RunnerError(FlumebeamError):
    """A runner outside this process does not answer, or did not do what it was asked to."""


class FormatError(FlumebeamError):
    """Bytes that are not what their format says."""


class MisfitError(FormatError):
    """Some event of a batch does not fit a schema.

    Args:
        message: Which, if there is only one event; else about one of them.
        suspects: Events, by their place in the batch, that may be why. They are guesses: each wants to be tried alone.
    """

    def __init__(self, message: str, suspects: Sequence[int] = ()) -> None:
        super().__init__(message)
        self.suspects = tuple(suspects)


class ProtocolError(FlumebeamError):
    """Bytes that break the SMF protocol; the connection that sent them is closed."""
