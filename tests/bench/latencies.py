"""Latencies on disk: written by the speed layer as it goes, read when the run is over."""

from __future__ import annotations

import time
from array import array
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO, Final

__all__ = ["LatencyNotes", "read_latencies", "read_lines", "stamped"]

_STAMP_DIGITS: Final = 19
"""A body begins with the time of its put in nanoseconds since 1970, which has that many digits until 2286."""


def stamped(rest: bytes) -> bytes:
    """Return a body that begins with the time now."""
    return b"%d %s" % (time.time_ns(), rest)


class LatencyNotes:
    """Takes the time of events and appends it to a file, a pair of 64-bit numbers each: put, and had."""

    def __init__(self, path: Path) -> None:
        self._file: BinaryIO = path.open("ab", buffering=0)
        self._taken = array("q")

    def take(self, body: bytes) -> None:
        """Note that this event is here now."""
        self._taken.extend((int(body[:_STAMP_DIGITS]), time.time_ns()))

    def write(self) -> None:
        """Write what was noted."""
        self._file.write(self._taken.tobytes())
        self._taken = array("q")

    def close(self) -> None:
        """Write the rest and close the file."""
        self.write()
        self._file.close()


def read_latencies(path: Path) -> list[tuple[int, float]]:
    """Return when each event was put (ns since 1970) and the milliseconds until it was noted."""
    times = array("q")
    times.frombytes(path.read_bytes())
    return [(put, (had - put) / 1e6) for put, had in zip(times[::2], times[1::2], strict=True)]


def read_lines(files: Iterable[Path]) -> list[tuple[int, float]]:
    """Return when each line's event was put (ns since 1970) and the milliseconds until its file had its name.

    A file that ends with its transaction is renamed last of all, which its inode notes.
    """
    found: list[tuple[int, float]] = []
    for file in files:
        named = file.stat().st_ctime_ns
        puts = (int(text[:_STAMP_DIGITS]) for text in file.read_bytes().splitlines())
        found += [(put, (named - put) / 1e6) for put in puts]
    return found
