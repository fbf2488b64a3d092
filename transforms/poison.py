"""Poison: events that a format cannot hold, found among the others and kept as dead letters in the same transaction."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import numpy as np
import pyarrow as pa

from flumebeam.batch import EventBatch
from flumebeam.errors import FlumebeamError, FormatError
from flumebeam.formats import Format
from flumebeam.transforms.deadletter import DeadLetter

__all__ = ["encoded", "sift"]

_OF_CONTENT: Final = (ValueError, TypeError, LookupError, ArithmeticError, pa.ArrowException)
"""What libraries raise about the values they are given; anything else is no event's fault."""


def encoded(file_format: Format, batches: Iterable[EventBatch]) -> Iterator[bytes]:
    """Yield a file of these batches.

    Raises:
        FormatError: An event cannot be written, in whatever words the format says so.
    """
    try:
        yield from file_format.encode(batches)
    except FlumebeamError:
        raise
    except _OF_CONTENT as error:
        raise FormatError(f"An event cannot be written as {file_format.name}: {error}") from error


def sift(file_format: Format, batch: EventBatch, target: str) -> tuple[EventBatch, list[DeadLetter]]:
    """Tell the events that a format takes from those it does not: halves are tried, down to single events.

    Args:
        file_format: Takes them or not.
        batch: Events.
        target: Where they were to go, for the dead letters.

    Returns:
        The events that it takes, and the others with the reason.
    """
    causes = dict(_refused(file_format, batch, 0))
    if not causes:
        return batch, []
    keep = np.ones(len(batch), dtype=np.bool_)
    keep[list(causes)] = False
    letters = [
        DeadLetter(event, target, causes[index])
        for index, event in zip(causes, batch.filter(pa.array(~keep)).events(), strict=True)
    ]
    return batch.filter(pa.array(keep)), letters


def _refused(file_format: Format, batch: EventBatch, first: int) -> Iterator[tuple[int, str]]:
    try:
        for _ in encoded(file_format, [batch]):
            pass
    except FormatError as error:
        if len(batch) == 1:
            yield first, str(error)
            return
        half = len(batch) // 2
        yield from _refused(file_format, batch.slice(0, half), first)
        yield from _refused(file_format, batch.slice(half), first + half)
