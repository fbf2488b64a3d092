from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from flumebeam.pipelines.processes import Part, run_side_by_side

# A part that notes what happens to it, and behaves as its name says.
PROGRAM = """
import signal, sys, time
from pathlib import Path

notes, kind = Path(sys.argv[1]), sys.argv[2]

def note(text):
    with notes.open("a") as file:
        file.write(f"{kind} {text}\\n")

def stop(number, frame):
    note("stopped")
    sys.exit(130 if kind == "unready" else 0)

if kind == "slow":
    while "one started" not in notes.read_text():
        time.sleep(0.01)
    time.sleep(0.1)
signal.signal(signal.SIGINT, stop)
signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
note(" ".join(["started", *sys.argv[3:]]))
if kind == "quick" or "--until_empty" in sys.argv:
    sys.exit(0)
if kind == "broken":
    while notes.read_text().count("started") < 3:
        time.sleep(0.01)
    sys.exit(5)
if kind == "killed":
    import os
    os.kill(os.getpid(), signal.SIGKILL)
time.sleep(300)
"""


@pytest.fixture
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "a_part.py").write_text(PROGRAM)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    path = tmp_path / "notes"
    path.touch()
    return path


def part(notes: Path, kind: str) -> Part:
    return Part("a_part", [str(notes), kind])


def wait_for(notes: Path, text: str) -> None:
    deadline = time.monotonic() + 200
    while text not in notes.read_text():
        assert time.monotonic() < deadline, notes.read_text()
        time.sleep(0.01)


def test_a_part_that_fails_stops_the_others_and_gives_its_status(notes: Path) -> None:
    status = run_side_by_side(part(notes, "broken"), [part(notes, "one"), part(notes, "two")], once=False)

    assert status == 5
    assert {"one stopped", "two stopped"} <= set(notes.read_text().splitlines())


def test_a_part_that_is_killed_is_a_failure(notes: Path) -> None:
    assert run_side_by_side(part(notes, "killed"), [part(notes, "unready")], once=False) == 137


def test_once_lets_the_layers_empty_their_queues_when_the_feeder_has_ended(notes: Path) -> None:
    assert run_side_by_side(part(notes, "quick"), [part(notes, "one")], once=True) == 0

    assert notes.read_text().splitlines()[-1] == "one started --until_empty"


def test_a_signal_stops_all_parts_cleanly_and_one_that_had_not_begun_has_not_failed(notes: Path) -> None:
    def interrupt() -> None:
        for kind in ("feeder", "one", "unready"):
            wait_for(notes, f"{kind} started")
        os.kill(os.getpid(), signal.SIGINT)

    later = threading.Thread(target=interrupt)
    later.start()
    status = run_side_by_side(part(notes, "feeder"), [part(notes, "one"), part(notes, "unready")], once=True)
    later.join()

    assert status == 0
    assert {"feeder stopped", "one stopped"} <= set(notes.read_text().splitlines())
    assert "--until_empty" not in notes.read_text()


def test_a_signal_that_comes_before_a_part_is_up_is_answered_when_it_is(notes: Path) -> None:
    def interrupt() -> None:
        wait_for(notes, "one started")
        os.kill(os.getpid(), signal.SIGINT)

    later = threading.Thread(target=interrupt)
    later.start()
    status = run_side_by_side(part(notes, "slow"), [part(notes, "one")], once=False)
    later.join()

    assert (status, "slow stopped" in notes.read_text()) == (0, True)


def test_a_layer_outlives_a_feeder_that_has_ended(notes: Path) -> None:
    def interrupt() -> None:
        wait_for(notes, "quick started")
        wait_for(notes, "one started")
        os.kill(os.getpid(), signal.SIGTERM)

    later = threading.Thread(target=interrupt)
    later.start()
    status = run_side_by_side(part(notes, "quick"), [part(notes, "one")], once=False)
    later.join()

    assert (status, notes.read_text().count("one stopped")) == (0, 1)
