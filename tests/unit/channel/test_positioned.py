from __future__ import annotations

import pytest

from flumebeam.channel.positioned import Mark, PositionedChannel, PositionRecord
from flumebeam.errors import ConfigurationError, FormatError, TransactionStateError
from flumebeam.solace.config import SolaceOptions


def test_a_record_is_read_as_it_was_written() -> None:
    record = PositionRecord(number=3, marks={2**63: Mark(7, {"path": "/a"}), 1: Mark(0, {})})

    assert PositionRecord.decode(record.encode()) == record
    assert PositionRecord().id != PositionRecord().id


@pytest.mark.parametrize("body", [b"", b"{}", b"[1]", b"null", b'{"version": 1, "number": 1, "id": "x", "marks": 3}'])
def test_a_message_that_is_no_position_is_told(body: bytes) -> None:
    with pytest.raises(FormatError, match="no position"):
        PositionRecord.decode(body)


def test_a_position_of_a_newer_version_is_left_alone() -> None:
    with pytest.raises(FormatError, match="newer flumebeam"):
        PositionRecord.decode(b'{"version": 2}')


def test_a_transaction_needs_room_for_the_position_and_a_position_that_was_read() -> None:
    with pytest.raises(ConfigurationError, match="at least 5 messages"):
        PositionedChannel(SolaceOptions(), "p", max_transaction_messages=4)

    channel = PositionedChannel(SolaceOptions(), "p", max_transaction_messages=5)
    assert channel.room == 1
    with pytest.raises(TransactionStateError, match="call marks"):
        channel.transaction().begin()
