from __future__ import annotations

import io
import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import fastavro
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from flumebeam.batch import BatchProvenance, EventBatch
from flumebeam.errors import ConfigurationError, FormatError, MisfitError
from flumebeam.formats import TableOptions, TableSchema, open_format, wants_provenance
from flumebeam.formats.joining import join_files
from flumebeam.ids import DeliveryId, delivery_ids


def schema(**fields: Any) -> TableSchema:
    described = [{"name": name, "type": kind} for name, kind in fields.items()]
    return TableSchema(json.dumps({"type": "record", "name": "Row", "fields": described}))


def optional(kind: Any) -> list[Any]:
    return ["null", kind]


TIME = {"type": "long", "logicalType": "timestamp-millis"}
DAY = {"type": "int", "logicalType": "date"}
MONEY = {"type": "bytes", "logicalType": "decimal", "precision": 10, "scale": 2}
PLACE = {
    "type": "record",
    "name": "Place",
    "fields": [{"name": "x", "type": "int"}, {"name": "on", "type": optional(DAY)}],
}
EVERYTHING = schema(
    text="string",
    data=optional("bytes"),
    small=optional("int"),
    large=["long", "null"],
    single=optional("float"),
    double=optional("double"),
    yes=optional("boolean"),
    day=optional(DAY),
    milli=optional(TIME),
    micro=optional({"type": "long", "logicalType": "timestamp-micros"}),
    money=optional(MONEY),
    tags=optional({"type": "array", "items": optional("string")}),
    place=optional(PLACE),
    numbers={"type": "array", "items": "long"},
)
ROWS: list[dict[str, Any]] = [
    {
        "text": "ü",
        "data": "é",
        "small": -(2**31),
        "large": 2**63 - 1,
        "single": 1.5,
        "double": 2,
        "yes": True,
        "day": "2024-02-29",
        "milli": "2024-01-01T01:00:00.5+01:00",
        "micro": "2024-01-01 00:00:00.000001",
        "money": -12.34,
        "tags": ["a", None, ""],
        "place": {"x": 1, "on": "1969-12-31"},
        "numbers": [0, -1, 63, 64, -65, 2**63 - 1, -(2**63)],
        "more": {"deep": [[{}]]},
    },
    {"text": "", "numbers": []},
    {"text": "c", "numbers": [300], "place": {"x": -1}, "tags": [], "money": "99999999.99"},
]
NULLS = dict.fromkeys(EVERYTHING.arrow.names)
EXPECTED: list[dict[str, Any]] = [
    {
        **{name: ROWS[0][name] for name in ("text", "small", "large", "single", "double", "yes", "tags", "numbers")},
        "data": "é".encode(),
        "day": date(2024, 2, 29),
        "milli": datetime(2024, 1, 1, 0, 0, 0, 500_000, UTC),
        "micro": datetime(2024, 1, 1, 0, 0, 0, 1, UTC),
        "money": Decimal("-12.34"),
        "place": {"x": 1, "on": date(1969, 12, 31)},
    },
    {**NULLS, **ROWS[1]},
    {**NULLS, **ROWS[2], "money": Decimal("99999999.99"), "place": {"x": -1, "on": None}},
]


def batch_of(*bodies: Any) -> EventBatch:
    return EventBatch.from_bodies([body if isinstance(body, bytes) else json.dumps(body).encode() for body in bodies])


def read(name: str, data: bytes) -> list[Any]:
    source = io.BytesIO(data)
    return pq.read_table(source).to_pylist() if name == "parquet" else list(fastavro.reader(source))


@pytest.mark.parametrize("name", ["parquet", "avro"])
def test_objects_become_rows_of_every_type(name: str) -> None:
    format = open_format(name, table=TableOptions(schema=EVERYTHING))
    batch = batch_of(*ROWS)

    data = b"".join(format.encode([batch, batch.slice(1, 1), batch.slice(2)]))

    assert read(name, data) == [*EXPECTED, EXPECTED[1], EXPECTED[2]]


@pytest.mark.parametrize(
    ("body", "cause"),
    [
        (b"", "no JSON object"),
        (b"text", "no JSON object"),
        (b"[]", "no JSON object"),
        (b"null", "no JSON object"),
        (b"{", "does not fit"),
        (b'{"n":1', "does not fit"),
        (b'{"n":1}}', "does not fit"),
        (b'{"n":1}{"n":2}', "or several"),
        (b'{"n":1}\n{"n":2}', "or several"),
        (b'{"n":1}\0', "zero byte"),
        (b'{"n":1,"n":2}', "twice"),
        (b"{}", "'n' is missing or null"),
        (b'{"n":null}', "'n' is missing or null"),
        (b'{"n":"1"}', "changed from number to string"),
        (b'{"n":1.5}', "couldn't parse:1.5"),
        (b'{"n":2147483648}', "couldn't parse:2147483648"),
        (b'{"n":1,"s":"\xff"}', "Invalid UTF8"),
        (b'{"n":1,"d":"2024-02-30"}', "2024-02-30"),
        (b'{"n":1,"d":19000}', "from string to number"),
        (b'{"n":1,"m":0.001}', "scale 3"),
        (b'{"n":1,"t":"2024-01-01T00:00:00.123456Z"}', "couldn't parse"),
        (b'{"n":1,"p":{"on":null}}', "'p.x' is missing or null"),
        (b'{"n":1,"p":[]}', "changed from object to array"),
        (b'{"n":1,"l":[1,null]}', r"'l\[\]' is missing or null"),
    ],
)
def test_a_misfit_is_refused_with_its_cause(body: bytes, cause: str) -> None:
    array = {"type": "array", "items": "int"}
    table = TableOptions(
        schema=schema(
            n="int",
            s=optional("string"),
            d=optional(DAY),
            m=optional(MONEY),
            t=optional(TIME),
            p=optional(PLACE),
            l=optional(array),
        )
    )

    with pytest.raises(FormatError, match=cause):
        table.rows(batch_of(body))
    with pytest.raises(MisfitError) as among_others:
        table.rows(batch_of({"n": 1}, body, {"n": 2}))
    assert 1 in among_others.value.suspects or body in _UNNAMED


_UNNAMED = (b'{"n":1}}', b'{"n":1,"m":0.001}', b'{"n":1,"p":{"on":null}}', b'{"n":1,"l":[1,null]}')
"""Those that nothing tells from their neighbours: halves are tried."""


@pytest.mark.parametrize("line", [b"x,a", b"1", b"1,a,b", b'1,"a', b",a", b"1,\xff", b"", b"1\n2"])
def test_a_line_that_does_not_fit_is_suspected_first(line: bytes) -> None:
    table = TableOptions(schema=schema(n="int", s=optional("string")), body="csv")

    with pytest.raises(MisfitError) as error:
        table.rows(batch_of(b"1,a", b"2,b", line, b"3,c"))

    assert error.value.suspects[0] == 2


def test_objects_may_stand_between_blanks() -> None:
    rows = TableOptions(schema=schema(n=optional("int"))).rows(batch_of(b' \r\n{"n":\n1} \n', b"\t{ }\r", b"{}"))

    assert rows.column("n").to_pylist() == [1, None, None]


def test_unknown_fields_are_dropped_or_refused_and_kept_within_the_body() -> None:
    columns, batch = schema(n="int"), batch_of({"n": 1, "more": 2})

    assert TableOptions(schema=columns).rows(batch).to_pylist() == [{"n": 1}]
    assert TableOptions(schema=columns, body_column="raw").rows(batch).to_pylist() == [
        {"n": 1, "raw": b'{"n": 1, "more": 2}'}
    ]
    with pytest.raises(FormatError, match="unexpected field"):
        TableOptions(schema=columns, unknown="refuse").rows(batch)


def test_two_broken_halves_are_not_one_row_and_two_rows_are_not_one_body() -> None:
    table = TableOptions(schema=schema(n=optional("int"), s=optional("string")))

    for bodies in [
        (b'{"n":1', b',"s":"x"}{"n":2}'),
        (b'{"n":1}{"n":2}', b""),
        (b'{"s":"', b'"}{}'),
        (b'{"n":[', b"{}]}"),
    ]:
        with pytest.raises(FormatError):
            table.rows(batch_of(*bodies))


# -- any bodies ------------------------------------------------------------------------------------------------------

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["n", "s", "l", "o", "é"]), inner),
    max_leaves=6,
)
_FITTING = st.fixed_dictionaries(
    {"n": st.integers(-5, 5)}, optional={"s": st.none() | st.text(max_size=4), "l": st.lists(st.booleans(), max_size=2)}
)
_PIECES = st.lists(
    st.sampled_from([b"{", b"}", b'"', b'"n":1', b",", b"\n", b"\r", b"[", b"]", b"{}", b'{"n":1}', b"\0", b" ", b"x"]),
    max_size=6,
).map(b"".join)
_OBJECTS = (_FITTING | _JSON).map(lambda value: json.dumps(value).encode())
_NUMBERED = schema(
    n="int",
    s=optional("string"),
    l=optional({"type": "array", "items": "boolean"}),
    o=optional({"type": "record", "name": "O", "fields": [{"name": "n", "type": "int"}]}),
)


def taken(table: TableOptions, bodies: list[bytes]) -> list[Any] | None:
    try:
        rows: list[Any] = table.rows(batch_of(*bodies)).to_pylist()
    except FormatError:
        return None
    return rows


@pytest.mark.parametrize(
    ("body", "columns"), [("json", _NUMBERED), ("csv", schema(n="int", s="string")), ("csv", schema(s="string"))]
)
def test_any_bodies_together_are_what_they_are_alone_none_lost_and_none_invented(
    body: str, columns: TableSchema
) -> None:
    table = TableOptions(schema=columns, body=body)

    @given(st.lists(_OBJECTS | _PIECES | st.binary(max_size=6), max_size=6))
    @example([b'{"n":1}{"n":2}', b""])
    @example([b'"', b'"'])
    @example([b'1,"a', b'b"'])
    @example([b"1,a\n1,b", b""])
    def check(bodies: list[bytes]) -> None:
        alone = [taken(table, [one]) for one in bodies]
        assert all(rows is None or len(rows) == 1 for rows in alone)
        good = [index for index, rows in enumerate(alone) if rows is not None]
        together = taken(table, [bodies[index] for index in good])
        assert together == [row for rows in alone for row in rows or []]
        if len(good) < len(bodies):
            assert taken(table, bodies) is None, "a block is refused if any body of it is"
        if body == "json":
            for index in good:
                assert isinstance(json.loads(bodies[index]), dict)

    check()


@given(st.lists(_FITTING, max_size=5), st.sampled_from(["parquet", "avro"]))
def test_what_fits_is_read_back_as_it_was(values: list[dict[str, Any]], name: str) -> None:
    data = b"".join(open_format(name, table=TableOptions(schema=_NUMBERED)).encode([batch_of(*values)]))

    assert read(name, data) == [{"s": None, "l": None, "o": None, **value} for value in values]


# -- delimited text --------------------------------------------------------------------------------------------------


def test_delimited_fields_become_rows() -> None:
    columns = schema(s="string", o=optional("string"), n=optional("int"), b=optional("boolean"), t=optional(TIME))
    table = TableOptions(schema=columns, body="csv", delimiter=";", quote="'")

    rows = table.rows(batch_of(b"a;'x;''y\n';7;true;2024-01-01T00:00:00Z\r", b";;;;", b"'';'';;0;")).to_pylist()

    nothing = {"n": None, "b": None, "t": None}
    assert rows == [
        {"s": "a", "o": "x;'y\n", "n": 7, "b": True, "t": datetime(2024, 1, 1, tzinfo=UTC)},
        {"s": "", "o": None, **nothing},
        {"s": "", "o": "", **nothing, "b": False},
    ]


@pytest.mark.parametrize("body", [b"", b"1", b"1,a,b", b"x,a", b',"a"', b'1,"a', b"1,a\n2,b", b"1,a\r2,b", b"1,\xff"])
def test_a_line_that_does_not_fit_is_refused(body: bytes) -> None:
    table = TableOptions(schema=schema(n="int", s="string"), body="csv")

    with pytest.raises(FormatError):
        table.rows(batch_of(body))


# -- added columns ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["parquet", "avro"])
def test_headers_and_source_are_columns(name: str) -> None:
    ids = delivery_ids([DeliveryId(0xAB, 1), DeliveryId(0xAB, 2**63), DeliveryId(1, 3)])
    origin = BatchProvenance("r", "logs", ids, pa.array([False] * 3))
    batch = EventBatch.from_bodies(
        [b"{}"] * 3,
        {"solace.sender-timestamp": "1000"},
        {"timestamp": ["2000", None, "no number"], "solace.topic": ["a/b", None, "c"]},
        origin,
    ).slice(1)
    table = TableOptions(schema=schema(n=optional("int")), headers=("solace.topic",), source=True)
    format = open_format(name, table=table)

    first, second = read(name, b"".join(format.encode([batch])))

    assert wants_provenance(format)
    assert first == {
        "n": None,
        "solace_topic": None,
        "source_queue": "logs",
        "source_id": str(DeliveryId(0xAB, 2**63)),
        "source_time": datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC),
    }
    assert (second["solace_topic"], second["source_id"]) == ("c", str(DeliveryId(1, 3)))


def test_events_of_a_program_have_no_source() -> None:
    rows = TableOptions(schema=schema(n=optional("int")), source=True).rows(batch_of({})).to_pylist()

    assert rows == [{"n": None, "source_queue": None, "source_id": None, "source_time": None}]


# -- options ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"body": "xml"}, "json or csv"),
        ({"unknown": "keep"}, "drop or refuse"),
        ({"delimiter": ""}, "one ASCII character"),
        ({"delimiter": "\n"}, "one ASCII character"),
        ({"quote": "''"}, "one ASCII character"),
        ({"headers": ("n",)}, "names of their own"),
        ({"headers": ("a.b", "a-b")}, "names of their own"),
        ({"headers": ("4th",)}, "names of their own"),
        ({"body_column": "N"}, "names of their own"),
    ],
)
def test_options_that_cannot_work_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        TableOptions(schema=schema(n="int"), **options)


def test_delimited_text_has_no_arrays() -> None:
    with pytest.raises(ConfigurationError, match="cannot hold column 'l'"):
        TableOptions(schema=schema(l={"type": "array", "items": "int"}), body="csv")


def test_only_avro_and_parquet_are_tables_and_avro_is_nothing_else() -> None:
    with pytest.raises(ConfigurationError, match="Only avro and parquet hold typed tables, not 'text'"):
        open_format("text", table=TableOptions(schema=schema(n="int")))
    with pytest.raises(ConfigurationError, match="'avro' needs the schema"):
        open_format("avro")
    with pytest.raises(ConfigurationError, match="block_bytes"):
        type(open_format("avro", table=TableOptions(schema=schema(n="int"))))(
            TableOptions(schema=schema(n="int")), block_bytes=0
        )


@pytest.mark.parametrize("name", ["parquet", "avro"])
def test_files_of_different_schemas_are_never_joined(name: str) -> None:
    old, new = (
        b"".join(open_format(name, table=TableOptions(schema=columns)).encode([batch_of({"n": 1})]))
        for columns in (schema(n="int"), schema(n="long"))
    )

    with pytest.raises(FormatError, match="different schemas"):
        b"".join(join_files(name, [lambda: iter([old]), lambda: iter([new])]))
