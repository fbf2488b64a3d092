"""``flumebeam broker`` as users start it."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import requests

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
    shown = requests.get(queue, auth=("admin", "admin"), timeout=10).json()["data"]

    assert [one["subscriptionTopic"] for one in shown] == ["a/>"]
    assert address(program, r"(tcp://127.0.0.1:\d+) \(compressed_port\)")
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
