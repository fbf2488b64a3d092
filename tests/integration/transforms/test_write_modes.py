"""Writing outside of transactions, and the policies for what the broker does not take."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flumebeam.batch import EventBatch
from flumebeam.broker import (
    AclProfile,
    ClientProfile,
    ClientUsername,
    DevelopmentBroker,
    LoseCommitResponse,
    LosePublishAck,
    NackPublishes,
    Rule,
    nothing_but,
)
from flumebeam.channel.publishing import OnOverQuota, OnUnknown
from flumebeam.channel.receipts import PlainPublisher
from flumebeam.deliveries import DeadLetter
from flumebeam.errors import ConnectionFailedError, PublishRefusedError
from flumebeam.solace.config import Secret, SolaceOptions
from flumebeam.testing.memory_queue import MemoryQueue
from flumebeam.transforms.deadletter import DeadLettersToFiles
from tests.failures import Counted
from tests.integration.transforms.contents import stored
from tests.integration.transforms.test_solace_write import bodies, ingest, numbers
from tests.policies import IMPATIENT
from tests.waiting import eventually


@pytest.fixture
def source(request: pytest.FixtureRequest) -> Iterator[MemoryQueue]:
    made = MemoryQueue(request.node.nodeid)
    yield made
    made.remove()


def test_persistent_messages_arrive_once_and_in_order_and_the_source_is_told(
    source: MemoryQueue, connection: SolaceOptions
) -> None:
    source.put(numbers(1_000))

    counters = ingest(source, connection, mode="persistent")

    assert bodies(connection) == numbers(1_000) == source.acknowledged
    assert counters["events_committed"] == 1_000


def test_direct_messages_reach_a_queue_that_is_there(source: MemoryQueue, connection: SolaceOptions) -> None:
    source.put(numbers(50))

    ingest(source, connection, mode="direct")

    assert source.acknowledged == numbers(50)
    assert set(bodies(connection)) <= set(numbers(50))


@pytest.mark.failure("acknowledgement lost")
def test_a_receipt_that_is_lost_or_a_connection_that_is_cut_loses_no_persistent_message(
    broker: DevelopmentBroker, source: MemoryQueue, connection: SolaceOptions, counted: Counted
) -> None:
    source.put(numbers(2_000))
    broker.fault(LosePublishAck())

    def cut() -> None:
        eventually(lambda: broker.queue("logs").messages > 500)
        broker.cut_connections()

    cutter = threading.Thread(target=cut)
    cutter.start()
    ingest(source, connection, mode="persistent")
    cutter.join()

    assert source.acknowledged == numbers(2_000)
    found = bodies(connection)
    assert list(dict.fromkeys(found)) == numbers(2_000)
    counted(numbers(2_000), found)


@pytest.mark.parametrize("mode", ["transacted", "persistent"])
def test_what_nobody_is_subscribed_to_becomes_a_dead_letter_with_cause_payload_and_headers(
    source: MemoryQueue, connection: SolaceOptions, tmp_path: Path, mode: str
) -> None:
    source.put(numbers(30))

    ingest(source, connection, "%{app}/x", mode=mode, dead_letters=DeadLettersToFiles(str(tmp_path)))

    letters = [json.loads(line) for file in tmp_path.iterdir() for line in file.read_text().splitlines()]
    assert len(letters) == 30
    assert all("no queue is subscribed" in letter["cause"] and letter["headers"]["app"] for letter in letters)
    assert sorted(source.acknowledged) == sorted(numbers(30))


@pytest.mark.failure("queue over quota, which refuses")
@pytest.mark.parametrize("mode", ["transacted", "persistent"])
def test_a_full_queue_is_waited_for_and_nothing_is_lost(
    broker: DevelopmentBroker,
    source: MemoryQueue,
    connection: SolaceOptions,
    mode: str,
    counted: Counted,
) -> None:
    broker.create_queue("small", subscriptions=["small"], max_bytes=1_000)
    source.put(numbers(60))
    got: list[bytes] = []

    def drain() -> None:
        eventually(lambda: bool(broker.queue("small").counts) or broker.queue("small").messages > 50)
        while len(got) < 60:
            eventually(lambda: broker.queue("small").messages > 0)
            got.extend(event.body for event in stored(connection, "small"))

    drainer = threading.Thread(target=drain)
    drainer.start()
    counters = ingest(source, connection, "small", mode=mode, max_transaction_messages=30)
    drainer.join()

    assert sorted(got) == sorted(numbers(60))
    assert counters["over_quota_waits"] >= 1
    assert "dead_letters" not in counters or counters["dead_letters"] == 0
    counted(numbers(60), got)


@pytest.mark.parametrize("mode", ["transacted", "persistent"])
def test_a_full_queue_stops_the_run_or_makes_dead_letters_if_told_so(
    broker: DevelopmentBroker, source: MemoryQueue, connection: SolaceOptions, tmp_path: Path, mode: str
) -> None:
    broker.create_queue("tiny", subscriptions=["tiny"], max_bytes=5)
    source.put(numbers(10))

    with pytest.raises(PublishRefusedError, match="quota"):
        ingest(source, connection, "tiny", mode=mode, on_over_quota="stop", max_transaction_messages=1)
    letters = DeadLettersToFiles(str(tmp_path))
    counters = ingest(source, connection, "tiny", mode=mode, on_over_quota="dead-letter", dead_letters=letters)

    assert counters["dead_letters"] >= 1
    assert sorted(source.acknowledged) == numbers(10)


@pytest.mark.failure("queue over quota, which discards in silence")
@pytest.mark.parametrize("mode", ["transacted", "persistent"])
def test_what_a_queue_discards_in_silence_is_gone_and_counted_by_the_broker_alone(
    broker: DevelopmentBroker, source: MemoryQueue, connection: SolaceOptions, mode: str, counted: Counted
) -> None:
    broker.create_queue("small", subscriptions=["small"], reject_on_discard="never", max_bytes=1_000)
    source.put(numbers(60))

    counters = ingest(source, connection, "small", mode=mode)

    assert sorted(source.acknowledged) == sorted(numbers(60))
    assert counters["events_committed"] == 60
    discarded = broker.queue("small").counts["maxMsgSpoolUsageExceededDiscardedMsgCount"]
    found = [event.body for event in stored(connection, "small")]
    assert discarded == 60 - len(found) > 0
    counted(numbers(60), found, lost=discarded)


@pytest.mark.parametrize("mode", ["transacted", "persistent"])
def test_what_an_acl_profile_forbids_is_a_dead_letter_or_a_stop_and_never_silence(
    broker: DevelopmentBroker, source: MemoryQueue, connection: SolaceOptions, tmp_path: Path, mode: str
) -> None:
    broker.configure(
        AclProfile(name="some", connect=Rule(True), publish=nothing_but("logs/*/0"), subscribe=Rule(True)),
        ClientProfile(name="publisher", send_guaranteed=True, transact=True),
        ClientUsername("limited", "secret", acl_profile="some", client_profile="publisher"),
    )
    limited = replace(connection, username="limited", password=Secret("secret"))
    source.put(numbers(30))

    with pytest.raises(PublishRefusedError, match="the ACL profile forbids publishing"):
        ingest(source, limited, "logs/x/%{app}", mode=mode)
    assert not set(source.acknowledged) - {b"0", b"10", b"20"}
    letters = DeadLettersToFiles(str(tmp_path))
    counters = ingest(source, limited, "logs/x/%{app}", mode=mode, dead_letters=letters)

    kept = [json.loads(line) for file in tmp_path.iterdir() for line in file.read_text().splitlines()]
    assert len(kept) == counters["dead_letters"] == 27
    assert all("the ACL profile forbids publishing" in letter["cause"] for letter in kept)
    assert set(bodies(connection)) == {b"0", b"10", b"20"}
    assert set(source.acknowledged) == set(numbers(30))


def test_an_unknown_commit_makes_dead_letters_if_told_so(
    broker: DevelopmentBroker, source: MemoryQueue, connection: SolaceOptions, tmp_path: Path
) -> None:
    source.put(numbers(10))
    broker.fault(LoseCommitResponse(applied=False))

    letters = DeadLettersToFiles(str(tmp_path))
    counters = ingest(source, connection, on_unknown="dead-letter", dead_letters=letters)

    assert (counters["dead_letters"], counters["transactions_unknown"]) == (10, 1)
    assert sorted(source.acknowledged) == numbers(10)


# -- the publisher itself ----------------------------------------------------------------------------------------------


def plain(connection: SolaceOptions, **options: Any) -> PlainPublisher:
    return PlainPublisher(connection, False, 10, 30.0, **options)


def test_a_message_that_the_broker_refuses_is_named_and_the_others_are_there(
    broker: DevelopmentBroker, connection: SolaceOptions
) -> None:
    publisher = plain(connection, max_body_bytes=100)
    broker.fault(NackPublishes(count=1, reason="Publish ACL Denied"))
    batch = EventBatch.from_bodies([b"1", b"2", b"x" * 101, b"4"], {}, {"h": [None, None, None, "\0"]})

    letters = list(publisher.add(batch, "logs/a"))
    publisher.close()

    assert all(isinstance(letter, DeadLetter) for letter in letters)
    causes = [letter.cause for letter in letters if isinstance(letter, DeadLetter)]
    assert len(causes) == 3
    assert "Publish ACL Denied" in causes[0]
    assert "101 bytes, of which 100 are allowed" in causes[1]
    assert "NUL" in causes[2]
    assert bodies(connection) == [b"2"]


def test_a_broker_that_is_down_is_an_error_at_once() -> None:
    publisher = plain(SolaceOptions(host="localhost:1", reconnect=IMPATIENT))

    with pytest.raises(ConnectionFailedError, match="No broker answers"):
        list(publisher.add(EventBatch.from_bodies([b"1"]), "logs/a"))


@pytest.mark.parametrize("policy", list(OnUnknown))
def test_what_was_sent_to_a_broker_that_went_away_follows_the_policy(
    broker: DevelopmentBroker, policy: OnUnknown
) -> None:
    options = SolaceOptions(host=broker.url, reconnect=IMPATIENT)
    publisher = plain(options, on_unknown=policy)
    list(publisher.add(EventBatch.from_bodies([b"before"]), "logs/a"))
    broker.refuse_connections()
    broker.cut_connections()
    batch = EventBatch.from_bodies([b"after"])
    # Back when the publisher has noticed, and pauses before it tries again.
    publisher.pause = lambda _: broker.accept_connections()  # type: ignore[assignment]

    if policy is OnUnknown.STOP:
        with pytest.raises(ConnectionFailedError):
            list(publisher.add(batch, "logs/a"))
    else:
        letters = list(publisher.add(batch, "logs/a"))
        assert [letter.event.body for letter in letters if isinstance(letter, DeadLetter)] == (
            [b"after"] if policy is OnUnknown.DEAD_LETTER else []
        )
    publisher.close()
    if policy is OnUnknown.RETRY:
        assert [event.headers.get("flumebeam.repeated") for event in stored(options)] == [None, "true"]


def test_whoever_wants_to_stop_is_not_kept_waiting_for_room(
    broker: DevelopmentBroker, connection: SolaceOptions
) -> None:
    broker.create_queue("tiny", subscriptions=["tiny"], max_bytes=5)
    publisher = plain(connection, stopping=lambda: publisher.counts.over_quota_waits == 2)

    with pytest.raises(PublishRefusedError, match="quota is reached: their source keeps its events"):
        list(publisher.add(EventBatch.from_bodies([b"123456"]), "tiny"))
    assert publisher.on_over_quota is OnOverQuota.WAIT
    publisher.close()
