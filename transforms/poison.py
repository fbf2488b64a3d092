"""Poison: events that a format cannot hold, found among the others and kept as dead letters in the same transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from typing import Final

import numpy as np
import pyarrow as pa

from flumebeam.batch import EventBatch
from flumebeam.deliveries import DeadLetter
from flumebeam.errors import FlumebeamError, FormatError, MisfitError
from flumebeam.formats import Format, checker

__all__ = ["encoded", "sift"]

_OF_CONTENT: Final = (ValueError, TypeError, LookupError, ArithmeticError, pa.ArrowException)
"""What libraries raise about the values they are given; anything else is no event's fault."""
_PIECE_EVENTS: Final = 256


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
    """Tell the events that a format takes from those it does not.

    Where a format names suspects they are tried alone; else halves are tried, down to single events. Nothing is done
    for each of the events that fit.

    Args:
        file_format: Takes them or not.
        batch: Events.
        target: Where they were to go, for the dead letters.

    Returns:
        The events that it takes, and the others with the reason.
    """
    causes = _refused(_trial(file_format), batch)
    if not causes:
        return batch, []
    places = sorted(causes)
    keep = np.ones(len(batch), dtype=np.bool_)
    keep[places] = False
    letters = [
        DeadLetter(event, target, causes[place])
        for place, event in zip(places, batch.filter(pa.array(~keep)).events(), strict=True)
    ]
    return batch.filter(pa.array(keep)), letters


_Trial = Callable[[EventBatch], FormatError | None]


def _trial(file_format: Format) -> _Trial:
    """Return what tells why a format does not take a batch, if it does not."""
    check = checker(file_format)

    def attempt(batch: EventBatch) -> FormatError | None:
        try:
            if check is not None:
                check(batch)
            else:
                for _ in encoded(file_format, [batch]):
                    pass
        except FormatError as error:
            return error
        return None

    return attempt


def _refused(attempt: _Trial, batch: EventBatch) -> dict[int, str]:
    """Return the places of the events that are refused, each with its cause."""
    causes: dict[int, str] = {}
    # Pieces, as what follows a suspect is looked at again.
    bounds = [*range(0, len(batch), _PIECE_EVENTS), len(batch)]
    left = list(pairwise(bounds))
    while left:
        start, stop = left.pop()
        error = attempt(batch.slice(start, stop - start))
        if error is None:
            continue
        if stop - start == 1:
            causes[start] = str(error)
            continue
        suspects = error.suspects if isinstance(error, MisfitError) else ()
        for place in (start + suspect for suspect in suspects if 0 <= suspect < stop - start):
            alone = attempt(batch.slice(place, 1))
            if alone is not None:
                causes[place] = str(alone)
                left += [(low, high) for low, high in ((start, place), (place + 1, stop)) if low < high]
                break
        else:
            half = (start + stop) // 2
            left += [(start, half), (half, stop)]
    return causes
