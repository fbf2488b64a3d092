"""An ingest is killed; started again, every line is in the queue, and ids show what was repeated."""

from __future__ import annotations

import random
from collections import Counter
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest

from flumebeam.broker.faults import LoseCommitResponse
from tests.faults.pipelines.scene import TRANSACTION, Scene, numbered
from tests.programs import until

LINES = numbered(2_000)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "app.log"
    path.write_bytes(b"\n".join(LINES))
    return path


def ends_of(lines: list[bytes]) -> dict[int, bytes]:
    """Each line by the offset behind it."""
    ends, end = {}, 0
    for line in lines:
        end += len(line) + 1
        ends[min(end, sum(map(len, lines)) + len(lines) - 1)] = line
    return ends


def check(scene: Scene) -> Counter[int]:
    """Check that every line is there at least once under its id; return the offsets that are there more than once."""
    events = scene.take_all()
    assert {event.headers["flumebeam.id"].split("-")[0] for event in events} == {
        events[0].headers["flumebeam.id"].split("-")[0]
    }, "one file has one identity, before and after the kill"
    bodies = {int(event.headers["flumebeam.id"].split("-")[1], 16): event.body for event in events}
    assert bodies == ends_of(LINES)
    times = Counter(int(event.headers["flumebeam.id"].split("-")[1], 16) for event in events)
    return Counter({offset: count - 1 for offset, count in times.items() if count > 1})


@pytest.mark.parametrize("after", [0, 3 * TRANSACTION])
def test_killed_before_its_commit_is_applied_it_repeats_nothing(scene: Scene, log: Path, after: int) -> None:
    strike_a_commit(scene, log, LoseCommitResponse(applied=False, cut=False), after)

    scene.ingest(log).ends_well()

    assert not check(scene)


@pytest.mark.parametrize("after", [0, 3 * TRANSACTION])
def test_killed_between_commit_and_position_it_repeats_that_transaction(scene: Scene, log: Path, after: int) -> None:
    before = strike_a_commit(scene, log, LoseCommitResponse(applied=True, cut=False), after)

    scene.ingest(log).ends_well()

    repeated = check(scene)
    assert set(repeated.values()) == {1}
    assert 0 < len(repeated) <= TRANSACTION
    everything = sorted(ends_of(LINES))
    assert sorted(repeated) == everything[after:before], "the last transaction, whole, and no other"


def strike_a_commit(scene: Scene, log: Path, fault: LoseCommitResponse, after: int) -> int:
    """Kill an ingest that waits for the answer to its first commit behind ``after`` lines; return the queue's depth."""
    if after:
        log.write_bytes(b"\n".join(LINES[:after]) + b"\n")
        scene.ingest(log).ends_well()
        with log.open("ab") as grown:
            grown.write(b"\n".join(LINES[after:]))
    scene.broker.fault(fault)
    ingest = scene.ingest(log)
    until(lambda: not scene.broker.pending_faults(), "a commit without an answer")
    ingest.kill()
    return scene.left


@pytest.mark.parametrize("seed", [1, 2])
def test_killed_at_any_moment_it_repeats_one_transaction_at_most(scene: Scene, log: Path, seed: int) -> None:
    moments = sorted(random.Random(seed).sample(range(1, len(LINES)), 3))
    repeats = 0
    for moment in moments:
        ingest = scene.ingest(log)
        until(partial(lambda messages: scene.left >= messages, moment), f"{moment} messages")
        ingest.kill()
        repeats += TRANSACTION

    scene.ingest(log).ends_well()

    repeated = check(scene)
    assert repeated.total() <= repeats
    everything = sorted(ends_of(LINES))
    begins = [end for before, end in pairwise([0, *everything]) if repeated[end] and not repeated[before]]
    assert len(begins) <= len(moments), "what is repeated stood side by side in one transaction a kill"
