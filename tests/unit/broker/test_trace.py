"""Frames in one line each."""

from __future__ import annotations

import pytest

from flumebeam.broker.trace import Trace, describe
from flumebeam.smf.assuredctrl import AckRange, AssuredControl, AssuredKind, Outcome, SessionState
from flumebeam.smf.clientctrl import ClientControl
from flumebeam.smf.header import Flag, Header, Protocol, encode_frame
from flumebeam.smf.messages import AnyMessage, KeepAlive, Message
from flumebeam.smf.params import HeaderParameters
from flumebeam.smf.stream import FrameReader
from flumebeam.smf.subctrl import SubscriptionControl, SubscriptionFlag, SubscriptionKind
from flumebeam.smf.values import Response

OK = Response(200, "OK")


def line(message: AnyMessage) -> str:
    (frame,) = FrameReader(1 << 20).receive(message.encode())
    return describe(frame)


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (KeepAlive(), "KEEPALIVE"),
        (
            ClientControl(username="u", password="secret", client_name="app", vpn="v"),
            "LOGIN username='u' password=*** client_name='app' vpn='v'",
        ),
        (
            SubscriptionControl(kind=SubscriptionKind.ADD, topic="a/>", correlation=7, response=OK),
            "SUBSCRIPTION ADD 200 'OK' topic='a/>' tag=7",
        ),
        (
            SubscriptionControl(
                kind=SubscriptionKind.ADD_TO_QUEUE, topic="a", target="q", flags=SubscriptionFlag.TOPIC
            ),
            "SUBSCRIPTION ADD_TO_QUEUE topic='a' target='q' silent",
        ),
        (
            AssuredControl(kind=AssuredKind.ACK, flow_id=3, last_acked=9, acks=(AckRange(1, 9, Outcome.FAILED),)),
            "ACK flow_id=3 last_acked=9 acks=[1..9:FAILED]",
        ),
        (
            AssuredControl(
                kind=AssuredKind.TRANSACTION,
                transaction_kind=4,
                transaction=(1, 2),
                session_state=SessionState.COMMITTED,
            ),
            "TRANSACTION OPEN_RESPONSE transaction=1:2 session_state=COMMITTED",
        ),
        (AssuredControl(kind=AssuredKind.TRANSACTION, transaction_kind=77), "TRANSACTION 77"),
        (
            AssuredControl(kind=AssuredKind.BIND, queue="q", access=1, granted_permissions=b"\0\x0f"),
            "BIND queue='q' access=EXCLUSIVE granted_permissions=000f",
        ),
        (
            Message(
                parameters=HeaderParameters(topic="t", message_id=5, redelivered=True), body=b"123", flags=Flag.ASSURED
            ),
            "MESSAGE topic='t' message_id=5 redelivered body=3",
        ),
        (Message(parameters=HeaderParameters(topic="t"), body=b""), "DIRECT topic='t' body=0"),
    ],
)
def test_frame_is_one_readable_line_without_its_password(message: AnyMessage, text: str) -> None:
    assert line(message) == text


def test_long_values_are_cut() -> None:
    assert line(AssuredControl(kind=AssuredKind.BIND, selector="x" * 500)).endswith("xxx...")


def test_both_directions_are_followed_over_any_cut_of_the_stream_and_named_by_the_client() -> None:
    lines: list[str] = []
    trace = Trace(lines.append, "10.0.0.1:5")
    frames = KeepAlive().encode() * 2
    trace.received(frames[:5])
    trace.sent(KeepAlive().encode())
    trace.name("app")
    trace.received(frames[5:])
    trace.lost()

    assert lines == ["10.0.0.1:5 < KEEPALIVE", "app > KEEPALIVE", "app > KEEPALIVE", "app x CONNECTION CLOSED"]


def test_bytes_that_are_no_frames_are_told_and_what_follows_is_read() -> None:
    lines: list[str] = []
    trace = Trace(lines.append, "p")
    trace.received(b"GET / HTTP/1.1\r\n\r\n")
    trace.received(encode_frame(Header(0x3E), b"", b"xy"))
    trace.received(encode_frame(Header(Protocol.ASSURED_CONTROL), b"", b"xy"))

    assert lines == [
        "p > 18 bytes that are no frame: The peer does not speak SMF version 3.",
        "p > 14 bytes: Encapsulated protocol 0x3e is not supported.",
        "p > 14 bytes: An AssuredCtrl message is shorter than its header.",
    ]
