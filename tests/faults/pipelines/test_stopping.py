"""Ctrl-C: once ends cleanly with everything consistent, twice ends at once and loses nothing either."""

from __future__ import annotations

import signal
from functools import partial
from pathlib import Path

import pytest

from flumebeam.exits import Exit
from tests.faults.pipelines.scene import TRANSACTION, Scene, numbered
from tests.programs import Program, until

STOPS = [signal.SIGINT, signal.SIGTERM]


@pytest.mark.parametrize("number", STOPS)
def test_a_drain_stopped_in_mid_run_has_exactly_what_left_the_queue(scene: Scene, number: signal.Signals) -> None:
    lines = numbered(5_000)
    scene.fill(lines)
    drain = scene.drain(until_empty=False)
    until(lambda: scene.count() > 0, "the first events in files")

    drain.send(number)

    drain.ends_well()
    until(lambda: scene.count() + scene.left == len(lines), "what is in files has left the queue")
    assert scene.rubbish() == []
    scene.drain_all()
    scene.holds_exactly(lines)


def test_an_ingest_stopped_in_mid_run_goes_on_without_a_repeat(scene: Scene, tmp_path: Path) -> None:
    lines = numbered(16_000)
    log = tmp_path / "app.log"
    log.write_bytes(b"\n".join(lines))
    # Slow enough not to be through before it hears of the signal, whatever else this machine does.
    scene.broker.slow(200_000)
    try:
        ingest = scene.ingest(log)
        until(lambda: scene.left >= TRANSACTION, "the first transactions")
        ingest.send(signal.SIGINT)
        until(partial(_has_heard, ingest), "the signal is heard")
    finally:
        scene.broker.thaw()

    ingest.ends_well()
    assert scene.left < len(lines), "it was stopped before its end"
    scene.ingest(log).ends_well()
    assert [event.body for event in scene.take_all()] == lines


def test_a_fresh_program_takes_ctrl_c_as_a_forked_one_does(scene: Scene) -> None:
    scene.fill(numbered(1_000))
    drain = scene.programs.start("run", "drain_to_hdfs", *scene.drain_options(until_empty=False))
    until(lambda: not scene.left, "everything drained")

    drain.send(signal.SIGINT)

    drain.ends_well()
    assert "Traceback" not in drain.err
    scene.holds_exactly(numbered(1_000))


def _has_heard(program: Program) -> bool:
    return "Once more" in program.err or not program.running


def test_a_second_ctrl_c_ends_programs_that_a_silent_broker_holds_and_nothing_is_lost(
    scene: Scene, tmp_path: Path
) -> None:
    lines = numbered(8_000)
    log = tmp_path / "app.log"
    log.write_bytes(b"\n".join(lines))
    drain = scene.drain(until_empty=False)
    ingest = scene.ingest(log)
    until(lambda: scene.broker.queue(scene.queue).received >= TRANSACTION, "the first transactions")
    scene.broker.freeze()
    try:
        for program in (drain, ingest):
            program.send(signal.SIGINT)
        for program in (drain, ingest):
            until(partial(_has_heard, program), "the first one is heard")
            # It may have been enough, for a program that happens to need nothing of the broker any more.
            if program.running:
                program.send(signal.SIGINT)
        for program in (drain, ingest):
            assert program.wait() in (Exit.OK, Exit.FAILED, Exit.INTERRUPTED)
            assert "Traceback" not in program.err
    finally:
        scene.broker.thaw()

    scene.ingest(log).ends_well()
    scene.drain_all()

    found = scene.lines()
    assert set(found) == set(lines)
    assert found.total() - len(lines) <= TRANSACTION, "at most the ingest's last transaction is there twice"
    assert scene.left == 0
