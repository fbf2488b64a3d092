"""The hot path of messages: templates found by what does not change."""

from __future__ import annotations

import struct

import pytest

from flumebeam.errors import ProtocolError
from flumebeam.smf.header import Flag
from flumebeam.smf.messages import Message, decode_frame
from flumebeam.smf.params import HeaderParameters
from flumebeam.smf.pubmsg import (
    MessageReader,
    encode_delivery,
    encode_direct,
    encode_redelivery,
    spooler_stamp,
)
from flumebeam.smf.stream import FrameReader

STAMP = spooler_stamp(77)


def head(
    topic: bytes = b"t/1",
    summary: bytes = b"",
    message_id: int = 1,
    first: int = 0x1B,
    extra: bytes = b"",
    behind: bytes = b"",
) -> bytes:
    """Header of a guaranteed message with the layout that the vendor's client uses."""
    parameters = (
        encode(0x98, topic + b"\0")
        + (encode(0x96, summary) if summary else b"")
        + bytes.fromhex("030304 900301 2c 170600000005 010600000006")
        + extra
        + struct.pack(">HQHQ", 0x920A, message_id - 1, 0x910A, message_id)
        + behind
        + bytes((0x26, 0, len(topic) + 1))
    )
    return fixed(parameters, first)


def encode(code: int, value: bytes) -> bytes:
    return bytes((code, len(value) + 2)) + value


def fixed(parameters: bytes, first: int) -> bytes:
    return struct.pack(">BBBBII", first, 0x8D, 0, 0xFF, 12 + len(parameters), 14 + len(parameters)) + parameters


def direct(topic: bytes = b"t/1", summary: bytes = b"") -> bytes:
    return fixed(encode(0x98, topic + b"\0") + (encode(0x96, summary) if summary else b"") + b"\x03\x03\x04", 0x0B)


def decode(parts: tuple[bytes, ...]) -> Message:
    (frame,) = FrameReader(100_000).receive(b"".join(parts))
    message = decode_frame(frame)
    assert isinstance(message, Message)
    return message


def test_messages_that_differ_in_ids_and_sizes_are_decoded_once() -> None:
    reader = MessageReader()
    first = reader.read(head(summary=b"\x22\x05", message_id=9))
    second = reader.read(head(summary=b"\x23\x01\x05", message_id=10))

    assert first == (second[0], b"\x96\x04\x22\x05", 9, 8)
    assert second[1:] == (b"\x96\x05\x23\x01\x05", 10, 9)
    assert reader.read(head(message_id=11))[1:] == (b"", 11, 10)
    assert reader.decoded == 1


def test_direct_messages_that_differ_in_sizes_are_decoded_once() -> None:
    reader = MessageReader()
    first = reader.read(direct(summary=b"\x22\x05"))

    assert reader.read(direct(summary=b"\x22\x06")) == (first[0], b"\x96\x04\x22\x06", 0, 0)
    assert not first[0].assured
    assert reader.decoded == 1


@pytest.mark.parametrize(
    "other",
    [
        head(topic=b"t/2"),
        head(first=0x13),
        head(behind=encode(0x9C, struct.pack(">Q", 1000))),
        head(extra=b"\x93\x02"),
    ],
    ids=["topic", "not DMQ eligible", "time to live", "redelivered"],
)
def test_messages_that_differ_in_anything_else_have_templates_of_their_own(other: bytes) -> None:
    reader = MessageReader()
    first, again = reader.read(head()), reader.read(other)

    assert first[0] is not again[0]
    assert reader.read(head(message_id=5))[0] is first[0]
    assert reader.read(other)[0] is again[0]
    assert reader.decoded == 2


def test_time_to_live_is_in_the_template() -> None:
    template = MessageReader().read(head(behind=encode(0x9C, struct.pack(">Q", 1000))))[0]

    assert template.ttl_ms == 1000


@pytest.mark.parametrize(
    "unusual",
    [
        fixed(bytes.fromhex("030304 1806742f3100 900301 170600000005 120a0000000000000000 110a0000000000000001"), 0x13),
        fixed(bytes.fromhex("1806742f3100 900301 170600000005 110a0000000000000001 120a0000000000000000"), 0x13),
        fixed(bytes.fromhex("1806742f3100 00 170600000005 120a0000000000000000 110a0000000000000001"), 0x13),
        fixed(
            bytes.fromhex("1806742f3100 0303041604220a 170600000005 120a0000000000000000 110a0000000000000001"), 0x13
        ),
        fixed(
            b"\x98\x00"
            + struct.pack(">I", 1506)
            + b"t" * 1499
            + b"\0"
            + bytes.fromhex("170600000005 120a0000000000000000 110a0000000000000001"),
            0x13,
        ),
    ],
    ids=["priority first", "ids swapped", "padding", "summary later", "long header"],
)
def test_unusual_layouts_are_decoded_each_time_and_mean_the_same(unusual: bytes) -> None:
    reader = MessageReader()
    for _ in range(2):
        template, _, message_id, previous_id = reader.read(unusual)
        assert (template.flow_id, message_id, previous_id) == (5, 1, 0)
    assert reader.decoded == 2


def test_templates_are_bounded() -> None:
    reader = MessageReader(max_templates=2)
    for topic in (b"a", b"b", b"c"):
        reader.read(head(topic=topic))
    reader.read(head(topic=b"c"))
    assert reader.decoded == 3
    reader.read(head(topic=b"a"))

    assert reader.decoded == 4


@pytest.mark.parametrize(
    "bad",
    [
        fixed(b"\x03\x03\x04", 0x0B),
        fixed(encode(0x98, b"t\0"), 0x1B),
        head().replace(bytes.fromhex("170600000005"), bytes.fromhex("1f0600000005")),
        fixed(b"\x98\x0ft\0", 0x0B),
        head()[:-5],
    ],
    ids=["no topic", "no ids", "no flow", "topic cut", "id cut"],
)
def test_damaged_header_is_a_protocol_error(bad: bytes) -> None:
    reader = MessageReader()
    reader.read(head())
    with pytest.raises(ProtocolError):
        reader.read(bad)


@pytest.mark.parametrize("size", [0, 1, 90])
def test_damaged_summary_never_matches_a_template(size: int) -> None:
    reader = MessageReader()
    plain = fixed(encode(0x98, b"t\0") + bytes.fromhex("010600000001"), 0x0B)
    reader.read(plain)
    damaged = fixed(encode(0x98, b"t\0") + bytes((0x96, size)) + bytes.fromhex("0600000001"), 0x0B)
    with pytest.raises(ProtocolError):
        reader.read(damaged)


def test_delivery_keeps_what_the_publisher_said_and_adds_the_consumers_ids() -> None:
    template, summary, _, _ = MessageReader().read(
        head(summary=b"\x22\x04", first=0xFB, behind=encode(0x9C, struct.pack(">Q", 1000)))
    )

    assert decode(encode_delivery(template, summary, b"body", 3, 11, 10, STAMP)) == Message(
        parameters=HeaderParameters(
            topic="t/1",
            contents_summary=b"\x22\x04",
            priority=4,
            delivery_mode=1,
            publisher_id=6,
            flow_id=3,
            message_id=11,
            previous_id=10,
            ttl_ms=1000,
            spooler_id=77,
        ),
        body=b"body",
        flags=Flag.ASSURED | Flag.DMQ_ELIGIBLE | Flag.ELIDING,
    )


def test_redelivery_carries_the_permanent_id_and_the_count() -> None:
    template, summary, _, _ = MessageReader().read(head())
    again = decode(encode_delivery(template, summary, b"", 3, 11, 0, encode_redelivery(77, 5, 2))).parameters
    renumbered = decode(encode_delivery(template, summary, b"", 3, 11, 0, encode_redelivery(77, 5, 0))).parameters

    assert (again.redelivered, again.message_id, again.stable_id, again.redelivery_count) == (True, 11, 5, 2)
    assert (renumbered.redelivered, renumbered.stable_id, renumbered.redelivery_count) == (False, 5, None)


def test_direct_message_is_forwarded_as_it_came() -> None:
    raw = direct(summary=b"\x22\x04") + b"body"
    raw = raw[:8] + len(raw).to_bytes(4, "big") + raw[12:]
    template, summary, _, _ = MessageReader().read(raw[:-4])
    forwarded = b"".join(encode_direct(template, summary, b"body", discarded=False))

    assert decode((forwarded,)) == decode((raw,))
    assert decode(encode_direct(template, summary, b"body", discarded=True)).flags & Flag.DISCARDED


def test_guaranteed_message_is_demoted_for_direct_subscribers() -> None:
    template, summary, _, _ = MessageReader().read(head())

    assert decode(encode_direct(template, summary, b"x", discarded=False)) == Message(
        parameters=HeaderParameters(topic="t/1", priority=4), body=b"x", flags=Flag.DMQ_ELIGIBLE
    )


def test_direct_message_gets_a_delivery_mode_when_it_is_spooled() -> None:
    template, summary, _, _ = MessageReader().read(direct())
    spooled = decode(encode_delivery(template, summary, b"x", 3, 11, 0, STAMP))

    assert spooled.parameters.delivery_mode == 0
    assert spooled.flags == Flag.ASSURED | Flag.DMQ_ELIGIBLE


def test_unusual_direct_message_is_decoded_each_time() -> None:
    reader = MessageReader()
    for _ in range(2):
        assert reader.read(fixed(b"\x03\x03\x04" + encode(0x98, b"t\0"), 0x0B))[0].topic == "t"

    assert reader.decoded == 2
