from __future__ import annotations

import logging
import socket
import subprocess
import sys
from dataclasses import replace
from time import monotonic

import pytest

from flumebeam.errors import ConfigurationError, ConnectionFailedError, LoginRefusedError, QueueError
from flumebeam.solace.config import ReconnectPolicy, SolaceOptions
from flumebeam.solace.session import connect, ensure_queue
from flumebeam.testing.broker import DevelopmentBroker, running_broker
from tests.integration.client.helpers import bodies, drink, fill
from tests.ports import refusing_port


def test_a_wrong_password_is_told_with_the_username_and_what_to_do(capfd: pytest.CaptureFixture[str]) -> None:
    with running_broker(users={"me": "right"}) as broker:
        options = SolaceOptions(host=broker.url, username="me", password="geheim")
        begun = monotonic()
        with pytest.raises(LoginRefusedError) as refused:
            connect(options)

    assert str(refused.value) == (
        f"The broker at {options.host} refused the password of client username 'me': "
        "set --solace_username and SOLACE_PASSWORD."
    )
    assert not refused.value.retriable
    assert monotonic() - begun < 30
    assert capfd.readouterr().err == ""


def test_an_unknown_username_is_refused(broker: DevelopmentBroker) -> None:
    with pytest.raises(LoginRefusedError, match="'nobody'"):
        connect(SolaceOptions(host=broker.url, username="nobody"))


def test_a_wrong_vpn_is_told_by_name(broker: DevelopmentBroker) -> None:
    with pytest.raises(LoginRefusedError, match=r"into message VPN 'elsewhere'.*set --solace_vpn or SOLACE_VPN"):
        connect(SolaceOptions(host=broker.url, vpn="elsewhere"))


def test_a_broker_that_is_down_is_told_within_seconds(capfd: pytest.CaptureFixture[str]) -> None:
    with refusing_port() as port:
        begun = monotonic()

        with pytest.raises(
            ConnectionFailedError, match=rf"No broker answers at tcp://127.0.0.1:{port}.*SOLACE_HOST"
        ) as down:
            connect(SolaceOptions(host=f"127.0.0.1:{port}"))

    assert monotonic() - begun < 30
    assert down.value.retriable
    assert capfd.readouterr().err == ""


def test_a_host_that_does_not_answer_is_given_up_after_the_connect_timeout() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        options = SolaceOptions(
            host=f"127.0.0.1:{silent.getsockname()[1]}", reconnect=ReconnectPolicy(connect_timeout_seconds=0.5)
        )
        begun = monotonic()

        with pytest.raises(ConnectionFailedError, match="No broker answers"):
            connect(options)

    assert monotonic() - begun < 30


def test_an_unknown_host_name_is_told() -> None:
    with pytest.raises(ConnectionFailedError, match=r"No broker answers at tcp://no-such-host\.invalid:55555"):
        connect(SolaceOptions(host="no-such-host.invalid"))


def test_the_second_host_of_a_list_is_tried(broker: DevelopmentBroker) -> None:
    with (
        refusing_port() as port,
        connect(SolaceOptions(host=f"127.0.0.1:{port},{broker.url}")) as connection,
    ):
        assert connection.alive


def test_each_connection_has_a_client_name_of_its_own(broker: DevelopmentBroker, options: SolaceOptions) -> None:
    with connect(options), connect(replace(options, client_name="mine/{unique}")):
        names = broker.clients()

    assert len(set(names)) == 2
    assert sorted(name.split("/")[0] for name in names) == ["flumebeam", "mine"]


def test_a_queue_is_made_once_and_subscribed(broker: DevelopmentBroker, options: SolaceOptions) -> None:
    ensure_queue(options, "made", access="non-exclusive", subscriptions=["made/>", "other"])
    ensure_queue(options, "made", access="non-exclusive", subscriptions=["made/>"])

    assert broker.queue("made").access == "non-exclusive"
    with connect(options) as connection:
        connection.ensure_queue("also", subscriptions=["also/*"])
        fill(connection, 1, topic="made/a")
        fill(connection, 2, topic="other")
        fill(connection, 3, topic="also/x")
        assert bodies(drink(connection.receiver("made"), 2)) == [b"1", b"2"]
        assert bodies(drink(connection.receiver("also"), 1)) == [b"3"]


def test_a_queue_of_an_unknown_access_type_is_refused(options: SolaceOptions) -> None:
    with pytest.raises(ConfigurationError, match="exclusive or non-exclusive, not 'shared'"):
        ensure_queue(options, "q2", access="shared")


def test_a_subscription_that_is_none_is_refused_by_the_brokers_word(options: SolaceOptions) -> None:
    with pytest.raises(QueueError, match="'q2'"):
        ensure_queue(options, "q2", subscriptions=["a//"])


def test_a_closed_connection_opens_nothing(options: SolaceOptions) -> None:
    connection = connect(options)
    connection.close()
    connection.close()

    assert not connection.alive
    with pytest.raises(ConnectionFailedError):
        connection.receiver("q")
    with pytest.raises(ConnectionFailedError):
        connection.transacted_session()


def test_a_forked_child_is_told_to_open_a_connection_of_its_own(
    options: SolaceOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    with connect(options) as connection:
        with monkeypatch.context() as child:
            child.setattr(connection, "_pid", -1)
            with pytest.raises(ConnectionFailedError, match="before a fork"):
                connection.receiver("q")
        assert connection.alive


def test_the_vendors_logging_is_silent_unless_somebody_asks_for_it(options: SolaceOptions) -> None:
    with connect(options):
        assert logging.getLogger("solace.messaging.receiver").getEffectiveLevel() > logging.CRITICAL


PROGRAM = """
import sys
from flumebeam.solace.config import SolaceOptions
from flumebeam.solace.session import connect
connection = connect(SolaceOptions(host=sys.argv[1]))
session = connection.transacted_session(queue="q")
receiver = connection.receiver("q") if sys.argv[2] == "receiver" else None
if sys.argv[2] == "blocked":
    import threading
    threading.Thread(target=session.receive, args=(1, 600), daemon=True).start()
    import time; time.sleep(0.3)
print("done", flush=True)
"""


@pytest.mark.parametrize("what", ["session", "receiver", "blocked"])
def test_a_program_that_forgets_to_close_ends_at_once(broker: DevelopmentBroker, what: str) -> None:
    command = [sys.executable, "-c", PROGRAM, broker.url, what]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        said = program.stdout.readline()
        begun = monotonic()
        _, complaints = program.communicate(timeout=200)

    assert (program.returncode, said) == (0, "done\n"), complaints
    assert monotonic() - begun < 30
