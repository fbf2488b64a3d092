"""The local cluster itself, and what Hadoop's own programs read of what we write."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flumebeam.batch import EventBatch
from flumebeam.codecs import CODEC_NAMES
from flumebeam.errors import StorageUnavailableError
from flumebeam.formats import open_format
from flumebeam.hdfs.cluster import LocalHdfs
from flumebeam.hdfs.webhdfs import WebHdfsFileSystem

_READABLE = sorted(set(CODEC_NAMES) - {"lz4", "zstd"})
"""Hadoop needs its native library for zstd and the jar of lz4-java for lz4, which it does not bring with it."""


def test_hadoop_reads_our_text_with_every_codec(hdfs_cluster: LocalHdfs, fs: WebHdfsFileSystem, root: str) -> None:
    batch = EventBatch.from_bodies([b"one", b"", b"two\r", b"\xff", b"x" * 300_000])
    paths = []
    for codec in _READABLE:
        format_ = open_format("text", codec=codec)
        paths.append(f"{root}/{codec}{format_.extension}")
        fs.write(paths[-1], format_.encode([batch, batch]))

    assert hdfs_cluster.shell("-text", *paths) == (b"one\n\ntwo\r\n\xff\n" + b"x" * 300_000 + b"\n") * 2 * len(paths)


def test_hadoop_reads_our_sequence_files_with_every_codec(
    hdfs_cluster: LocalHdfs, fs: WebHdfsFileSystem, root: str
) -> None:
    times = [str(n) for n in range(3_000)]
    bodies = [b"%d " % n + b"a" * (n % 700) for n in range(3_000)]
    batch = EventBatch.from_bodies(bodies, None, {"timestamp": times})
    paths = []
    for codec in _READABLE:
        paths.append(f"{root}/{codec}.seq")
        fs.write(paths[-1], open_format("sequence_file_text", codec=codec).encode([batch]))
    fs.write(
        f"{root}/writable.seq",
        open_format("sequence_file").encode([EventBatch.from_bodies([b"ab"], {"timestamp": "7"})]),
    )

    rows = b"".join(b"%d\t%s\n" % (n, body) for n, body in enumerate(bodies))
    assert hdfs_cluster.shell("-text", *paths) == rows * len(paths)
    assert hdfs_cluster.shell("-text", f"{root}/writable.seq") == b"7\t61 62\n"


def test_hadoop_reads_our_avro_events(hdfs_cluster: LocalHdfs, fs: WebHdfsFileSystem, root: str) -> None:
    batch = EventBatch.from_bodies([b"one", b""], {"host": "web1"}, {"n": ["1", None]})
    paths = []
    for codec in ("none", "deflate", "snappy", "bzip2"):
        paths.append(f"{root}/{codec}.avro")
        fs.write(paths[-1], open_format("avro_event", codec=codec).encode([batch, batch.slice(1)]))

    records = [json.loads(line) for line in hdfs_cluster.shell("-text", *paths).splitlines()]

    one = {"headers": {"host": "web1", "n": "1"}, "body": "one"}
    other = {"headers": {"host": "web1"}, "body": ""}
    assert records == [one, other, other] * 4


def test_a_daemon_that_ends_at_its_start_is_told_with_its_log(hdfs_cluster: LocalHdfs, tmp_path: Path) -> None:
    taken = hdfs_cluster.webhdfs_url.removeprefix("http://")
    cluster = LocalHdfs(tmp_path, settings={"dfs.namenode.http-address": taken})

    with pytest.raises(StorageUnavailableError, match=r"The NameNode ended; its log .*namenode.log: .*in use"):
        cluster.start()

    assert not cluster.namenode.is_running
    assert not cluster.datanode.is_running


def test_hadoop_s_refusal_of_an_admin_command_is_an_error(hdfs_cluster: LocalHdfs) -> None:
    with pytest.raises(StorageUnavailableError, match=r"DFSAdmin -setQuota 1 /nowhere failed: .*nowhere"):
        hdfs_cluster.admin("-setQuota", "1", "/nowhere")
