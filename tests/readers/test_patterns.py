"""What those see who look at a directory while a drain writes into it and merges, at every place of its protocol."""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from collections.abc import Callable

import pytest

from flumebeam.commitlog.rolling import RollOptions
from flumebeam.commitlog.steps import CrashPoint
from flumebeam.formats import open_format
from flumebeam.hdfs.filesystem import FileSystem
from flumebeam.testing.hdfs import fresh_directory
from tests.readers.java_readers import JavaReaders, ReaderError
from tests.readers.lake import Row, write

pytestmark = [pytest.mark.slow]

_EVENTS = 20
_TRANSACTIONS: list[list[Row]] = [
    [(number, "x") for number in range(start, start + 5)] for start in range(0, _EVENTS, 5)
]
_NOTHING_THERE = ("matches 0 files", "does not exist", "PATH_NOT_FOUND")
_FILE = 10
"""Events of a file: it has two segments."""


@pytest.mark.timeout(600)
@pytest.mark.parametrize("directory", ["", "dt=1", "y=1/m=2", "y=1/m=2/d=3", "y=1/m=2/d=3/h=4"])
def test_no_pattern_ever_finds_a_part_or_half_a_file(readers: JavaReaders, storage: FileSystem, directory: str) -> None:
    root = fresh_directory()
    depth = len(directory.split("/")) if directory else 0
    seen: defaultdict[str, set[int]] = defaultdict(set)
    looked: set[CrashPoint] = set()
    wrong: list[str] = []
    lock = threading.Lock()

    def map_reduce(pattern: str) -> list[bytes]:
        return [line.encode("latin-1") for line in readers.ask("TextInputFormat", pattern)]

    def spark(pattern: str) -> list[bytes]:
        found = readers.ask("spark-sql", f"SELECT value FROM text.`{pattern}`")  # noqa: S608
        return [json.loads(row)["value"].encode() for row in found]

    directories, files = root + depth * "/*", root + (depth + 1) * "/*"
    quick: dict[str, tuple[Callable[[str], list[bytes]], str]] = {
        "MapReduce, a partition": (map_reduce, f"{root}/{directory}"),
        "MapReduce, any directories": (map_reduce, directories),
        "MapReduce, any files": (map_reduce, files),
    }
    slow = {
        "Spark, the directory": (spark, root),
        "Spark, any directories": (spark, f"{root}/*"),
        "Spark, any files": (spark, files),
    }

    def look(point: CrashPoint) -> None:
        # Parts are written and merged by several threads.
        with lock:
            looks = quick if point in looked else quick | slow
            looked.add(point)
            for who, (read, pattern) in looks.items():
                try:
                    numbers = sorted(json.loads(line)["n"] for line in read(pattern))
                except ReaderError as error:
                    # Before the first file there is nothing to find.
                    if seen[who] or not any(words in str(error) for words in _NOTHING_THERE):
                        raise
                    continue
                if len(numbers) != len(set(numbers)) or len(numbers) % _FILE or not seen[who] <= set(numbers):
                    wrong.append(f"{who}, {point.value}: {numbers} after {sorted(seen[who])}")
                seen[who] = set(numbers)

    write(
        storage,
        root,
        _TRANSACTIONS,
        {directory: open_format("text")},
        roll=RollOptions(max_seconds=0, max_events=_FILE),
        at=look,
    )
    merging = {point for point in looked if point.name.startswith("MERGE_")}
    looked.clear()
    look(CrashPoint.SWEPT)

    assert len(merging) == 4
    assert wrong == []
    assert seen == {who: set(range(_EVENTS)) for who in quick | slow}
    # Deeper than any data, where the commit log keeps its own.
    for more in range(depth + 2, 7):
        for read in (map_reduce, spark):
            assert read_nothing(read, root + more * "/*")


@pytest.mark.timeout(600)
def test_a_target_that_an_earlier_version_began_still_stops_map_reduce(
    readers: JavaReaders, storage: FileSystem
) -> None:
    root = fresh_directory()
    storage.make_directory(f"{root}/.flumebeam")
    write(storage, root, _TRANSACTIONS, {"dt=1": open_format("text")})

    # Directories of the log are not hidden there; what helps is said in the documentation.
    with pytest.raises(ReaderError, match=r"Not a file: .*flumebeam"):
        readers.ask("TextInputFormat", f"{root}/*/*")
    for pattern in (f"{root}/dt=*/*", f"{root}/*/*"):
        assert len(readers.ask("TextInputFormat, subdirectories ignored", pattern)) == _EVENTS


def read_nothing(read: Callable[[str], list[bytes]], pattern: str) -> bool:
    """Tell whether a reader finds nothing under a pattern that goes into hidden directories."""
    try:
        return read(pattern) == []
    except ReaderError as error:
        return any(words in str(error) for words in _NOTHING_THERE)
