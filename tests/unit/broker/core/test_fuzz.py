"""Hostile bytes, bounded: ``make fuzz`` tries more of the same for longer."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.targets import codec, engine


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=400))
def test_any_conversation_of_a_client_that_is_logged_in_ends_in_answers_or_a_closed_connection(data: bytes) -> None:
    engine(data)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400))
def test_any_stream_reads_the_same_in_one_piece_and_byte_by_byte(data: bytes) -> None:
    codec(data)
