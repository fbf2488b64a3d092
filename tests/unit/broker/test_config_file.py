"""The configuration file of a broker."""

from __future__ import annotations

from pathlib import Path

import pytest

from flumebeam.broker import FailCommit, LosePublishAck
from flumebeam.broker.config_file import read_setup
from flumebeam.errors import ConfigurationError

WHOLE = """
faults = ["fail-commit reason='Spool Over Quota'", "lose-publish-ack"]

[broker]
like = "standard"
port = 0
max-connections = 7
login_timeout_seconds = 3
trace = true
data = "kept"

[users]
default = true
writer = "secret"
reader = { file = "password.txt" }

[vpns.test]
default = true
ann = "pw"

[[queues]]
name = "logs"
vpn = "test"
access = "non-exclusive"
subscriptions = ["app/>"]
max-redeliveries = 3

[[queues]]
name = "plain"
"""


def written(directory: Path, text: str) -> Path:
    file = directory / "broker.toml"
    file.write_text(text, encoding="utf-8")
    return file


def test_file_says_options_usernames_queues_and_faults(tmp_path: Path) -> None:
    (tmp_path / "password.txt").write_text("from a file\n", encoding="utf-8")
    setup = read_setup(written(tmp_path, WHOLE))

    assert setup.options == {
        "max_ingress_per_second": 10_000,
        "port": 0,
        "max_connections": 7,
        "login_timeout_seconds": 3,
        "trace": True,
        "data": "kept",
        "users": {"default": None, "writer": "secret", "reader": "from a file"},
        "more_vpns": {"test": {"default": None, "ann": "pw"}},
    }
    assert setup.queues == (
        {"name": "logs", "vpn": "test", "access": "non-exclusive", "subscriptions": ["app/>"], "max_redeliveries": 3},
        {"name": "plain"},
    )
    assert setup.faults == (FailCommit(reason="Spool Over Quota"), LosePublishAck())


def test_empty_file_changes_nothing(tmp_path: Path) -> None:
    setup = read_setup(written(tmp_path, ""))

    assert (setup.options, setup.queues, setup.faults) == ({}, (), ())


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("port = ]", r"broker.toml is no TOML: Invalid value \(at line 1"),
        ("port = 1", r"line 1: there is nothing called 'port'; write broker, faults, queues, users, vpns"),
        ("broker = 1", "line 1: broker must be a table"),
        ("\n[broker]\nprot = 1", "line 3: there is no option 'prot' in broker"),
        ("[broker]\nport = 'x'", "line 2: port is 'x'; it must be a whole number"),
        ("[broker]\nport = true", "line 2: port is True; it must be a whole number"),
        ("[broker]\ntrace = 1", "line 2: trace is 1; it must be true or false"),
        ("[broker]\nlike = 'gold'", "line 2: there is no edition 'gold'; choose one of standard"),
        ("[broker]\nusers = 'x'", "line 2: there is no option 'users' in broker"),
        ("users = 1", "line 1: users must be a table"),
        ("vpns = 1", "line 1: each message VPN must be a table of its usernames"),
        ("[vpns.x]", "vpns.x must be a table of usernames"),
        ("[vpns.x]\nann = 1", "line 2: ann needs a password"),
        ("[users]\nx = 1", "line 2: x needs a password"),
        ("[users]\nx = { file = 'none' }", "line 2: the password file of x cannot be read"),
        ("[queues]\nname = 'x'", "line 1: each queue must be a table of its own"),
        ("[[queues]]\nsubscriptions = ['x']", "line 1: a queue needs a name"),
        ("[[queues]]\nname = 'x'\nsubscriptions = 'x'", "line 3: subscriptions must be a list of texts"),
        ("faults = 'x'", "line 1: faults must be a list of texts"),
        ("faults = ['x']", "line 1: There is no fault 'x'"),
    ],
)
def test_mistake_is_one_clear_error_with_its_line(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        read_setup(written(tmp_path, text))


def test_missing_file_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_setup(tmp_path / "none.toml")
