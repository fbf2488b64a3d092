"""What a connection sends is taken in portions that others can wait for."""

from __future__ import annotations

from flumebeam.broker.client import portion_after

FAST, SLOW = 10e-9, 190e-9
"""Seconds for a byte of messages, and of acknowledgements one by one."""


def after_many(size: int, per_byte: float, share: float = 1.0) -> int:
    for _ in range(20):
        came = int(size * share)
        size = portion_after(size, came, came * per_byte)
    return size


def test_portions_that_take_long_shrink_until_others_can_wait_for_one() -> None:
    assert after_many(262_144, SLOW) * SLOW <= 0.005


def test_portions_never_shrink_to_nothing() -> None:
    assert after_many(262_144, 1.0) == 4_096


def test_portions_that_come_full_and_take_little_grow_to_what_is_read_at_once() -> None:
    assert after_many(4_096, FAST) == 262_144


def test_portions_of_a_connection_that_sends_little_stay_as_small_as_they_are() -> None:
    assert after_many(16_384, FAST, share=0.9) == 16_384
