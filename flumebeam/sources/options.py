"""What a source of files is told: which files, what becomes of them, and its limits."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

from flumebeam.errors import ConfigurationError

__all__ = ["FileSourceOptions", "WhenDone"]

_PATTERN: Final = frozenset("*?[")
_LARGEST_LINE: Final = 2**30


class WhenDone(Enum):
    """What becomes of a file of which everything is durable."""

    KEEP = "keep"
    """It stays as it is; only its position says that it was read."""
    RENAME = "rename"
    """It gets the suffix of completed files."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FileSourceOptions:
    """Options of a source of files.

    Attributes:
        path: A file, a pattern with ``*``, ``?``, ``[...]`` or ``**``, or a spool directory (with :attr:`spool`).
        spool: ``path`` is a spool directory: finished files are moved into it, are not changed afterwards, and their
            names are not used again. Hidden files and ``*.tmp`` are left alone, so that a writer can rename at the end.
        when_done: What becomes of a file of which everything is durable; by default files of a spool directory are
            renamed and others are kept.
        follow: Run on and read files as they come. Spool directories only: a file that grows has no end.
        completed_suffix: Ending of completed files, which are never read.
        tracker_dir: Where positions are kept, for this source alone. By default ``.flumebeam`` in the spool directory,
            and for other files a directory named after ``path`` in ``$XDG_STATE_HOME/flumebeam/positions``.
        file_header: Give every event the absolute path of its file.
        basename_header: Give every event the name of its file.
        max_line_bytes: Longest line accepted; a longer one stops the source and is never cut.
        block_bytes: How much is read at once, and so how large a batch is.
        poll_seconds: How often a followed directory is looked at.

    Raises:
        ConfigurationError: A combination that cannot work.
    """

    path: str
    spool: bool = False
    when_done: WhenDone | None = None
    follow: bool = False
    completed_suffix: str = ".COMPLETED"
    tracker_dir: str | None = None
    file_header: bool = False
    basename_header: bool = True
    max_line_bytes: int = 8 * 1024 * 1024
    block_bytes: int = 1024 * 1024
    poll_seconds: float = 0.5

    def __post_init__(self) -> None:
        if not self.path:
            raise ConfigurationError("A source of files needs a path: a file, a pattern, or a spool directory.")
        if self.follow and not self.spool:
            raise ConfigurationError(
                f"{self.path} cannot be followed: only a spool directory can, into which finished files are moved."
            )
        if not self.completed_suffix or "/" in self.completed_suffix:
            raise ConfigurationError(f"{self.completed_suffix!r} cannot be the ending of completed files.")
        if not 1 <= self.max_line_bytes <= _LARGEST_LINE:
            raise ConfigurationError(f"max_line_bytes must be from 1 to {_LARGEST_LINE}, not {self.max_line_bytes}.")
        if not 1 <= self.block_bytes <= _LARGEST_LINE:
            raise ConfigurationError(f"block_bytes must be from 1 to {_LARGEST_LINE}, not {self.block_bytes}.")
        if self.poll_seconds <= 0:
            raise ConfigurationError(f"poll_seconds must be more than 0, not {self.poll_seconds}.")

    @property
    def is_pattern(self) -> bool:
        """Whether :attr:`path` names files by a pattern. A file that has such a name itself is no pattern."""
        return not self.spool and bool(_PATTERN & set(self.path)) and not Path(self.path).exists()

    @property
    def renames(self) -> bool:
        """Whether completed files are renamed."""
        return self.spool if self.when_done is None else self.when_done is WhenDone.RENAME

    @property
    def tracker_path(self) -> Path:
        """Where positions are kept."""
        if self.tracker_dir:
            return Path(self.tracker_dir)
        absolute = Path(self.path).absolute()
        if self.spool:
            usual = absolute / ".flumebeam"
            # In a directory that a drain writes into it is a file.
            return absolute / ".flumebeam.positions" if usual.is_file() else usual
        home = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
        name = hashlib.blake2b(os.fsencode(absolute), digest_size=8).hexdigest()
        return Path(home) / "flumebeam" / "positions" / name
