from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pyarrow as pa
import pytest

from flumebeam.batch import EventBatch
from flumebeam.channel.memory import Failure, MemoryChannel
from flumebeam.channel.publishing import OnOverQuota, OnUnknown, Publisher
from flumebeam.clock import ManualClock
from flumebeam.deliveries import Durable
from flumebeam.errors import ConnectionFailedError, LoginRefusedError, PublishRefusedError
from flumebeam.ids import DeliveryId
from flumebeam.solace import packing as packing_module
from flumebeam.solace.fields import MessageFields
from flumebeam.solace.packing import Packing, events_of
from flumebeam.transforms.deadletter import DeadLetter
from tests.unit.channel.letters import UnreachableChannel, batch, stored


@pytest.fixture(params=[False, True], ids=["in turn", "overlapping"], autouse=True)
def overlap(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Every rule holds however a transaction is committed."""
    monkeypatch.setattr(f"{__name__}.OVERLAP", request.param)
    return bool(request.param)


OVERLAP = False


def publisher(channel: MemoryChannel, *, max_messages: int = 4, retry_seconds: float = 60) -> Publisher:
    clock = ManualClock()
    return Publisher(channel, max_messages, retry_seconds, clock=clock, pause=clock.advance, overlap=OVERLAP)


def settle(made: Publisher, *batches: EventBatch) -> tuple[list[int], list[DeadLetter]]:
    """Publish batches to the end; return the numbers of durable deliveries and the dead letters."""
    numbers: list[int] = []
    letters: list[DeadLetter] = []
    for settled in (*(found for one in batches for found in made.add(one, "logs/a")), *made.flush()):
        if isinstance(settled, Durable):
            numbers += [DeliveryId.unpack(id_).number for id_ in settled.ids.to_pylist()]
        else:
            letters.append(settled)
    return numbers, letters


def test_a_full_transaction_is_committed_at_once_and_the_rest_at_the_end() -> None:
    channel = MemoryChannel(max_transaction_messages=4)
    made = publisher(channel)
    made.overlap = False

    early = list(made.add(batch("abcdef"), "logs/a"))

    assert stored(channel) == "abcd"
    assert [len(found.ids) for found in early if isinstance(found, Durable)] == [4]
    list(made.flush())
    assert stored(channel) == "ef"
    assert (made.counts.transactions_committed, made.counts.events_committed) == (2, 6)


def test_batches_share_a_transaction_in_order() -> None:
    channel = MemoryChannel()
    made = publisher(channel, max_messages=256)

    numbers, letters = settle(made, batch("ab"), batch("cd"), batch(""))

    assert stored(channel) == "abcd"
    assert (numbers, letters) == ([0, 1, 0, 1], [])
    assert made.counts.transactions_committed == 1


def test_every_event_goes_to_its_own_topic_when_a_batch_is_cut() -> None:
    channel = MemoryChannel()
    made = publisher(channel, max_messages=2)

    list(made.add(batch("abc"), pa.array(["t/a", "t/b", "t/c"])))
    list(made.flush())

    assert [message.topic for message in channel.queue.take(9, 0)] == ["t/a", "t/b", "t/c"]


@pytest.mark.parametrize("failure", [Failure.COMMIT_ROLLED_BACK, Failure.CONNECTION_LOST])
def test_what_was_rolled_back_is_published_again_before_the_source_is_told(failure: Failure) -> None:
    channel = MemoryChannel(plan=[failure, failure])
    made = publisher(channel)

    numbers, letters = settle(made, batch("abc"))

    assert stored(channel) == "abc"
    assert (numbers, letters) == ([0, 1, 2], [])
    assert made.counts.transactions_rolled_back == 2


@pytest.mark.parametrize(
    ("failure", "copies"), [(Failure.COMMIT_UNKNOWN_APPLIED, 2), (Failure.COMMIT_UNKNOWN_DROPPED, 1)]
)
def test_an_unknown_commit_is_repeated_and_counted_before_the_next_one(failure: Failure, copies: int) -> None:
    channel = MemoryChannel(plan=[failure])
    made = publisher(channel, max_messages=2)

    numbers, _ = settle(made, batch("abcd"))

    assert stored(channel) == "ab" * copies + "cd"
    assert numbers == [0, 1, 2, 3]
    assert (made.counts.transactions_unknown, made.counts.transactions_committed) == (1, 2)


def test_culprits_are_isolated_and_all_others_committed_in_order() -> None:
    channel = MemoryChannel()
    made = publisher(channel, max_messages=8)

    numbers, letters = settle(made, batch("abc", bad="b"), batch("defgh", bad="fh"))

    assert stored(channel) == "acdeg"
    assert numbers == [0, 2, 0, 1, 3]
    assert [letter.event.body for letter in letters] == [b"b", b"f", b"h"]
    assert all("header" in letter.cause and letter.target == "logs/a" for letter in letters)
    assert made.counts.dead_letters == 3


def test_a_refused_commit_of_one_event_is_a_dead_letter_with_its_cause() -> None:
    channel = MemoryChannel(plan=[Failure.COMMIT_REFUSED])
    made = publisher(channel)

    numbers, letters = settle(made, batch("a"))

    assert numbers == []
    assert [(letter.event.body, letter.cause) for letter in letters] == [(b"a", "refused on order")]
    assert [len(durable.ids) for durable in letters[0].durables()] == [1]


def test_a_body_that_is_too_large_is_a_dead_letter_and_never_reaches_the_channel() -> None:
    channel = MemoryChannel()
    made = publisher(channel)
    made.max_body_bytes = 3

    _, letters = settle(made, EventBatch.from_bodies([b"abc", b"abcd", b""]))

    assert stored(channel) == "abc"
    assert [letter.event.body for letter in letters] == [b"abcd"]
    assert "4 bytes" in letters[0].cause


def test_a_transaction_that_cannot_be_committed_in_time_is_an_error_and_nothing_is_told() -> None:
    made = publisher(MemoryChannel(plan=[Failure.COMMIT_ROLLED_BACK] * 100), retry_seconds=30)

    with pytest.raises(ConnectionFailedError, match=r"within 30 s \(rolled back on order\)"):
        settle(made, batch("ab"))
    assert 5 < made.counts.transactions_rolled_back < 20, "pauses grow, up to a bound"


def test_a_broker_that_cannot_be_reached_at_the_start_is_an_error_at_once() -> None:
    made = publisher(UnreachableChannel([ConnectionFailedError("Down.")]))

    with pytest.raises(ConnectionFailedError, match="Down"):
        settle(made, batch("a"))


def test_a_broker_that_goes_away_later_is_waited_for() -> None:
    channel = UnreachableChannel([])
    made = publisher(channel)
    settle(made, batch("a"))
    channel._errors = [ConnectionFailedError("Away.")] * 3

    assert settle(made, batch("b"))[0] == [0]
    assert stored(channel) == "ab"


def test_a_refused_login_is_not_tried_again() -> None:
    channel = UnreachableChannel([])
    made = publisher(channel)
    settle(made, batch("a"))
    channel._errors = [LoginRefusedError("Password changed.")] * 2

    with pytest.raises(LoginRefusedError):
        settle(made, batch("b"))
    assert len(channel._errors) == 1


def test_what_a_failed_bundle_left_is_forgotten() -> None:
    channel = MemoryChannel()
    made = publisher(channel)
    list(made.add(batch("ab"), "logs/a"))

    made.forget()

    assert settle(made, batch("c")) == ([0], [])
    assert stored(channel) == "c"


def test_events_without_a_source_are_published_and_nobody_is_told() -> None:
    channel = MemoryChannel()

    assert settle(publisher(channel), EventBatch.from_bodies([b"a", b"b"])) == ([], [])
    assert stored(channel) == "ab"


PACKING = Packing(max_events=3)


def packed(channel: MemoryChannel, *, max_messages: int = 256) -> Publisher:
    made = publisher(channel, max_messages=max_messages)
    made.packing = PACKING
    return made


def taken(channel: MemoryChannel) -> list[str]:
    """Return what each message of the queue carries."""
    messages = channel.queue.take(1_000, 0)
    batches = [events_of([message], receiver="r", queue="q", fence=False) for message in messages]
    return [b"".join(event.body for event in batch.events()).decode() for batch in batches]


def test_packs_are_filled_over_batches_and_sources_are_told_of_every_event() -> None:
    channel = MemoryChannel()

    numbers, letters = settle(packed(channel), batch("ab"), batch("cdefg"), batch("h"))

    assert taken(channel) == ["abc", "def", "gh"]
    assert (numbers, letters) == ([0, 1, 0, 1, 2, 3, 4, 0], [])


def test_messages_that_a_batch_fills_are_put_in_one_call(monkeypatch: pytest.MonkeyPatch) -> None:
    channel = MemoryChannel()
    made = packed(channel)
    put: list[int] = []

    def settled_put(batch: EventBatch, topic: str, packing: Packing | None, fields: MessageFields) -> Iterable[object]:
        put.append(len(batch))
        return original(batch, topic, packing, fields)

    original = packing_module.outgoing_messages
    monkeypatch.setattr("flumebeam.channel.memory.outgoing_messages", settled_put)

    settle(made, batch("abcdefgh"), batch("ijklmnop"))

    assert put[:4] == [6, 3, 6, 1]  # and once more when the memory channel commits
    assert taken(channel) == ["abc", "def", "ghi", "jkl", "mno", "p"]


def test_a_pack_holds_events_of_one_topic() -> None:
    channel = MemoryChannel()
    made = packed(channel)

    list(made.add(batch("abcd"), pa.array(["x", "y", "x", "y"])))
    list(made.add(batch("ef"), "x"))
    list(made.flush())

    assert taken(channel) == ["ace", "bd", "f"]


def test_a_transaction_of_packs_ends_at_the_brokers_limit_of_messages() -> None:
    channel = MemoryChannel(max_transaction_messages=2)
    made = packed(channel, max_messages=2)

    numbers, _ = settle(made, batch("abcdefgh"))

    assert taken(channel) == ["abc", "def", "gh"]
    assert numbers == list(range(8))
    assert made.counts.transactions_committed == 2


def test_a_transaction_of_packs_ends_at_four_megabytes() -> None:
    channel = MemoryChannel()
    made = packed(channel)

    for _ in range(5):
        list(made.add(EventBatch.from_bodies([b"x" * 1_000_000]), "t"))
    made.forget()

    assert made.counts.transactions_committed == 1


def test_a_refused_event_is_found_in_its_pack_and_the_others_are_published() -> None:
    channel = MemoryChannel()

    numbers, letters = settle(packed(channel), batch("abcdef", bad="d"))

    assert "".join(taken(channel)) == "abcef"
    assert numbers == [0, 1, 2, 4, 5]
    assert [letter.event.body for letter in letters] == [b"d"]


def test_a_refused_topic_is_found_among_packed_events() -> None:
    channel = MemoryChannel()
    made = packed(channel)

    settled = [*made.add(batch("abc"), pa.array(["x", "", "x"])), *made.flush()]

    assert sorted(taken(channel)) == ["a", "c"]
    assert [letter.event.body for letter in settled if isinstance(letter, DeadLetter)] == [b"b"]


def test_events_of_two_receivers_share_a_transaction_and_no_pack() -> None:
    channel = MemoryChannel()
    made = packed(channel)
    other = batch("cd")
    assert other.provenance is not None

    list(made.add(batch("ab"), "t"))
    list(made.add(replace(other, provenance=replace(other.provenance, receiver="another")), "t"))
    receivers = [durable.receiver for durable in made.flush() if isinstance(durable, Durable)]

    assert taken(channel) == ["ab", "cd"]
    assert receivers == ["receiver", "another"]


@pytest.mark.parametrize("failure", [Failure.COMMIT_UNKNOWN_APPLIED, Failure.COMMIT_UNKNOWN_DROPPED])
def test_what_is_published_again_after_an_unknown_commit_says_so(failure: Failure) -> None:
    channel = MemoryChannel(plan=[failure])
    made = publisher(channel)

    settle(made, batch("ab"), batch("cd"))

    marks = [message.properties.get("flumebeam.repeated") for message in channel.queue.take(99, 0)]
    again = ["true"] * 4
    assert marks == ([None] * 4 + again if failure is Failure.COMMIT_UNKNOWN_APPLIED else again)


def test_an_unknown_commit_makes_dead_letters_of_all_its_events_if_told_so() -> None:
    channel = MemoryChannel(plan=[Failure.COMMIT_UNKNOWN_APPLIED])
    made = publisher(channel)
    made.on_unknown = OnUnknown.DEAD_LETTER

    numbers, letters = settle(made, batch("abcde"))

    assert [letter.event.body for letter in letters] == [b"a", b"b", b"c", b"d"]
    assert {letter.cause for letter in letters} == {"it may be there already, since answer lost on order"}
    assert (numbers, made.counts.dead_letters, made.counts.transactions_unknown) == ([4], 4, 1)


def test_an_unknown_commit_stops_if_told_so() -> None:
    made = publisher(MemoryChannel(plan=[Failure.COMMIT_UNKNOWN_APPLIED]))
    made.on_unknown = OnUnknown.STOP

    with pytest.raises(ConnectionFailedError, match="unknown whether a transaction was committed"):
        settle(made, batch("a"))


def test_room_on_the_broker_is_waited_for_longer_than_anything_else_and_loses_nothing() -> None:
    channel = MemoryChannel(plan=[Failure.COMMIT_OVER_QUOTA] * 50)
    made = publisher(channel, retry_seconds=1)

    numbers, letters = settle(made, batch("abc"))

    assert (numbers, letters, stored(channel)) == ([0, 1, 2], [], "abc")
    assert made.counts.over_quota_waits == 50 - 1  # once it was cut in halves: all three may be more than fits at all


def test_whoever_wants_to_stop_is_not_kept_waiting_for_room() -> None:
    made = publisher(MemoryChannel(plan=[Failure.COMMIT_OVER_QUOTA] * 50))
    made.stopping = lambda: made.counts.over_quota_waits == 3

    with pytest.raises(PublishRefusedError, match="full on order: its source keeps its events"):
        settle(made, batch("abc"))


def test_over_quota_is_a_dead_letter_or_an_error_if_told_so() -> None:
    stops = publisher(MemoryChannel(plan=[Failure.COMMIT_OVER_QUOTA]))
    stops.on_over_quota = OnOverQuota.STOP
    with pytest.raises(PublishRefusedError):
        settle(stops, batch("a"))

    keeps = publisher(MemoryChannel(plan=[Failure.COMMIT_OVER_QUOTA] * 2))
    keeps.on_over_quota = OnOverQuota.DEAD_LETTER
    numbers, letters = settle(keeps, batch("ab"))
    assert ([letter.event.body for letter in letters], numbers) == ([b"a"], [1])


def test_every_message_gets_the_fields_that_were_asked_for() -> None:
    channel = MemoryChannel()
    made = publisher(channel)
    made.fields = MessageFields(partition_key="header")

    settle(made, batch("ab"))

    assert [message.properties["JMSXGroupID"] for message in channel.queue.take(9, 0)] == ["a", "b"]
