"""Exactly the bodies that readers of Avro take are taken, and what is no datum is told with its place and its cause."""

from __future__ import annotations

import io
import json
import time
from typing import Any

import fastavro
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flumebeam.errors import ConfigurationError, MisfitError
from flumebeam.formats.avro_datum import check_datums, datum_schema

_EVERYTHING = {
    "type": "record",
    "name": "Row",
    "namespace": "a.b",
    "fields": [
        {"name": "z", "type": "null"},
        {"name": "b", "type": "boolean"},
        {"name": "i", "type": "int"},
        {"name": "l", "type": {"type": "long", "logicalType": "local-timestamp-millis"}},
        {"name": "f", "type": "float"},
        {"name": "d", "type": "double"},
        {"name": "s", "type": "string"},
        {"name": "y", "type": "bytes"},
        {"name": "x", "type": {"type": "fixed", "name": "Four", "size": 4}},
        {"name": "e", "type": {"type": "enum", "name": "Level", "symbols": ["INFO", "WARN", "ERROR"]}},
        {"name": "a", "type": {"type": "array", "items": ["null", "long", "Level"]}},
        {"name": "m", "type": {"type": "map", "values": {"type": "array", "items": "string"}}},
        {"name": "next", "type": ["null", "Row"]},
    ],
}
_ROWS = st.deferred(
    lambda: st.fixed_dictionaries(
        {
            "z": st.none(),
            "b": st.booleans(),
            "i": st.integers(-(1 << 31), (1 << 31) - 1),
            "l": st.integers(-(1 << 63), (1 << 63) - 1),
            "f": st.floats(width=32),
            "d": st.floats(),
            "s": st.text(max_size=80),
            "y": st.binary(max_size=80),
            "x": st.binary(min_size=4, max_size=4),
            "e": st.sampled_from(["INFO", "WARN", "ERROR"]),
            "a": st.lists(st.none() | st.integers(-99, 99) | st.sampled_from(["INFO", "WARN"]), max_size=4),
            "m": st.dictionaries(st.text(max_size=3), st.lists(st.text(max_size=3), max_size=3), max_size=3),
            "next": st.none() | _ROWS,
        }
    )
)


def datum(schema: Any, value: Any) -> bytes:
    target = io.BytesIO()
    fastavro.schemaless_writer(target, fastavro.parse_schema(schema), value)
    return target.getvalue()


def refused(schema: Any, *bodies: bytes) -> tuple[str, tuple[int, ...]] | None:
    try:
        check_datums(json.dumps(schema), pa.array(bodies, pa.binary()))
    except MisfitError as error:
        cause = str(error).removeprefix("The body is not one Avro datum of the schema: ").removesuffix(".")
        return cause, error.suspects
    return None


@given(st.lists(_ROWS, max_size=3))
def test_what_another_writer_makes_is_taken_and_nothing_else_of_its_length(rows: list[dict[str, Any]]) -> None:
    bodies = [datum(_EVERYTHING, row) for row in rows]

    assert refused(_EVERYTHING, *bodies) is None
    for place, body in enumerate(bodies):
        for wrong in (body[:-1], body + b"\0", b""):
            found = refused(_EVERYTHING, *bodies[:place], wrong, *bodies[place + 1 :])
            assert found is not None
            assert found[1] == (place,)


@given(_ROWS, st.data())
def test_what_is_taken_can_be_read_by_another_reader(row: dict[str, Any], data: st.DataObject) -> None:
    body = bytearray(datum(_EVERYTHING, row))
    for _ in range(data.draw(st.integers(1, 3))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))

    if refused(_EVERYTHING, bytes(body)) is None:
        reader = io.BytesIO(body)
        # Times that Python cannot hold are datums all the same.
        plain = json.loads(json.dumps(_EVERYTHING).replace('"logicalType"', '"what"'))
        fastavro.schemaless_reader(reader, fastavro.parse_schema(plain), None)
        assert reader.tell() == len(body)


_UNION = ["null", "int"]
_ENUM = {"type": "enum", "name": "E", "symbols": ["A", "B"]}
_LONGS = {"type": "array", "items": "long"}
_NULLS = {"type": "array", "items": "null"}


@pytest.mark.parametrize(
    ("schema", "body", "cause"),
    [
        ("boolean", b"\x02", "a boolean in it is 2"),
        ("int", b"\x80\x80\x80\x80\x10", "an int in it is out of range"),
        ("int", b"\x80\x80\x80\x80\x80\x01", "an int in it is out of range"),
        ("long", b"\xff" * 10 + b"\x01", "a number in it does not end"),
        ("long", b"\x80", "it ends too early"),
        ("double", b"1234567", "it ends too early"),
        ("string", b"\x0aab", "a length in it is 5, with 2 bytes left"),
        ("bytes", b"\x01", "a length in it is -1, with 0 bytes left"),
        ("string", b"\x04\xff\xfe", "a string in it is no UTF-8"),
        (_ENUM, b"\x04", "an enum in it has no symbol 2"),
        (_ENUM, b"\x01", "an enum in it has no symbol -1"),
        (_UNION, b"\x01", "a union in it has no branch -1"),
        (_UNION, b"\x04", "a union in it has no branch 2"),
        (_UNION, b"\xff" * 11, "a number in it does not end"),
        (_LONGS, b"\x02\x02", "it ends too early"),
        (_LONGS, b"\x01\x04\x02\x00", "a block in it has another size than it says"),
        (_LONGS, b"\xfe\xff\xff\xff\x0f" + b"\x02" * 40, "it ends too early"),
        ("null", b"\0", "it has bytes left"),
    ],
)
def test_what_some_readers_would_take_or_fall_over_is_refused(schema: Any, body: bytes, cause: str) -> None:
    # The neighbour's bytes are none of the body's.
    assert refused(schema, body, datum("string", "neighbour" * 9)) == (cause, (0,))


@pytest.mark.parametrize(
    ("schema", "body"),
    [
        ("int", b"\xff\xff\xff\xff\x0f"),
        ("long", b"\xff" * 9 + b"\x01"),
        (_LONGS, b"\x03\x04\x02\x02\x02\x02\x00"),
        (_UNION, b"\x80\x00"),
        ("string", b"\x82\x00a"),
        (_NULLS, b"\xfe\xff\xff\xff\xff\xff\xff\xff\x7f\x00"),
    ],
)
def test_unusual_encodings_are_taken_at_once(schema: Any, body: bytes) -> None:
    begin = time.monotonic()

    assert refused(schema, body) is None
    assert time.monotonic() - begin < 60


def test_depth_that_would_end_a_process_is_a_misfit() -> None:
    chain = {"type": "record", "name": "R", "fields": [{"name": "n", "type": ["null", "R"]}]}
    itself = {"type": "record", "name": "R", "fields": [{"name": "n", "type": "R"}]}

    assert refused(chain, b"\x02" * 50 + b"\0") is None
    assert refused(chain, b"\x02" * 1_000_000 + b"\0") == ("it is nested too deeply", (0,))
    assert refused(itself, b"") == ("it is nested too deeply", (0,))


def test_bodies_of_a_slice_are_told_by_their_place_in_it() -> None:
    bodies = pa.array([b"?", b"\x02", b"\x04", b"", b"\x06"], pa.binary())

    check_datums('"long"', bodies.slice(1, 2))
    check_datums('"long"', bodies.slice(0, 0))
    with pytest.raises(MisfitError) as caught:
        check_datums('"long"', bodies.slice(1))
    assert caught.value.suspects == (2,)


@pytest.mark.parametrize(
    "text", ["", "{", "7", '"number"', '{"type": "record"}', "[" * 100_000, '{"type": "array", "items": "no"}']
)
def test_what_is_no_schema_is_told(text: str) -> None:
    with pytest.raises(ConfigurationError, match="must be an Avro schema as JSON"):
        datum_schema(text)
