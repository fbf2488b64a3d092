from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flumebeam.errors import FormatError
from flumebeam.ids import ID_TEXT, DeliveryId, are_id_texts, delivery_ids, id_list, id_pairs

U64 = st.integers(0, 2**64 - 1)


@given(origin=U64, number=U64)
def test_sixteen_bytes_name_an_id_and_come_back_as_it(origin: int, number: int) -> None:
    delivery = DeliveryId(origin, number)

    assert len(delivery.pack()) == 16
    assert DeliveryId.unpack(delivery.pack()) == delivery


@given(st.lists(st.tuples(U64, U64), min_size=2, max_size=2))
def test_byte_order_is_numeric_order(pairs: list[tuple[int, int]]) -> None:
    one, two = (DeliveryId(*pair) for pair in pairs)

    assert (one < two) == (one.pack() < two.pack())


def test_a_replication_group_message_id_is_read_as_spooler_and_number() -> None:
    text = "rmid1:11223-34455667788-00000000-00000001"

    assert DeliveryId.from_replication_group(text) == DeliveryId(0x1122334455667788, 1)


@pytest.mark.parametrize("text", ["", "rmid1:", "rmid2:11223-34455667788-00000000-00000001", "rmid1:" + "g" * 32])
def test_another_text_is_refused_by_name(text: str) -> None:
    with pytest.raises(FormatError, match="no replication group message id"):
        DeliveryId.from_replication_group(text)


def test_another_length_is_refused() -> None:
    with pytest.raises(FormatError, match="16 bytes, got 3"):
        DeliveryId.unpack(b"abc")


def test_a_column_gives_its_numbers_slices_included() -> None:
    column = delivery_ids([DeliveryId(1, 2), DeliveryId(2**64 - 1, 3).pack(), DeliveryId(5, 6)])

    assert id_pairs(column.slice(1)).tolist() == [[2**64 - 1, 3], [5, 6]]
    assert id_pairs(column).dtype == np.uint64


def test_a_column_gives_its_ids_as_bytes_zeros_and_slices_included() -> None:
    column = delivery_ids([DeliveryId(1, 0), DeliveryId(0, 0), DeliveryId(2, 256)])

    assert id_list(column) == column.to_pylist()
    assert id_list(column.slice(1)) == column.slice(1).to_pylist()
    assert id_list(column.slice(3)) == []
    assert id_list(delivery_ids([])) == []


def test_an_id_prints_as_hexadecimal_of_fixed_width() -> None:
    assert str(DeliveryId(1, 255)) == "0000000000000001-00000000000000ff"


@given(st.lists(st.one_of(st.builds(DeliveryId, U64, U64).map(str), st.none()), max_size=5))
def test_texts_of_ids_are_known_wherever_a_column_begins(texts: list[str | None]) -> None:
    column = pa.array(["no id", *texts], pa.string())

    assert are_id_texts(column).to_pylist() == [False, *(text and True for text in texts)]
    assert are_id_texts(column.slice(1)).to_pylist() == [text and True for text in texts]


@pytest.mark.parametrize("width", [0, 32, 33, 34])
@given(data=st.data())
def test_a_text_of_an_id_is_told_from_any_other(width: int, data: st.DataObject) -> None:
    text = data.draw(st.text("0af-gA\n", min_size=width, max_size=width))
    near = f"{DeliveryId(1, 2)}\n"

    assert are_id_texts(pa.array([text, near])).to_pylist() == [ID_TEXT.fullmatch(text) is not None, False]
