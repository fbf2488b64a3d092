"""Which messages count as published before."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
import pytest

from flumebeam.batch import BatchProvenance, EventBatch
from flumebeam.errors import ConfigurationError
from flumebeam.ids import DeliveryId, delivery_ids
from flumebeam.solace.packing import PACKED_HEADER
from flumebeam.transforms.repeats import RepeatWindow


def received(*messages: tuple[int, str | None]) -> EventBatch:
    """A batch of deliveries with their application message ids."""
    deliveries = delivery_ids([DeliveryId(1, delivery) for delivery, _ in messages])
    origin = BatchProvenance(
        receiver="r", queue="q", ids=deliveries, redelivered=pa.array([False] * len(messages)), fence=False
    )
    batch = EventBatch.from_bodies(
        [b"%d" % delivery for delivery, _ in messages],
        {},
        {"solace.application-message-id": [id_ for _, id_ in messages]},
    )
    return replace(batch, provenance=origin)


def kept(window: RepeatWindow, batch: EventBatch, waiting: dict[bytes, str] | None = None) -> list[int]:
    fresh, repeats = window.split(batch, {} if waiting is None else waiting)
    assert len(fresh) + len(repeats if repeats is not None else ()) == len(batch)
    return [int(body) for body in fresh.bodies.to_pylist()]


def test_the_first_message_of_an_id_passes_and_others_do_not() -> None:
    window = RepeatWindow(10)

    assert kept(window, received((1, "a"), (2, "b"), (3, "a"))) == [1, 2]
    assert kept(window, received((4, "b"), (5, "c"))) == [5]


def test_a_message_that_the_broker_delivers_again_passes() -> None:
    window = RepeatWindow(10)

    assert kept(window, received((1, "a"), (2, "b"))) == [1, 2]
    assert kept(window, received((1, "a"), (2, "b"))) == [1, 2]


def test_what_was_given_back_is_no_reason_to_drop_another() -> None:
    window, waiting = RepeatWindow(10), {}
    kept(window, received((1, "a"), (2, "b")), waiting)
    del waiting[DeliveryId(1, 1).pack()]  # acknowledged

    window.forget(waiting)

    assert kept(window, received((3, "a"), (4, "b"))) == [4]


def test_ids_beyond_the_window_are_forgotten() -> None:
    window = RepeatWindow(2)

    assert kept(window, received((1, "a"), (2, "b"), (3, "c"), (4, "a"), (5, "c"))) == [1, 2, 3, 4]


def test_messages_without_an_id_and_packed_ones_pass() -> None:
    window = RepeatWindow(10)
    packed = received((1, "a"), (2, "a"))

    assert kept(window, received((1, None), (2, ""), (3, None), (4, ""))) == [1, 2, 3, 4]
    assert kept(window, replace(packed, shared={PACKED_HEADER: "true"})) == [1, 2]
    assert kept(window, replace(packed, columns={})) == [1, 2]


def test_a_window_without_room_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="at least 1"):
        RepeatWindow(0)
