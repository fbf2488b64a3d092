r"""Paths that events are written under: Flume's escape sequences, for whole batches at once.

A template such as ``logs/%{host}/dt=%Y-%m-%d/%H`` names a directory below a target for every event. Where an escape
does not differ within a batch (a shared header, a constant time) the batch has one path; otherwise columns are reduced
to their few distinct values first, and a path is made once for each combination.

What an escape inserts can never leave its place in the path. Every inserted text is made safe by one rule, which is
Hive's for partition values, so Hive and Spark read ``key=%{header}`` back as it was:

- ``"``, ``#``, ``%``, ``'``, ``*``, ``/``, ``:``, ``=``, ``?``, ``[``, ``\``, ``]``, ``^``, ``{`` and control
  characters become ``%XX``;
- an empty or missing header becomes ``none``, or ``__HIVE_DEFAULT_PARTITION__`` (a null) straight behind a ``=``;
- a name that would begin with ``.`` or ``_``, which readers skip, has that character written as ``%2E`` or ``%5F``;
- a name of more than 255 bytes is cut, and ends in ``~`` and a digest of the whole; in a template of more than eleven
  names they are cut at less, so that no event's headers make a path that a file system refuses.
"""

from __future__ import annotations

import hashlib
import posixpath
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from flumebeam.batch import EventBatch
from flumebeam.errors import ConfigurationError
from flumebeam.hdfs.escapes import HostName, PathOptions, Piece, parse
from flumebeam.hdfs.partition_time import PartitionTime

__all__ = ["BatchPaths", "HostName", "PathOptions", "PathTemplate", "safe_text"]

_UNSAFE: Final = re.compile("[\"#%'*/:=?\\[\\\\\\]^{\x00-\x1f\x7f-\x9f]")
_MAX_NAME_BYTES: Final = 255
_MAX_PATH_BYTES: Final = 3_000
"""Linux takes 4,096 and HDFS 8,000 for a whole path: there is room for the target before it and the file behind it."""
_MIN_NAME_BYTES: Final = 40
_MAX_PREFIX_BYTES: Final = 150
"""Of a file's name, which goes on with what makes it unique, and with its extension."""
_DIGEST_CHARACTERS: Final = 16
_MISSING: Final = "none"
_MISSING_PARTITION: Final = "__HIVE_DEFAULT_PARTITION__"

# Fifteen digits hold every usable time and cannot overflow 64 bits.
_DECIMAL: Final = r"^[0-9]{1,15}$"
_END_OF_TIME_MS: Final = 253_402_214_400_000
"""9999-12-31 UTC, so that the last year fits every time zone."""
_WHOLE_MINUTE_ZONES_FROM_MS: Final = 94_694_400_000
"""1973-01-01 UTC: since then every zone's offset is a whole number of minutes."""


def safe_text(value: str) -> str:
    """Return text that stands for ``value`` within one name of a path; different values give different texts.

    Args:
        value: Any text, a header's value for example.
    """
    return _UNSAFE.sub(lambda found: "".join(f"%{byte:02X}" for byte in found[0].encode()), value)


@dataclass(frozen=True, slots=True, eq=False)
class BatchPaths:
    """The paths of a batch's events.

    Attributes:
        paths: Distinct paths, relative, without a slash at either end; empty text is the target itself.
        instants: For each path a time that it was made of, milliseconds since 1970 UTC.
        indices: Which of them each event has, shape ``(n,)``; ``None`` if all have the first.
    """

    paths: tuple[str, ...]
    instants: tuple[int, ...]
    indices: npt.NDArray[np.int64] | None = None

    def split(self, batch: EventBatch) -> Iterator[tuple[str, EventBatch]]:
        """Yield each path with its events, in their order; columns are copied at most once.

        Args:
            batch: The batch that these are the paths of.
        """
        if self.indices is None:
            yield self.paths[0], batch
            return
        order = np.argsort(self.indices, kind="stable")
        ordered = batch.take(pa.array(order))
        counts = np.bincount(self.indices, minlength=len(self.paths)).tolist()
        start = 0
        for path, count in zip(self.paths, counts, strict=True):
            yield path, ordered.slice(start, count)
            start += count


class _Digit(NamedTuple):
    """A header (or, without a name, the time) that differs within a batch: its few values, and which an event has."""

    header: str | None
    choices: Sequence[Any]
    indices: npt.NDArray[np.int64]


class PathTemplate:
    """A compiled path template; picklable, thread-safe.

    Args:
        text: Names divided by ``/``, with Flume's escapes: ``%{header}``; ``%Y %y %m %n %d %e %j %H %k %I %l %M %S``
            ``%p %a %A %b %B %c %D %s %t %z`` of the event's time; ``%[localhost] %[IP] %[FQDN]``; ``%%``.
        options: Time zone, rounding, and where the time comes from.
        prefix: Start of the names of files, which may hold the same escapes. If it is given, each path ends in one more
            name, which is this start.

    Raises:
        ConfigurationError: An unknown or unfinished escape (its position is named), a ``..``, a ``:``, a ``#`` or a
            control character, or a name that begins with ``.`` or ``_`` and so would be hidden from readers; a prefix
            of several names.
    """

    def __init__(self, text: str, options: PathOptions | None = None, *, prefix: str = "") -> None:
        self.text = text
        self.prefix = prefix
        self.options = options or PathOptions()
        directories, start = parse(text), parse(prefix)
        if len(start) > 1 or "/" in prefix:
            raise ConfigurationError(f"Files cannot be named {prefix}...: directories belong to the path.")
        self._names = directories + start
        longest = max(_MIN_NAME_BYTES, min(_MAX_NAME_BYTES, _MAX_PATH_BYTES // max(1, len(directories))))
        self._longest = [longest] * len(directories) + [_MAX_PREFIX_BYTES] * len(start)
        pieces = [piece for name in self._names for piece in name]
        self._headers = tuple(dict.fromkeys(piece.header for piece in pieces if piece.header is not None))
        self._times = {piece.time for piece in pieces if piece.time is not None}
        self._host = self.options.host
        self._zone = self.options.zone()

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(PathTemplate, prefix=self.prefix), (self.text, self.options)

    def __repr__(self) -> str:
        return f"PathTemplate({self.text!r}, prefix={self.prefix!r})" if self.prefix else f"PathTemplate({self.text!r})"

    @property
    def header_names(self) -> tuple[str, ...]:
        """Headers that the template inserts, in order of appearance."""
        return self._headers

    def partition_time(self) -> PartitionTime:
        """Return what tells when a directory of this template gets no more events.

        Raises:
            ConfigurationError: Its times come again, or it has none.
        """
        times = {piece.time for name in parse(self.text) for piece in name if piece.time is not None}
        return PartitionTime(self.text, times, self.options)

    def expand(self, batch: EventBatch, arrival_ms: int) -> BatchPaths:
        """Return the paths of a batch's events.

        Args:
            batch: Events; the time of each is the first of :attr:`PathOptions.time_headers` that holds one.
            arrival_ms: The time of events without any such header, milliseconds since 1970 UTC.
        """
        constants: dict[str, str | None] = {}
        varying: list[_Digit] = []
        for header in self._headers:
            column = batch.columns.get(header)
            if column is None:
                constants[header] = batch.shared.get(header)
            else:
                encoded = column.dictionary_encode(null_encoding="encode")
                indices = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
                varying.append(_Digit(header, encoded.dictionary.to_pylist(), indices))
        instant = arrival_ms
        if self._times:
            times = self._times_of(batch, arrival_ms)
            if isinstance(times, int):
                instant = times
            else:
                distinct, inverse = np.unique(self._floor(times), return_inverse=True)
                varying.append(_Digit(None, distinct.tolist(), inverse))
        if not varying or not len(batch):
            return BatchPaths((self._path({**dict.fromkeys(self._headers), **constants}, instant),), (instant,))
        return self._distinct(varying, constants, instant)

    def _distinct(self, varying: list[_Digit], constants: dict[str, str | None], instant: int) -> BatchPaths:
        """Make a path for each combination that occurs; several may give one path (hours of one day)."""
        codes = varying[0].indices
        for digit in varying[1:]:
            # Made dense at each step, so that many columns cannot overflow 64 bits.
            codes = np.unique(codes, return_inverse=True)[1] * len(digit.choices) + digit.indices
        _, rows, inverse = np.unique(codes, return_index=True, return_inverse=True)
        known: dict[str, int] = {}
        instants: list[int] = []
        of_combination = []
        for row in rows.tolist():
            values, time = dict(constants), instant
            for digit in varying:
                chosen = digit.choices[digit.indices[row]]
                if digit.header is None:
                    time = chosen
                else:
                    values[digit.header] = chosen
            of_combination.append(known.setdefault(self._path(values, time), len(known)))
            if len(known) > len(instants):
                instants.append(time)
        paths = tuple(known)
        if len(paths) == 1:
            return BatchPaths(paths, tuple(instants))
        return BatchPaths(paths, tuple(instants), np.asarray(of_combination, dtype=np.int64)[inverse])

    # -- time --------------------------------------------------------------------------------------------------------

    def _times_of(self, batch: EventBatch, arrival_ms: int) -> int | npt.NDArray[np.int64]:
        """Return the events' times, as one number where all have the same."""
        found: pa.Int64Array | None = None
        fallback = arrival_ms
        for header in self.options.time_headers:
            column = batch.columns.get(header)
            if column is not None:
                times = _milliseconds(column)
                found = times if found is None else pc.coalesce(found, times)
                if not found.null_count:
                    break
            elif (shared := _milliseconds(pa.array([batch.shared.get(header)], type=pa.string()))[0]).is_valid:
                fallback = shared.as_py()
                break
        if found is None:
            return fallback
        result: npt.NDArray[np.int64] = pc.fill_null(found, fallback).to_numpy(zero_copy_only=False)
        return result

    def _floor(self, times: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Reduce times to what the template can tell apart, or a little finer."""
        step = min(escape.step_ms for escape in self._times)
        if step > 1000:
            return np.where(times < _WHOLE_MINUTE_ZONES_FROM_MS, times - times % 1000, times - times % step)
        return times - times % step

    # -- text --------------------------------------------------------------------------------------------------------

    def _path(self, headers: dict[str, str | None], instant_ms: int) -> str:
        moment = None
        if self._times:
            moment = datetime.fromtimestamp(instant_ms // 1000, UTC).astimezone(self._zone)
            moment = self.options.rounded(moment)
        names = []
        for pieces, longest in zip(self._names, self._longest, strict=True):
            name = ""
            for piece in pieces:
                name += self._text(piece, name, headers, instant_ms, moment)
            names.append(_visible(name, longest))
        return posixpath.join(*names) if names else ""

    def _text(
        self, piece: Piece, before: str, headers: dict[str, str | None], instant_ms: int, moment: datetime | None
    ) -> str:
        if piece.header is not None:
            value = headers[piece.header]
            return safe_text(value) if value else _MISSING_PARTITION if before.endswith("=") else _MISSING
        if piece.time is not None and moment is not None:
            return safe_text(piece.time.text(moment, instant_ms))
        if piece.host is not None:
            if self._host is None:
                self._host = HostName.of_this_machine()
            return safe_text(getattr(self._host, piece.host))
        return piece.literal


def _milliseconds(column: pa.StringArray) -> pa.Int64Array:
    """Return times in milliseconds, null for what is no time: not decimal, negative, after the year 9999."""
    digits = pc.if_else(pc.match_substring_regex(column, _DECIMAL), column, pa.scalar(None, type=pa.string()))
    numbers = pc.cast(digits, pa.int64())
    return pc.if_else(pc.less(numbers, _END_OF_TIME_MS), numbers, pa.scalar(None, type=pa.int64()))


def _visible(name: str, longest: int) -> str:
    """Return one name of a path as readers will see it: not hidden, not too long."""
    if name[:1] in (".", "_"):
        name = f"%{ord(name[0]):02X}{name[1:]}"
    data = name.encode()
    if len(data) <= longest:
        return name
    digest = hashlib.sha256(data).hexdigest()[:_DIGEST_CHARACTERS]
    kept = data[: longest - _DIGEST_CHARACTERS - 1].decode(errors="ignore")
    return f"{kept}~{digest}"
