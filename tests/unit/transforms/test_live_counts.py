from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing.util import assert_that, equal_to
from apache_beam.transforms.window import TimestampedValue

from flumebeam.batch import EventBatch
from flumebeam.clock import ManualClock
from flumebeam.errors import ConfigurationError
from flumebeam.transforms.live_counts import BATCHES, COUNTS, CountInWindows, CountPerSecond, WriteCounts
from flumebeam.transforms.running import run_pipeline
from flumebeam.transforms.tally import Tally


class TickingClock(ManualClock):
    """Goes on by the same time whenever it is read."""

    def __init__(self, step: float) -> None:
        super().__init__(1_700_000_000_000)
        self._step = step

    def epoch_ms(self) -> int:
        now = super().epoch_ms()
        self.advance(self._step)
        return now


def pipeline() -> beam.Pipeline:
    return beam.Pipeline(options=PipelineOptions(["--runner=FnApiRunner"]))


def batch(*bodies: bytes, **headers: str) -> EventBatch:
    return EventBatch.from_bodies(bodies, headers)


def one_bundle(*batches: EventBatch) -> Any:
    return beam.Create([None]) | beam.FlatMap(lambda _: batches).with_output_types(EventBatch)


def events_per_second(tallies: list[Tally]) -> dict[int, int]:
    total: dict[int, int] = {}
    for tally in tallies:
        total[tally.start] = total.get(tally.start, 0) + tally.events
    return total


def test_every_event_is_counted_in_the_second_of_its_arrival() -> None:
    with pipeline() as graph:
        counted = graph | one_bundle(*[batch(b"a", b"b")] * 5) | CountPerSecond(clock=TickingClock(0.5))
        assert_that(
            counted[COUNTS] | beam.Map(lambda tally: (tally.start - 1_700_000_000, tally.events)),
            equal_to([(0, 4), (1, 4), (2, 2)]),
        )


def test_batches_go_on_as_they_came() -> None:
    batches = [batch(b"a", severity="info"), batch(b"b")]
    with pipeline() as graph:
        counted = graph | one_bundle(*batches) | CountPerSecond()
        assert_that(counted[BATCHES], equal_to(batches))


def test_what_a_failed_bundle_had_counted_is_forgotten() -> None:
    step = CountPerSecond()._fn
    step.start_bundle()
    list(step.process(batch(b"a")))
    step.start_bundle()
    list(step.process(batch(b"a", b"b")))

    [counted] = step.finish_bundle()

    assert counted.value.value.events == 2


def written(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_parts_of_a_second_become_one_line_with_a_running_total(tmp_path: Path) -> None:
    path = tmp_path / "new" / "counts.jsonl"
    with pipeline() as graph:
        tallies = [Tally(10, 2, {"info": 2}), Tally(11, 5), Tally(10, 1, {"info": 1})]
        graph | beam.Create(tallies) | WriteCounts(str(path))

    lines = written(path)

    assert [(line["time"], line["events"], line["total"]) for line in lines] == [
        ("1970-01-01T00:00:10Z", 3, 3),
        ("1970-01-01T00:00:11Z", 5, 8),
    ]
    assert lines[0]["severity"] == {"info": 3}


def test_a_second_that_is_not_over_is_written_at_the_end_only(tmp_path: Path) -> None:
    path = tmp_path / "counts.jsonl"
    step = WriteCounts(str(path), clock=ManualClock(epoch_ms=11_500))._fn
    step.setup()
    for tally in (Tally(10, 1), Tally(11, 1)):
        list(step.process(tally))
    step.finish_bundle()
    assert [line["events"] for line in written(path)] == [1]
    list(step.process(Tally(11, 1)))

    step.teardown()

    assert [line["events"] for line in written(path)] == [1, 2]


def test_lines_for_people_go_to_the_screen(capsys: pytest.CaptureFixture[str]) -> None:
    with pipeline() as graph:
        tally = Tally(1_700_000_000, 1234, {"info": 3}, {"a.log": 1234}, {0: 1})
        graph | beam.Create([tally]) | WriteCounts(screen=True)

    assert capsys.readouterr().out == (
        "2023-11-14 22:13:20     1,234 events       1,234 in all  info 3  p50 0 ms  p99 0 ms  a.log 1,234\n"
    )


def test_counts_that_cannot_be_written_are_a_users_mistake(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    graph = pipeline()
    graph | beam.Create([Tally(1, 1)]) | WriteCounts(str(tmp_path / "file" / "counts"))

    with pytest.raises(ConfigurationError, match="name a file in a writable directory"):
        run_pipeline(graph)


def test_windows_count_by_event_time() -> None:
    with pipeline() as graph:
        stamped = [TimestampedValue(batch(b"a", b"b", severity="info"), at) for at in (0, 9, 10, 25)]
        tallies = graph | beam.Create(stamped) | CountInWindows(10)
        assert_that(
            tallies | beam.Map(lambda tally: (tally.start, tally.events, dict(tally.severities))),
            equal_to([(0, 4, {"info": 4}), (10, 2, {"info": 2}), (20, 2, {"info": 2})]),
        )


def test_a_window_without_length_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="at least 1 second"):
        CountInWindows(0)
