"""``--runner=DirectRunner`` in both forms it takes: Prism where Beam can get it, else in this process."""

from __future__ import annotations

import signal
import uuid
from pathlib import Path

import pytest

from flumebeam.broker import DevelopmentBroker
from flumebeam.testing.prism import prism_program
from tests.programs import Programs, until

LINES = [b"INFO order %05d" % number for number in range(1_000)]


@pytest.fixture(params=["in process", "Prism"])
def runner(request: pytest.FixtureRequest) -> list[str]:
    """Options that choose the runner."""
    location = prism_program() if request.param == "Prism" else "/nonexistent"
    return ["--runner=DirectRunner", f"--prism_location={location}"]


@pytest.mark.timeout(1200)  # the first one may have to build Prism
def test_lines_go_through_ingest_and_drain_once(
    programs: Programs, broker: DevelopmentBroker, tmp_path: Path, runner: list[str]
) -> None:
    queue = f"q-{uuid.uuid4().hex[:12]}"
    broker.create_queue(queue, subscriptions=[f"for/{queue}"])
    log = tmp_path / "app.log"
    log.write_bytes(b"\n".join(LINES))

    programs.start("run", "ingest", f"--input={log}", f"--topic=for/{queue}", *runner).ends_well()
    assert broker.queue(queue).messages == len(LINES)
    arguments = [f"--queue={queue}", f"--target={tmp_path / 'out'}", "--until_empty", "--idle_seconds=3"]
    programs.start("run", "drain_to_hdfs", *arguments, *runner).ends_well()

    files = sorted((tmp_path / "out").glob("FlumeData*"))
    assert b"".join(path.read_bytes() for path in files) == b"\n".join(LINES) + b"\n"
    assert broker.queue(queue).messages == 0


@pytest.mark.timeout(1200)  # the first one may have to build Prism
def test_the_speed_layer_is_live_and_stops_on_ctrl_c(
    programs: Programs, broker: DevelopmentBroker, tmp_path: Path, runner: list[str]
) -> None:
    queue = f"q-{uuid.uuid4().hex[:12]}"
    broker.create_queue(queue, subscriptions=[f"for/{queue}"])
    log = tmp_path / "app.log"
    log.write_bytes(b"\n".join(LINES))
    counts = tmp_path / "counts"
    speed = programs.start("run", "speed_layer", f"--queue={queue}", f"--counts_to={counts}", "--quiet", *runner)
    until(lambda: broker.queue(queue).consumers or not speed.running, "the speed layer bound")

    programs.fork("ingest", f"--input={log}", f"--topic=for/{queue}").ends_well()

    until(lambda: counts.exists() and counts.stat().st_size, "counts while it runs")
    until(lambda: not broker.queue(queue).messages, "everything acknowledged")
    assert speed.running
    speed.send(signal.SIGINT)
    speed.ends_well()
    assert "Traceback" not in speed.err
