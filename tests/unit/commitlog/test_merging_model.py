"""Rolling keeps the promise in every interleaving that a few events can make; each of its rules, taken out, is missed.

Two processes with two threads each: one commits segments, acknowledges and folds, the other one merges.
"""

from __future__ import annotations

import functools
import itertools
import random
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pytest

from flumebeam.commitlog import merging, protocol, recovery
from flumebeam.commitlog.steps import Steps, delete, list_directory, make_directory, rename
from flumebeam.errors import CommitLogError
from flumebeam.hdfs.filesystem import RenameOutcome
from tests.unit.commitlog.model import BrokenPromiseError, Event, World

_MESSAGES = 3
_THREADS = (Event.SWITCH, Event.CRASH, Event.MOVE)

both = pytest.mark.parametrize("can_concat", [True, False])
"""HDFS moves segments together; a disk has them copied."""


def _world(plan: Mapping[int, Event], can_concat: bool, processes: int = 2) -> World:
    return World(plan, processes, _MESSAGES, rolling=True, can_concat=can_concat)


@functools.cache
def _length(can_concat: bool) -> int:
    return _world({}, can_concat).run()


def _one_event(can_concat: bool, events: Iterable[Event] = Event) -> Iterator[Mapping[int, Event]]:
    for at, event in itertools.product(range(_length(can_concat)), events):
        yield {at: event}


def _two_events(
    can_concat: bool, gaps: Iterable[int], first: Iterable[Event], then: Iterable[Event]
) -> Iterator[Mapping[int, Event]]:
    for gap, at, one, other in itertools.product(gaps, range(_length(can_concat)), first, then):
        yield {at: one, at + gap: other}


def _run(plan: Mapping[int, Event], can_concat: bool, processes: int = 2) -> None:
    try:
        _world(plan, can_concat, processes).run()
    except BrokenPromiseError as error:
        raise BrokenPromiseError(f"{error} with plan {dict(plan)}") from None


@both
def test_nothing_happens_and_the_promise_is_kept(can_concat: bool) -> None:
    world = _world({}, can_concat)

    assert 30 < world.run() < 200
    finals = [content for path, content in world.fs.files.items() if "/.flumebeam.logs/" not in path]
    assert sorted(map(len, finals)) == [2, 4], "two events in one file, one in the other"


@both
def test_any_one_event_at_any_call_breaks_nothing(can_concat: bool) -> None:
    for plan in _one_event(can_concat):
        _run(plan, can_concat)


@both
@pytest.mark.parametrize("first", [Event.SWITCH, Event.CRASH])
def test_a_crash_soon_after_another_event_breaks_nothing(can_concat: bool, first: Event) -> None:
    for plan in _two_events(can_concat, (1, 2, 5), [first], [Event.CRASH]):
        _run(plan, can_concat)


@both
@pytest.mark.parametrize("processes", [2, 3])
def test_several_events_at_random_calls_break_nothing(can_concat: bool, processes: int) -> None:
    for seed in range(120):
        chance = random.Random(seed)
        plan = {chance.randrange(140): chance.choice(list(Event)) for _ in range(chance.randrange(2, 7))}
        _run(plan, can_concat, processes)


@pytest.mark.slow
@pytest.mark.timeout(900)
@both
def test_two_events_at_any_calls_break_nothing(can_concat: bool) -> None:
    plans = [*_two_events(can_concat, range(1, 40), _THREADS, Event)]
    # All of them take a quarter of an hour.
    for plan in random.Random(7).sample(plans, 4_000):
        _run(plan, can_concat)


# -- holes: each rule, taken out -------------------------------------------------------------------------------------


def _removes_first(scribe: Any, target: str, epoch: str, roll: Any) -> Steps[Any]:
    merged = yield from _MERGED(scribe, target, epoch, roll)
    for segment in roll.segments:
        if merged is not None and segment.part.path != merged.path:
            yield from delete(scribe.layout.in_log(segment.part.path))
    return merged


def _overrules(path: str, _written: Any, target: str) -> Steps[None]:
    while True:
        answer = yield from rename(path, target)
        if answer is not RenameOutcome.TARGET_EXISTS:
            return
        yield from delete(target)


def _makes_the_epoch_again(path: str, _written: Any, target: str) -> Steps[None]:
    while True:
        answer = yield from rename(path, target)
        if answer is not RenameOutcome.PARENT_MISSING:
            return
        yield from make_directory(target.rpartition("/")[0])


def _wants_each_segment(roll: Any, found: Any) -> bool:
    return [status and status.length for status in found] == [segment.part.length for segment in roll.segments]


def _forgets_segments(scribe: Any, epoch: str, through: int, ids: Any, _unmerged: Any = ()) -> Any:
    return _FOLD(scribe, epoch, through, ids)


def _folds_merges(entry: Any, through: int, _unmerged: Any) -> bool:
    return bool(entry.number < through)


def _merges_nothing(*_args: Any) -> Steps[None]:
    yield from ()


def _publishes_nothing(*_args: Any) -> Steps[None]:
    yield from ()


def _removes_entry_by_entry(_scribe: Any, directory: str) -> Steps[None]:
    for found in reversed((yield from list_directory(directory))):
        yield from delete(f"{directory}/{found.name}")
    yield from delete(directory)


def _makes_parts_before_their_epoch(scribe: Any, receiver_id: str) -> Steps[str]:
    epoch = scribe.layout.epoch_name(receiver_id, scribe.names())
    yield from make_directory(scribe.layout.epoch_parts(epoch))
    yield from make_directory(scribe.layout.epoch(epoch))
    return str(epoch)


_MERGED = merging._merged
_FOLD = protocol.fold

_RULES = {
    "segments are removed after their merge is committed": (merging, "_merged", _removes_first),
    "the first merge of a roll holds": (merging, "enter_first", _overrules),
    "nobody merges in an epoch that was closed": (merging, "enter_first", _makes_the_epoch_again),
    "what is gone without a merge is in the first segment": (merging, "_is_all", _wants_each_segment),
    "a fold names what is not merged": (protocol, "fold", _forgets_segments),
    "a fold leaves the merges of what it names": (protocol, "_is_folded", _folds_merges),
    "a closed epoch goes after its segments are merged": (recovery.merging, "merge", _merges_nothing),
    "successors publish what was merged": (merging, "finish", _publishes_nothing),
    "a settled epoch goes in one step": (recovery, "_discard", _removes_entry_by_entry),
    "parts are made after their epoch": (protocol, "open_epoch", _makes_parts_before_their_epoch),
}
_SEARCHED_AFTER = {
    "a fold leaves the merges of what it names": {"gaps": [4]},
    "a settled epoch goes in one step": {"gaps": range(58, 66), "first": [Event.MOVE], "then": [Event.CRASH]},
    "parts are made after their epoch": {"gaps": range(6, 14), "first": [Event.SWITCH], "then": [Event.MOVE]},
}
"""Where a rule is missed soonest; nothing but time is saved."""


def _is_broken_by(plan: Mapping[int, Event], can_concat: bool) -> bool:
    try:
        _world(plan, can_concat).run()
    except (BrokenPromiseError, CommitLogError):
        return True
    return False


@pytest.mark.parametrize("rule", _RULES)
def test_a_rule_that_is_taken_out_is_missed(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for can_concat in (True, False):
        _length(can_concat)
    module, name, without = _RULES[rule]
    monkeypatch.setattr(module, name, without)

    search = {"gaps": range(1, 20), "first": _THREADS, "then": _THREADS, **_SEARCHED_AFTER.get(rule, {})}
    plans = itertools.chain(_one_event(False, _THREADS), _two_events(False, **search))  # type: ignore[arg-type]

    assert any(_is_broken_by(plan, can_concat) for plan in plans for can_concat in (True, False))
