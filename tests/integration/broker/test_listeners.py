"""The vendor's client over TLS and compressed, beside the plain port."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from solace.messaging.config.solace_constants.authentication_constants import AUTHENTICATION_SCHEME_CLIENT_CERT
from solace.messaging.errors.pubsubplus_client_error import AuthenticationError, PubSubPlusClientError
from solace.messaging.resources.queue import Queue
from solace.messaging.resources.topic import Topic

from flumebeam.broker import BrokerConfig, DevelopmentBroker, running_broker
from flumebeam.broker.semp.http import SempServer
from flumebeam.broker.server import BrokerServer
from flumebeam.clock import SystemClock
from flumebeam.errors import ConfigurationError
from flumebeam.smf.clientctrl import ClientControl
from tests.integration.broker.certificates import Authority


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def trusted(authority: Authority) -> dict[str, str]:
    """Return properties of a client that trusts the authority and nobody else."""
    directory = str(Path(authority.certificate).parent)
    return {"tls__trust_store_path": directory}


def server_options(authority: Authority) -> dict[str, Any]:
    certificate, key = authority.issue("server")
    return {"tls_port": 0, "tls_certificate": certificate, "tls_key": key}


def round_trip(service: Any, bodies: list[bytes]) -> list[bytes]:
    publisher = service.create_persistent_message_publisher_builder().build()
    publisher.start()
    for body in bodies:
        publisher.publish_await_acknowledgement(bytearray(body), Topic.of("t/1"), 60_000)
    receiver = service.create_persistent_message_receiver_builder().build(Queue.durable_exclusive_queue("q"))
    receiver.start()
    got = []
    for _ in bodies:
        message = receiver.receive_message(60_000)
        got.append(message.get_payload_as_bytes())
        receiver.ack(message)
    receiver.terminate(1_000)
    publisher.terminate(1_000)
    return got


BODIES = [b"short", b"a" * 3_000_000, bytes(range(256)) * 500]


def test_tls_client_validates_the_certificate_and_works(
    authority: Authority, trusted: dict[str, str], connect: Callable[..., Any]
) -> None:
    with running_broker(**server_options(authority)) as broker:
        broker.create_queue("q", subscriptions=["t/>"])
        service = connect(broker, transport__host=broker.tls_url, **trusted)

        assert broker.tls_url.startswith("tcps://127.0.0.1:")
        assert round_trip(service, BODIES) == BODIES


def test_tls_client_refuses_a_certificate_that_nobody_vouches_for(
    authority: Authority, connect: Callable[..., Any], tmp_path: Path
) -> None:
    elsewhere = tmp_path / "empty"
    elsewhere.mkdir()
    with running_broker(**server_options(authority)) as broker:
        with pytest.raises(PubSubPlusClientError):
            connect(
                broker,
                transport__host=broker.tls_url,
                transport__reconnection_attempts=0,
                tls__trust_store_path=str(elsewhere),
            )
        assert broker.clients() == ()


def test_tls_connection_survives_a_cut(
    authority: Authority, trusted: dict[str, str], connect: Callable[..., Any], eventually: Callable[..., None]
) -> None:
    with running_broker(**server_options(authority)) as broker:
        broker.create_queue("q", subscriptions=["t/>"])
        service = connect(broker, transport__host=broker.tls_url, **trusted)
        assert broker.cut_connections() == 1
        eventually(lambda: broker.clients() == ("app",))

        assert round_trip(service, [b"after"]) == [b"after"]


def test_client_certificate_names_the_user(
    authority: Authority, trusted: dict[str, str], connect: Callable[..., Any]
) -> None:
    own, own_key = authority.issue("ann")
    options = server_options(authority) | {"tls_client_ca": authority.certificate, "users": {"ann": "secret"}}
    with running_broker(**options) as broker:
        broker.create_queue("q", subscriptions=["t/>"], owner="ann", permission="no-access")
        service = connect(
            broker,
            transport__host=broker.tls_url,
            authentication__scheme=AUTHENTICATION_SCHEME_CLIENT_CERT,
            authentication__client_cert__file=own,
            authentication__client_cert__private_key_file=own_key,
            **trusted,
        )

        # Nobody but its owner may consume from this queue.
        assert round_trip(service, [b"x"]) == [b"x"]


def test_client_certificate_of_a_stranger_is_no_login(
    authority: Authority, trusted: dict[str, str], connect: Callable[..., Any]
) -> None:
    own, own_key = authority.issue("bob")
    options = server_options(authority) | {"tls_client_ca": authority.certificate, "users": {"ann": None}}
    with running_broker(**options) as broker, pytest.raises(AuthenticationError):
        connect(
            broker,
            transport__host=broker.tls_url,
            authentication__scheme=AUTHENTICATION_SCHEME_CLIENT_CERT,
            authentication__client_cert__file=own,
            authentication__client_cert__private_key_file=own_key,
            **trusted,
        )


def test_without_a_client_certificate_nobody_gets_as_far_as_a_login(
    authority: Authority, trusted: dict[str, str], connect: Callable[..., Any]
) -> None:
    options = server_options(authority) | {"tls_client_ca": authority.certificate}
    with running_broker(**options) as broker:
        with pytest.raises(PubSubPlusClientError):
            connect(broker, transport__host=broker.tls_url, transport__reconnection_attempts=0, **trusted)
        assert broker.clients() == ()


def test_plain_bytes_on_the_tls_port_end_the_connection_in_silence(authority: Authority) -> None:
    with (
        running_broker(**server_options(authority)) as broker,
        socket.create_connection(("127.0.0.1", int(broker.tls_url.rpartition(":")[2])), 60) as peer,
    ):
        peer.sendall(ClientControl(client_name="app").encode())
        received = peer.recv(1_000)

        assert received[:1] in (b"", b"\x15"), "nothing, or a TLS alert"


def test_handshake_that_does_not_come_is_not_waited_for(authority: Authority) -> None:
    with (
        running_broker(login_timeout_seconds=0.1, **server_options(authority)) as broker,
        socket.create_connection(("127.0.0.1", int(broker.tls_url.rpartition(":")[2])), 60) as peer,
    ):
        assert peer.recv(100) == b""


def test_compressing_client_works(connect: Callable[..., Any]) -> None:
    with running_broker(compressed_port=0) as broker:
        broker.create_queue("q", subscriptions=["t/>"])
        service = connect(broker, transport__host=broker.compressed_url, transport__compression_level=6)

        assert broker.compressed_url != broker.url
        assert round_trip(service, BODIES) == BODIES


def test_uncompressed_bytes_on_the_compressed_port_close_the_connection() -> None:
    with (
        running_broker(compressed_port=0) as broker,
        socket.create_connection(("127.0.0.1", int(broker.compressed_url.rpartition(":")[2])), 60) as peer,
    ):
        peer.sendall(b"\xff" * 100)

        assert peer.recv(100) == b""


def test_listeners_of_all_kinds_refuse_and_accept_together(authority: Authority) -> None:
    with running_broker(compressed_port=0, **server_options(authority)) as broker:
        addresses = [
            ("127.0.0.1", int(url.rpartition(":")[2])) for url in (broker.url, broker.tls_url, broker.compressed_url)
        ]
        broker.refuse_connections()
        for address in addresses:
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(address, 60)
        broker.accept_connections()
        for address in addresses:
            with socket.create_connection(address, 60) as peer:
                peer.sendall(b"\xff" * 100)
                while peer.recv(100):
                    pass


def test_ports_that_the_broker_does_not_have_are_named() -> None:
    with running_broker() as broker:
        with pytest.raises(ConfigurationError, match="tls_port"):
            _ = broker.tls_url
        with pytest.raises(ConfigurationError, match="compressed_port"):
            _ = broker.compressed_url


def test_second_listener_that_cannot_start_takes_the_first_one_down() -> None:
    with running_broker() as first:
        second = DevelopmentBroker(BrokerConfig(port=0, compressed_port=first.port))
        with pytest.raises(ConfigurationError, match=f"cannot listen on 127.0.0.1:{first.port}"):
            second.start()


@pytest.mark.parametrize(
    ("option", "why"),
    [
        ("tls_certificate", "TLS certificate .*missing.pem"),
        ("tls_key", "key .*missing.pem"),
        ("tls_client_ca", "authority .*missing.pem"),
    ],
)
def test_files_that_are_no_certificates_are_named(authority: Authority, option: str, why: str) -> None:
    options = server_options(authority) | {option: "missing.pem"}
    with pytest.raises(ConfigurationError, match=why), running_broker(**options):
        pass


def test_key_with_a_passphrase_is_refused_and_not_asked_for(authority: Authority, tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"geheim")
    )
    (tmp_path / "locked.key").write_bytes(key)
    options = server_options(authority) | {"tls_key": str(tmp_path / "locked.key")}
    with pytest.raises(ConfigurationError, match="without a passphrase"), running_broker(**options):
        pass


@pytest.mark.parametrize("where", ["messages", "management"])
@pytest.mark.parametrize("turns", range(6))
def test_a_connection_that_comes_as_the_broker_stops_is_closed_however_far_it_has_come(where: str, turns: int) -> None:
    async def live() -> socket.socket:
        config = BrokerConfig(semp_port=0)
        server = BrokerServer(config, SystemClock(), lambda error: None)
        await server.start()
        management = SempServer(config, server)
        await management.start()
        port = server.sockets.listeners[0].port if where == "messages" else urlsplit(management.urls["http"]).port
        peer = socket.create_connection(("127.0.0.1", port or 0), 60)
        for _ in range(turns):
            await asyncio.sleep(0)
        await management.close()
        await server.close()
        return peer

    with asyncio.run(live()) as peer, contextlib.suppress(ConnectionResetError):
        assert peer.recv(1) == b""
