"""The ways through the vendor's client: what they publish is the same to the last byte."""

from __future__ import annotations

import gc
import logging
import re
import time
from dataclasses import replace

import pytest
from solace.messaging.core._solace_message import _SolaceMessage

from flumebeam.batch import EventBatch
from flumebeam.errors import ConfigurationError, ConnectionFailedError
from flumebeam.garbage import collecting_seldom
from flumebeam.solace import _lanes, _native
from flumebeam.solace._native_lane import NativeLane
from flumebeam.solace.config import SolaceOptions
from flumebeam.solace.fields import PLAIN_FIELDS, MessageFields
from flumebeam.solace.session import connect
from flumebeam.testing.broker import DevelopmentBroker
from tests.integration.client.helpers import drink, events
from tests.integration.client.recorder import recording

LANES = ("native", "wrapper", "plain")
OF_EVERY_KIND = [
    EventBatch.from_bodies([b"without headers"]),
    EventBatch.from_bodies([b"a", b"b"], {"host": "web1", "empty": ""}),
    EventBatch.from_bodies([b"without headers, after some with headers"]),
    EventBatch.from_bodies([b"c", b"d", b"e"], {"host": "wüb"}, {"own": ["1", None, "x" * 70_000], "n": [None] * 3}),
    EventBatch.from_bodies([b"f", b"g"], None, {"own": [None, "\U0001f600"]}),
    EventBatch.from_bodies([b"h", b"i", b"j"], None, {"flumebeam.id": ["id-1", None, "id-3"]}),
    EventBatch.from_bodies([b"k"], {"flumebeam.id": "id-of-all"}),
    EventBatch.from_bodies([b"l"]),
    EventBatch.from_bodies([b"n", b"o", b"p"], {"host": "web1"}),
    EventBatch.from_bodies([b"q", b"r"], {"host": "web2"}),
    EventBatch.from_bodies([b"s", b"t", b"u", b"v", b"w"], {"host": "web2"}, {"own": [None, None, "1", None, None]}),
    EventBatch.from_bodies([b"x", b"y"], {"host": "web2"}),
    EventBatch.from_bodies([b"z"] * 9, {"host": "web2"}, {"own": ["1", "2", None] * 3, "two": ["a", None, None] * 3}),
    EventBatch.from_bodies([b"A"] * 4, {"host": "web3"}, {"own": ["2", "1"] * 2}),
    EventBatch.from_bodies([b"C", b"D" * 100_000, b"E"], {"host": "web3"}, {"own": ["2", "1", "2"]}),
    EventBatch.from_bodies([b"B"] * 80, {"host": "web3"}, {"own": [str(n % 40) for n in range(80)]}),
    EventBatch.from_bodies([b"", b"\0", b"\x1f\x00\x00\x00\x08ab\x00", b"m" * 1_000_000]),
    EventBatch.from_bodies([b"%d" % n for n in range(30)]).slice(7, 11),
]


def plain(frame: bytes) -> bytes:
    """Return a frame without what differs in every one: ids of its flow and its own, and its send time."""
    frame = re.sub(rb"\x17\x06.{4}\x01\x06.{4}", b"", frame, count=1, flags=re.DOTALL)
    frame = re.sub(rb"(\x92\x0a).{8}(\x91\x0a).{8}", rb"\1\2", frame, count=1, flags=re.DOTALL)
    return re.sub(rb"(\x1c\x05ts\x00).{10}", rb"\1", frame, count=1, flags=re.DOTALL)


def published(
    options: SolaceOptions, lane: str, batches: list[EventBatch], fields: MessageFields = PLAIN_FIELDS
) -> list[bytes]:
    with recording(options.host) as recorder:
        with connect(replace(options, host=recorder.url, lane=lane)) as connection:
            session = connection.transacted_session()
            for number, batch in enumerate(batches):
                session.publish(batch, f"logs/{number % 2}", None, fields)
            assert session.commit().committed
            session.close()
        return recorder.messages()


def test_every_lane_publishes_the_same_bytes(options: SolaceOptions) -> None:
    native, wrapper, one_by_one = (
        [plain(frame) for frame in published(options, lane, OF_EVERY_KIND)] for lane in LANES
    )

    assert len(native) == sum(map(len, OF_EVERY_KIND))
    assert [len(frame) for frame in native] == [len(frame) for frame in wrapper]
    assert native == wrapper
    assert wrapper == one_by_one


def test_large_bodies_do_not_stay_in_a_message_for_each_set_of_properties(options: SolaceOptions) -> None:
    headers = {"own": [str(n % 8) for n in range(16)]}
    with connect(replace(options, lane="native")) as connection:
        session = connection.transacted_session()
        for size, kept in ((100_000, 1), (1_000, 8)):
            session.publish(EventBatch.from_bodies([b"x" * size] * 16, None, headers), "logs/x")
            lane = session._lane
            assert isinstance(lane, NativeLane)
            assert sum(map(len, lane._messages.values())) == kept
        assert session.commit().committed
        session.close()


def left() -> int:
    """Return how many of the vendor's messages are in memory."""
    return sum(type(one) is _SolaceMessage for one in gc.get_objects())


@pytest.mark.parametrize("lane", ["wrapper", "plain"])
def test_the_vendors_messages_do_not_become_more_and_more(options: SolaceOptions, lane: str) -> None:
    with collecting_seldom(), connect(replace(options, lane=lane)) as connection:
        session = connection.transacted_session(queue="q")
        most = []
        for _ in range(12):
            session.publish(EventBatch.from_bodies([b"x"] * 250), "logs/x")
            assert session.commit().committed
            assert len(session.receive(250, 1)) == 250
            assert session.commit().committed
            most.append(left())
        session.close()

    # Of 6,000; some hundred are not looked at yet, and some have to be looked at twice.
    assert max(most) < 1_500
    assert min(most[6:]) < 500


def test_messages_that_wait_for_their_receipt_do_not_become_more_and_more(options: SolaceOptions) -> None:
    with collecting_seldom(), connect(options) as connection:
        publisher = connection.publisher()
        most = []
        for _ in range(12):
            publisher.send(EventBatch.from_bodies([b"x"] * 500), "logs/x")
            most.append(left())
        publisher.close()

    assert max(most) < 3_000


FIELDS = [
    EventBatch.from_bodies([b"a", b"b", b"c"], {"key": "k"}, {"n": ["9", None, "0"], "c": [None, "c1", "c2"]}),
    EventBatch.from_bodies([b"d"]),
    EventBatch.from_bodies([b"e"], {"c": "c3"}),
]


@pytest.mark.parametrize(
    "fields",
    [
        MessageFields(partition_key="key", correlation_id="c", priority="n"),
        MessageFields(priority=5, time_to_live_seconds=60, dmq_eligible=False),
        MessageFields(application_message_id="c"),
    ],
)
def test_every_lane_gives_a_message_the_same_fields(options: SolaceOptions, fields: MessageFields) -> None:
    lanes = [[plain(frame) for frame in published(options, lane, FIELDS, fields)] for lane in LANES]

    assert len(lanes[0]) == 5
    assert lanes[0] == lanes[1] == lanes[2]


def test_fields_arrive(broker: DevelopmentBroker, options: SolaceOptions) -> None:
    fields = MessageFields(partition_key="key", correlation_id="c", priority="n", time_to_live_seconds=60)
    with connect(options) as connection:
        session = connection.transacted_session()
        session.publish(FIELDS[0], "logs/x", None, fields)
        assert session.commit().committed
        got = [event.headers for event in events(drink(connection.receiver("q"), 3))]

    assert [one["JMSXGroupID"] for one in got] == ["k"] * 3
    assert [one.get("solace.priority") for one in got] == ["9", "4", "0"]  # the client's own is 4
    assert [one.get("solace.correlation-id") for one in got] == [None, "c1", "c2"]


def test_every_send_has_its_own_time(options: SolaceOptions) -> None:
    one = EventBatch.from_bodies([b"a"])
    with connect(replace(options, lane="native")) as connection:
        session = connection.transacted_session()
        receiver = connection.receiver("q")
        times: list[int] = []
        for _ in range(3):
            while times and time.time_ns() // 1_000_000 <= times[-1]:
                pass  # sends within one millisecond have one time
            session.publish(one, "logs/x")
            assert session.commit().committed
            times.append(int(events(drink(receiver, 1))[0].headers["solace.sender-timestamp"]))
            while time.time_ns() // 1_000_000 <= times[-1]:
                pass  # what is sent within the same millisecond has the same time

    assert times[0] < times[1] < times[2]


@pytest.mark.parametrize("lane", LANES)
def test_a_rolled_back_batch_is_not_there_and_the_lane_goes_on(options: SolaceOptions, lane: str) -> None:
    with connect(replace(options, lane=lane)) as connection:
        session = connection.transacted_session()
        session.publish(EventBatch.from_bodies([b"never"]), "logs/x")
        session.rollback()
        session.publish(EventBatch.from_bodies([b"kept"], {"h": "v"}), "logs/x")
        assert session.commit().committed

        assert [event.body for event in events(drink(connection.receiver("q"), 1))] == [b"kept"]


@pytest.mark.parametrize("lane", LANES)
def test_what_was_taken_and_rolled_back_comes_again_marked(options: SolaceOptions, lane: str) -> None:
    with connect(replace(options, lane=lane)) as connection:
        writer = connection.transacted_session()
        writer.publish(EventBatch.from_bodies([b"1", b"2"], {"h": "v"}), "logs/x")
        assert writer.commit().committed
        session = connection.transacted_session(queue="q")
        first = session.receive(10, 60)
        session.rollback()
        again = session.receive(10, 60)

    assert first.bodies.to_pylist()[:1] == [b"1"]
    assert again.header("solace.redelivered")[0].as_py() == "true"
    assert again.provenance is not None
    assert first.provenance is not None
    assert again.provenance.ids[0] == first.provenance.ids[0]


@pytest.mark.parametrize("lane", LANES)
def test_a_closed_session_is_an_error_on_every_lane(options: SolaceOptions, lane: str) -> None:
    with connect(replace(options, lane=lane)) as connection:
        session = connection.transacted_session()
        session.publish(EventBatch.from_bodies([b"1"]), "logs/x")
        session.close()
        with pytest.raises(ConnectionFailedError, match="was lost"):
            session.publish(EventBatch.from_bodies([b"2"]), "logs/x")


def test_a_lane_that_fails_its_check_falls_back_with_one_line(
    options: SolaceOptions, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(_lanes, "_TESTED", ("0.9.",))
    _lanes.native_problem.cache_clear()
    _lanes._tell.cache_clear()
    try:
        with caplog.at_level(logging.WARNING, "flumebeam.solace._lanes"):
            assert [_lanes.choose_lane("auto") for _ in range(3)] == ["wrapper"] * 3
        assert [record.message for record in caplog.records] == [
            "Messages take the slower lane through the client's Python layer: it was not tested with "
            "solace-pubsubplus 1.11.0."
        ]
        with pytest.raises(ConfigurationError, match=r"native lane cannot be used: it was not tested .* lane at auto"):
            _lanes.choose_lane("native")
    finally:
        _lanes.native_problem.cache_clear()


@pytest.mark.parametrize(
    ("broken", "told"),
    [
        (lambda *_: -1, "could not be filled"),
        (lambda *_: 0, "did not give back"),
    ],
)
def test_the_check_notices_a_library_that_does_something_else(
    monkeypatch: pytest.MonkeyPatch, broken: object, told: str
) -> None:
    monkeypatch.setattr(_native, "set_body", broken)
    _lanes.native_problem.cache_clear()
    try:
        assert told in _lanes.native_problem()
    finally:
        _lanes.native_problem.cache_clear()


def test_the_native_lane_is_what_auto_means_with_a_tested_client() -> None:
    assert _lanes.choose_lane("auto") == "native"
