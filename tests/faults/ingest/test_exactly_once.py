"""A position in the broker: spool file to queue exactly once, whatever is killed, cut, lost or frozen."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from pathlib import Path

import pytest

from flumebeam.broker import DevelopmentBroker, LoseCommitResponse
from flumebeam.channel.positioned import PositionRecord
from flumebeam.errors import PositionError
from flumebeam.solace.config import SolaceOptions
from flumebeam.solace.flows import FlowOptions
from flumebeam.solace.session import connect
from tests.failures import Counted
from tests.faults.ingest.spool import LINES, run_to_the_end
from tests.integration.pipelines.helpers import make_lines, spooled, start, stored
from tests.programs import until

# Runs the ingest and kills or freezes itself before or after the n-th call of a function.
PROGRAM = """
import os, pathlib, signal, sys
from flumebeam.channel import positioned
from flumebeam.channel.solace import SolaceChannel, _SolaceTransaction
from flumebeam.pipelines.ingest import main
from flumebeam.solace.session import VendorConnection
from flumebeam.sources.line_reader import LineReader

when, what, left, how = sys.argv[1], sys.argv[2], int(sys.argv[3]), getattr(signal, sys.argv[4])

def deadly(function):
    def called(*arguments, **options):
        global left
        left -= 1
        if not left and when == "before":
            os.kill(os.getpid(), how)
        result = function(*arguments, **options)
        if not left and when == "after":
            os.kill(os.getpid(), how)
        return result
    return called

POINTS = {
    "read": (LineReader, "read"),
    "make the queue": (VendorConnection, "ensure_queue"),
    "read the position": (positioned.PositionedChannel, "marks"),
    "take the position": (positioned.PositionedChannel, "_taken"),
    "put": (_SolaceTransaction, "put"),
    "commit": (_SolaceTransaction, "commit"),
    "settle": (positioned.PositionedChannel, "_settle"),
    "rename": (pathlib.Path, "rename"),
}
owner, name = POINTS[what]
setattr(owner, name, deadly(getattr(owner, name)))
sys.exit(main(sys.argv[5:]))
"""


def arguments(spool: Path) -> list[str]:
    return [f"--spool_dir={spool}", "--topic=logs", "--position_queue=position"]


def check_exactly_once(broker: DevelopmentBroker) -> list[bytes]:
    events = stored(broker, "q")
    assert Counter(event.body for event in events) == Counter(make_lines(LINES))
    assert [event.body for event in events] == make_lines(LINES)
    assert position(broker).number > 0
    return [event.body for event in events]


def position(broker: DevelopmentBroker) -> PositionRecord:
    """Return the one position that there is."""
    with connect(SolaceOptions(host=broker.url)) as connection:
        batch = connection.receiver("position", flow=FlowOptions(browse=True)).receive(10, 60)
    assert len(batch) == 1
    return PositionRecord.decode(batch.bodies[0].as_py())


def test_without_a_fault_every_line_is_there_once_and_the_position_behind_the_last(
    broker: DevelopmentBroker, spool: Path
) -> None:
    run_to_the_end(broker, spool, arguments(spool))

    (mark,) = position(broker).marks.values()
    assert mark.offset == (spool / "1.log.COMPLETED").stat().st_size
    check_exactly_once(broker)


@pytest.mark.parametrize(
    ("when", "what", "nth"),
    [
        ("before", "make the queue", 1),
        ("after", "make the queue", 1),
        ("before", "commit", 1),
        ("after", "read the position", 1),
        ("after", "read", 1),
        ("before", "take the position", 2),
        ("after", "take the position", 2),
        ("before", "take the position", 4),
        ("after", "put", 3),
        ("after", "put", 4),
        ("before", "commit", 3),
        ("after", "commit", 3),
        ("before", "settle", 4),
        ("before", "rename", 1),
        ("after", "rename", 1),
    ],
)
def test_a_kill_at_any_point_loses_and_repeats_nothing(
    broker: DevelopmentBroker, spool: Path, when: str, what: str, nth: int
) -> None:
    killed = start(broker, "ingest", when, what, str(nth), "SIGKILL", *arguments(spool), program=PROGRAM)
    out, _ = killed.communicate(timeout=250)
    assert killed.returncode == -signal.SIGKILL, out

    run_to_the_end(broker, spool, arguments(spool))

    check_exactly_once(broker)


@pytest.mark.failure("commit reply lost (unknown)")
@pytest.mark.parametrize("applied", [True, False])
def test_an_unknown_commit_is_resolved_by_the_position(
    broker: DevelopmentBroker, spool: Path, counted: Counted, *, applied: bool
) -> None:
    broker.fault(*[LoseCommitResponse(applied=applied)] * 3)

    run_to_the_end(broker, spool, arguments(spool))

    assert broker.pending_faults() == 0
    # Some lines are alike: they are told apart by their places.
    counted(list(enumerate(make_lines(LINES))), enumerate(check_exactly_once(broker)))


def test_a_connection_that_is_cut_again_and_again_loses_and_repeats_nothing(
    broker: DevelopmentBroker, spool: Path
) -> None:
    running = start(broker, "ingest", *arguments(spool), "--max_transaction_messages=20")
    done = 0
    while running.poll() is None:
        if broker.queue("q").messages > done:
            done = broker.queue("q").messages + 200
            broker.cut_connections()
        time.sleep(0.01)
    out, _ = running.communicate()
    assert running.returncode == 0, out

    check_exactly_once(broker)


@pytest.mark.parametrize("what", ["put", "commit", "take the position"])
def test_a_zombie_publishes_nothing_more(broker: DevelopmentBroker, spool: Path, what: str) -> None:
    frozen = start(broker, "ingest", "before", what, "3", "SIGSTOP", *arguments(spool), program=PROGRAM)
    try:
        until(lambda: _is_stopped(frozen.pid), "it freezes")
        assert broker.cut_connections() >= 1  # as its keepalives do not come
        run_to_the_end(broker, spool, arguments(spool))
        os.kill(frozen.pid, signal.SIGCONT)
        out, _ = frozen.communicate(timeout=250)
    finally:
        frozen.kill()
        frozen.communicate()

    assert frozen.returncode == 1, out
    assert "moved the position" in out
    check_exactly_once(broker)


def test_a_second_process_is_refused_while_the_first_one_has_the_position(
    broker: DevelopmentBroker, spool: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    first = start(broker, "ingest", *arguments(spool), "--follow")
    try:
        until(lambda: broker.queue("q").messages == LINES, "the first one is through")
        other = tmp_path_factory.mktemp("other")
        spooled(other, "2.log", make_lines(3))
        second = start(broker, "ingest", *arguments(other))
        out, _ = second.communicate(timeout=250)
        assert (second.returncode, broker.queue("q").messages) == (1, LINES), out
        assert "Another process has the position of this source" in out
    finally:
        first.send_signal(signal.SIGINT)
        first.communicate(timeout=250)
    assert first.returncode == 0
    assert issubclass(PositionError, Exception)


def _is_stopped(pid: int) -> bool:
    state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
    return state == "T"
