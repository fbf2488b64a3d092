"""Any bytes end in messages or in a ProtocolError, never in anything else."""

from __future__ import annotations

import contextlib

from hypothesis import given, settings
from hypothesis import strategies as st

from flumebeam.errors import ProtocolError
from flumebeam.smf.header import Header, Protocol, encode_frame
from flumebeam.smf.messages import Message, decode_frame
from flumebeam.smf.params import HeaderParameters
from flumebeam.smf.pubmsg import MessageReader
from flumebeam.smf.stream import FrameReader

frames = st.builds(
    encode_frame,
    st.sampled_from([Header(protocol, flags) for protocol in Protocol for flags in (0, 0x10, 0xF8)]),
    st.binary(max_size=60),
    st.one_of(
        st.binary(max_size=80),
        st.builds(
            lambda kind, body: bytes((3, kind)) + (6 + len(body)).to_bytes(4, "big") + body,
            st.integers(0, 14),
            st.binary(max_size=60),
        ),
    ),
)
VALID = Message(
    parameters=HeaderParameters(topic="a/b", priority=4, delivery_mode=1, flow_id=1, previous_id=1, message_id=2),
    body=b"",
    flags=0x10,
).encode()


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(frames, st.binary(max_size=40)), max_size=4))
def test_any_bytes_are_messages_or_a_protocol_error(chunks: list[bytes]) -> None:
    reader = FrameReader(10_000)
    with contextlib.suppress(ProtocolError):
        for chunk in chunks:
            for frame in reader.receive(chunk):
                decode_frame(frame)


@settings(max_examples=300, deadline=None)
@given(st.integers(0, len(VALID) - 1), st.binary(min_size=1, max_size=6), st.booleans())
def test_a_changed_header_never_escapes_the_message_reader(position: int, change: bytes, grow: bool) -> None:
    reader = MessageReader()
    reader.read(VALID)
    changed = VALID[:position] + change + VALID[position + (0 if grow else len(change)) :]
    with contextlib.suppress(ProtocolError):
        reader.read(changed)
