"""Options from a mapping, a URL, the environment, a file, and the vendor's names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from solace.messaging.config import solace_constants
from solace.messaging.config.solace_constants import authentication_constants
from solace.messaging.config.solace_properties import (
    authentication_properties,
    client_properties,
    service_properties,
    transport_layer_properties,
    transport_layer_security_properties,
)

from flumebeam.errors import ConfigurationError
from flumebeam.solace import settings
from flumebeam.solace.auth import (
    CertificateAuthentication,
    ClientCredentials,
    KerberosAuthentication,
    OAuthAuthentication,
)
from flumebeam.solace.config import ReconnectPolicy, Secret, SolaceOptions, TlsOptions


@pytest.mark.parametrize(
    ("url", "meant"),
    [
        ("tcp://broker", SolaceOptions(host="broker")),
        ("tcp://me@broker:1/vpn1", SolaceOptions(host="broker:1", username="me", vpn="vpn1")),
        ("tcps://m%40x@a:1,b:2/v", SolaceOptions(host="tcps://a:1,tcps://b:2", username="m@x", vpn="v")),
        (
            "tcps://b/v?compression_level=3&trust_store=/ca",
            SolaceOptions(host="tcps://b", vpn="v", compression_level=3, tls=TlsOptions(trust_store="/ca")),
        ),
    ],
)
def test_a_url_says_host_user_vpn_and_settings(url: str, meant: SolaceOptions) -> None:
    assert SolaceOptions.from_url(url) == meant


@pytest.mark.parametrize(
    "url", ["", "broker", "http://b", "tcp://", "tcp://me@", "tcp://b/v/w", "tcp://b#x", "tcp://b?nonsense=1"]
)
def test_what_is_no_url_of_a_broker_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError):
        SolaceOptions.from_url(url)


def test_a_password_in_a_url_is_refused_and_not_shown() -> None:
    with pytest.raises(ConfigurationError, match="SOLACE_PASSWORD") as refused:
        SolaceOptions.from_url("tcp://me:geheim@broker")

    assert "geheim" not in str(refused.value)


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ({"password": "pw"}, {"password": Secret("pw")}),
        ({"password_file": "/pw"}, {"password": Secret.from_file("/pw")}),
        ({"password": len}, {"password": Secret.from_function(len)}),  # type: ignore[arg-type]
        (
            {"client_certificate": "c", "client_key": "k", "client_key_password_file": "p"},
            {"authentication": CertificateAuthentication(certificate="c", key="k", key_password=Secret.from_file("p"))},
        ),
        ({"token_file": "t"}, {"authentication": OAuthAuthentication(access_token=Secret.from_file("t"))}),
        (
            {
                "oauth_token_url": "https://t/x",
                "oauth_client_id": "i",
                "oauth_client_secret": "s",
                "oauth_scope": "a b",
            },
            {
                "authentication": OAuthAuthentication(
                    access_token=ClientCredentials(
                        token_url="https://t/x", client_id="i", client_secret=Secret("s"), scope="a b"
                    )
                )
            },
        ),
        ({"kerberos_service": "sol"}, {"authentication": KerberosAuthentication(service="sol")}),
        ({"verify_host_name": "no"}, {"tls": TlsOptions(verify_host_name=False)}),
        (
            {"reconnect": "ha-pair", "reconnect_attempts": "7", "reconnect_wait_seconds": 0.5},
            {
                "reconnect": ReconnectPolicy(
                    attempts=7, wait_seconds=0.5, connect_timeout_seconds=10, request_timeout_seconds=20
                )
            },
        ),
    ],
)
def test_settings_by_name_are_options(given: dict[str, Any], meant: dict[str, Any]) -> None:
    assert SolaceOptions.from_mapping({"host": "tcps://b", **given}) == SolaceOptions(host="tcps://b", **meant)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"hosts": "b"}, "no setting 'hosts'"),
        ({"password": "x", "token": "y"}, "several ways to log in: password and OAuth"),
        ({"token": "x", "oauth_token_url": "https://t"}, "A token and a token server"),
        ({"oauth_token_url": "ftp://t"}, "must look like https://"),
        ({"oauth_token_url": "https://me:geheim@t"}, "must look like https://"),
        ({"oauth_token_url": "https://t"}, "needs a client id and a client secret"),
        ({"oauth_scope": "x"}, "needs an access token or an id token"),
        ({"client_key": "k"}, "needs a certificate"),
        ({"compression_level": "much"}, "compression_level must be a whole number"),
        ({"reconnect_wait_seconds": "long"}, "reconnect_wait_seconds must be a number"),
        ({"verify_certificate": "maybe"}, "verify_certificate must be true or false"),
    ],
)
def test_settings_that_cannot_work_are_refused_by_name(given: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigurationError, match=why) as refused:
        SolaceOptions.from_mapping({"host": "tcps://b", **given})

    assert "geheim" not in str(refused.value)


def test_a_later_layer_wins_and_its_login_replaces_an_earlier_one() -> None:
    made = SolaceOptions.from_layers(
        {"host": "tcps://a", "username": "u", "token_file": "t"}, {"url": "tcps://b/v", "client_certificate": "c"}
    )

    assert made == SolaceOptions(
        host="tcps://b", username="u", vpn="v", authentication=CertificateAuthentication(certificate="c")
    )


def test_every_setting_has_a_variable_and_secrets_of_the_own_environment_stay_references(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "c.toml").write_text('vpn = "of-the-file"\nusername = "of-the-file"\n')
    monkeypatch.setenv("SOLACE_CONFIG", str(tmp_path / "c.toml"))
    monkeypatch.setenv("SOLACE_HOST", "tcps://b")
    monkeypatch.setenv("SOLACE_USERNAME", "me")
    monkeypatch.setenv("SOLACE_TOKEN", "geheim")

    assert SolaceOptions.from_environment() == SolaceOptions(
        host="tcps://b",
        vpn="of-the-file",
        username="me",
        authentication=OAuthAuthentication(access_token=Secret.from_environment("SOLACE_TOKEN")),
    )


FILES = {
    "a.toml": '[solace]\nhost = "tcps://b"\ncompression_level = 2\n',
    "a.json": '{"host": "tcps://b", "compression_level": 2}',
    "a.properties": "# ours\nhost = tcps://b\ncompression_level: 2\n",
    "v.json": '{"solace.messaging.transport.host": "tcps://b", "solace.messaging.transport.compression-level": 2}',
    "v.toml": '[solace.messaging.transport]\nhost = "tcps://b"\ncompression-level = 2\n',
    "v.properties": "solace.messaging.transport.host=tcps://b\nsolace.messaging.transport.compression-level=2\n",
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_settings_is_read_by_its_ending(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(FILES[name])

    assert SolaceOptions.from_file(tmp_path / name) == SolaceOptions(host="tcps://b", compression_level=2)


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("a.yaml", "", "must end in .toml, .json, .properties"),
        ("a.toml", "password = geheim", "is no TOML"),
        ("a.json", '["geheim"]', "must hold names and values"),
        ("a.properties", "geheim", "is no PROPERTIES"),
        ("gone.json", None, "cannot be read: No such file"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_and_nothing_of_it_shown(
    name: str, content: str | None, why: str, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(ConfigurationError, match=why) as refused:
        SolaceOptions.from_file(tmp_path / name)

    assert "geheim" not in str(refused.value)


def test_the_vendors_properties_mean_what_they_mean_to_its_client() -> None:
    made = SolaceOptions.from_mapping(
        {
            transport_layer_properties.HOST: "tcps://b",
            service_properties.VPN_NAME: "v",
            client_properties.NAME: "me",
            transport_layer_properties.RECONNECTION_ATTEMPTS: 9,
            transport_layer_properties.RECONNECTION_ATTEMPTS_WAIT_INTERVAL: "1500",
            authentication_properties.SCHEME: authentication_constants.AUTHENTICATION_SCHEME_CLIENT_CERT,
            authentication_properties.SCHEME_BASIC_PASSWORD: "unused",
            authentication_properties.SCHEME_SSL_CLIENT_CERT_FILE: "c",
            transport_layer_security_properties.CERT_VALIDATE_SERVERNAME: False,
        }
    )

    assert made == SolaceOptions(
        host="tcps://b",
        vpn="v",
        client_name="me",
        reconnect=ReconnectPolicy(attempts=9, wait_seconds=1.5),
        authentication=CertificateAuthentication(certificate="c"),
        tls=TlsOptions(verify_host_name=False),
    )
    kerberos = SolaceOptions.from_mapping(
        {authentication_properties.SCHEME: authentication_constants.AUTHENTICATION_SCHEME_KERBEROS}
    )
    assert kerberos.authentication == KerberosAuthentication()
    with pytest.raises(ConfigurationError, match="no authentication scheme 'magic'"):
        SolaceOptions.from_mapping({authentication_properties.SCHEME: "magic"})


def test_every_name_of_the_vendor_that_is_understood_is_one_of_its_own() -> None:
    theirs = {
        value
        for module in (
            authentication_properties,
            client_properties,
            service_properties,
            transport_layer_properties,
            transport_layer_security_properties,
        )
        for value in vars(module).values()
        if isinstance(value, str)
    }
    schemes = {value for value in vars(solace_constants.authentication_constants).values() if isinstance(value, str)}

    assert {f"solace.messaging.{name}" for name in settings._VENDOR_SETTINGS} <= theirs
    assert set(settings._VENDOR_SCHEMES) <= schemes
