"""The lines that every suite sends: numbered log lines of one length, the same in every run."""

from __future__ import annotations

import os
from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path
from typing import Final

__all__ = ["MIN_LINE_BYTES", "digest", "line", "lines_in", "severity_of", "visible_files", "write_lines"]

_LEVELS: Final = ("INFO", "INFO", "INFO", "INFO", "INFO", "WARN", "INFO", "ERROR")
_TEXT: Final = " checkout served basket 4711 of customer 815 in 23 ms from 10.0.0.7 over https with status 200;"
MIN_LINE_BYTES: Final = 64
"""Room for time, number, level and some text."""


def line(number: int, size: int) -> bytes:
    """Return one line of ``size`` bytes, without its end."""
    head = f"2026-01-01T{number // 3600 % 24:02}:{number // 60 % 60:02}:{number % 60:02}Z {number:010} "
    head += _LEVELS[number % len(_LEVELS)]
    text = head + _TEXT * (size // len(_TEXT) + 1)
    return text[:size].encode("ascii")


def severity_of(text: bytes) -> str:
    """Return the level of one of these lines, as the severity interceptor finds it."""
    return text.split(b" ", 3)[2].decode("ascii").lower()


def write_lines(path: Path, events: int, size: int) -> Path:
    """Write a file of so many lines, each of ``size`` bytes and a newline, and return its path."""
    with path.open("wb") as file:
        for number in range(events):
            file.write(line(number, size) + b"\n")
    return path


def visible_files(directory: Path) -> list[Path]:
    """Return the files below a directory, those left out that readers do not see.

    Hidden directories are not entered: what a drain has in them comes and goes.
    """
    found: list[Path] = []
    for place, directories, files in os.walk(directory):
        directories[:] = [name for name in directories if not name.startswith((".", "_"))]
        found += [Path(place, name) for name in files if not name.startswith((".", "_"))]
    return found


def lines_in(directory: Path) -> int:
    """Return how many lines the files below a directory have, those left out that readers do not see."""
    return sum(file.read_bytes().count(b"\n") for file in visible_files(directory))


def digest(files: Iterable[Path]) -> tuple[int, int]:
    """Return how many lines files hold, and a digest of all of them that does not depend on their order."""
    count = total = 0
    for file in files:
        with file.open("rb") as lines:
            for text in lines:
                count += 1
                total += int.from_bytes(blake2b(text, digest_size=16).digest())
    return count, total % (1 << 128)
