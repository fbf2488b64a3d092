from __future__ import annotations

import numpy as np
import pytest

from flumebeam.ids import DeliveryId
from flumebeam.sources.event_ids import id_column, id_text


@pytest.mark.parametrize("origin", [0, 0x00FF00FF00FF00FF, 2**64 - 1])
def test_columns_are_what_single_ids_would_be(origin: int) -> None:
    numbers = [0, 1, 0x0123456789ABCDEF, 2**64 - 1]
    ids = [DeliveryId(origin, number) for number in numbers]

    packed = id_column(origin, np.array(numbers, dtype=np.uint64))
    text = id_text(origin, np.array(numbers, dtype=np.uint64))

    packed.validate(full=True)
    text.validate(full=True)
    assert packed.to_pylist() == [one.pack() for one in ids]
    assert text.to_pylist() == [str(one) for one in ids]


def test_no_numbers_give_empty_columns() -> None:
    none = np.array([], dtype=np.uint64)

    assert (len(id_column(1, none)), len(id_text(1, none))) == (0, 0)
