"""Programs of others, in Java, on our broker and with our events."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from flumebeam.batch import EventBatch
from flumebeam.channel.solace import SolaceChannel
from flumebeam.downloads import cache_directory
from flumebeam.errors import ConfigurationError
from flumebeam.solace.config import SolaceOptions
from flumebeam.solace.packing import Packing
from flumebeam.testing.broker import DevelopmentBroker, running_broker
from flumebeam.testing.requirements import require, unmet
from tests.foreign.java_clients import java_clients
from tests.java import JavaPrograms

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> JavaPrograms:
    require("java")
    if not list(cache_directory().glob("solace-java-*-arrow-*")):
        require("mvn")
    try:
        return java_clients(tmp_path_factory.mktemp("classes"))
    except ConfigurationError as error:
        unmet(str(error))


@pytest.fixture
def broker() -> Iterator[DevelopmentBroker]:
    with running_broker(compressed_port=0, replay_log_bytes=100_000_000) as broker:
        yield broker


def outcome(printed: str) -> tuple[list[str], list[str]]:
    """Return the steps that failed, and those that did not."""
    lines = printed.splitlines()
    return [line for line in lines if line.startswith("FAILED ")], [line for line in lines if line.startswith("ok ")]


def steps_of(program: str) -> int:
    """Return how many steps a program has."""
    return Path(__file__).with_name("programs").joinpath(f"{program}.java").read_text().count("steps.step(")


def test_the_vendors_java_client_does_with_this_broker_what_it_does_with_its_own(
    broker: DevelopmentBroker, programs: JavaPrograms
) -> None:
    run = programs.run("JcsmpSteps", broker.url, broker.compressed_url)

    failed, good = outcome(run.stdout)
    assert failed == []
    assert len(good) == steps_of("JcsmpSteps")


def test_a_jms_program_works_with_this_broker(broker: DevelopmentBroker, programs: JavaPrograms) -> None:
    broker.create_queue("jms", respect_ttl=True)

    run = programs.run("JmsSteps", broker.url, "jms")

    failed, good = outcome(run.stdout)
    assert failed == []
    assert len(good) == steps_of("JmsSteps")


def test_the_program_of_the_page_reads_our_packs(broker: DevelopmentBroker, programs: JavaPrograms) -> None:
    broker.create_queue("packs", subscriptions=["logs/>"])
    bodies = [b"one", "zwei: \u00e4".encode(), b"three"]
    with SolaceChannel(SolaceOptions(host=broker.url)) as channel, channel.transaction() as transaction:
        transaction.put(EventBatch.from_bodies(bodies, {"host": "web1"}), "logs/web1", Packing(max_events=2))
        transaction.put(EventBatch.from_bodies(bodies[:2], {"host": "web2"}), "logs/web2", Packing())
        assert transaction.commit().committed

    run = programs.run("ReadPacks", broker.url, "packs", "1")

    assert run.stdout.splitlines() == ["{host=web1} one", "{host=web1} zwei: \u00e4"], run.stderr
    assert broker.queue("packs").messages == 2


def test_a_jms_program_reads_our_events_and_we_read_its_messages(
    broker: DevelopmentBroker, programs: JavaPrograms
) -> None:
    broker.create_queue("ours", subscriptions=["logs/>"])
    broker.create_queue("theirs")
    options = SolaceOptions(host=broker.url)
    with SolaceChannel(options) as channel, channel.transaction() as transaction:
        transaction.put(EventBatch.from_bodies(["zeile: ä".encode()], {"host": "web1", "level": "info"}), "logs/web1")
        assert transaction.commit().committed

    run = programs.run("Exchange", broker.url, "ours", "theirs")

    assert run.stdout.splitlines()[-1] == "{host=web1, level=info} zeile: ä", run.stderr
    with SolaceChannel(options, queue="theirs") as channel, channel.transaction() as transaction:
        events = [next(transaction.take(1, 60).events()) for _ in range(3)]
        assert transaction.commit().committed
    text, binary, entries = events
    assert text.body.decode() == "ein Text: äöü"
    assert (text.headers["from"], text.headers["number"], text.headers["solace.correlation-id"]) == ("JMS", "42", "c-1")
    assert binary.body == b"\0\1\xff"
    assert entries.body == b'{"i":7,"s":"x"}'
    # A text of JMS travels in the part that is meant for XML, unless its connection factory says otherwise.
    assert [event.headers["solace.payload"] for event in events] == ["xml", "bytes", "map"]
