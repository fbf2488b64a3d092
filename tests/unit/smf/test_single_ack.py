from __future__ import annotations

import random

import pytest

from flumebeam.smf.assuredctrl import AckRange, AssuredControl, AssuredKind, Outcome
from flumebeam.smf.messages import decode_frame
from flumebeam.smf.single_ack import single_ack

# As solace-pubsubplus 1.11 sent it: flow 2, all up to ...3c4a came, ...2f56 is done with.
CAPTURED = bytes.fromhex(
    "030900010000000c00000037 03030000002b 860600000002 820a0000cb2aaa9c3c4a 8303ff85120000cb2aaa9c2f560000cb2aaa9c2f56"
)


def framed(data: bytes) -> tuple[bytes, bytes]:
    return data[:12], data[12:]


def test_an_acknowledgement_of_one_message_is_read_as_its_parameters_say() -> None:
    chance = random.Random(7)
    for _ in range(200):
        flow, last, window, low, high = (chance.randbytes(size) for size in (4, 8, 1, 8, 8))
        data = CAPTURED[:20] + flow + CAPTURED[24:26] + last + CAPTURED[34:36] + window + CAPTURED[37:39] + low + high
        found, told = single_ack(framed(data)), decode_frame(framed(data))

        assert found is not None
        assert isinstance(told, AssuredControl)
        assert told.kind is AssuredKind.ACK
        assert found == (told.flow_id, told.last_acked, told.window, told.acks)


def test_the_captured_one_is_of_this_form() -> None:
    id_ = 0xCB2AAA9C2F56

    assert single_ack(framed(CAPTURED)) == (2, 0xCB2AAA9C3C4A, 255, (AckRange(id_, id_),))


@pytest.mark.parametrize("at", [*range(20), 24, 25, 34, 35, 37, 38])
def test_what_differs_in_anything_but_its_numbers_is_left_to_the_walk_through_its_parameters(at: int) -> None:
    changed = bytearray(CAPTURED)
    changed[at] ^= 0x10

    assert single_ack(framed(bytes(changed))) is None


@pytest.mark.parametrize(
    "other",
    [
        {"window": 255},
        {"window": 255, "acks": (AckRange(1, 1), AckRange(3, 3))},
        {"window": 255, "acks": (AckRange(1, 1, Outcome.FAILED),)},
        {"acks": (AckRange(1, 1),)},
    ],
    ids=["window only", "two ranges", "an outcome", "no window"],
)
def test_other_acknowledgements_are_left_to_it_too(other: dict[str, object]) -> None:
    message = AssuredControl(kind=AssuredKind.ACK, flow_id=2, last_acked=5, **other)  # type: ignore[arg-type]

    assert single_ack(framed(message.encode())) is None
