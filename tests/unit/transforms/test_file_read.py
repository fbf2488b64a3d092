from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from flumebeam.batch import EventBatch
from flumebeam.errors import ConfigurationError
from flumebeam.sources.options import FileSourceOptions
from flumebeam.transforms.acknowledge import AcknowledgeBatches
from flumebeam.transforms.file_read import ReadFromFiles
from flumebeam.transforms.read_options import BundleLimits
from flumebeam.transforms.running import run_pipeline
from flumebeam.transforms.stopping import request_stop


class Collect(beam.DoFn):
    """Keeps bodies in the process, as a sink that writes them somewhere would."""

    bodies: ClassVar[list[bytes]] = []
    fail_at: ClassVar[bytes | None] = None
    stop_at: ClassVar[bytes | None] = None

    def process(self, batch: EventBatch) -> Iterator[EventBatch]:
        found = batch.bodies.to_pylist()
        if self.fail_at in found:
            raise RuntimeError("the sink is broken")
        self.bodies.extend(found)
        if self.stop_at in found:
            request_stop()
        yield batch


@pytest.fixture(autouse=True)
def collected(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    bodies: list[bytes] = []
    monkeypatch.setattr(Collect, "bodies", bodies)
    monkeypatch.setattr(Collect, "fail_at", None)
    monkeypatch.setattr(Collect, "stop_at", None)
    return bodies


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    directory = tmp_path / "spool"
    directory.mkdir()
    return directory


def run(read: ReadFromFiles) -> None:
    pipeline = beam.Pipeline(options=PipelineOptions(["--runner=FnApiRunner"]))
    pipeline | read | beam.ParDo(Collect()) | AcknowledgeBatches()  # type: ignore[operator]
    run_pipeline(pipeline)


def plain(path: Path, tracker: Path) -> FileSourceOptions:
    return FileSourceOptions(path=str(path), tracker_dir=str(tracker))


def lines(count: int) -> list[bytes]:
    return [b"line %d" % number for number in range(count)]


def test_a_file_is_read_to_its_end_over_many_bundles_and_never_again(tmp_path: Path, collected: list[bytes]) -> None:
    log = tmp_path / "a.log"
    log.write_bytes(b"\n".join(lines(1000)))
    options = plain(log, tmp_path / "tracker")

    run(ReadFromFiles(options, bundle=BundleLimits(events=99)))
    assert collected == lines(1000)
    run(ReadFromFiles(options))
    assert collected == lines(1000)


def test_a_spool_directory_is_emptied(spool: Path, collected: list[bytes]) -> None:
    (spool / "a.log").write_bytes(b"1\n2\n")
    (spool / "b.log").write_bytes(b"3")

    run(ReadFromFiles(FileSourceOptions(path=str(spool), spool=True)))

    assert sorted(collected) == [b"1", b"2", b"3"]
    assert sorted(path.name for path in spool.glob("*.log*")) == ["a.log.COMPLETED", "b.log.COMPLETED"]


def test_what_a_failed_bundle_read_is_read_again(
    tmp_path: Path, collected: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "a.log"
    log.write_bytes(b"\n".join(lines(100)))
    options = plain(log, tmp_path / "tracker")
    monkeypatch.setattr(Collect, "fail_at", b"line 55")
    with pytest.raises(RuntimeError, match="the sink is broken"):
        run(ReadFromFiles(options, bundle=BundleLimits(events=10)))
    assert collected == lines(50)
    monkeypatch.setattr(Collect, "fail_at", None)

    run(ReadFromFiles(options))

    assert collected == lines(100)


def test_max_events_ends_a_read_and_the_next_one_goes_on(tmp_path: Path, collected: list[bytes]) -> None:
    log = tmp_path / "a.log"
    log.write_bytes(b"\n".join(lines(30)))
    options = plain(log, tmp_path / "tracker")

    run(ReadFromFiles(options, max_events=20))
    assert collected == lines(20)
    run(ReadFromFiles(options, max_events=20))
    assert collected == lines(30)


def test_a_followed_directory_is_read_until_a_stop_is_requested(
    spool: Path, collected: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Collect, "stop_at", b"last")
    (spool / "a.log").write_bytes(b"first\n")

    def add() -> None:
        (spool / "b.tmp").write_bytes(b"last\n")
        (spool / "b.tmp").rename(spool / "b.log")

    later = threading.Timer(0.3, add)
    later.start()

    run(ReadFromFiles(FileSourceOptions(path=str(spool), spool=True, follow=True, poll_seconds=0.05)))
    later.join()

    assert collected == [b"first", b"last"]
    assert (spool / "a.log.COMPLETED").exists()


def test_a_missing_file_is_one_clear_error_of_the_run(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"^The file .*/absent\.log does not exist: correct the path\.$"):
        run(ReadFromFiles(plain(tmp_path / "absent.log", tmp_path / "tracker")))


def test_display_data_says_what_is_read() -> None:
    assert ReadFromFiles("a.log").display_data() == {"path": "a.log", "spool": False, "follow": False}
