"""Certificates and authorities that an administrator sets while the broker runs."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from cryptography import x509
from solace.messaging.config.solace_constants.authentication_constants import AUTHENTICATION_SCHEME_CLIENT_CERT
from solace.messaging.errors.pubsubplus_client_error import AuthenticationError, PubSubPlusClientError
from solace.messaging.resources.queue import Queue
from solace.messaging.resources.topic import Topic

from flumebeam.broker import DevelopmentBroker, running_broker
from tests.integration.broker.certificates import Authority


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    directory = tmp_path / "first"
    directory.mkdir()
    return Authority(directory, "First Authority")


@pytest.fixture
def other(tmp_path: Path) -> Authority:
    directory = tmp_path / "other"
    directory.mkdir()
    return Authority(directory, "Other Authority")


@pytest.fixture
def managed(authority: Authority) -> Iterator[DevelopmentBroker]:
    certificate, key = authority.issue("broker")
    with running_broker(
        tls_port=0, semp_port=0, semp_tls_port=0, tls_certificate=certificate, tls_key=key, users={"ann": "secret"}
    ) as broker:
        yield broker


def ask(broker: DevelopmentBroker, method: str, path: str, body: Any) -> None:
    url = f"{broker.semp_url}/SEMP/v2/config{path}"
    reply = requests.request(method, url, json=body, auth=("admin", "admin"), timeout=60)
    assert reply.status_code == 200, reply.text


def issuer(url: str) -> str:
    host, _, port = url.rpartition("//")[2].partition(":")
    shown = x509.load_pem_x509_certificate(ssl.get_server_certificate((host, int(port)), timeout=60).encode())
    return str(shown.issuer.rfc4514_string())


def contents(*files: str) -> str:
    return "".join(Path(file).read_text(encoding="ascii") for file in files)


def test_new_certificate_is_that_of_connections_from_now_on_and_can_be_taken_back(
    managed: DevelopmentBroker, authority: Authority, other: Authority, connect: Callable[..., Any], tmp_path: Path
) -> None:
    trusting_other = {
        "transport__host": managed.tls_url,
        "tls__trust_store_path": str(tmp_path / "other"),
        "authentication.scheme.basic.username": "ann",
        "authentication.scheme.basic.password": "secret",
        "transport__reconnection_attempts": 0,
    }
    with pytest.raises(PubSubPlusClientError):
        connect(managed, **trusting_other)
    ask(managed, "PATCH", "", {"tlsServerCertContent": contents(*other.issue("broker"))})

    connect(managed, **trusting_other)
    assert managed.clients() == ("app",)
    assert (issuer(managed.tls_url), issuer(managed.semp_tls_url)) == ("CN=Other Authority",) * 2
    ask(managed, "PATCH", "", {"tlsServerCertContent": ""})
    assert (issuer(managed.tls_url), issuer(managed.semp_tls_url)) == ("CN=First Authority",) * 2
    assert managed.clients() == ("app",), "Who is connected stays."


def test_authority_of_clients_is_trusted_as_long_as_it_is_there(
    managed: DevelopmentBroker, other: Authority, connect: Callable[..., Any], tmp_path: Path
) -> None:
    own, own_key = other.issue("ann")
    by_certificate = {
        "transport__host": managed.tls_url,
        "tls__trust_store_path": str(tmp_path / "first"),
        "authentication__scheme": AUTHENTICATION_SCHEME_CLIENT_CERT,
        "authentication__client_cert__file": own,
        "authentication__client_cert__private_key_file": own_key,
        "transport__reconnection_attempts": 0,
    }
    with pytest.raises(AuthenticationError):
        connect(managed, **by_certificate)
    authority_of_clients = {"certAuthorityName": "other", "certContent": contents(other.certificate)}
    ask(managed, "POST", "/clientCertAuthorities", authority_of_clients)

    connect(managed, **by_certificate).disconnect()
    ask(managed, "DELETE", "/clientCertAuthorities/other", None)
    with pytest.raises(AuthenticationError):
        connect(managed, **by_certificate)


def test_client_without_a_certificate_gets_in_with_its_password_beside_those_that_have_one(
    managed: DevelopmentBroker, other: Authority, connect: Callable[..., Any], tmp_path: Path
) -> None:
    authority_of_clients = {"certAuthorityName": "other", "certContent": contents(other.certificate)}
    ask(managed, "POST", "/certAuthorities", authority_of_clients)
    connect(
        managed,
        **{
            "transport__host": managed.tls_url,
            "tls__trust_store_path": str(tmp_path / "first"),
            "authentication.scheme.basic.username": "ann",
            "authentication.scheme.basic.password": "secret",
        },
    )

    assert managed.clients() == ("app",)


@pytest.mark.parametrize("allowed", [True, False])
def test_client_goes_on_in_plain_text_after_its_login_if_it_may(
    managed: DevelopmentBroker, connect: Callable[..., Any], tmp_path: Path, allowed: bool
) -> None:
    managed.create_queue("q", subscriptions=["t/>"])
    ask(managed, "PATCH", "/msgVpns/default", {"tlsAllowDowngradeToPlainTextEnabled": allowed})
    properties = {
        "transport__host": managed.tls_url,
        "tls__trust_store_path": str(tmp_path / "first"),
        "tls.protocol-downgrade-to": "PLAIN_TEXT",
        "authentication.scheme.basic.username": "ann",
        "authentication.scheme.basic.password": "secret",
        "transport__reconnection_attempts": 0,
    }
    if not allowed:
        with pytest.raises(PubSubPlusClientError, match="SSL Downgrade Not Allowed"):
            connect(managed, **properties)
        return
    service = connect(managed, **properties)
    publisher = service.create_persistent_message_publisher_builder().build()
    publisher.start()
    body = bytes(range(256)) * 1_000
    publisher.publish_await_acknowledgement(bytearray(body), Topic.of("t/1"), 60_000)
    receiver = service.create_persistent_message_receiver_builder().build(Queue.durable_exclusive_queue("q"))
    receiver.start()

    assert bytes(receiver.receive_message(60_000).get_payload_as_bytes()) == body
