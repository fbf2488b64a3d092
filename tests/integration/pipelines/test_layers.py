from __future__ import annotations

import json
import signal
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest

from flumebeam.batch import EventBatch
from flumebeam.broker import DevelopmentBroker
from flumebeam.demo.proof import files_below
from flumebeam.pipelines import drain_to_hdfs, lambda_architecture, speed_layer
from flumebeam.solace.config import SolaceOptions
from flumebeam.solace.session import connect
from tests.integration.pipelines.helpers import make_lines, start, stored
from tests.waiting import eventually

COUNT = 1_000


@pytest.fixture
def filled(broker: DevelopmentBroker) -> DevelopmentBroker:
    """The broker with events in both queues."""
    with connect(SolaceOptions(host=broker.url)) as connection:
        session = connection.transacted_session()
        lines = make_lines(COUNT)
        for begin in range(0, COUNT, 250):
            part = lines[begin : begin + 250]
            ids = [f"id-{number}" for number in range(begin, begin + 250)]
            severities = ["error" if number % 10 == 0 else "info" for number in range(250)]
            headers = {"flumebeam.id": ids, "severity": severities}
            session.publish(EventBatch.from_bodies(part, {"basename": f"{begin}.log"}, headers), "logs/a")
            assert session.commit().committed
    return broker


def lines_below(directory: Path) -> Counter[bytes]:
    return Counter(line for path in files_below(directory) for line in path.read_bytes().split(b"\n")[:-1])


def test_a_drained_queue_is_files_with_every_body_once(filled: DevelopmentBroker, tmp_path: Path) -> None:
    arguments = ["--queue=batch", f"--target={tmp_path}", "--path=%{severity}", "--until_empty", "--idle_seconds=1"]

    assert drain_to_hdfs.main(arguments) == 0

    assert lines_below(tmp_path) == Counter(make_lines(COUNT))
    assert sorted(path.name for path in tmp_path.iterdir() if path.name[0] != ".") == ["error", "info"]
    assert (filled.queue("batch").messages, filled.queue("speed").messages) == (0, COUNT)


def test_a_drain_takes_what_its_selector_matches(filled: DevelopmentBroker, tmp_path: Path) -> None:
    arguments = ["--queue=batch", f"--target={tmp_path}", "--until_empty", "--idle_seconds=1"]

    assert drain_to_hdfs.main([*arguments, "--selector=severity = 'error'"]) == 0

    assert sum(lines_below(tmp_path).values()) == COUNT // 10
    assert filled.queue("batch").messages == COUNT - COUNT // 10


def test_a_replay_into_the_same_target_repeats_nothing(broker: DevelopmentBroker, tmp_path: Path) -> None:
    broker.keep_replay_log()
    with connect(SolaceOptions(host=broker.url)) as connection:
        session = connection.transacted_session()
        session.publish(EventBatch.from_bodies(make_lines(100)), "logs/a")
        assert session.commit().committed
    arguments = ["--queue=batch", f"--target={tmp_path}", "--until_empty", "--idle_seconds=1"]

    for replay in ([], ["--replay_from=beginning"]):
        assert drain_to_hdfs.main([*arguments, *replay]) == 0
        assert lines_below(tmp_path) == Counter(make_lines(100))
    assert broker.queue("batch").messages == 0


def test_a_drain_stopped_by_ctrl_c_is_gone_on_with(filled: DevelopmentBroker, tmp_path: Path) -> None:
    running = start(filled, "drain_to_hdfs", "--queue=batch", f"--target={tmp_path}")
    try:
        eventually(lambda: filled.queue("batch").messages < COUNT)
        running.send_signal(signal.SIGINT)
        out, _ = running.communicate(timeout=200)
        assert running.returncode == 0, out
    finally:
        running.kill()
        running.communicate()

    assert drain_to_hdfs.main(["--queue=batch", f"--target={tmp_path}", "--until_empty", "--idle_seconds=1"]) == 0

    assert lines_below(tmp_path) == Counter(make_lines(COUNT))


def test_the_speed_layer_counts_every_event_and_notes_its_id(
    filled: DevelopmentBroker, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    counts, seen = tmp_path / "counts.jsonl", tmp_path / "seen.ids"

    status = speed_layer.main(
        ["--queue=speed", "--until_empty", "--idle_seconds=1", f"--counts_to={counts}", f"--seen_to={seen}"]
    )

    assert status == 0
    written = [json.loads(line) for line in counts.read_text().splitlines()]
    assert sum(line["events"] for line in written) == written[-1]["total"] == COUNT
    severities = sum((Counter(line["severity"]) for line in written), Counter[str]())
    assert severities == {"info": COUNT * 9 // 10, "error": COUNT // 10}
    assert all(line["latency_ms"]["p50"] > 0 for line in written)
    assert sum((Counter(dict(line["top"])) for line in written), Counter[str]())["0.log"] == 250
    assert sorted(seen.read_text().splitlines()) == sorted(f"id-{number}" for number in range(COUNT))
    assert f"{COUNT:,} in all" in capfd.readouterr().out
    assert filled.queue("speed").messages == 0


def test_windows_give_the_same_counts(filled: DevelopmentBroker, tmp_path: Path) -> None:
    counts = tmp_path / "counts.jsonl"
    arguments = ["--queue=speed", f"--max_events={COUNT}", f"--counts_to={counts}", "--quiet"]

    assert speed_layer.main([*arguments, "--window_seconds=5"]) == 0

    assert sum(json.loads(line)["events"] for line in counts.read_text().splitlines()) == COUNT


def test_windows_that_would_never_close_are_refused(
    broker: DevelopmentBroker, capfd: pytest.CaptureFixture[str]
) -> None:
    assert speed_layer.main(["--queue=speed", "--window_seconds=5"]) == 2

    assert "use --runner=PrismRunner" in capfd.readouterr().err


@pytest.mark.parametrize("layer", [drain_to_hdfs, speed_layer], ids=["drain_to_hdfs", "speed_layer"])
def test_a_queue_that_does_not_exist_is_one_clear_line(
    broker: DevelopmentBroker, tmp_path: Path, capfd: pytest.CaptureFixture[str], layer: ModuleType
) -> None:
    target = [f"--target={tmp_path}"] if layer is drain_to_hdfs else []

    assert layer.main(["--queue=absent", "--until_empty", *target]) == 1

    [line] = capfd.readouterr().err.splitlines()
    assert line.startswith(f"flumebeam {layer.NAME}: ")
    assert "absent" in line


@pytest.mark.slow
def test_one_command_moves_a_log_through_both_layers_and_ends(broker: DevelopmentBroker, tmp_path: Path) -> None:
    log, target, seen = tmp_path / "app.log", tmp_path / "out", tmp_path / "seen.ids"
    log.write_bytes(b"\n".join(make_lines(COUNT)))
    running = start(
        broker,
        "lambda_architecture",
        f"--input={log}",
        f"--tracker_dir={tmp_path / 'tracker'}",
        "--topic=made/a",
        "--batch_queue=made-batch",
        "--speed_queue=made-speed",
        "--provision",
        "--once",
        f"--target={target}",
        f"--seen_to={seen}",
    )

    out, _ = running.communicate(timeout=150)

    assert running.returncode == 0, out
    assert lines_below(target) == Counter(make_lines(COUNT))
    ids = seen.read_text().splitlines()
    assert (len(ids), len(set(ids))) == (COUNT, COUNT)
    assert (stored(broker, "made-batch"), stored(broker, "made-speed")) == ([], [])


def test_a_mistake_in_any_part_is_found_before_any_part_runs(
    broker: DevelopmentBroker, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "app.log"
    log.write_bytes(b"1\n")
    arguments = [f"--input={log}", "--topic=logs/a", f"--tracker_dir={tmp_path / 'tracker'}"]

    assert lambda_architecture.main(arguments) == 2
    assert "--target is missing" in capfd.readouterr().err
    assert lambda_architecture.main([*arguments, f"--target={tmp_path / 'out'}", "--format=xml"]) == 2
    assert "xml" in capfd.readouterr().err
    assert broker.queue("batch").messages == 0
