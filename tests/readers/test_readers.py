"""Every format and codec, rolled, read back by those who will: a cell of the table in docs/files.md each."""

from __future__ import annotations

import io
import json
import re
from base64 import b64decode
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

import fastavro
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flumebeam.hdfs.filesystem import FileSystem
from tests.every_format import CODECS
from tests.readers.java_readers import JavaReaders, ReaderError
from tests.readers.lake import ROWS, Lake, Row

pytestmark = [pytest.mark.slow]

_TEXTS: Final = ("text", "header_and_text")
_SEQUENCES: Final = ("sequence_file", "sequence_file_text")
_AVRO: Final = ("avro_event", "typed avro")
_PARQUET: Final = ("parquet", "typed parquet")

READERS: Final[dict[str, tuple[str, ...]]] = {
    "hdfs dfs -text": (*_TEXTS, *_SEQUENCES, *_AVRO),
    "MapReduce": (*_TEXTS, *_SEQUENCES),
    "Spark": (*_TEXTS, *_SEQUENCES, *_AVRO, *_PARQUET),
    "avro-tools": _AVRO,
    "fastavro": _AVRO,
    "pyarrow": (*_TEXTS, *_PARQUET),
}
"""Who reads which formats."""

_OF_ARROW: Final = {"none": None, "gzip": "gzip", "bzip2": "bz2", "zstd": "zstd"}
_NATIVE: Final = "native zStandard library not available"
_REFUSED: Final[dict[tuple[str, str, str], str]] = {
    **{("hdfs dfs -text", name, "zstd"): "status -1" for name in (*_TEXTS, *_SEQUENCES, *_AVRO)},
    **{("MapReduce", name, "zstd"): _NATIVE for name in (*_TEXTS, *_SEQUENCES)},
    **{("Spark", name, "zstd"): _NATIVE for name in (*_TEXTS, *_SEQUENCES)},
    **{("Spark", name, "brotli"): "(?i)brotli" for name in _PARQUET},
}
"""What a reader does not read, with what it says then."""


def _is_given(reader: str, name: str, codec: str) -> bool:
    return reader != "pyarrow" or name in _PARQUET or codec in _OF_ARROW


def cells() -> list[tuple[str, str, str]]:
    """Return every reader with every format and codec that it is given."""
    return [
        (reader, name, codec)
        for reader, names in READERS.items()
        for name in names
        for codec in CODECS[name]
        if _is_given(reader, name, codec)
    ]


def table() -> str:
    """Return the table as it stands in docs/files.md."""
    groups = (("text", _TEXTS), ("sequence files", _SEQUENCES), ("Avro", _AVRO), ("Parquet", _PARQUET))
    lines = ["| reader | " + " | ".join(title for title, _ in groups) + " |", "|---|" + "---|" * len(groups)]
    lines += [
        f"| {reader} | " + " | ".join(_codecs_read(reader, names) for _, names in groups) + " |" for reader in READERS
    ]
    return "\n".join(lines) + "\n"


def _codecs_read(reader: str, names: tuple[str, ...]) -> str:
    if names[0] not in READERS[reader]:
        return "-"
    (codecs,) = {
        tuple(
            codec
            for codec in CODECS[name]
            if (reader, name, codec) in cells() and (reader, name, codec) not in _REFUSED
        )
        for name in names
    }
    missing = [codec for codec in CODECS[names[0]] if codec not in codecs]
    if len(missing) > len(codecs) // 2:
        return ", ".join(f"`{codec}`" for codec in codecs)
    return "all" + (" but " + ", ".join(f"`{codec}`" for codec in missing) if missing else "")


def test_the_table_in_the_documentation_is_this_one() -> None:
    text = (Path(__file__).parents[2] / "docs" / "files.md").read_text()

    assert table() in text, f"put this into docs/files.md:\n{table()}"


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("reader", "name", "codec"), cells())
def test_a_rolled_file_is_read_back_by_somebody_else(
    readers: JavaReaders, storage: FileSystem, lake: Lake, reader: str, name: str, codec: str
) -> None:
    path = lake.paths[name, codec]
    if (reader, name, codec) in _REFUSED:
        with pytest.raises(ReaderError, match=_REFUSED[reader, name, codec]):
            _READ[reader](readers, storage, path, name)
        return

    rows = _READ[reader](readers, storage, path, name)

    assert sorted(rows) == ROWS


# -- readers ---------------------------------------------------------------------------------------------------------


def _of_bodies(bodies: Iterable[bytes]) -> list[Row]:
    return [_of_values(json.loads(body)) for body in bodies]


def _of_values(values: dict[str, Any]) -> Row:
    return values["n"], values["s"]


def _of_lines(lines: Iterable[bytes], name: str) -> list[Row]:
    return _of_bodies(_without_headers(line) if name == "header_and_text" else line for line in lines)


def _without_headers(line: bytes) -> bytes:
    found = re.fullmatch(rb"\{host=web1, timestamp=\d+\} (.*)", line)
    assert found is not None, line
    return found[1]


def _of_avro_json(lines: Iterable[str], name: str) -> list[Row]:
    records = [json.loads(line) for line in lines]
    if name == "typed avro":
        return [_of_values(record) for record in records]
    assert {record["headers"]["host"] for record in records} == {"web1"}
    return _of_bodies(record["body"].encode("latin-1") for record in records)


def _shell(readers: JavaReaders, storage: FileSystem, path: str, name: str) -> list[Row]:
    printed: bytes = readers.ask("hdfs dfs -text", path).encode("latin-1")
    lines = printed.splitlines()
    if name in _TEXTS:
        return _of_lines(printed.split(b"\n")[:-1], name)
    if name in _AVRO:
        return _of_avro_json(printed.decode().splitlines(), name)
    values = [line.split(b"\t", 1)[1] for line in lines]
    return _of_bodies(bytes.fromhex(value.decode()) if name == "sequence_file" else value for value in values)


def _map_reduce(readers: JavaReaders, storage: FileSystem, path: str, name: str) -> list[Row]:
    if name in _TEXTS:
        return _of_lines((line.encode("latin-1") for line in readers.ask("TextInputFormat", path)), name)
    (value_class,), *records = readers.ask("SequenceFile.Reader", path)
    assert value_class.endswith(".BytesWritable" if name == "sequence_file" else ".Text")
    rows = _of_bodies(value.encode("latin-1") for _, value in records)
    assert [int(key) for key, _ in records] == [1_700_000_000_000 + row[0] for row in rows]
    return rows


def _spark(readers: JavaReaders, storage: FileSystem, path: str, name: str) -> list[Row]:
    if name in _SEQUENCES:
        return _of_bodies(value.encode("latin-1") for value in readers.ask("spark sequenceFile", path))
    source = {"text": "text", "header_and_text": "text"}.get(name, "parquet" if name in _PARQUET else "avro")
    records = [json.loads(record) for record in readers.ask("spark-sql", f"SELECT * FROM {source}.`{path}`")]  # noqa: S608
    if source == "text":
        return _of_lines((record["value"].encode() for record in records), name)
    if name.startswith("typed "):
        return [_of_values(record) for record in records]
    assert {record["headers"]["host"] for record in records} == {"web1"}
    return _of_bodies(b64decode(record["body"]) for record in records)


def _avro_tools(readers: JavaReaders, storage: FileSystem, path: str, name: str) -> list[Row]:
    return _of_avro_json(readers.ask("avro-tools tojson", readers.filesystem + path).splitlines(), name)


def _fastavro(readers: JavaReaders, storage: FileSystem, path: str, name: str) -> list[Row]:
    records = list(fastavro.reader(io.BytesIO(storage.read(path) or b"")))
    if name == "typed avro":
        return [_of_values(record) for record in records]
    return _of_bodies(record["body"] for record in records)


def _pyarrow(readers: JavaReaders, storage: FileSystem, path: str, name: str) -> list[Row]:
    data = storage.read(path) or b""
    if name in _PARQUET:
        records = pq.read_table(io.BytesIO(data)).to_pylist()
        return (
            [_of_values(record) for record in records]
            if name.startswith("typed ")
            else _of_bodies(record["body"] for record in records)
        )
    codec = _OF_ARROW[Path(path).parent.name]
    stream = pa.input_stream(io.BytesIO(data), compression=codec)
    return _of_lines(stream.read().split(b"\n")[:-1], name)


_READ: Final[dict[str, Callable[[JavaReaders, FileSystem, str, str], list[Row]]]] = {
    "hdfs dfs -text": _shell,
    "MapReduce": _map_reduce,
    "Spark": _spark,
    "avro-tools": _avro_tools,
    "fastavro": _fastavro,
    "pyarrow": _pyarrow,
}
