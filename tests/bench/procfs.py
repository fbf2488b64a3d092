"""CPU time and memory of a process with its children, read from /proc (Linux)."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["Usage", "family", "own_usage", "usage"]

_PROC: Final = Path("/proc")
_TICK_SECONDS: Final = 1.0 / os.sysconf("SC_CLK_TCK")
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process and its children have used.

    Attributes:
        cpu_seconds: User and system time of all threads, of living children and of children that were waited for.
        rss_bytes: Resident memory now, living children included (pages that they share are counted for each).
    """

    cpu_seconds: float
    rss_bytes: int

    def __add__(self, other: Usage) -> Usage:
        return Usage(self.cpu_seconds + other.cpu_seconds, self.rss_bytes + other.rss_bytes)


def usage(pid: int) -> Usage | None:
    """Return what a process and its children have used; ``None`` if there is no such process, or it is a zombie."""
    try:
        own = _own(pid)
        children = [usage(child) for child in _children(pid)]
    except (FileNotFoundError, ProcessLookupError):
        return None
    if own is None:
        return None
    return sum(filter(None, children), own)


def family(pid: int) -> list[tuple[int, bytes]]:
    """Return the ids of a process and of all below it, each with its command line."""
    try:
        command = (_PROC / str(pid) / "cmdline").read_bytes()
        children = _children(pid)
    except (FileNotFoundError, ProcessLookupError):
        return []
    return [(pid, command), *(member for child in children for member in family(child))]


def own_usage(pid: int) -> Usage | None:
    """Return what a process has used without its living children; ``None`` as for :func:`usage`."""
    try:
        return _own(pid)
    except (FileNotFoundError, ProcessLookupError):
        return None


def _own(pid: int) -> Usage | None:
    # The second field is the program's name in parentheses, which may hold blanks and parentheses itself.
    fields = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    if fields[0] == "Z":
        return None
    ticks = sum(map(int, fields[11:15]))  # utime, stime, and those of children that were waited for
    return Usage(ticks * _TICK_SECONDS, int(fields[21]) * _PAGE_BYTES)


def _children(pid: int) -> list[int]:
    found: list[int] = []
    for task in (_PROC / str(pid) / "task").iterdir():
        found += map(int, (task / "children").read_text(encoding="ascii").split())
    return found
