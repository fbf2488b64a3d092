"""Cutting many frames at once, by a few calls on their bytes: those that are like one of them.

To cut a frame by itself costs more than to receive it. Most of those that come together are of one producer, and differ
in ids, sizes and values alone: which of them do is seen by comparing everything else in one go.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import compress
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from flumebeam.solace._placed_frames import FrameBlock, PlacedFrame, Table, table_of

__all__ = ["BODY_PART", "METADATA_PART", "can_be_alike", "cut_alike"]

_LENGTH: Final = slice(8, 12)
"""Of the whole frame, in its header."""
_ID_BYTES: Final = 16
BODY_PART, METADATA_PART = 2, 4
"""How a contents summary names the parts of a payload."""

_Flags: TypeAlias = npt.NDArray[np.bool_]


def can_be_alike(model: PlacedFrame) -> bool:
    """Tell whether others can be like a message, which those with a permanent id of their own in the head cannot."""
    head = model.head
    return head.permanent_id is None and len(head.spooler) + head.message_id.stop - head.message_id.start == _ID_BYTES


def cut_alike(frames: Sequence[bytes], model: PlacedFrame, start: int) -> tuple[npt.NDArray[np.int64], FrameBlock]:
    """Return which frames are like a model, and these as columns.

    Args:
        frames: Whole messages as they were received.
        model: The first of them, cut by itself; others can be alike.
        start: Bytes of its header.
    """
    head, layout, width = model.head, model.layout, len(model.metadata)
    lengths = np.fromiter(map(len, frames), np.int64, len(frames))
    rows = np.arange(len(frames))
    if lengths.min() < start + width:
        rows = np.flatnonzero(lengths >= start + width)
        frames, lengths = [frames[row] for row in rows.tolist()], lengths[rows]
    heads = table_of([frame[:start] for frame in frames])
    tails = table_of([frame[-width:] for frame in frames]) if width else heads[:, :0]
    like = (_numbers(heads[:, _LENGTH]) == lengths) & _sizes_fit(heads[:, head.summary], lengths - start - width, width)
    like &= _equal(heads, head.varying) & _equal(tails, layout.varying)
    if not like.all():
        frames, rows, heads, tails = list(compress(frames, like)), rows[like], heads[like], tails[like]
    ids = np.empty((len(frames), _ID_BYTES), np.uint8)
    ids[:, : len(head.spooler)] = np.frombuffer(head.spooler, np.uint8)
    ids[:, len(head.spooler) :] = heads[:, head.message_id]
    end = -width or None
    return rows, FrameBlock(ids, [frame[start:end] for frame in frames], tails, head, layout)


def _equal(table: Table, varying: bytes) -> _Flags:
    """Tell which rows are equal to the first one where they must be; one answer if all are."""
    same: _Flags = table == table[:1]
    same |= np.frombuffer(varying, np.bool_)
    return np.array([True]) if same.all() else np.asarray(same.all(axis=1))


def _sizes_fit(summaries: Table, bodies: npt.NDArray[np.int64], metadata: int) -> _Flags:
    """Tell of which messages the contents summary, built as the first one, says what sizes their parts have."""
    first = summaries[0].tobytes() if summaries.shape[1] else b""
    fit = np.ones(len(summaries), np.bool_)
    said: dict[int, npt.NDArray[np.int64] | int] = {BODY_PART: 0, METADATA_PART: 0} if first else {METADATA_PART: 0}
    at = 0
    while at < len(first):
        fit &= summaries[:, at] == first[at]
        end = at + (first[at] & 0x0F)
        said[first[at] >> 4] = _numbers(summaries[:, at + 1 : end])
        at = end
    for part, sizes in said.items():
        fit &= np.equal(sizes, bodies if part == BODY_PART else metadata)
    return fit


def _numbers(cells: Table) -> npt.NDArray[np.int64]:
    """Return numbers of few bytes, most significant first."""
    found = cells[:, 0].astype(np.int64)
    for column in cells.T[1:]:
        found = found << 8 | column
    return found
