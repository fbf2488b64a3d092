"""Exit statuses of every command, in one place."""

from __future__ import annotations

from enum import IntEnum

__all__ = ["Exit"]


class Exit(IntEnum):
    """What a command's exit status says."""

    OK = 0
    """All done, or stopped cleanly when asked to."""
    FAILED = 1
    """Something outside failed (broker, file system, network), or a proof did not close."""
    USAGE = 2
    """The user's mistake: an option, an address, a combination that cannot work."""
    INTERRUPTED = 130
    """Stopped by Ctrl-C before the work was done; nothing is lost, the same command goes on."""
