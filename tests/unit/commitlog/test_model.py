"""The production transitions keep the promise in every interleaving that a few events can make.

Each hole that the protocol closes is shown by taking its rule out: then the model must find it.
"""

from __future__ import annotations

import functools
import itertools
import random
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pytest

from flumebeam.commitlog import protocol, publishing, recovery, retiring
from flumebeam.commitlog.ids import IdSet
from flumebeam.commitlog.steps import Steps, Unanswered, list_directory, rename
from flumebeam.hdfs.filesystem import RenameOutcome
from tests.unit.commitlog.model import BrokenPromiseError, Event, World


@functools.cache
def _length() -> int:
    return World({}).run()


def _one_event() -> Iterator[Mapping[int, Event]]:
    for at, event in itertools.product(range(_length()), Event):
        yield {at: event}


def _two_events(
    gaps: range, events: Iterable[Event] = Event, first: Event = Event.MOVE
) -> Iterator[Mapping[int, Event]]:
    """A first event at every call, by default a move of the queue, and each other one so many calls later."""
    for later, at, event in itertools.product(gaps, range(_length()), events):
        yield {at: first, at + later: event}


def _random(seeds: range, processes: int) -> Iterator[tuple[Mapping[int, Event], int]]:
    for seed in seeds:
        chance = random.Random(seed)
        plan = {chance.randrange(120): chance.choice(list(Event)) for _ in range(chance.randrange(2, 7))}
        yield plan, processes


def _run(plan: Mapping[int, Event], processes: int = 2, *, impatient: bool = False) -> None:
    try:
        World(plan, processes, impatient=impatient).run()
    except BrokenPromiseError as error:
        raise BrokenPromiseError(f"{error} with plan {dict(plan)}") from None


def test_nothing_happens_and_the_promise_is_kept() -> None:
    assert 20 < _length() < 200


def test_any_one_event_at_any_call_breaks_nothing() -> None:
    for plan in _one_event():
        _run(plan)


def test_any_event_soon_after_the_queue_moved_breaks_nothing() -> None:
    for plan in _two_events(range(1, 4)):
        _run(plan)


def test_whoever_gives_up_what_others_have_on_its_way_breaks_nothing() -> None:
    for plan in itertools.chain(_one_event(), _two_events(range(1, 4), [Event.SWITCH, Event.CRASH])):
        _run(plan, impatient=True)


@pytest.mark.parametrize("processes", [2, 3])
def test_several_events_at_random_calls_break_nothing(processes: int) -> None:
    for plan, count in _random(range(250), processes):
        _run(plan, count)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_any_event_after_the_queue_moved_breaks_nothing() -> None:
    for plan in _two_events(range(1, 40)):
        _run(plan)


def _is_broken_by(plan: Mapping[int, Event]) -> bool:
    try:
        World(plan).run()
    except BrokenPromiseError:
        return True
    return False


# -- holes: each rule, taken out -------------------------------------------------------------------------------------


def _closes_nothing(_scribe: Any, _own: str, _idle_ms: Any = None) -> Steps[list[str]]:
    yield from ()
    return []


def _reads_no_retired(_layout: Any, _known: Any) -> Steps[tuple[IdSet, set[str]]]:
    yield from ()
    return IdSet(), set()


def _trusts_answers(path: str, _written: Any, target: str) -> Steps[bool]:
    answer = yield from rename(path, target)
    return answer is RenameOutcome.RENAMED or isinstance(answer, Unanswered)


def _takes_no_answer_for_no(path: str, _written: Any, target: str) -> Steps[bool]:
    answer = yield from rename(path, target)
    return answer is RenameOutcome.RENAMED


def _retires_nothing(*_args: Any) -> Steps[None]:
    yield from ()


def _publishes_nothing(*_args: Any) -> Steps[None]:
    yield from ()


def _settles_without_publishing(_scribe: Any, directory: str) -> Any:
    return recovery.read_epoch(directory)


def _reads_before_it_closes(
    scribe: Any, own: str, known: Any, *, idle_ms: Any = None, old_ms: int, merge: bool = True
) -> Any:
    ids = IdSet()
    for found in (yield from list_directory(scribe.layout.epochs)):
        if found.name != own:
            ids = ids.union((yield from recovery.settle_open(scribe, found.name)))
    retired, names = yield from retiring.read_retired(scribe.layout, known)
    yield from recovery.close_others(scribe, own, idle_ms)
    return recovery.Knowledge(ids.union(retired), frozenset(names))


def _sweeps_closed_epochs(scribe: Any, _old_ms: int) -> Steps[None]:
    for found in (yield from list_directory(scribe.layout.parts)):
        yield from protocol.delete(f"{scribe.layout.parts}/{found.name}")


_RULES = {
    "successors close other epochs": (recovery, "close_others", _closes_nothing),
    "retired ids are read": (recovery, "read_retired", _reads_no_retired),
    "ids are retired before their epoch goes": (recovery, "retire", _retires_nothing),
    "a lost answer is no yes": (protocol, "_enter", _trusts_answers),
    "records are read after their epoch was closed": (recovery, "take_over", _reads_before_it_closes),
    "successors publish what was committed": (recovery, "_publish_all", _settles_without_publishing),
    "acknowledgement comes after publishing": (publishing, "publish", _publishes_nothing),
    "only parts of gone epochs are swept": (recovery, "sweep", _sweeps_closed_epochs),
}


@pytest.mark.parametrize("rule", _RULES)
def test_a_rule_that_is_taken_out_is_missed(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _length()
    module, name, without = _RULES[rule]
    monkeypatch.setattr(module, name, without)

    plans = itertools.chain(
        _one_event(), _two_events(range(1, 12), [Event.SWITCH]), _two_events(range(1, 9), [Event.CRASH], Event.SILENT)
    )

    assert any(_is_broken_by(plan) for plan in plans)
