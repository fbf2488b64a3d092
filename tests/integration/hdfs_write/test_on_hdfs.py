"""The commit log and the sink on a real NameNode and DataNode."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import apache_beam as beam
import pytest

from flumebeam.clock import ManualClock
from flumebeam.commitlog.layout import QueueIdentity
from flumebeam.commitlog.life import Life
from flumebeam.commitlog.log import CommitLog
from flumebeam.commitlog.options import CommitLogOptions
from flumebeam.commitlog.protocol import PartDraft
from flumebeam.commitlog.steps import CrashPoint
from flumebeam.errors import EpochClosedError
from flumebeam.hdfs.cluster import LocalHdfs
from flumebeam.hdfs.filesystem import FileKind
from flumebeam.hdfs.webhdfs import HdfsOptions, WebHdfsFileSystem
from flumebeam.ids import DeliveryId, delivery_ids
from flumebeam.testing.hdfs import fresh_directory
from flumebeam.testing.memory_queue import MemoryQueue, MemoryReceiverFactory
from flumebeam.transforms.acknowledge import Acknowledge
from flumebeam.transforms.hdfs_write import WriteToHdfs
from flumebeam.transforms.read_options import BundleLimits, ReadLimits
from flumebeam.transforms.receiver_read import ReadFromReceivers
from flumebeam.transforms.running import run_pipeline
from tests.unit.commitlog.helpers import DiedError, die_at


@pytest.fixture
def fs(hdfs_cluster: LocalHdfs) -> Iterator[WebHdfsFileSystem]:
    made = WebHdfsFileSystem(HdfsOptions(webhdfs_urls=(hdfs_cluster.webhdfs_url,)))
    yield made
    made.close()


def _events(fs: WebHdfsFileSystem, directory: str) -> list[int]:
    found: list[int] = []
    for entry in fs.list(directory):
        path = f"{directory}/{entry.name}"
        if entry.name[0] in "._":
            continue
        if entry.kind is FileKind.DIRECTORY:
            found += _events(fs, path)
        else:
            found += [int(line) for line in (fs.read(path) or b"").splitlines()]
    return sorted(found)


def _commit(life: Life, numbers: range) -> None:
    column = delivery_ids(DeliveryId(1, number) for number in numbers)
    new = [number for number, known in zip(numbers, life.committed(column), strict=True) if not known]
    if new:
        name = f"f.{life.file_stem()}.txt"
        drafts = [
            PartDraft(f"by={number % 3}", name, lambda number=number: [b"%d\n" % number], 1)  # type: ignore[misc]
            for number in new
        ]
        life.commit(drafts, delivery_ids(DeliveryId(1, number) for number in new))


def test_whoever_dies_wherever_each_event_is_there_once(fs: WebHdfsFileSystem) -> None:
    root = fresh_directory()
    options = CommitLogOptions(fold_after=2)
    points = [point for point in CrashPoint if point is not CrashPoint.SUPERSEDED]
    for at in [*map(die_at, points), lambda point: None]:
        try:
            log = CommitLog.open(fs, root, QueueIdentity("", "", "q"), options, at=at)
            life = log.begin_life("r")
            life.fence()
            for start in range(0, 12, 3):
                _commit(life, range(start, start + 3))
            log.close()
        except DiedError:
            pass

    assert _events(fs, root) == list(range(12))


def test_commits_that_race_with_a_fence_are_seen_or_refused(fs: WebHdfsFileSystem) -> None:
    root = fresh_directory()
    log = CommitLog.open(fs, root, QueueIdentity("", "", "q"), clock=ManualClock())
    old = log.begin_life("old")
    old.fence()
    new = log.begin_life("new")

    def commit_until_refused() -> int:
        for number in range(1_000):
            try:
                _commit(old, range(number, number + 1))
            except EpochClosedError:
                return number
        raise AssertionError("never refused")

    with ThreadPoolExecutor(1) as pool:
        committing = pool.submit(commit_until_refused)
        while not _events(fs, root):
            pass
        new.fence()
        refused = committing.result()

    column = delivery_ids(DeliveryId(1, number) for number in range(refused + 1))
    assert new.committed(column).tolist() == [True] * refused + [False]
    _commit(new, range(refused + 5))
    assert _events(fs, root) == list(range(refused + 5))
    log.close()


def test_a_queue_is_drained_to_hdfs(hdfs_cluster: LocalHdfs, fs: WebHdfsFileSystem) -> None:
    root = fresh_directory()
    queue = MemoryQueue("hdfs")
    queue.put(b"%d" % number for number in range(1_000))
    pipeline = beam.Pipeline(runner="FnApiRunner")
    limits = ReadLimits(until_empty=True, idle_seconds=0)
    (
        pipeline
        | ReadFromReceivers(MemoryReceiverFactory("hdfs"), limits=limits, bundle=BundleLimits(events=300))
        | WriteToHdfs(f"{hdfs_cluster.webhdfs_url.replace('http', 'webhdfs')}{root}", path="%Y/%m", max_events=250)
        | Acknowledge()
    )
    run_pipeline(pipeline)
    queue.remove()

    assert _events(fs, root) == list(range(1_000))
    assert len(queue.acknowledged) == 1_000
