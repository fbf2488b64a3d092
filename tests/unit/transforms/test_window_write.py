"""``WriteWindowsToFiles``: windows, triggers and late data as files; a bundle that is repeated changes nothing."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing import test_stream
from apache_beam.testing.util import assert_that, equal_to
from apache_beam.transforms import trigger, window
from apache_beam.transforms.window import TimestampedValue
from apache_beam.utils.timestamp import Timestamp
from apache_beam.utils.windowed_value import PaneInfo, PaneInfoTiming

from flumebeam.batch import EventBatch
from flumebeam.errors import ConfigurationError, FormatError, StorageConflictError
from flumebeam.formats import TableOptions, TableSchema, open_format
from flumebeam.transforms import FromEvents, WindowFile, WriteWindowsToFiles

NOON = 1_704_110_400  # 2024-01-01 12:00 UTC
HOURS = [window.IntervalWindow(NOON + 3600 * hour, NOON + 3600 * (hour + 1)) for hour in range(2)]


def batch(*bodies: bytes, **headers: str) -> EventBatch:
    return EventBatch.from_bodies(list(bodies), headers or None)


def at(seconds: int, *bodies: bytes, **headers: str) -> TimestampedValue[EventBatch]:
    return TimestampedValue(batch(*bodies, **headers), NOON + seconds)


def files(target: Path) -> dict[str, bytes]:
    """What readers see, by name without the digest."""
    found = [path for path in target.rglob("*") if path.is_file()]
    return {
        "-".join(str(path.relative_to(target)).split("-")[:-1]): path.read_bytes()
        for path in sorted(found)
        if not any(name[0] in "._" for name in path.relative_to(target).parts)
    }


def run(elements: Iterable[TimestampedValue[EventBatch]], windows: beam.PTransform, sink: WriteWindowsToFiles) -> None:
    with beam.Pipeline(runner="FnApiRunner") as pipeline:
        values = [(element.value, element.timestamp) for element in elements]
        (
            pipeline
            | beam.Create(values)
            | beam.MapTuple(TimestampedValue).with_output_types(EventBatch)
            | windows
            | sink
        )


def test_each_window_is_a_file_of_its_events_in_their_order(tmp_path: Path) -> None:
    elements = [at(10, b"2"), at(3_601, b"4"), at(5, b"1"), at(20, b"3")]

    run(elements, beam.WindowInto(window.FixedWindows(3600)), WriteWindowsToFiles(str(tmp_path)))

    assert files(tmp_path) == {
        "FlumeData.20240101T120000Z-20240101T130000Z-pane-0-00000-of-00001": b"1\n2\n3\n",
        "FlumeData.20240101T130000Z-20240101T140000Z-pane-0-00000-of-00001": b"4\n",
    }


def test_paths_shards_formats_and_single_events_are_those_of_the_other_sink(tmp_path: Path) -> None:
    elements = [at(number, b"%d" % number, host=f"h{number % 2}") for number in range(40)]
    sink = WriteWindowsToFiles(
        str(tmp_path), path="dt=%Y-%m-%d/%{host}", shards=3, codec="gzip", file_prefix="%{host}", file_suffix=".log.gz"
    )

    class ByEvent(beam.PTransform):
        def expand(self, batches: Any) -> Any:
            events = batches | beam.FlatMap(EventBatch.events)
            return events | beam.WindowInto(window.FixedWindows(3600)) | FromEvents(max_events=2)

    run(elements, ByEvent(), sink)

    found = files(tmp_path)
    assert {name.rpartition("/")[0] for name in found} == {"dt=2024-01-01/h0", "dt=2024-01-01/h1"}
    assert {name[-5:] for name in found} == {"00003"}
    assert 2 < len(found) <= 6
    assert all(name.endswith(".log.gz") for name in map(str, tmp_path.rglob("*.log.gz")))


def stream(**options: Any) -> test_stream.TestStream:
    """Events on time, then a late one, then one that is too late."""
    made = test_stream.TestStream().advance_watermark_to(NOON).add_elements([at(1, b"1"), at(2, b"2")])
    made = made.advance_watermark_to(NOON + 3_700).add_elements([at(3, b"late")])
    made = made.advance_watermark_to(NOON + 9_000).add_elements([at(4, b"too late")])
    return made.advance_watermark_to_infinity()


def test_late_events_are_files_of_panes_of_their_own(tmp_path: Path) -> None:
    windows = beam.WindowInto(
        window.FixedWindows(3600),
        trigger=trigger.AfterWatermark(late=trigger.AfterCount(1)),
        accumulation_mode=trigger.AccumulationMode.DISCARDING,
        allowed_lateness=1_800,
    )
    with beam.Pipeline(runner="BundleBasedDirectRunner", options=PipelineOptions(["--streaming"])) as pipeline:
        told = pipeline | stream() | windows | WriteWindowsToFiles(str(tmp_path))
        panes = told | beam.Map(lambda file: (file.pane, file.late, file.events))
        assert_that(panes | "All" >> beam.WindowInto(window.GlobalWindows()), equal_to([(0, False, 2), (1, True, 1)]))

    hour = "FlumeData.20240101T120000Z-20240101T130000Z"
    assert files(tmp_path) == {
        f"{hour}-pane-0-00000-of-00001": b"1\n2\n",
        f"{hour}-pane-1-late-00000-of-00001": b"late\n",
    }


class Worker:
    """What a runner does with one instance of the last step, call by call."""

    def __init__(self, sink: WriteWindowsToFiles) -> None:
        self.sharding: Any = sink._shard_fn
        self.fn: Any = sink._write_fn
        self.fn.setup()

    def pane(
        self, *elements: TimestampedValue[EventBatch], index: int = 0, timing: int = PaneInfoTiming.ON_TIME
    ) -> list[WindowFile]:
        pieces: dict[Any, list[Any]] = {}
        for element in elements:
            for key, piece in self.sharding.process(element.value, Timestamp.of(element.timestamp)):
                pieces.setdefault(key, []).append(piece)
        info = PaneInfo(index == 0, False, timing, index, index)
        return [file for pane in pieces.items() for file in self.fn.process(pane, HOURS[0], info)]


@pytest.fixture
def worker(tmp_path: Path) -> Any:
    made: list[Worker] = []

    def make(**options: Any) -> Worker:
        made.append(Worker(WriteWindowsToFiles(str(tmp_path), **options)))
        return made[-1]

    yield make
    for one in made:
        one.fn.teardown()


def test_a_pane_that_comes_again_in_another_order_is_recognised(worker: Any, tmp_path: Path) -> None:
    first = worker(run="r").pane(at(1, b"1"), at(2, b"2"))
    before = {path: path.stat().st_ino for path in tmp_path.rglob("FlumeData*")}

    again = worker(run="r").pane(at(2, b"2"), at(1, b"1"))

    assert first == again
    assert {path: path.stat().st_ino for path in tmp_path.rglob("FlumeData*")} == before
    assert list(files(tmp_path).values()) == [b"1\n2\n"]


def test_a_pane_that_comes_again_with_other_events_loses_neither(worker: Any, tmp_path: Path) -> None:
    worker(run="r").pane(at(1, b"1"))
    worker(run="r").pane(at(1, b"1"), at(2, b"2"))

    assert sorted(path.read_bytes() for path in tmp_path.rglob("FlumeData*")) == [b"1\n", b"1\n2\n"]


def test_equal_events_of_one_pane_and_of_two_pipelines_are_all_there(worker: Any, tmp_path: Path) -> None:
    worker().pane(at(1, b"tick"), at(1, b"tick"))
    worker().pane(at(1, b"tick"), at(1, b"tick"))

    assert [path.read_bytes() for path in tmp_path.rglob("FlumeData*")] == [b"tick\ntick\n"] * 2


def test_early_panes_say_so(worker: Any, tmp_path: Path) -> None:
    (file,) = worker().pane(at(1, b"1"), timing=PaneInfoTiming.EARLY)

    assert "-pane-0-early-00000-of-00001-" in file.name
    assert not file.late


def test_what_the_format_cannot_hold_is_a_dead_letter_once(worker: Any, tmp_path: Path) -> None:
    schema = TableSchema('{"type": "record", "name": "R", "fields": [{"name": "a", "type": "int"}]}')
    table = open_format("parquet", table=TableOptions(schema=schema))
    for _ in range(2):
        (file,) = worker(format=table, run="r").pane(at(1, b'{"a": 1}'), at(2, b"no"))

    assert file.events == 1
    (letters,) = (tmp_path / "_dead-letters").iterdir()
    (line,) = letters.read_text().splitlines()
    assert base64.b64decode(json.loads(line)["body"]) == b"no"
    with pytest.raises(FormatError):
        worker(format=table, dead_letters=None).pane(at(2, b"no"))


def test_a_pane_of_nothing_but_dead_letters_makes_no_file(worker: Any, tmp_path: Path) -> None:
    schema = TableSchema('{"type": "record", "name": "R", "fields": [{"name": "a", "type": "int"}]}')

    assert worker(format=open_format("avro", table=TableOptions(schema=schema))).pane(at(2, b"no")) == []
    assert files(tmp_path) == {}


def test_a_directory_under_the_name_of_a_file_stops_it(worker: Any, tmp_path: Path) -> None:
    (file,) = worker(run="r").pane(at(1, b"1"))
    (tmp_path / file.name).unlink()
    (tmp_path / file.name).mkdir()

    with pytest.raises(StorageConflictError, match="is a directory"):
        worker(run="r").pane(at(1, b"1"))


def test_a_window_that_is_none_has_its_name(tmp_path: Path) -> None:
    run([at(1, b"1")], beam.WindowInto(window.GlobalWindows()), WriteWindowsToFiles(str(tmp_path)))

    assert list(files(tmp_path)) == ["FlumeData.global-pane-0-00000-of-00001"]


def test_windows_of_elements_without_a_time_are_refused_by_a_sentence(tmp_path: Path) -> None:
    pipeline = beam.Pipeline("FnApiRunner")
    batches = pipeline | beam.Create([batch(b"1")]) | beam.WindowInto(window.FixedWindows(3600))
    batches | WriteWindowsToFiles(str(tmp_path))

    with pytest.raises(Exception, match="elements have no time of their own"):
        pipeline.run()

    assert files(tmp_path) == {}


def test_panes_that_accumulate_are_refused(tmp_path: Path) -> None:
    windows = beam.WindowInto(
        window.FixedWindows(60),
        trigger=trigger.AfterWatermark(late=trigger.AfterCount(1)),
        accumulation_mode=trigger.AccumulationMode.ACCUMULATING,
    )
    with pytest.raises(ConfigurationError, match="DISCARDING"):
        beam.Pipeline() | beam.Create([batch(b"1")]) | windows | WriteWindowsToFiles(str(tmp_path))


@pytest.mark.parametrize(
    "options",
    [
        {"shards": 0},
        {"patience_seconds": 0},
        {"codec": "rar"},
        {"file_suffix": "a/b"},
        {"file_prefix": ""},
        {"path": "%{"},
    ],
)
def test_options_that_cannot_work_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        WriteWindowsToFiles("/nowhere", **options)


class _FailOnceError(Exception):
    pass


class FailOnce(beam.DoFn):
    """Fails the bundle behind the sink once, when its files are there."""

    def __init__(self, flag: str) -> None:
        self._flag = Path(flag)

    def process(self, file: WindowFile) -> Iterable[WindowFile]:
        if not self._flag.exists():
            self._flag.touch()
            raise _FailOnceError(file.name)
        yield file


def run_failing(runner: str, tmp_path: Path, *options: str) -> None:
    with beam.Pipeline(runner=runner, options=PipelineOptions(options)) as pipeline:
        (
            pipeline
            | beam.Create([(at(number, b"%d" % number).value, NOON + number) for number in range(20)])
            | beam.MapTuple(TimestampedValue).with_output_types(EventBatch)
            | beam.WindowInto(window.FixedWindows(5))
            | WriteWindowsToFiles(str(tmp_path / "target"), shards=2, run="r")
            | beam.ParDo(FailOnce(str(tmp_path / "failed")))
        )


def events(target: Path) -> list[int]:
    return sorted(int(line) for content in files(target).values() for line in content.splitlines())


def test_a_bundle_that_fails_and_is_repeated_repeats_no_event(tmp_path: Path) -> None:
    run_failing("BundleBasedDirectRunner", tmp_path, "--direct_runner_bundle_retry=4")

    assert (tmp_path / "failed").exists()
    assert events(tmp_path / "target") == list(range(20))


def test_a_pipeline_that_failed_and_is_started_anew_as_the_same_run_repeats_no_event(tmp_path: Path) -> None:
    with pytest.raises(_FailOnceError):
        run_failing("FnApiRunner", tmp_path)

    run_failing("FnApiRunner", tmp_path)

    assert events(tmp_path / "target") == list(range(20))
    assert not list((tmp_path / "target").glob(".flumebeam.logs/*/_new/_*"))
