"""Complete partitions, and files of windows, on a real NameNode and DataNode."""

from __future__ import annotations

from collections.abc import Iterator

import apache_beam as beam
import pytest

from flumebeam.batch import EventBatch
from flumebeam.commitlog.partition_options import PartitionOptions
from flumebeam.hdfs.cluster import LocalHdfs
from flumebeam.hdfs.webhdfs import HdfsOptions, WebHdfsFileSystem
from flumebeam.testing.hdfs import fresh_directory
from flumebeam.testing.memory_queue import MemoryQueue, MemoryReceiverFactory
from flumebeam.transforms import Acknowledge, WriteToHdfs, WriteWindowsToFiles, run_pipeline
from flumebeam.transforms.read_options import ReadLimits
from flumebeam.transforms.receiver_read import ReadFromReceivers


@pytest.fixture
def fs(hdfs_cluster: LocalHdfs) -> Iterator[WebHdfsFileSystem]:
    made = WebHdfsFileSystem(HdfsOptions(webhdfs_urls=(hdfs_cluster.webhdfs_url,)))
    yield made
    made.close()


def test_a_partition_that_is_complete_has_its_file_and_an_empty_one_that_says_so(
    hdfs_cluster: LocalHdfs, fs: WebHdfsFileSystem
) -> None:
    directory = fresh_directory()
    queue = MemoryQueue("complete")
    queue.put([b"1", b"2"])
    pipeline = beam.Pipeline(runner="FnApiRunner")
    (
        pipeline
        | ReadFromReceivers(MemoryReceiverFactory(queue.name), limits=ReadLimits(until_empty=True, idle_seconds=1.1))
        | WriteToHdfs(
            f"{hdfs_cluster.webhdfs_url.replace('http', 'webhdfs', 1)}{directory}",
            path="%Y%m%d-%H%M%S",
            partitions=PartitionOptions(delay_seconds=0),
        )
        | Acknowledge()
    )

    run_pipeline(pipeline)

    queue.remove()
    places = [found.name for found in fs.list(directory) if found.name[0] != "."]
    assert places
    for place in places:
        names = [(found.name[:9], found.length > 0) for found in fs.list(f"{directory}/{place}")]
        assert names == [("FlumeData", True), ("_SUCCESS", False)]


def test_a_window_is_one_file_however_often_it_is_written(hdfs_cluster: LocalHdfs, fs: WebHdfsFileSystem) -> None:
    directory = fresh_directory()
    target = f"{hdfs_cluster.webhdfs_url.replace('http', 'webhdfs', 1)}{directory}"
    for _ in range(2):
        with beam.Pipeline(runner="FnApiRunner") as pipeline:
            pipeline | beam.Create([EventBatch.from_bodies([b"1"])]) | WriteWindowsToFiles(target, run="r")

    (file,) = [found for found in fs.list(directory) if found.name[0] != "."]
    assert fs.read(f"{directory}/{file.name}") == b"1\n"
