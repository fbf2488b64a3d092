"""``flumebeam broker`` as users start it."""

from __future__ import annotations

import re
import signal
import socket
from pathlib import Path

import requests

from flumebeam.smf.clientctrl import ClientControl
from flumebeam.testing import running_broker
from tests.programs import Program, Programs, until


def address(program: Program, pattern: str) -> str:
    """Wait until the program has said where it listens, and return that."""
    until(lambda: re.search(pattern, program.err), f"{pattern} is said")
    found = re.search(pattern, program.err)
    assert found is not None
    return found[1]


def test_broker_says_where_it_is_managed_and_ends_with_a_signal(programs: Programs) -> None:
    program = programs.start(
        "broker", "--port", "0", "--semp-port", "0", "--compressed-port", "0", "--queue", "logs=a/>"
    )
    url = address(program, r"Management on (http://127.0.0.1:\d+)")
    queue = f"{url}/SEMP/v2/config/msgVpns/default/queues/logs/subscriptions"
    shown = requests.get(queue, auth=("admin", "admin"), timeout=60).json()["data"]

    assert [one["subscriptionTopic"] for one in shown] == ["a/>"]
    assert address(program, r"(tcp://127.0.0.1:\d+) \(compressed_port\)")
    program.send(signal.SIGINT)
    program.ends_well()


def test_broker_keeps_a_replay_log_if_asked_to(programs: Programs) -> None:
    program = programs.start("broker", "--port", "0", "--semp-port", "0", "--replay-log-bytes", "5000000")
    url = address(program, r"Management on (http://127.0.0.1:\d+)")
    logs = f"{url}/SEMP/v2/config/msgVpns/default/replayLogs"
    (shown,) = requests.get(logs, auth=("admin", "admin"), timeout=60).json()["data"]

    assert (shown["maxSpoolUsage"], shown["ingressEnabled"], shown["egressEnabled"]) == (5, True, True)
    program.send(signal.SIGINT)
    program.ends_well()


def test_broker_without_management_has_none(programs: Programs) -> None:
    program = programs.start("broker", "--port", "0", "--no-semp")
    address(program, r"(Listening on)")
    program.send(signal.SIGINT)
    program.ends_well()

    assert "Management" not in program.err


def test_port_of_management_in_use_ends_the_broker_with_advice(programs: Programs) -> None:
    with running_broker() as other:
        program = programs.start("broker", "--port", "0", "--semp-port", str(other.port))
        assert program.wait() != 0

    assert "--no-semp" in program.err
    assert "Traceback" not in program.err


def test_certificate_that_is_none_ends_the_broker_with_its_name(programs: Programs, tmp_path: Path) -> None:
    program = programs.start(
        "broker", "--port", "0", "--no-semp", "--tls-port", "0", "--tls-certificate", str(tmp_path / "none.pem")
    )

    assert program.wait() != 0
    assert "none.pem" in program.err
    assert "Traceback" not in program.err


def test_file_configures_the_broker_and_options_come_first(programs: Programs, tmp_path: Path) -> None:
    file = tmp_path / "broker.toml"
    file.write_text(
        'faults = ["fail-commit"]\n[broker]\nport = 1\nvpn = "mine"\nsemp-port = 0\n'
        '[[queues]]\nname = "logs"\nsubscriptions = ["a/>"]\n',
        encoding="utf-8",
    )
    program = programs.start("broker", "--config", str(file), "--port", "0", "--queue", "more=b/>")
    url = address(program, r"Management on (http://127.0.0.1:\d+)")
    queues = requests.get(f"{url}/SEMP/v2/config/msgVpns/mine/queues", auth=("admin", "admin"), timeout=60).json()

    assert [one["queueName"] for one in queues["data"]] == ["logs", "more"]
    assert "VPN mine" in program.err
    program.send(signal.SIGTERM)
    program.ends_well()
    assert "stopped" in program.err


def test_mistake_in_the_file_ends_the_broker_with_its_line(programs: Programs, tmp_path: Path) -> None:
    file = tmp_path / "broker.toml"
    file.write_text("[broker]\nprot = 1\n", encoding="utf-8")
    program = programs.start("broker", "--config", str(file))

    assert program.wait() != 0
    assert "line 2: there is no option 'prot' in broker" in program.err
    assert "Traceback" not in program.err


def test_trace_shows_frames_and_a_fault_strikes(programs: Programs) -> None:
    program = programs.start("broker", "--port", "0", "--no-semp", "--trace", "--fault", "refuse-logins code=401")
    port = int(address(program, r"Listening on tcp://127.0.0.1:(\d+)"))
    login = ClientControl(username="default", password="secret", client_name="me", vpn="default")
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        connection.sendall(login.encode())
        assert connection.recv(1000)
    until(lambda: "CONNECTION CLOSED" in program.err, "the connection is closed")

    assert re.search(r"> LOGIN .*password=\*\*\* client_name='me'", program.err)
    assert re.search(r"< LOGIN 401 'Service Unavailable'", program.err)
    assert "secret" not in program.err
    program.send(signal.SIGTERM)
    program.ends_well()


def test_further_message_vpns_come_from_the_file_and_from_options(programs: Programs, tmp_path: Path) -> None:
    file = tmp_path / "broker.toml"
    file.write_text('[vpns.test]\nann = "pw"\n[[queues]]\nname = "logs"\nvpn = "test"\n', encoding="utf-8")
    program = programs.start(
        "broker", "--port", "0", "--semp-port", "0", "--config", str(file), "--more-vpn", "a", "--more-vpn", "b"
    )
    config = address(program, r"Management on (http://127.0.0.1:\d+)") + "/SEMP/v2/config/msgVpns"

    def names(path: str, key: str) -> list[str]:
        return [one[key] for one in requests.get(config + path, auth=("admin", "admin"), timeout=60).json()["data"]]

    assert names("", "msgVpnName") == ["a", "b", "default", "test"]
    assert names("/test/queues", "queueName") == ["logs"]
    assert (names("/test/clientUsernames", "clientUsername"), names("/a/queues", "queueName")) == (["ann"], [])
    program.send(signal.SIGINT)
    program.ends_well()
