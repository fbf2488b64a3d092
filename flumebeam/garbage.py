"""Garbage collection in a process that moves many small objects."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator
from typing import Final

__all__ = ["collect_often_enough", "collecting_seldom"]

_THRESHOLDS: Final = (100_000, 50, 100)
"""Python's own are 700, 10 and 10: a search for cycles in each hundred messages of a batch, where there are none."""
_OFTEN: Final = (5_000, 10, 10)
"""For objects that are in cycles, thirty or so to a message."""


@contextlib.contextmanager
def collecting_seldom() -> Iterator[None]:
    """Look for cycles seldom within a ``with`` block, and not among what was there before it.

    For a process whose main work the block is; docs/benchmarks.md has what it saves.
    """
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


def collect_often_enough() -> None:
    """Look for cycles from now on often enough for a part of the program that leaves many, if that is not so already.

    It stays so until the block of :func:`collecting_seldom` ends, or whoever sets thresholds sets others.
    """
    if gc.get_threshold()[0] > _OFTEN[0]:
        gc.set_threshold(*_OFTEN)
