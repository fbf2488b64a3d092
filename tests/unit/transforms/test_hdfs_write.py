"""Which file an event is in, under which name and in which form; and options that cannot work."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from flumebeam.batch import EventBatch
from flumebeam.commitlog.options import CommitLogOptions
from flumebeam.commitlog.rolling import RollOptions
from flumebeam.commitlog.steps import CrashPoint
from flumebeam.errors import ConfigurationError
from flumebeam.formats import ParquetFormat
from flumebeam.transforms.hdfs_write import WriteToHdfs
from tests.unit.transforms.sinks import Worker, batch_of, finals
from tests.waiting import eventually


def test_events_are_grouped_by_path(worker: Callable[..., Worker], tmp_path: Path) -> None:
    one = worker(path="host=%{host}")
    one.bundle(batch_of(1, 2, 3, headers={"host": ["a", "b", "a"]}), batch_of(4, headers={"host": ["b"]}))

    assert {path.parent.name: path.read_bytes() for path in finals(tmp_path)} == {
        "host=a": b"1\n3\n",
        "host=b": b"2\n4\n",
    }


def test_names_and_codec_are_as_wished(worker: Callable[..., Worker], tmp_path: Path) -> None:
    worker(file_prefix="web", codec="gzip").bundle(batch_of(1))
    worker(file_prefix="web", file_suffix=".log").bundle(batch_of(2, receiver="r2"))

    first, second = finals(tmp_path)
    assert {first.name.partition(".")[0], second.name.partition(".")[0]} == {"web"}
    packed = next(path for path in (first, second) if path.name.endswith(".txt.gz"))
    assert gzip.decompress(packed.read_bytes()) == b"1\n"


def test_events_whose_files_begin_differently_are_never_in_one_file(
    worker: Callable[..., Worker], tmp_path: Path
) -> None:
    one = worker(path="all", file_prefix="%{host}", roll=RollOptions.flume())
    for start in (0, 8, 16, 24):
        one.bundle(batch_of(*range(start, start + 8), headers={"host": ["a", "b"] * 4}))

    eventually(lambda: len(finals(tmp_path)) == 2)
    assert [(path.parent.name, path.name.partition(".")[0]) for path in finals(tmp_path)] == [
        ("all", "a"),
        ("all", "b"),
    ]
    assert [len(path.read_bytes().splitlines()) for path in finals(tmp_path)] == [10, 10]


def test_ten_thousand_open_paths_cost_no_handle_and_little_memory(
    worker: Callable[..., Worker], tmp_path: Path
) -> None:
    paths = 10_000
    handles: list[int] = []

    def count(point: CrashPoint) -> None:
        if point is CrashPoint.PART_WRITTEN:
            handles.append(_handles())

    one = worker(path="%{p}", roll=RollOptions(max_seconds=0, max_open=paths), max_events=paths, at=count)
    before, memory = _handles(), _resident_bytes()
    one.bundle(batch_of(*range(paths), headers={"p": [f"p{number}" for number in range(paths)]}))

    assert len(handles) == paths
    assert max(handles) <= before + 2 * CommitLogOptions().threads
    assert _resident_bytes() - memory < 20_000 * paths


def _handles() -> int:
    return sum(1 for _ in Path("/dev/fd").iterdir())


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_a_format_of_a_users_own_is_written(worker: Callable[..., Worker], tmp_path: Path) -> None:
    worker(format=ParquetFormat("zstd", row_group_bytes=1_000_000)).bundle(batch_of(1, 2))

    (file,) = finals(tmp_path)
    assert file.suffix == ".parquet"
    assert pq.read_table(file).column("body").to_pylist() == [b"1", b"2"]


def test_a_codec_beside_a_format_of_a_users_own_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="Give the codec 'gzip' to your format parquet itself"):
        WriteToHdfs(str(tmp_path), format=ParquetFormat(), codec="gzip")


def test_every_body_arrives_as_it_was(worker: Callable[..., Worker], tmp_path: Path) -> None:
    bodies = [b"", b"\xff\x00", b"r\r", os.urandom(1_000_000).replace(b"\n", b""), b"end"]
    origin = batch_of(*range(5)).provenance
    worker().bundle(EventBatch.from_bodies(bodies, None, None, origin))

    (file,) = finals(tmp_path)
    assert file.read_bytes() == b"".join(body + b"\n" for body in bodies)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_events": 0}, "max_events must be positive"),
        ({"max_bytes": -1}, "max_bytes must be positive"),
        ({"max_seconds": 0}, "max_seconds must be positive"),
        ({"file_prefix": "_a"}, "hides them"),
        ({"file_prefix": "a/b"}, "not possible"),
        ({"file_prefix": "%D"}, "directories belong to the path"),
        ({"file_prefix": "%Q"}, "unknown escape"),
        ({"file_suffix": "/x"}, "not possible"),
        ({"file_prefix": ""}, "cannot be named"),
        ({"format": "word"}, "no format 'word'"),
        ({"codec": "rar"}, "no codec 'rar'"),
        ({"path": "%{host"}, "host"),
        ({"target": "ftp://x/y"}, "scheme"),
    ],
)
def test_options_that_cannot_work_are_refused_when_the_graph_is_built(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        WriteToHdfs(**{"target": "/nowhere", **options})
