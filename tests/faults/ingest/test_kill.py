"""Kill -9 of the ingest: nothing is lost, at most one transaction repeats, and the ids show it."""

from __future__ import annotations

import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from flumebeam.broker import DevelopmentBroker
from tests.faults.ingest.spool import LINES, run_to_the_end
from tests.integration.pipelines.helpers import make_lines, start, stored

TRANSACTION = 256

# Runs the ingest and kills itself before or after the n-th call of a function.
PROGRAM = """
import os, pathlib, signal, sys
from flumebeam.channel.solace import SolaceChannel
from flumebeam.pipelines.ingest import main
from flumebeam.sources.line_reader import LineReader
from flumebeam.sources.positions import PositionStore

when, what, left = sys.argv[1], sys.argv[2], int(sys.argv[3])

def deadly(function):
    def called(*arguments, **options):
        global left
        left -= 1
        if not left and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = function(*arguments, **options)
        if not left and when == "after":
            os.kill(os.getpid(), signal.SIGKILL)
        return result
    return called

def with_deadly_commit(function):
    def opened(self):
        made = function(self)
        made.commit = deadly(made.commit)
        return made
    return opened

if what == "read":
    LineReader.read = deadly(LineReader.read)
elif what == "commit":
    SolaceChannel.transaction = with_deadly_commit(SolaceChannel.transaction)
elif what == "note the file":
    PositionStore.meet = deadly(PositionStore.meet)
elif what == "move the position":
    PositionStore.move = deadly(PositionStore.move)
elif what == "forget the file":
    PositionStore.remove = deadly(PositionStore.remove)
elif what == "rename":
    pathlib.Path.rename = deadly(pathlib.Path.rename)
sys.exit(main(sys.argv[4:]))
"""


def arguments(spool: Path) -> list[str]:
    return [f"--spool_dir={spool}", "--topic=logs"]


def check_ids_and_count_repeats(broker: DevelopmentBroker) -> list[int]:
    """Check that every line is there, under its id; return how many repeat in each run of repeated ones."""
    events = stored(broker, "q")
    bodies = {event.headers["flumebeam.id"]: event.body for event in events}
    assert [bodies[one] for one in sorted(bodies)] == make_lines(LINES)
    numbers = [int(event.headers["flumebeam.id"].split("-")[1], 16) for event in events]
    # Wherever the order goes back, a run of lines begins again that had been committed before.
    steps_back = [high - index for index, high in _steps_back(numbers)]
    assert sum(steps_back) == len(events) - len(bodies)
    assert max(Counter(numbers).values()) <= 1 + len(steps_back)
    return steps_back


def _steps_back(numbers: list[int]) -> Iterator[tuple[int, int]]:
    """Yield, for each step back, the place of the line it goes back to and of the line behind the last one."""
    order = {number: index for index, number in enumerate(sorted(set(numbers)))}
    for before, after in pairwise(numbers):
        if after <= before:
            yield order[after], order[before] + 1


@pytest.mark.parametrize(
    ("when", "what", "nth", "repeats"),
    [
        ("after", "note the file", 1, False),
        ("after", "read", 1, False),
        ("before", "commit", 3, False),
        ("after", "commit", 3, True),
        ("before", "move the position", 3, True),
        ("after", "move the position", 3, False),
        ("before", "rename", 1, False),
        ("after", "rename", 1, False),
        ("after", "forget the file", 1, False),
    ],
)
def test_a_kill_repeats_at_most_the_transaction_it_hit(
    broker: DevelopmentBroker, spool: Path, when: str, what: str, nth: int, repeats: bool
) -> None:
    killed = start(broker, "ingest", when, what, str(nth), *arguments(spool), program=PROGRAM)
    out, _ = killed.communicate(timeout=250)
    assert killed.returncode == -signal.SIGKILL, out

    run_to_the_end(broker, spool, arguments(spool))

    repeated = sum(check_ids_and_count_repeats(broker))
    assert repeated <= TRANSACTION
    assert bool(repeated) == repeats


def test_kills_at_random_moments_lose_nothing_and_repeat_a_transaction_each_at_most(
    broker: DevelopmentBroker, spool: Path
) -> None:
    rng = random.Random(7)
    for _ in range(3):
        goal = broker.queue("q").messages + rng.randint(1, LINES // 3)
        running = start(broker, "ingest", *arguments(spool))
        while broker.queue("q").messages < goal and running.poll() is None:
            time.sleep(0.01)
        running.kill()
        running.communicate()

    run_to_the_end(broker, spool, arguments(spool))

    repeats = check_ids_and_count_repeats(broker)
    assert len(repeats) <= 3
    assert all(repeat <= TRANSACTION for repeat in repeats)
