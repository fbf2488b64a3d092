"""The speed layer: counts per second, live on every runner, and counts per window on runners that stream windows."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final

import apache_beam as beam
from apache_beam import pvalue
from apache_beam.transforms import window
from apache_beam.utils.windowed_value import WindowedValue

from flumebeam.batch import EventBatch
from flumebeam.clock import Clock, SystemClock
from flumebeam.errors import ConfigurationError, StorageError
from flumebeam.transforms.tally import Tally, tally_batch

__all__ = ["BATCHES", "COUNTS", "CountInWindows", "CountPerSecond", "WriteCounts"]

BATCHES: Final = "batches"
"""Output of :class:`CountPerSecond`: the batches, counted."""
COUNTS: Final = "counts"
"""Output of :class:`CountPerSecond`: :class:`~flumebeam.transforms.tally.Tally` values."""

_SENT: Final = "solace.sender-timestamp"


class _CountFn(beam.DoFn):
    """Counts in memory and hands out what it has when the second or the bundle ends."""

    def __init__(self, source_header: str, time_header: str, clock: Clock) -> None:
        self._source_header = source_header
        self._time_header = time_header
        self._clock = clock
        self._tally: Tally | None = None

    def start_bundle(self) -> None:
        # Whatever a failed bundle had counted comes again.
        self._tally = None

    def process(self, batch: EventBatch) -> Iterator[Any]:
        counted = tally_batch(
            batch, now_ms=self._clock.epoch_ms(), source_header=self._source_header, time_header=self._time_header
        )
        before = self._tally
        if before is None or before.start == counted.start:
            self._tally = counted if before is None else before + counted
        else:
            self._tally = counted
            yield pvalue.TaggedOutput(COUNTS, before)
        yield batch

    def finish_bundle(self) -> Iterator[Any]:
        if self._tally is not None:
            stamped: WindowedValue = window.GlobalWindows.windowed_value(self._tally)
            self._tally = None
            yield pvalue.TaggedOutput(COUNTS, stamped)


class CountPerSecond(beam.PTransform):
    """Counts events by the second in which they arrive here: in all, by severity, by source, and by latency.

    Input: a PCollection of :class:`~flumebeam.batch.EventBatch`. Output: two PCollections, by name: :data:`BATCHES`,
    the same batches, and :data:`COUNTS`, tallies. A tally is part of a second: of one worker and one bundle. To be
    added up by ``start``, which :class:`WriteCounts` does.

    There is no shuffle and no window in it, so it is live within a bundle's length on every runner, also on the
    in-process one, where windows would say nothing before the source ends.

    Unit of parallelism: the worker. What repeats: events that the source delivers again. What is never lost: nothing
    is counted before it is passed on; batches put behind this step can be acknowledged.

    Args:
        source_header: Header that names an event's source.
        time_header: Header that says when it was sent, milliseconds since 1970 UTC.
        clock: The time.
    """

    def __init__(
        self, *, source_header: str = "basename", time_header: str = _SENT, clock: Clock | None = None
    ) -> None:
        super().__init__()
        self._fn = _CountFn(source_header, time_header, clock or SystemClock())

    def expand(self, batches: beam.PCollection[EventBatch]) -> pvalue.DoOutputsTuple:
        """Add the count behind a source."""
        return batches | "Count" >> beam.ParDo(self._fn).with_outputs(COUNTS, main=BATCHES)


class CountInWindows(beam.PTransform):
    """Counts events in fixed windows of event time, for runners that stream windows (Prism, Flink).

    Input: a PCollection of :class:`~flumebeam.batch.EventBatch`; output: one
    :class:`~flumebeam.transforms.tally.Tally` per window. Behind a shuffle: batches are acknowledged before they are
    counted, so a count may miss what was under way when a worker died.

    Unit of parallelism: the batch up to the shuffle, then the window. What repeats: events that the source delivers
    again.

    Args:
        seconds: Length of a window, whole seconds.
        source_header: Header that names an event's source.
        time_header: Header that says when it was sent.
        clock: The time, for latencies.

    Raises:
        ConfigurationError: ``seconds`` is less than 1.
    """

    def __init__(
        self,
        seconds: int,
        *,
        source_header: str = "basename",
        time_header: str = _SENT,
        clock: Clock | None = None,
    ) -> None:
        super().__init__()
        if seconds < 1:
            raise ConfigurationError(f"A window must last at least 1 second, not {seconds}.")
        self._seconds = seconds
        self._source_header = source_header
        self._time_header = time_header
        self._clock = clock or SystemClock()

    def expand(self, batches: beam.PCollection[EventBatch]) -> beam.PCollection[Tally]:
        """Add the count behind a source."""
        clock, source_header, time_header = self._clock, self._source_header, self._time_header

        def counted(batch: EventBatch) -> Tally:
            return tally_batch(batch, now_ms=clock.epoch_ms(), source_header=source_header, time_header=time_header)

        return (
            batches
            | "Count" >> beam.Map(counted)
            | "Window" >> beam.WindowInto(window.FixedWindows(self._seconds))
            | "Add" >> beam.CombineGlobally(_total).without_defaults()
            | "Start" >> beam.Map(_started)
        )


def _total(tallies: Iterable[Tally]) -> Tally:
    total: Tally | None = None
    for tally in tallies:
        total = tally if total is None else total + tally
    return total or Tally(0)


def _started(tally: Tally, span: Any = beam.DoFn.WindowParam) -> Tally:
    return Tally(int(span.start), tally.events, tally.severities, tally.sources, tally.latencies)


class _WriteFn(beam.DoFn):
    """Adds tallies up and writes a line when a second is over."""

    def __init__(self, path: str | None, screen: bool, clock: Clock) -> None:
        self._path = path
        self._screen = screen
        self._clock = clock
        self._file: BinaryIO | None = None
        self._open: dict[int, Tally] = {}
        self._total = 0

    def setup(self) -> None:
        self._open, self._total = {}, 0
        if self._path is None:
            return
        path = Path(self._path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("ab", buffering=0)
        except OSError as error:
            raise ConfigurationError(
                f"Counts cannot be written to {path} ({error.strerror}): name a file in a writable directory."
            ) from error

    def process(self, tally: Tally) -> Iterator[None]:
        before = self._open.get(tally.start)
        self._open[tally.start] = tally if before is None else before + tally
        return iter(())

    def finish_bundle(self) -> None:
        self._write(self._clock.epoch_ms() // 1000)

    def teardown(self) -> None:
        self._write(None)
        if self._file is not None:
            self._file.close()
            self._file = None

    def _write(self, before: int | None) -> None:
        over = sorted(start for start in self._open if before is None or start < before)
        for start in over:
            tally = self._open.pop(start)
            self._total += tally.events
            if self._file is not None:
                try:
                    self._file.write(tally.to_json(self._total).encode() + b"\n")
                except OSError as error:
                    raise StorageError(f"Counts cannot be written to {self._path} ({error.strerror}).") from error
            if self._screen:
                sys.stdout.write(_readable(tally, self._total) + "\n")
        if over and self._screen:
            sys.stdout.flush()


def _readable(tally: Tally, total: int) -> str:
    parts = [f"{tally.to_json(total)[10:29].replace('T', ' ')}  {tally.events:>8,} events  {total:>10,} in all"]
    parts += [f"{level} {count:,}" for level, count in sorted(tally.severities.items())]
    if (half := tally.latency_ms(0.5)) is not None:
        parts.append(f"p50 {half:g} ms  p99 {tally.latency_ms(0.99):g} ms")
    parts += [f"{name} {count:,}" for name, count in tally.top_sources(3)]
    return "  ".join(parts)


class WriteCounts(beam.PTransform):
    """Writes a line for every second (or window) in which something was counted.

    Input: a PCollection of :class:`~flumebeam.transforms.tally.Tally`. Output: an empty PCollection, to be ignored.

    Unit of parallelism: the worker; each one writes lines of its own and adds up its own total. A second is written
    when it is over and its bundle has ended. What may be lost: the counts of a worker's last second when it is killed.

    Args:
        path: File that gets lines of JSON, appended; ``None`` for none.
        screen: Write readable lines to standard output.
        clock: Says when a second is over.
    """

    def __init__(self, path: str | None = None, *, screen: bool = False, clock: Clock | None = None) -> None:
        super().__init__()
        self._fn = _WriteFn(path, screen, clock or SystemClock())

    def expand(self, tallies: beam.PCollection[Tally]) -> beam.PCollection[None]:
        """Add the step behind a count."""
        return tallies | "WriteCounts" >> beam.ParDo(self._fn).with_output_types(type(None))
