"""One table of frames, driven in both directions and fed in three ways."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from flumebeam.errors import ProtocolError
from flumebeam.smf.assuredctrl import (
    AckRange,
    AssuredControl,
    AssuredKind,
    ConsumerAck,
    Outcome,
    PublisherAck,
    PublisherNotify,
    SessionState,
    TransactionKind,
)
from flumebeam.smf.clientctrl import Capabilities, Capability, ClientControl, ClientControlKind
from flumebeam.smf.header import Flag
from flumebeam.smf.messages import AnyMessage, KeepAlive, Message, decode_frame
from flumebeam.smf.params import HeaderParameters
from flumebeam.smf.stream import FrameReader
from flumebeam.smf.subctrl import SubscriptionControl, SubscriptionFlag, SubscriptionKind
from flumebeam.smf.values import Response

OK = Response(200, "OK")

# Frames as solace-pubsubplus 1.11 sends them, or as it accepts them: what they must be read as.
FRAMES: dict[str, tuple[str, AnyMessage]] = {
    "login": (
        "038c00010000001c00000047060a64584e6c636a453d070663486378 81000000002b 860000000d64656661756c7400"
        "170000000703e0 180000000900000003 0500000008783100",
        ClientControl(
            username="user1",
            password="pw1",
            vpn="default",
            client_capabilities=b"\x03\xe0",
            keepalive_seconds=3,
            client_name="x1",
        ),
    ),
    "login accepted": (
        "030c000000000014000000e20808000000c84f4b0100000000ce000000000f31302e31312e312e300001000000194a616e203120323032"
        "352030303a30303a3030000200000018446576656c6f706d656e742042726f6b657200050000000a64656d6f00060000000d64656661"
        "756c7400080000001e235032502f763a6465762f64336331656561622f64656d6f00090000002b1affff7fc00000000009000003e801"
        "0000000600020000000900989680030000000903d090000a0000000b763a646576000c00000009646576001300000014000400000007"
        "010305000000070101",
        ClientControl(
            response=OK,
            software_version="10.11.1.0",
            software_date="Jan 1 2025 00:00:00",
            platform="Development Broker",
            client_name="demo",
            vpn="default",
            p2p_topic="#P2P/v:dev/d3c1eeab/demo",
            capabilities=Capabilities(
                granted=frozenset(Capability) - {Capability.VARIABLE_EXTENDED_PARAMETERS},
                max_guaranteed_bytes=10_000_000,
                max_direct_bytes=64_000_000,
            ),
            virtual_router="v:dev",
            router_name="dev",
            extended_capabilities=bytes.fromhex("000400000007010305000000070101"),
        ),
    ),
    "login refused": (
        "030c00000000001e00000024081200000191556e617574686f72697a6564010000000006",
        ClientControl(response=Response(401, "Unauthorized")),
    ),
    "login that will end TLS": (
        "030c00000000000c0000002e0100000000220500000009617070 00060000000d64656661756c7400150000000600",
        ClientControl(client_name="app", vpn="default", encoding=0),
    ),
    "keepalive": ("038b00010000000c0000000c", KeepAlive()),
    "open publisher flow": (
        "030900010000000c0000002c030000000020820a0000000000000000810a00000000000000008303ff0a0300",
        AssuredControl(kind=AssuredKind.OPEN_PUBLISHER, last_acked=0, last_sent=0, window=255, flow_name=""),
    ),
    "publisher flow opened": (
        "0309000000000014000000550808000000c84f4b0300000000410606000000010a18666c6f772d616635373062383537323765373161"
        "640001 0a0000000000000000020a00000000000000000303ff230600000001",
        AssuredControl(
            kind=AssuredKind.OPEN_PUBLISHER,
            response=OK,
            flow_id=1,
            flow_name="flow-af570b85727e71ad",
            last_sent=0,
            last_acked=0,
            window=255,
            publisher_id=1,
        ),
    ),
    "subscribe": (
        "038f0001000000100000001a23000002800000000a0c612f3e00",
        SubscriptionControl(kind=SubscriptionKind.ADD, topic="a/>", correlation=2),
    ),
    "subscribe without response": (
        "038f00010000000c00000016800000000a04612f3e00",
        SubscriptionControl(kind=SubscriptionKind.ADD, topic="a/>", flags=SubscriptionFlag.TOPIC),
    ),
    "subscribed": (
        "030f00000000001800000022230000020808000000c84f4b800000000a0c612f3e00",
        SubscriptionControl(kind=SubscriptionKind.ADD, topic="a/>", correlation=2, response=OK),
    ),
    "queue subscription": (
        "038f0001000000100000001f23000003820000000f0c0371310004742f3e00",
        SubscriptionControl(kind=SubscriptionKind.ADD_TO_QUEUE, target="q1", topic="t/>", correlation=3),
    ),
    "direct message": (
        "0b8d00ff00000015000000179806612f62000303046869",
        Message(parameters=HeaderParameters(topic="a/b", priority=4), body=b"hi", flags=Flag.DMQ_ELIGIBLE),
    ),
    "publish": (
        "1b8d00ff0000003c0000003e9806742f31000303049003012c170600000001010600000001920a0000000000000000910a0000000000"
        "000001 2600036d31",
        Message(
            parameters=HeaderParameters(
                topic="t/1",
                priority=4,
                delivery_mode=1,
                ack_immediately=True,
                flow_id=1,
                publisher_id=1,
                previous_id=0,
                message_id=1,
            ),
            body=b"m1",
            flags=Flag.ASSURED | Flag.DMQ_ELIGIBLE,
        ),
    ),
    "publisher ack": (
        "03090000000000140000002d0808000000c84f4b030300000019020a00000000000000010606000000010303ff",
        AssuredControl(kind=AssuredKind.ACK, response=OK, last_acked=1, flow_id=1, window=255),
    ),
    "publisher nack": (
        "0309000000000027 0000003d081b000001f74e6f20537562736372697074696f6e204d61746368030300000016020a000000000000000"
        "2060600000001",
        AssuredControl(kind=AssuredKind.ACK, response=Response(503, "No Subscription Match"), last_acked=2, flow_id=1),
    ),
    "create": (
        "0309000100000010000000212300002003080000001187057131000b03010c0301",
        AssuredControl(kind=AssuredKind.CREATE, correlation=32, queue="q1", durability=1, access=1),
    ),
    "bind with selector": (
        "03090001000000100000003c2300000103040000002c87057131008303000b03010d18666f6f203d20276261722720414e44206e203e"
        "203300210301",
        AssuredControl(
            kind=AssuredKind.BIND,
            correlation=1,
            queue="q1",
            window=0,
            durability=1,
            selector="foo = 'bar' AND n > 3",
            wants_flow_changes=1,
        ),
    ),
    "bind without own messages": (
        "030900010000001000000025230000010304000000158704710083 03000b03011f02210301",
        AssuredControl(
            kind=AssuredKind.BIND,
            correlation=1,
            queue="q",
            window=0,
            durability=1,
            no_local=True,
            wants_flow_changes=1,
        ),
    ),
    "bind again": (
        "0309000100000010000000382300000303040000002887057131008303ff0b0301100a0000000000000006340a000000000000000121"
        "0301",
        AssuredControl(
            kind=AssuredKind.BIND,
            correlation=3,
            queue="q1",
            window=255,
            durability=1,
            last_received=6,
            endpoint_error_id=1,
            wants_flow_changes=1,
        ),
    ),
    "bound": (
        "03090000000000180000008a230000010808000000c84f4b03040000007206060000000207057131000b03010c030115060000000f11"
        "060000000f130600000fa0140600989680160300010a0000000000000000020a00000000000000000303002003012c0600000001340a"
        "0000000000000001360a1122334455667788310600002710250600000000",
        AssuredControl(
            kind=AssuredKind.BIND,
            correlation=1,
            response=OK,
            flow_id=2,
            queue="q1",
            durability=1,
            access=1,
            granted_permissions=b"\0\0\0\x0f",
            other_permissions=b"\0\0\0\x0f",
            quota_mb=4000,
            max_message_bytes=10_000_000,
            respect_ttl=0,
            last_sent=0,
            last_acked=0,
            window=0,
            active=1,
            endpoint_id=1,
            endpoint_error_id=1,
            spooler_id=0x1122334455667788,
            max_unacked=10_000,
            spooled_messages=0,
        ),
    ),
    "delivery": (
        "1b8d00ff00000044000000469806742f3100030304900301010600000001170600000002110a0000000000000001120a000000000000"
        "00001f0c402c11223344556677886d31",
        Message(
            parameters=HeaderParameters(
                topic="t/1",
                priority=4,
                delivery_mode=1,
                publisher_id=1,
                flow_id=2,
                message_id=1,
                previous_id=0,
                spooler_id=0x1122334455667788,
            ),
            body=b"m1",
            flags=Flag.ASSURED | Flag.DMQ_ELIGIBLE,
        ),
    ),
    "redelivery": (
        "1b8d00ff00000056000000589806742f3100030304900301010600000001170600000002110a0000000000000002120a000000000000"
        "000113021f1c402c112233445566778840290000000000000001302e000000016d31",
        Message(
            parameters=HeaderParameters(
                topic="t/1",
                priority=4,
                delivery_mode=1,
                publisher_id=1,
                flow_id=2,
                message_id=2,
                previous_id=1,
                redelivered=True,
                spooler_id=0x1122334455667788,
                stable_id=1,
                redelivery_count=1,
            ),
            body=b"m1",
            flags=Flag.ASSURED | Flag.DMQ_ELIGIBLE,
        ),
    ),
    "settled as failed": (
        "030900010000000c0000003803030000002c860600000002820a00000000000000018303ff8513000000000000000100000000000000"
        "0101",
        AssuredControl(
            kind=AssuredKind.ACK, flow_id=2, last_acked=1, window=255, acks=(AckRange(1, 1, Outcome.FAILED),)
        ),
    ),
    "two acks": (
        "030900010000000c0000004903030000003d860600000003820a00000000000000048303ff8512000000000000000000000000000000"
        "01 8512 0000000000000003 0000000000000003",
        AssuredControl(
            kind=AssuredKind.ACK, flow_id=3, last_acked=4, window=255, acks=(AckRange(0, 1), AckRange(3, 3))
        ),
    ),
    "ack in version 1, as JCSMP sends it": (
        "030900010000000c00000024 013006860600000002820a00000000000000008303ff0000",
        AssuredControl(kind=AssuredKind.ACK, flow_id=2, last_acked=0, window=255),
    ),
    "flow change answer": (
        "0389000100000014000000230808000000c84f4b030c0000000f860600000006200300",
        AssuredControl(kind=AssuredKind.FLOW_CHANGE, response=OK, flow_id=6, active=0),
    ),
    "session opened": (
        "030900000000001800000043230000010808000000c84f4b030b0000002b170304180600000001191274732d33613531346565363362"
        "6432001a0a0000000000000001",
        AssuredControl(
            kind=AssuredKind.TRANSACTION,
            correlation=1,
            response=OK,
            transaction_kind=TransactionKind.OPEN_RESPONSE,
            session_id=1,
            session_name="ts-3a514ee63bd2",
            transaction=(0, 1),
        ),
    ),
    "commit": (
        "1313000100000026000000659816235032502f41444354524c50415353544852550023000004030b0000003f9703029806000000019a"
        "0a00000003000000049e260000000400000000000000050000000000000005000000010000000000000005000000ff",
        AssuredControl(
            kind=AssuredKind.TRANSACTION,
            pass_through=True,
            correlation=4,
            transaction_kind=TransactionKind.COMMIT,
            session_id=1,
            transaction=(3, 4),
            consumed=(ConsumerAck(4, 5, 5, 1, 5, 255),),
        ),
    ),
    "commit of publishes": (
        "1313000100000026000000519816235032502f41444354524c50415353544852550023000002030b0000002b9703029806000000019a"
        "0a00000001000000029c1200000003000000010000000000000001",
        AssuredControl(
            kind=AssuredKind.TRANSACTION,
            pass_through=True,
            correlation=2,
            transaction_kind=TransactionKind.COMMIT,
            session_id=1,
            transaction=(1, 2),
            published=(PublisherNotify(3, 1, 1),),
        ),
    ),
    "commit failed": (
        "131300000000002900000054230000050819000001f75472616e73616374696f6e204661696c757265030b0000002b17030918060000"
        "00011a0a00000004000000051d12000000030000000000000002000000ff",
        AssuredControl(
            kind=AssuredKind.TRANSACTION,
            pass_through=True,
            correlation=5,
            response=Response(503, "Transaction Failure"),
            transaction_kind=TransactionKind.ROLLBACK_RESPONSE,
            session_id=1,
            transaction=(4, 5),
            publisher_acks=(PublisherAck(3, 2, 255),),
        ),
    ),
}
# Further messages, to see every field survive the way out and back in.
ROUND_TRIPS: dict[str, AnyMessage] = {
    "login with everything": ClientControl(
        kind=ClientControlKind.UPDATE,
        correlation=0xFFFFFF,
        software_version="1",
        software_date="d",
        platform="p",
        user_id="u",
        description="",
        client_name="ä/ö",
        virtual_router="v",
        router_name="r",
    ),
    "client subscription": SubscriptionControl(
        kind=SubscriptionKind.REMOVE_FOR_CLIENT, target="c", topic="a/*", flags=SubscriptionFlag.DELIVER_ALWAYS
    ),
    "long names": AssuredControl(kind=AssuredKind.BIND, selector="s" * 300, queue="q" * 253, flow_type=2),
    "session state": AssuredControl(
        kind=AssuredKind.TRANSACTION,
        transaction_kind=TransactionKind.OPEN_RESPONSE,
        session_id=0xFFFFFFFF,
        session_state=SessionState.COMMITTED,
        transaction=(0xFFFFFFFF, 0),
    ),
    "message with all parameters": Message(
        parameters=HeaderParameters(
            correlation=1,
            topic="t" * 250,
            contents_summary=b"\x22\x02",
            priority=255,
            ttl_ms=2**64 - 1,
            message_id=2**63,
            ack_immediately=True,
            redelivered=True,
        ),
        body=b"",
        flags=Flag.ELIDING | Flag.DISCARDED | Flag.DELIVER_TO_ONE,
        hops=1,
    ),
}
CASES = {name: (bytes.fromhex(raw.replace(" ", "")), message) for name, (raw, message) in FRAMES.items()} | {
    name: (message.encode(), message) for name, message in ROUND_TRIPS.items()
}


def feed(*chunks: bytes) -> Iterator[AnyMessage]:
    reader = FrameReader(1_000_000)
    for chunk in chunks:
        for frame in reader.receive(chunk):
            yield decode_frame(frame)


@pytest.mark.parametrize("name", CASES)
def test_frame_is_read_whole_byte_by_byte_and_with_trailing_bytes(name: str) -> None:
    raw, message = CASES[name]

    assert list(feed(raw)) == [message]
    assert list(feed(*(raw[index : index + 1] for index in range(len(raw))))) == [message]
    assert list(feed(raw + KeepAlive().encode() + raw[:-1], raw[-1:])) == [message, KeepAlive(), message]


@pytest.mark.parametrize("name", CASES)
def test_what_is_written_is_read_as_the_same_message(name: str) -> None:
    _, message = CASES[name]

    assert list(feed(message.encode())) == [message]


@pytest.mark.parametrize("name", ["publisher flow opened", "bound", "session opened", "commit failed", "redelivery"])
def test_broker_frames_are_written_as_the_vendors_client_accepted_them(name: str) -> None:
    raw, message = CASES[name]
    written = message.encode()

    assert len(written) == len(raw)
    assert written[1] & 0x3F == raw[1] & 0x3F


def test_password_is_not_in_the_representation() -> None:
    assert "secret" not in repr(ClientControl(username="u", password="secret"))


def test_unknown_protocol_is_refused() -> None:
    with pytest.raises(ProtocolError, match="0x06 is not supported"):
        list(feed(bytes.fromhex("030600010000000c0000000c")))


@pytest.mark.parametrize("name", CASES)
def test_truncated_content_is_a_protocol_error_or_another_message(name: str) -> None:
    raw, _ = CASES[name]
    head_bytes = int.from_bytes(raw[4:8], "big")
    for cut in range(1, len(raw) - head_bytes + 1):
        shorter = raw[:8] + (len(raw) - cut).to_bytes(4, "big") + raw[12 : len(raw) - cut]
        try:
            list(feed(shorter))
        except ProtocolError:
            continue
        assert isinstance(CASES[name][1], Message | KeepAlive)
