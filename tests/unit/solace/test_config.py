from __future__ import annotations

import pickle
from dataclasses import replace

import pytest

from flumebeam.errors import ConfigurationError
from flumebeam.solace.auth import (
    Authentication,
    CertificateAuthentication,
    KerberosAuthentication,
    OAuthAuthentication,
)
from flumebeam.solace.config import ReconnectPolicy, Secret, SolaceOptions
from flumebeam.solace.reconnect import PRESETS


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("tcp://broker:55555", "tcp://broker:55555"),
        ("broker", "tcp://broker:55555"),
        ("broker:55000/", "tcp://broker:55000"),
        ("tcp://a, b:1 ,tcp://10.0.0.7:2", "tcp://a:55555,tcp://b:1,tcp://10.0.0.7:2"),
        ("tcp://[::1]:55555", "tcp://[::1]:55555"),
        ("tcps://broker,tcp://b", "tcps://broker:55443,tcp://b:55555"),
    ],
)
def test_an_address_gets_the_scheme_and_the_port_it_lacks(given: str, meant: str) -> None:
    assert SolaceOptions(host=given).host == meant


@pytest.mark.parametrize(
    "host", ["", "a,,b", "http://broker", "tcp://[::1", "tcp://", "tcp://h:0", "tcp://h:70000", "tcp://h:x", "h/vpn"]
)
def test_an_address_that_cannot_work_is_refused(host: str) -> None:
    with pytest.raises(ConfigurationError):
        SolaceOptions(host=host)


def test_more_hosts_than_the_client_takes_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="one to 16 addresses"):
        SolaceOptions(host=",".join(f"h{n}" for n in range(17)))


@pytest.mark.parametrize("host", ["tcp://me:geheim@broker:55555", "tcp://me:geheim@:99999999", "http://me:geheim@b"])
def test_a_password_inside_an_address_is_refused_and_not_shown(host: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        SolaceOptions(host=host)

    assert "geheim" not in str(refused.value)


@pytest.mark.parametrize(
    "wrong",
    [
        {"vpn": ""},
        {"vpn": "v" * 33},
        {"username": ""},
        {"username": "u" * 190},
        {"username": "a\0b"},
        {"client_name": ""},
        {"client_name": "{nonsense}"},
        {"client_name": "{"},
        {"client_name": "n" * 161},
    ],
)
def test_names_that_the_broker_would_refuse_are_refused_at_once(wrong: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError):
        SolaceOptions(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "wrong",
    [
        {"attempts": -1},
        {"attempts": 1001},
        {"wait_seconds": 61},
        {"connect_timeout_seconds": 0},
        {"connect_retries": -1},
        {"keepalive_seconds": 0.01},
        {"keepalive_limit": 2},
        {"request_timeout_seconds": 1},
        {"request_tries": 0},
        {"wait_seconds": float("nan")},
    ],
)
def test_a_policy_that_the_client_would_refuse_or_ignore_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError, match=f"Reconnect option {next(iter(wrong))} "):
        ReconnectPolicy(**wrong)  # type: ignore[arg-type]


def test_the_default_policy_rides_over_twenty_seconds_and_fails_at_once_at_the_start() -> None:
    policy = ReconnectPolicy()

    assert policy.attempts * policy.wait_seconds > 20
    assert policy.connect_retries == 0
    assert 2 * policy.request_timeout_seconds * policy.request_tries > 20


def test_the_presets_are_policies_that_pass_their_own_checks() -> None:
    assert ReconnectPolicy.ha_pair().attempts * ReconnectPolicy.ha_pair().wait_seconds > 60
    assert ReconnectPolicy.fail_fast().attempts == 1
    assert [ReconnectPolicy.preset(name) for name in PRESETS] == [
        ReconnectPolicy(),
        ReconnectPolicy.ha_pair(),
        ReconnectPolicy.dr_pair(),
        ReconnectPolicy.fail_fast(),
    ]
    with pytest.raises(ConfigurationError, match="no reconnect preset 'never'; use one of: single, ha-pair"):
        ReconnectPolicy.preset("never")


def test_a_password_never_shows() -> None:
    options = SolaceOptions(password="geheim")

    assert "geheim" not in repr(options)
    assert "geheim" not in repr(options.secret)
    assert options.secret.reveal() == "geheim"


def test_compression_has_a_port_of_its_own_without_tls() -> None:
    assert SolaceOptions(host="a,tcps://b", compression_level=6).host == "tcp://a:55003,tcps://b:55443"
    with pytest.raises(ConfigurationError, match=r"from 0 \(none\) to 9, not 10"):
        SolaceOptions(compression_level=10)


@pytest.mark.parametrize(
    "login", [CertificateAuthentication(certificate="c.pem"), OAuthAuthentication(access_token=Secret("t"))]
)
def test_a_login_that_needs_tls_is_refused_without_it(login: Authentication) -> None:
    with pytest.raises(ConfigurationError, match="needs TLS"):
        SolaceOptions(authentication=login)

    assert SolaceOptions(host="tcps://b", authentication=login).authentication == login
    assert SolaceOptions(authentication=KerberosAuthentication()).authentication == KerberosAuthentication()


def test_a_password_of_the_environment_travels_as_a_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOLACE_PASSWORD", "geheim")
    options = SolaceOptions.from_environment()

    pickled = pickle.dumps(options)

    assert b"geheim" not in pickled
    assert pickle.loads(pickled) == options  # noqa: S301
    assert pickle.loads(pickled).secret.reveal() == "geheim"  # noqa: S301


def test_options_come_from_the_environment_and_keep_their_defaults() -> None:
    given = {"SOLACE_HOST": "broker", "SOLACE_VPN": "", "SOLACE_USERNAME": "me", "SOLACE_PASSWORD": "pw"}

    options = SolaceOptions.from_environment(given)

    assert options == SolaceOptions(host="broker", username="me", password="pw")
    assert SolaceOptions.from_environment({}) == SolaceOptions()


def test_a_client_name_keeps_its_unique_part_however_long_the_host_is() -> None:
    options = SolaceOptions()

    assert options.name_client(host="box", pid=7, unique="u1") == "flumebeam/box/7/u1"
    long = options.name_client(host="h" * 300, pid=7, unique="u1")
    assert len(long) <= 160
    assert long.endswith("/7/u1")


def test_options_are_values() -> None:
    assert replace(SolaceOptions(), vpn="other") == SolaceOptions(vpn="other")
    assert hash(SolaceOptions()) == hash(SolaceOptions())
