"""Output waits for the records before it; what comes meanwhile shares the next commit."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable
from typing import Any, NamedTuple

import pytest

from flumebeam.broker.core.journal import PublisherClosed, Record
from flumebeam.broker.group_commit import GroupCommit
from flumebeam.errors import StorageError

A, B, C = (PublisherClosed(name) for name in "abc")


class SlowStore:
    """A store whose commits wait for the test."""

    def __init__(self) -> None:
        self.commits: list[list[Record]] = []
        self.go = threading.Semaphore(0)
        self.failure: StorageError | None = None

    def commit(self, records: Iterable[Record]) -> None:
        self.commits.append(list(records))
        if not self.go.acquire(timeout=20):
            raise TimeoutError
        if self.failure is not None:
            raise self.failure


class Said(NamedTuple):
    """Output: it tells of the portions up to one."""

    text: str
    portion: int
    connection: str = "one"


class Rig:
    """A group commit and what came out of it."""

    def __init__(self) -> None:
        self.store = SlowStore()
        self.output: list[Said] = []
        self.failures: list[StorageError] = []
        store: Any = self.store
        self.commits: GroupCommit[Said] = GroupCommit(store, self.output.extend, self.failures.append)

    @property
    def sent(self) -> list[str]:
        return [said.text for said in self.output]

    async def until_commits(self, count: int) -> None:
        async with asyncio.timeout(20):
            while len(self.store.commits) < count:  # noqa: ASYNC110 - they begin in another thread
                await asyncio.sleep(0.001)

    async def finish(self) -> None:
        self.store.go.release(10)
        await self.commits.end()


@pytest.mark.asyncio
async def test_output_without_records_goes_at_once() -> None:
    rig = Rig()
    rig.commits.add([], [Said("x", 1)])

    assert rig.sent == ["x"]
    await rig.finish()


@pytest.mark.asyncio
async def test_output_waits_for_its_records_and_for_those_before() -> None:
    rig = Rig()
    rig.commits.add([A], [Said("a", 1)])
    await rig.until_commits(1)
    rig.commits.add([], [Said("later, without records", 2)])
    assert rig.sent == []
    rig.store.go.release()
    await rig.commits.durable()

    assert rig.sent == ["a", "later, without records"]
    await rig.finish()


@pytest.mark.asyncio
async def test_output_that_tells_of_nothing_new_passes_by_a_commit_that_is_under_way() -> None:
    rig = Rig()
    rig.store.go.release()
    rig.commits.add([A], [Said("first", 1)])
    await rig.commits.durable()
    rig.commits.add([B], [Said("second", 2, "other")])
    await rig.until_commits(2)
    rig.commits.add([], [Said("of the first", 1)])
    rig.commits.add([C], [Said("of the first again", 1), Said("third", 3)])

    assert rig.sent == ["first", "of the first", "of the first again"]
    rig.store.go.release(2)
    await rig.commits.durable()
    assert rig.sent == ["first", "of the first", "of the first again", "second", "third"]
    await rig.finish()


@pytest.mark.asyncio
async def test_output_never_passes_by_what_its_connection_was_to_get_before() -> None:
    rig = Rig()
    rig.store.go.release()
    rig.commits.add([A], [])
    await rig.commits.durable()
    rig.commits.add([B], [Said("held", 2)])
    await rig.until_commits(2)
    rig.commits.add([C], [Said("of the first", 1), Said("too", 1, "other")])
    assert rig.sent == ["too"]
    rig.store.go.release()
    await rig.until_commits(3)
    assert rig.sent == ["too", "held"]
    rig.commits.add([], [Said("of the first again", 1)])
    assert rig.sent == ["too", "held"]
    rig.store.go.release()
    await rig.commits.durable()

    assert rig.sent == ["too", "held", "of the first", "of the first again"]
    await rig.finish()


@pytest.mark.asyncio
async def test_what_one_turn_brings_and_what_comes_during_a_commit_share_one_each() -> None:
    rig = Rig()
    rig.commits.add([A], [Said("a", 1)])
    rig.commits.add([B], [Said("b", 2)])
    await rig.until_commits(1)
    rig.commits.add([C], [Said("c", 3)])
    rig.commits.add([A], [Said("d", 4)])
    rig.store.go.release(2)
    await rig.commits.durable()

    assert rig.store.commits == [[A, B], [C, A]]
    assert rig.sent == ["a", "b", "c", "d"]
    await rig.finish()


@pytest.mark.asyncio
async def test_failed_commit_releases_nothing_any_more_and_is_told_once() -> None:
    rig = Rig()
    rig.store.failure = StorageError("broken")
    rig.commits.add([A], [Said("a", 1)])
    await rig.until_commits(1)
    rig.commits.add([B], [Said("b", 2)])
    rig.store.go.release()
    with pytest.raises(StorageError, match="broken"):
        await rig.commits.durable()
    rig.commits.add([], [Said("c", 3)])

    assert rig.sent == []
    assert rig.failures == [rig.store.failure]
    assert rig.store.commits == [[A]]
    await rig.finish()


@pytest.mark.asyncio
async def test_end_drops_what_no_commit_has_begun_on() -> None:
    rig = Rig()
    rig.commits.add([A], [Said("a", 1)])
    await rig.until_commits(1)
    rig.commits.add([B], [Said("b", 2)])
    ending = asyncio.create_task(rig.commits.end())
    await asyncio.sleep(0)
    rig.store.go.release(10)
    await ending

    assert rig.sent == []
    assert rig.store.commits == [[A]]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("point", "stored", "sent"),
    [("before-store", [], []), ("after-store", [[A]], []), ("after-answers", [[A]], ["a"])],
)
async def test_crash_at_a_point_leaves_what_was_durable_and_tells_nobody_more(
    point: str, stored: list[list[Record]], sent: list[str]
) -> None:
    rig = Rig()
    asked: list[str] = []

    def crashes(now: str) -> bool:
        asked.append(now)
        return now == point

    store: Any = rig.store
    commits: GroupCommit[Said] = GroupCommit(store, rig.output.extend, rig.failures.append, crashes)
    commits.add([A], [Said("a", 1)])
    rig.store.go.release(10)
    await commits.durable()
    commits.add([B], [Said("b", 2)])
    await commits.end()

    assert (rig.store.commits, rig.sent) == (stored, sent)
    assert asked[-1] == point
    assert rig.failures == []
