"""``WriteWindowsToFiles``: a file for each window, pane and shard, for graphs that shuffle."""

from __future__ import annotations

import hashlib
import logging
import posixpath
import secrets
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import Any, Final

import apache_beam as beam
from apache_beam.transforms.trigger import AccumulationMode
from apache_beam.transforms.window import GlobalWindow, IntervalWindow
from apache_beam.utils.timestamp import Timestamp
from apache_beam.utils.windowed_value import PaneInfo, PaneInfoTiming

from flumebeam.batch import EventBatch
from flumebeam.clock import SystemClock
from flumebeam.commitlog.driver import Driver
from flumebeam.commitlog.founding import found
from flumebeam.commitlog.protocol import Scribe
from flumebeam.commitlog.steps import stat
from flumebeam.commitlog.whole_files import WINDOWS, sweep_old, write_once
from flumebeam.errors import ConfigurationError, FormatError
from flumebeam.formats import Format, chosen_format, divider, wants_provenance
from flumebeam.hdfs.paths import PathOptions, PathTemplate, safe_text
from flumebeam.hdfs.targets import HdfsOptions, Target, TargetAddress, parse_target
from flumebeam.transforms.deadletter import DeadLetter
from flumebeam.transforms.element_types import taken
from flumebeam.transforms.file_metrics import FileMetrics
from flumebeam.transforms.poison import encoded, sift

__all__ = ["WindowFile", "WriteWindowsToFiles"]

_log: Final = logging.getLogger(__name__)
_DIGEST_BYTES: Final = 16
_TIMINGS: Final = {
    PaneInfoTiming.EARLY: "-early",
    PaneInfoTiming.ON_TIME: "",
    PaneInfoTiming.LATE: "-late",
    PaneInfoTiming.UNKNOWN: "",
}


@dataclass(frozen=True, slots=True)
class WindowFile:
    """A file that is there; told again when its bundle is repeated.

    Attributes:
        name: Relative to the target.
        events: Events in it.
        pane: Index of the pane within its window.
        late: Whether the pane came after the window's time.
    """

    name: str
    events: int
    pane: int
    late: bool


class WriteWindowsToFiles(beam.PTransform):
    """Writes the event batches of each window to files: one for each pane of it, path and shard.

    For graphs with windows, triggers and shuffles. A queue that is only to become files is drained by
    :class:`~flumebeam.transforms.hdfs_write.WriteToHdfs`, which is exactly once on every runner and has no shuffle.

    Input: a PCollection of :class:`~flumebeam.batch.EventBatch`, in the windows that its files are for; single events
    become batches by :class:`~flumebeam.transforms.events.FromEvents` *behind* ``WindowInto``. Output: a PCollection of
    :class:`WindowFile`, in the same windows. Triggers and allowed lateness are those of the input: each firing is a
    pane, and a file; late ones too. What comes after the allowed lateness is dropped by Beam, not by this sink.

    A file is named ``PREFIX.WINDOW-pane-N-SHARD-of-SHARDS-DIGEST`` and the format's extension, with ``-early`` or
    ``-late`` behind the number of the pane; WINDOW is ``20240101T120000Z-20240101T130000Z``, or ``global``. The digest
    is of the events and of ``run``.

    Unit of parallelism: a path and shard of a window. A pane of one shard is held in memory.

    What repeats after a failure: nothing, where a pane comes again with the same elements: its file has the same name,
    is recognised, and is not written again. A runner that computes a pane anew, as Flink in streaming does from its
    last checkpoint, may bring other ones; they are written under another name beside the first. What is never lost:
    anything that has reached this sink; what is on its way to it is as safe as the shuffle of the runner. Read with
    ``acknowledge="bundle-finalization"``.

    An event that the format cannot hold becomes a dead letter in a hidden file of the same name.

    Args:
        target: Directory, as ``/dir``, ``file:///dir``, ``hdfs://namenode/dir`` or ``webhdfs://namenode:9870/dir``.
        path: Directory of a file below it; may hold Flume's escapes. An event without a time of its own has that of its
            batch's timestamp.
        file_prefix: Start of file names; may hold the same escapes.
        file_suffix: End of file names with its dots; by default the format's and the codec's own.
        format: Name of a format, or any :class:`~flumebeam.formats.Format`; as in ``WriteToHdfs``.
        codec: Compression that a named format can carry.
        shards: Files of one pane and path; more are written by more workers at once.
        run: Tells apart what this pipeline writes from what others write in the same windows. With the same text a
            pipeline that is started anew recognises the files of its earlier start; by default each start is its own.
        dead_letters: Directory below the target for events that the format cannot hold; ``None`` stops at the first.
        path_options: Time zone, rounding and source of the time in ``path``.
        hdfs_options: How to talk to HDFS.
        patience_seconds: For how long a target that does not answer, or is full, is tried again.

    Raises:
        ConfigurationError: An option that cannot work; on expansion: panes that accumulate, which would repeat events.
    """

    def __init__(
        self,
        target: str,
        *,
        path: str = "",
        file_prefix: str = "FlumeData",
        file_suffix: str | None = None,
        format: str | Format = "text",
        codec: str = "none",
        shards: int = 1,
        run: str | None = None,
        dead_letters: str | None = "_dead-letters",
        path_options: PathOptions | None = None,
        hdfs_options: HdfsOptions | None = None,
        patience_seconds: float = 60.0,
    ) -> None:
        super().__init__()
        if shards < 1 or patience_seconds <= 0:
            raise ConfigurationError("shards must be 1 or more, and patience_seconds positive.")
        file_format = chosen_format(format, codec)
        if divider(file_format) is not None:
            raise ConfigurationError("Files of windows hold events of one schema: give it, or take WriteToHdfs.")
        suffix = file_format.extension if file_suffix is None else file_suffix
        if not file_prefix or any(sign in suffix for sign in "/:#"):
            raise ConfigurationError(
                f"Files cannot be named {file_prefix}...{suffix}: '/', ':' and '#' are not possible."
            )
        template = PathTemplate(path, path_options, prefix=file_prefix)
        self._shard_fn = _ShardFn(template, shards, keeps_provenance=wants_provenance(file_format))
        self._write_fn = _WritePaneFn(
            _PanePlan(
                address=parse_target(target, options=hdfs_options),
                file_format=file_format,
                suffix=suffix,
                shards=shards,
                run=uuid.uuid4().hex if run is None else run,
                dead_letters=dead_letters,
                patience_seconds=patience_seconds,
            )
        )
        self._shown = {"target": target, "path": path, "format": file_format.name, "codec": codec, "shards": shards}

    def expand(self, batches: beam.PCollection[EventBatch]) -> beam.PCollection[WindowFile]:
        """Add the sink to a graph.

        Raises:
            ConfigurationError: The panes of the input accumulate.
        """
        batches = taken(batches, EventBatch, "WriteWindowsToFiles")
        if batches.windowing.accumulation_mode == AccumulationMode.ACCUMULATING:
            raise ConfigurationError(
                "Panes that accumulate hold the events of those before them, so files would repeat them: give "
                "WindowInto accumulation_mode=AccumulationMode.DISCARDING."
            )
        return (
            batches
            | "Shard" >> beam.ParDo(self._shard_fn).with_output_types(_KEYED)
            | "Gather" >> beam.GroupByKey()
            | "Write" >> beam.ParDo(self._write_fn).with_output_types(WindowFile)
        )

    def display_data(self) -> dict[str, Any]:
        """Return what a runner's interface shows about this sink; no secrets."""
        return self._shown


_Piece = tuple[int, bytes, EventBatch]
"""Events of one path: their time in microseconds, what they are, and they themselves."""
_KEYED: Final = tuple[tuple[str, int], _Piece]


class _ShardFn(beam.DoFn):
    """Takes batches apart by path, and gives each piece to a shard: always to the same one."""

    def __init__(self, template: PathTemplate, shards: int, *, keeps_provenance: bool) -> None:
        self._template = template
        self._shards = shards
        self._keeps_provenance = keeps_provenance

    def process(
        self, batch: EventBatch, stamp: Any = beam.DoFn.TimestampParam
    ) -> Iterator[tuple[tuple[str, int], _Piece]]:
        if not len(batch):
            return
        # A batch may have Beam's lowest time, which is none.
        arrival_ms = max(stamp.micros // 1000, 0)
        for path, part in self._template.expand(batch, arrival_ms).split(batch):
            digest = hashlib.blake2b(part.to_ipc(), digest_size=_DIGEST_BYTES).digest()
            kept = part if self._keeps_provenance else part.without_provenance()
            yield (path, int.from_bytes(digest[:8]) % self._shards), (stamp.micros, digest, kept)


@dataclass(frozen=True, kw_only=True)
class _PanePlan:
    """What files are made of; plain data."""

    address: TargetAddress
    file_format: Format
    suffix: str
    shards: int
    run: str
    dead_letters: str | None
    patience_seconds: float


class _WritePaneFn(beam.DoFn):
    """Writes a pane of a shard when it comes, whole, and tells of it when it is there."""

    def __init__(self, plan: _PanePlan) -> None:
        self._plan = plan
        self._target: Target | None = None
        self._metrics = FileMetrics(plan.address)

    def setup(self) -> None:
        plan = self._plan
        self._target = plan.address.open()
        self._driver = Driver(self._target.filesystem, clock=SystemClock(), patience=plan.patience_seconds, threads=1)
        self._root = self._target.root.rstrip("/")
        self._scribe: Scribe | None = None

    def teardown(self) -> None:
        if self._target is not None:
            self._driver.close()
            self._target.filesystem.close()
            self._target = None

    def process(
        self,
        pane: tuple[tuple[str, int], Iterable[_Piece]],
        window: Any = beam.DoFn.WindowParam,
        info: PaneInfo = beam.DoFn.PaneInfoParam,
    ) -> Iterator[WindowFile]:
        (path, shard), found = pane
        pieces = sorted(found, key=lambda piece: piece[:2])
        digest = hashlib.blake2b(self._plan.run.encode(), digest_size=_DIGEST_BYTES)
        for _, each, _ in pieces:
            digest.update(each)
        directory, prefix = posixpath.split(path)
        timing = _TIMINGS[info.timing]
        stem = (
            f"{prefix}.{_text_of(window)}-pane-{info.index}{timing}-{shard:05d}-of-{self._plan.shards:05d}"
            f"-{digest.hexdigest()[:12]}"
        )
        batches = [batch for _, _, batch in pieces]
        name = posixpath.join(directory, stem + self._plan.suffix)
        for final, events in self._write(name, stem, batches):
            yield WindowFile(final, events, info.index, info.timing == PaneInfoTiming.LATE)

    def _write(self, name: str, stem: str, batches: Sequence[EventBatch]) -> Iterator[tuple[str, int]]:
        """Write the file of a pane, and one of its dead letters if there are any; yield the former."""
        plan, directory = self._plan, posixpath.dirname(name)
        letters_name = posixpath.join(plan.dead_letters or "", directory, f"_{stem}.jsonl")
        try:
            made = self._once(name, batches)
        except FormatError as error:
            if plan.dead_letters is None:
                raise
            _log.warning("Events go to %s: %s", plan.dead_letters, error)
        else:
            # Dead letters are written first: where there are none, the file has all events.
            if made or plan.dead_letters is None or not self._is_there(letters_name):
                yield name, sum(map(len, batches))
                return
        good, letters = self._sifted(batches, directory or "/")
        lines = "".join(letter.line() for letter in letters).encode("ascii")
        if letters:
            made = self._driver.run(write_once(self._begun(), letters_name, lambda: [lines]))
            self._metrics.dead.inc(len(letters) if made else 0)
        if good:
            self._once(name, good)
            yield name, sum(map(len, good))

    def _sifted(self, batches: Sequence[EventBatch], target: str) -> tuple[list[EventBatch], list[DeadLetter]]:
        good: list[EventBatch] = []
        letters: list[DeadLetter] = []
        for batch in batches:
            kept, refused = sift(self._plan.file_format, batch, target)
            letters += refused
            if len(kept):
                good.append(kept)
        return good, letters

    def _once(self, name: str, batches: Sequence[EventBatch]) -> bool:
        """Write a file unless it is there; tell whether this call made it."""
        content = partial(encoded, self._plan.file_format, batches)
        begun = monotonic()
        made = self._driver.run(write_once(self._begun(), name, content))
        if made:
            self._metrics.committed(sum(map(len, batches)), monotonic() - begun)
        self._metrics.tell_target()
        (self._metrics.written if made else self._metrics.known).inc(sum(map(len, batches)))
        self._metrics.files.inc(int(made))
        return made

    def _is_there(self, name: str) -> bool:
        return self._driver.run(stat(self._begun().layout.in_target(name))) is not None

    def _begun(self) -> Scribe:
        """Return the context of what is written; at first look for what dead writers left behind."""
        if self._scribe is None:
            names = partial(secrets.token_hex, 8)
            layout = self._driver.run(found(self._root, WINDOWS, names))
            self._scribe = Scribe(layout, names, SystemClock().epoch_ms)
            self._driver.run(sweep_old(self._scribe))
        return self._scribe


def _text_of(window: Any) -> str:
    if isinstance(window, IntervalWindow):
        return f"{_time(window.start)}-{_time(window.end)}"
    return "global" if isinstance(window, GlobalWindow) else safe_text(str(window))


def _time(stamp: Timestamp) -> str:
    try:
        moment = Timestamp.of(stamp).to_utc_datetime()
    except OverflowError:
        raise ConfigurationError(
            "A window lies before the year 1 or behind 9999: its elements have no time of their own. Give them one in "
            "front of the window, for example beam.Map(lambda batch: TimestampedValue(batch, seconds))."
        ) from None
    fraction = f".{moment.microsecond:06d}" if moment.microsecond else ""
    return f"{moment:%Y%m%dT%H%M%S}{fraction}Z"
