"""Many messages as one value, and back."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flumebeam.broker.core.spool import SpooledMessage
from flumebeam.broker.store_packs import decode_pack, encode_pack
from flumebeam.errors import ProtocolError
from flumebeam.smf.pubmsg import MessageTemplate
from tests.unit.broker.conftest import Peer

HEADS = [MessageTemplate(Peer.message(1, 1, 0, b"", topic).encode()).head() for topic in ("t/1", "a/much/longer/topic")]
TEMPLATES = [MessageTemplate(head) for head in HEADS]


def fields(message: SpooledMessage) -> tuple[object, ...]:
    return message.id, message.template.head(), message.summary, message.body, message.arrived, message.size


FIELDS = st.tuples(
    st.integers(1, 1_000), st.sampled_from(TEMPLATES), st.binary(max_size=5), st.binary(max_size=40), st.floats()
)


@given(st.integers(0, 2**52), st.lists(FIELDS.filter(lambda fields: not math.isnan(fields[-1])), min_size=1))
def test_messages_come_out_as_they_went_in(
    first: int, fields_of_each: list[tuple[int, MessageTemplate, bytes, bytes, float]]
) -> None:
    number = first
    messages = []
    for gap, template, summary, body, arrived in fields_of_each:
        number += gap
        messages.append(SpooledMessage(number, template, summary, body, arrived))

    templates: dict[bytes, MessageTemplate] = {}
    found = decode_pack(first, encode_pack(first, messages), templates)

    assert [fields(message) for message in found] == [fields(message) for message in messages]
    assert len(templates) == len({message.template for message in messages})


def test_messages_of_one_topic_share_what_is_equal_in_them() -> None:
    messages = [SpooledMessage(number, TEMPLATES[1], b"sum", bytes(200), 1.5) for number in range(256)]

    assert len(encode_pack(0, messages)) < 256 * 230


@given(st.data())
def test_damaged_pack_is_told_and_not_read_as_something_else(data: st.DataObject) -> None:
    content = encode_pack(7, [SpooledMessage(number, TEMPLATES[0], b"s", b"body", 0.0) for number in range(7, 10)])
    end = data.draw(st.integers(0, len(content) - 1))

    with pytest.raises((ValueError, LookupError, ProtocolError)):
        decode_pack(7, content[:end], {})


def test_pack_that_is_too_long_is_told() -> None:
    with pytest.raises(ValueError, match="has"):
        decode_pack(7, encode_pack(7, [SpooledMessage(7, TEMPLATES[0], b"", b"", 0.0)]) + b"x", {})
