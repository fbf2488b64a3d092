"""TLS, compression, client certificates and OAuth, against a broker that has them and a token server that is one."""

from __future__ import annotations

import json
import logging
from base64 import b64decode
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qs

import pytest

from flumebeam.errors import ConfigurationError, ConnectionFailedError, LoginRefusedError
from flumebeam.solace import _tokens
from flumebeam.solace.auth import CertificateAuthentication, ClientCredentials, OAuthAuthentication
from flumebeam.solace.config import ReconnectPolicy, Secret, SolaceOptions, TlsOptions
from flumebeam.solace.session import connect
from flumebeam.testing.broker import DevelopmentBroker, running_broker
from tests.failures import Counted
from tests.integration.broker.certificates import Authority
from tests.integration.client.helpers import acknowledge, bodies, drink, fill
from tests.policies import IMPATIENT
from tests.waiting import eventually

PATIENT = ReconnectPolicy(attempts=100, wait_seconds=0.1)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    (tmp_path / "ca").mkdir()
    return Authority(tmp_path / "ca")


@pytest.fixture
def secured(authority: Authority) -> Iterator[Callable[..., DevelopmentBroker]]:
    """Start a broker with TLS and a queue ``q``."""
    running = []

    def start(**options: Any) -> DevelopmentBroker:
        certificate, key = authority.issue("server")
        context = running_broker(tls_port=0, tls_certificate=certificate, tls_key=key, **options)
        running.append(context)
        broker = context.__enter__()
        broker.create_queue("q", subscriptions=["logs/>"])
        return broker

    yield start
    for context in running:
        context.__exit__(None, None, None)


def over_tls(broker: DevelopmentBroker, authority: Authority, **options: Any) -> SolaceOptions:
    given: dict[str, Any] = {
        "host": broker.tls_url,
        "reconnect": IMPATIENT,
        "tls": TlsOptions(trust_store=authority.certificate),
    }
    return SolaceOptions(**given | options)


def round_trip(options: SolaceOptions) -> None:
    with connect(options) as connection:
        fill(connection, 1, 2)
        assert bodies(drink(connection.receiver("q"), 2)) == [b"1", b"2"]


def test_a_transaction_and_a_receiver_work_over_tls(
    secured: Callable[..., DevelopmentBroker], authority: Authority
) -> None:
    round_trip(over_tls(secured(), authority))


def test_a_trust_store_may_be_a_directory_or_a_file_with_several_authorities(
    secured: Callable[..., DevelopmentBroker], authority: Authority, tmp_path: Path
) -> None:
    broker = secured()
    (tmp_path / "other").mkdir()
    bundle = tmp_path / "bundle.pem"
    own, other = Path(authority.certificate), Path(Authority(tmp_path / "other", "Other").certificate)
    bundle.write_bytes(b"text before\n" + other.read_bytes() + own.read_bytes())

    for store in (tmp_path / "ca", bundle):
        round_trip(over_tls(broker, authority, tls=TlsOptions(trust_store=str(store))))


def test_a_broker_that_nobody_vouches_for_is_refused_in_one_sentence(
    secured: Callable[..., DevelopmentBroker], authority: Authority
) -> None:
    broker = secured()

    with pytest.raises(LoginRefusedError, match=r"is not believed.*SOLACE_TRUST_STORE"):
        connect(over_tls(broker, authority, tls=TlsOptions()))
    assert broker.clients() == ()


def test_the_certificate_must_be_for_the_host_unless_that_is_waived(
    secured: Callable[..., DevelopmentBroker], authority: Authority
) -> None:
    elsewhere = over_tls(secured(), authority).host.replace("127.0.0.1", "localhost")
    store = authority.certificate

    with pytest.raises(LoginRefusedError, match="is not believed: it must be for that host name"):
        connect(SolaceOptions(host=elsewhere, tls=TlsOptions(trust_store=store)))
    with connect(SolaceOptions(host=elsewhere, tls=TlsOptions(trust_store=store, verify_host_name=False))) as made:
        assert made.alive
    with connect(SolaceOptions(host=elsewhere, tls=TlsOptions(verify_certificate=False))) as made:
        assert made.alive


@pytest.mark.parametrize(
    ("store", "why"),
    [("missing.pem", "trust store .*missing.pem cannot be read"), ("empty.pem", "holds no certificate in PEM form")],
)
def test_a_trust_store_that_cannot_be_used_is_named(
    secured: Callable[..., DevelopmentBroker], authority: Authority, tmp_path: Path, store: str, why: str
) -> None:
    (tmp_path / "empty.pem").write_text("nothing\n")

    with pytest.raises(ConfigurationError, match=why):
        connect(over_tls(secured(), authority, tls=TlsOptions(trust_store=str(tmp_path / store))))


def test_compression_works_on_the_port_that_it_has(
    secured: Callable[..., DevelopmentBroker], authority: Authority
) -> None:
    broker = secured(compressed_port=0)

    round_trip(SolaceOptions(host=broker.compressed_url, compression_level=6))


def test_a_host_list_is_tried_in_order(secured: Callable[..., DevelopmentBroker], authority: Authority) -> None:
    broker, gone = secured(), secured()
    hosts = f"{gone.url},{broker.url}"
    gone.stop()

    round_trip(SolaceOptions(host=hosts, reconnect=IMPATIENT))


def test_a_client_certificate_stands_for_the_password(
    secured: Callable[..., DevelopmentBroker], authority: Authority
) -> None:
    certificate, key = authority.issue("ann")
    broker = secured(tls_client_ca=authority.certificate, users={"ann": "secret"})
    broker.create_queue("q", owner="ann")
    own = CertificateAuthentication(certificate=certificate, key=key)

    round_trip(over_tls(broker, authority, authentication=own))


def test_a_client_certificate_of_a_stranger_is_a_refused_login(
    secured: Callable[..., DevelopmentBroker], authority: Authority
) -> None:
    certificate, key = authority.issue("bob")
    broker = secured(tls_client_ca=authority.certificate, users={"ann": None})
    own = CertificateAuthentication(certificate=certificate, key=key)

    with pytest.raises(LoginRefusedError, match=r"refused the client certificate .*bob.pem"):
        connect(over_tls(broker, authority, authentication=own))


def test_a_certificate_or_key_that_is_missing_or_does_not_fit_is_named(
    secured: Callable[..., DevelopmentBroker], authority: Authority
) -> None:
    broker = secured(tls_client_ca=authority.certificate)
    certificate, _ = authority.issue("ann")
    _, other = authority.issue("bob")

    for own, why in (
        (CertificateAuthentication(certificate="gone.pem"), "gone.pem cannot be read"),
        (CertificateAuthentication(certificate=certificate, key="gone.key"), "gone.key cannot be read"),
        (CertificateAuthentication(certificate=certificate, key=other), "certificate or its key cannot be used"),
    ):
        with pytest.raises((ConfigurationError, LoginRefusedError), match=why):
            connect(over_tls(broker, authority, authentication=own))


# -- OAuth -------------------------------------------------------------------------------------------------------------


class TokenServer:
    """A token server: gives numbered tokens for the right client secret, and knows which are valid."""

    def __init__(self) -> None:
        self.given = 0
        self.valid: list[str] = []
        self.life: Any = 3600
        self.answer: tuple[int, bytes] | None = None
        self.scopes: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
                status, content = outer._reply(self.headers.get("Authorization", ""), form)
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_port}/token"
        Thread(target=self._http.serve_forever, args=(0.05,), daemon=True).start()

    def _reply(self, authorization: str, form: dict[str, list[str]]) -> tuple[int, bytes]:
        if self.answer is not None:
            return self.answer
        if b64decode(authorization.removeprefix("Basic ")) != b"me:geheim":
            return 401, b'{"error": "invalid_client", "error_description": "not geheim"}'
        assert form["grant_type"] == ["client_credentials"]
        self.scopes += form.get("scope", [])
        self.given += 1
        token = f"token-{self.given}"
        # The one before, too: who has asked for the next one may not have got it yet.
        self.valid = [*self.valid[-1:], token]
        return 200, json.dumps({"access_token": token, "token_type": "bearer", "expires_in": self.life}).encode()

    def username(self, token: str) -> str | None:
        return "ann" if token in self.valid else None

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()


@pytest.fixture
def tokens() -> Iterator[TokenServer]:
    server = TokenServer()
    yield server
    server.close()


def credentials(tokens: TokenServer, secret: str = "geheim", **options: Any) -> OAuthAuthentication:
    return OAuthAuthentication(
        access_token=ClientCredentials(token_url=tokens.url, client_id="me", client_secret=Secret(secret), **options)
    )


def test_a_static_token_logs_in_and_a_wrong_one_does_not(
    secured: Callable[..., DevelopmentBroker], authority: Authority
) -> None:
    broker = secured(users={"ann": "pw"}, oauth_username={"right": "ann"}.get)

    def login(token: str) -> SolaceOptions:
        return over_tls(broker, authority, authentication=OAuthAuthentication(access_token=Secret(token)))

    broker.create_queue("q", owner="ann")
    round_trip(login("right"))
    with pytest.raises(LoginRefusedError, match="refused the OAuth token") as refused:
        connect(login("wrong-geheim"))
    assert "geheim" not in str(refused.value)


def test_client_credentials_get_a_token_with_the_scope_that_was_asked_for(
    secured: Callable[..., DevelopmentBroker], authority: Authority, tokens: TokenServer
) -> None:
    broker = secured(users={"ann": "pw"}, oauth_username=tokens.username)

    round_trip(over_tls(broker, authority, authentication=credentials(tokens, scope="solace logs")))

    assert (tokens.given, tokens.scopes) == (1, ["solace logs"])


@pytest.mark.failure("token expires while a pipeline runs")
def test_a_token_is_renewed_before_it_expires_and_the_next_reconnect_uses_the_new_one(
    secured: Callable[..., DevelopmentBroker],
    authority: Authority,
    tokens: TokenServer,
    caplog: pytest.LogCaptureFixture,
    counted: Counted,
) -> None:
    caplog.set_level(logging.DEBUG)
    broker = secured(users={"ann": "pw"}, oauth_username=tokens.username)
    tokens.life = 2
    options = over_tls(broker, authority, authentication=credentials(tokens), reconnect=PATIENT)
    with connect(options) as connection:
        fill(connection, 0)
        receiver = connection.receiver("q")
        first = drink(receiver, 1)
        # Who asks for the third one uses the second one.
        eventually(lambda: tokens.given >= 3)
        tokens.answer = (503, b"")  # those that are valid now stay so
        # The first one is not any more: with that this would end in a refused login.
        assert broker.cut_connections() == 1
        eventually(lambda: len(broker.clients()) == 1 and not connection.away)
        fill(connection, 1)
        second = drink(receiver, 1)
        acknowledge(receiver, first)
        acknowledge(receiver, second)
        eventually(lambda: not broker.queue("q").messages)
    counted([b"0", b"1"], [*bodies(first), *bodies(second)])
    assert "token-" not in caplog.text
    assert "geheim" not in caplog.text


def test_a_token_file_may_be_rotated_while_the_connection_lives(
    secured: Callable[..., DevelopmentBroker], authority: Authority, tmp_path: Path
) -> None:
    valid = {"first": "ann"}
    asked: list[str] = []

    def username(token: str) -> str | None:
        asked.append(token)
        return valid.get(token)

    broker = secured(users={"ann": "pw"}, oauth_username=username)
    file = tmp_path / "token"
    file.write_text("first\n")
    own = OAuthAuthentication(access_token=Secret.from_file(file), refresh_seconds=0.05)
    with connect(over_tls(broker, authority, authentication=own, reconnect=PATIENT)) as connection:
        (tmp_path / "new").write_text("second\n")
        (tmp_path / "new").replace(file)
        valid.clear()
        valid["second"] = "ann"

        def returned() -> bool:
            if "second" not in asked:
                broker.cut_connections()
            return "second" in asked and not connection.away

        eventually(returned)
        fill(connection, 1)


@pytest.mark.parametrize(
    ("answer", "error", "why"),
    [
        ((200, b"geheim"), ConnectionFailedError, "answers with status 200 and no access token"),
        ((200, b'["geheim"]'), ConnectionFailedError, "no access token"),
        ((500, b'{"error": "geheim"}'), ConnectionFailedError, "answers with status 500"),
        ((302, b""), ConnectionFailedError, "answers with status 302"),
        ((400, b'{"error": "invalid_scope"}'), LoginRefusedError, r"status 400, invalid_scope\)"),
        ((400, b'{"error": "geheim"}'), LoginRefusedError, r"status 400\)"),
    ],
)
def test_a_token_server_that_gives_no_token_is_one_clear_error(
    tokens: TokenServer, answer: tuple[int, bytes], error: type[Exception], why: str
) -> None:
    tokens.answer = answer
    login = SolaceOptions(host="tcps://nowhere", authentication=credentials(tokens))

    with pytest.raises(error, match=why) as refused:
        connect(login)
    assert "geheim" not in str(refused.value)


def test_a_token_server_that_refuses_the_secret_or_is_away_is_named_without_the_secret(tokens: TokenServer) -> None:
    with pytest.raises(LoginRefusedError, match=r"refuses client id 'me'.*invalid_client") as refused:
        connect(SolaceOptions(host="tcps://nowhere", authentication=credentials(tokens, "wrong-geheim")))
    assert "geheim" not in str(refused.value)

    away = ClientCredentials(token_url="http://127.0.0.1:1/t", client_id="me", client_secret=Secret("geheim"))
    with pytest.raises(ConnectionFailedError, match=r"127\.0\.0\.1:1/t does not answer \(ConnectionError\)"):
        _tokens.fetch_token(away)


def test_a_token_without_a_stated_life_is_renewed_after_some_minutes(tokens: TokenServer) -> None:
    tokens.life = "soon"

    assert _tokens.tokens_of(credentials(tokens)).renew_seconds == 225


def test_an_empty_token_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("\n")

    with pytest.raises(ConfigurationError, match="OAuth token is empty"):
        _tokens.tokens_of(OAuthAuthentication(access_token=Secret.from_file(tmp_path / "token")))
