from __future__ import annotations

import pyarrow as pa
import pytest

from flumebeam.formats.columns import content


@pytest.mark.parametrize("kind", [pa.binary(), pa.string()])
def test_content_is_the_values_of_that_part_of_the_column(kind: pa.DataType) -> None:
    column = pa.array(["zero", "", "two", "three"], type=kind)

    assert content(column) == b"zerotwothree"
    assert content(column.slice(1, 2)) == b"two"
    assert content(column.slice(3)) == b"three"


def test_a_column_without_values_has_no_content() -> None:
    assert content(pa.array([], type=pa.binary())) == b""
    assert content(pa.array(["a"], type=pa.string()).slice(1)) == b""
