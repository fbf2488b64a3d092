"""Exact sets of delivery ids, small where numbers follow one another, and fast to ask with a whole column.

A set holds, per origin, sorted runs of numbers that do not touch. Nothing here guesses: a number is in a set only if
it was put there, or if :meth:`IdSet.bridged` was asked to close the gaps.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from flumebeam.errors import FormatError
from flumebeam.ids import id_pairs

__all__ = ["IdIndex", "IdSet"]

_Runs = npt.NDArray[np.uint64]
_HEADER: Final = struct.Struct(">I")
_ORIGIN: Final = struct.Struct(">QQQIBB")
_WIDTHS: Final = (">u1", ">u2", ">u4", ">u8")


class IdSet:
    """An immutable set of delivery ids.

    Args:
        runs: Per origin, shape ``(k, 2)``: first and last number of each run, sorted, with gaps between the runs.
    """

    __slots__ = ("_runs",)

    def __init__(self, runs: Mapping[int, _Runs] | None = None) -> None:
        self._runs: dict[int, _Runs] = {origin: runs[origin] for origin in sorted(runs)} if runs else {}

    @classmethod
    def of(cls, column: pa.FixedSizeBinaryArray) -> IdSet:
        """Return the set of the ids in a column, in any order, repeated or not.

        Args:
            column: Delivery ids, type ``fixed_size_binary[16]``.
        """
        return cls({origin: _runs_of(numbers) for origin, numbers, _ in _by_origin(column)})

    def __len__(self) -> int:
        return sum(int((runs[:, 1] - runs[:, 0]).sum()) + len(runs) for runs in self._runs.values())

    def __bool__(self) -> bool:
        return bool(self._runs)

    def __eq__(self, other: object) -> bool:
        """Compare by content."""
        return isinstance(other, IdSet) and self.to_bytes() == other.to_bytes()

    def __hash__(self) -> int:
        return hash(self.to_bytes())

    def __repr__(self) -> str:
        return f"IdSet({len(self)} ids in {self.run_count} runs)"

    @property
    def run_count(self) -> int:
        """Number of runs, which is what memory and time depend on (16 bytes each)."""
        return sum(len(runs) for runs in self._runs.values())

    def contains(self, column: pa.FixedSizeBinaryArray) -> npt.NDArray[np.bool_]:
        """Tell for each id of a column whether it is in the set.

        Args:
            column: Delivery ids, type ``fixed_size_binary[16]``, shape ``(n,)``.

        Returns:
            Shape ``(n,)``.
        """
        mask = np.zeros(len(column), dtype=np.bool_)
        if not self._runs:
            return mask
        for origin, numbers, where in _by_origin(column):
            runs = self._runs.get(origin)
            if runs is None:
                continue
            at = np.searchsorted(runs[:, 0], numbers, side="right")
            mask[where] = (at > 0) & (numbers <= runs[at - 1, 1])
        return mask

    def union(self, *others: IdSet) -> IdSet:
        """Return the set of ids that are in any of these sets."""
        parts: dict[int, list[_Runs]] = {}
        for ids in (self, *others):
            for origin, runs in ids._runs.items():
                parts.setdefault(origin, []).append(runs)
        return IdSet(
            {origin: _merge(np.concatenate(runs)) if len(runs) > 1 else runs[0] for origin, runs in parts.items()}
        )

    def bridged(self) -> IdSet:
        """Return the set with all gaps closed: one run per origin.

        True of a queue only within one unbroken bind of an exclusive queue that delivers in the order of arrival
        (no message priorities): there a number that was passed over never comes.
        """
        return IdSet({origin: np.array([[runs[0, 0], runs[-1, 1]]], np.uint64) for origin, runs in self._runs.items()})

    def to_bytes(self) -> bytes:
        """Return the set as bytes, equal for equal sets; :meth:`from_bytes` reads them."""
        pieces = [_HEADER.pack(len(self._runs))]
        for origin, runs in self._runs.items():
            spans, gaps = runs[:, 1] - runs[:, 0], runs[1:, 0] - runs[:-1, 1]
            span_width, gap_width = _width(spans), _width(gaps)
            pieces.append(_ORIGIN.pack(origin, runs[0, 0], runs[-1, 1], len(runs), span_width, gap_width))
            pieces.append(spans.astype(_WIDTHS[span_width]).tobytes())
            pieces.append(gaps.astype(_WIDTHS[gap_width]).tobytes())
        return b"".join(pieces)

    @classmethod
    def from_bytes(cls, data: bytes) -> IdSet:
        """Return the set that :meth:`to_bytes` wrote.

        Raises:
            FormatError: The bytes are no such set.
        """
        found: dict[int, _Runs] = {}
        try:
            (origins,) = _HEADER.unpack_from(data)
            at = _HEADER.size
            for _ in range(origins):
                origin, first, last, count, span_width, gap_width = _ORIGIN.unpack_from(data, at)
                at += _ORIGIN.size
                spans = np.frombuffer(data, _WIDTHS[span_width], count, at).astype(np.uint64)
                at += spans.size << span_width
                gaps = np.frombuffer(data, _WIDTHS[gap_width], count - 1, at).astype(np.uint64)
                at += gaps.size << gap_width
                runs = np.empty((count, 2), np.uint64)
                runs[0, 0] = first
                runs[1:, 0] = first + np.cumsum(gaps + spans[:-1], dtype=np.uint64)
                runs[:, 1] = runs[:, 0] + spans
                if runs[-1, 1] != last:
                    raise ValueError("the last number does not fit")
                found[origin] = runs
        except (struct.error, ValueError, IndexError, OverflowError) as error:
            raise FormatError(f"These bytes are no set of delivery ids: {error}.") from error
        if at != len(data):
            raise FormatError("These bytes are no set of delivery ids: something follows it.")
        return cls(found)


class IdIndex:
    """A growing set of ids: sets of similar size are merged, so that adding stays cheap and asking stays fast."""

    def __init__(self) -> None:
        self._levels: list[IdSet] = []

    def add(self, ids: IdSet) -> None:
        """Put all ids of a set into the index. Costs, over time, the logarithm of what is in it."""
        if not ids:
            return
        levels = [*self._levels, ids]
        while len(levels) > 1 and levels[-2].run_count <= 4 * levels[-1].run_count:
            last = levels.pop()
            levels[-1] = levels[-1].union(last)
        # One assignment: a reader in another thread sees the old levels or the new ones.
        self._levels = levels

    def contains(self, column: pa.FixedSizeBinaryArray) -> npt.NDArray[np.bool_]:
        """Tell for each id of a column whether it was added; as :meth:`IdSet.contains`."""
        mask = np.zeros(len(column), dtype=np.bool_)
        for level in self._levels:
            mask |= level.contains(column)
        return mask

    @property
    def run_count(self) -> int:
        """Number of runs held (16 bytes each)."""
        return sum(level.run_count for level in self._levels)


def _by_origin(column: pa.FixedSizeBinaryArray) -> Iterator[tuple[int, _Runs, slice | npt.NDArray[np.bool_]]]:
    """Split a column by origin: origin, numbers, and where they stand in the column. Nearly always there is one."""
    pairs = id_pairs(column)
    origins = pairs[:, 0]
    if len(pairs) and (origins == origins[0]).all():
        yield int(origins[0]), pairs[:, 1], slice(None)
        return
    for origin in np.unique(origins):
        where = origins == origin
        yield int(origin), pairs[where, 1], where


def _runs_of(numbers: _Runs) -> _Runs:
    # Nearly always they come ascending, and sorting is what costs.
    ordered = numbers if bool((numbers[1:] > numbers[:-1]).all()) else np.unique(numbers)
    breaks = np.flatnonzero(np.diff(ordered) != 1)
    runs = np.empty((len(breaks) + 1, 2), np.uint64)
    runs[0, 0], runs[-1, 1] = ordered[0], ordered[-1]
    runs[1:, 0], runs[:-1, 1] = ordered[breaks + 1], ordered[breaks]
    return runs


def _merge(runs: _Runs) -> _Runs:
    """Join runs that overlap or touch, given in any order."""
    runs = runs[np.argsort(runs[:, 0], kind="stable")]
    reach = np.maximum.accumulate(runs[:, 1])
    firsts = runs[1:, 0]
    # In unsigned numbers first - reach is meaningful only where first is the larger one.
    apart = np.flatnonzero((firsts > reach[:-1]) & (firsts - reach[:-1] > 1))
    merged = np.empty((len(apart) + 1, 2), np.uint64)
    merged[0, 0], merged[-1, 1] = runs[0, 0], reach[-1]
    merged[1:, 0], merged[:-1, 1] = firsts[apart], reach[apart]
    return merged


def _width(values: _Runs) -> int:
    """Return the index of the narrowest integer type that holds all values."""
    largest = int(values.max()) if len(values) else 0
    return next(width for width in range(4) if largest < 1 << (8 << width))
