"""Others work in the target as well: they take files away, stand in the way, or drain the same queue by mistake."""

from __future__ import annotations

import contextlib
import posixpath
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from flumebeam.clock import SystemClock
from flumebeam.commitlog.driver import Driver
from flumebeam.commitlog.steps import CrashPoint
from flumebeam.commitlog.survey import Surveyor
from flumebeam.errors import StorageError
from flumebeam.hdfs.cluster import LocalHdfs
from flumebeam.hdfs.filesystem import FileKind, FileSystem
from flumebeam.hdfs.targets import open_target
from flumebeam.testing.hdfs import fresh_directory
from tests.failures import Counted
from tests.faults.pipelines.scene import Scene, numbered
from tests.faults.pipelines.test_drain_kill import BY_PART, die
from tests.programs import until

LINES = numbered(1_200)
PLACES = ["local", pytest.param("hdfs", marks=[pytest.mark.hdfs, pytest.mark.timeout(600)])]


class Others:
    """Whoever else reads and writes the target, with a place of their own beside it.

    Args:
        fs: The file system.
        root: The target.
    """

    def __init__(self, fs: FileSystem, root: str) -> None:
        self.fs, self.root = fs, root
        self.taken: Counter[bytes] = Counter()
        fs.make_directory(f"{root}-theirs")
        self._turn = 0

    def published(self) -> list[str]:
        """What a reader of the target sees."""
        return list(self._visible(self.root))

    def lines(self) -> Counter[bytes]:
        """What readers of the target and of the others' place have seen."""
        counts = Counter(self.taken)
        for place in (self.root, f"{self.root}-theirs"):
            for path in self._visible(place):
                counts.update((self.fs.read(path) or b"").splitlines())
        return counts

    def move(self) -> None:
        for path in self.published():
            self._turn += 1
            self.fs.rename(path, f"{self.root}-theirs/{self._turn}")

    def delete(self) -> None:
        for path in self.published():
            content = self.fs.read(path)
            assert content is not None
            self.taken.update(content.splitlines())
            self.fs.delete(path)

    def compact(self) -> None:
        files = self.published()
        if len(files) > 1:
            self._turn += 1
            self.fs.write(f"{self.root}-theirs/{self._turn}", [self.fs.read(path) or b"" for path in files])
            for path in files:
                self.fs.delete(path)

    @contextlib.contextmanager
    def at_work(self, deed: Callable[[], None]) -> Iterator[None]:
        """Do something again and again meanwhile, and once more at the end."""
        done = threading.Event()
        failures: list[Exception] = []

        def work() -> None:
            try:
                while not done.wait(0.02):
                    deed()
            except StorageError as error:
                failures.append(error)

        worker = threading.Thread(target=work)
        worker.start()
        try:
            yield
        finally:
            done.set()
            worker.join()
        deed()
        assert failures == []

    def committed(self) -> list[str]:
        """Final names that committed files are still to get."""
        driver = Driver(self.fs, clock=SystemClock(), patience=20)
        surveyor = Surveyor(driver, self.root, SystemClock())
        found = [f"{self.root}/{one.final}" for name in surveyor.logs() for one in surveyor.look(name).stuck]
        driver.close()
        return found

    def _visible(self, directory: str) -> Iterator[str]:
        for found in self.fs.list(directory):
            path = f"{directory}/{found.name}"
            if found.name[0] in "._":
                continue
            if found.kind is FileKind.DIRECTORY:
                yield from self._visible(path)
            else:
                yield path


@pytest.fixture(params=PLACES)
def others(request: pytest.FixtureRequest, scene: Scene) -> Iterator[Others]:
    if request.param == "hdfs":
        cluster: LocalHdfs = request.getfixturevalue("hdfs_cluster")
        scene.target = cluster.webhdfs_url.replace("http://", "webhdfs://") + fresh_directory()
    target = open_target(str(scene.target))
    target.filesystem.make_directory(target.root)
    yield Others(target.filesystem, target.root)
    target.filesystem.close()


def each_once(scene: Scene, others: Others) -> None:
    found, wanted = others.lines(), Counter(LINES)
    assert (found - wanted, wanted - found) == (Counter(), Counter()), "repeated or invented, lost"
    assert scene.left == 0


@pytest.mark.parametrize("deed", ["move", "delete", "compact"])
def test_files_that_others_take_away_at_any_moment_are_neither_missed_nor_written_again(
    scene: Scene, others: Others, deed: str
) -> None:
    scene.fill(LINES)

    with others.at_work(getattr(others, deed)):
        for moment in (CrashPoint.COMMITTED, CrashPoint.PART_PUBLISHED, CrashPoint.PUBLISHED):
            die(scene, moment.name)
        scene.drain_all(BY_PART)

    each_once(scene, others)
    assert others.committed() == []


@pytest.mark.failure("rename returns false")
@pytest.mark.parametrize("theirs", ["file", "directory", "full directory"])
def test_a_final_name_that_others_have_taken_is_theirs_and_nothing_is_stuck(
    scene: Scene,
    others: Others,
    theirs: str,
    counted: Counted,
) -> None:
    scene.fill(LINES)
    die(scene, CrashPoint.COMMITTED.name)
    names = others.committed()
    assert len(names) == 2
    for name in names:
        others.fs.make_directory(posixpath.dirname(name) if theirs == "file" else name)
        if theirs != "directory":
            others.fs.write(name if theirs == "file" else f"{name}/_x", [b""])
    before = [others.fs.stat(name) for name in names]

    scene.drain_all(BY_PART)

    each_once(scene, others)
    assert [others.fs.stat(name) for name in names] == before
    if theirs != "file":
        assert [len(others.fs.list(name)) for name in names] == [int(theirs == "full directory")] * 2
    counted(LINES, others.lines().elements(), kept=scene.left)


def test_a_file_where_a_directory_should_be_is_theirs_and_nothing_is_stuck(scene: Scene, others: Others) -> None:
    scene.fill(LINES)
    others.fs.write(f"{others.root}/0", [b""])

    scene.drain_all(BY_PART)

    each_once(scene, others)
    found = others.fs.stat(f"{others.root}/0")
    assert found is not None
    assert found.length == 0


def test_two_jobs_that_drain_one_shared_queue_by_mistake_take_turns(scene: Scene, others: Others) -> None:
    scene.broker.delete_queue(scene.queue)
    scene.broker.create_queue(scene.queue, access="non-exclusive", subscriptions=[scene.topic])
    jobs = [scene.drain(BY_PART, until_empty=False) for _ in range(2)]
    until(lambda: scene.broker.queue(scene.queue).consumers == 2, "both jobs drain")
    for start in range(0, len(LINES), 200):
        scene.fill(LINES[start : start + 200])

    until(lambda: not scene.left, "the queue empty")

    for job in jobs:
        job.send(signal.SIGINT)
    for job in jobs:
        job.ends_well()
    each_once(scene, others)
