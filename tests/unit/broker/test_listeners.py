"""The codecs of the compressed and of the TLS port."""

from __future__ import annotations

import ssl
import zlib
from pathlib import Path

import pytest

from flumebeam.broker.certificates import tls_context
from flumebeam.broker.config import BrokerConfig
from flumebeam.broker.listeners import Deflate, Tls
from flumebeam.errors import ProtocolError
from tests.integration.broker.certificates import Authority


def test_each_write_can_be_read_at_once_and_the_streams_go_on() -> None:
    sender, receiver = Deflate(), Deflate()

    for text in (b"first", b"", b"second" * 1_000):
        assert b"".join(receiver.decode(sender.encode(text))) == text


def test_stream_may_be_cut_anywhere() -> None:
    packed = Deflate().encode(b"some text " * 20)
    receiver = Deflate()

    assert b"".join(b"".join(receiver.decode(packed[i : i + 1])) for i in range(len(packed))) == b"some text " * 20


def test_few_bytes_that_stand_for_many_come_in_pieces() -> None:
    packed = Deflate().encode(bytes(10_000_000))
    sizes = [len(piece) for piece in Deflate().decode(packed)]

    assert len(packed) < 20_000
    assert sum(sizes) == 10_000_000
    assert max(sizes) <= 1_048_576


def test_what_is_not_deflate_breaks_the_protocol() -> None:
    with pytest.raises(ProtocolError, match="not compressed"):
        list(Deflate().decode(b"\xff" * 10))


def test_nothing_may_follow_the_end_of_a_stream() -> None:
    packer = zlib.compressobj(wbits=-15)
    packed = packer.compress(b"last") + packer.flush()
    receiver = Deflate()

    assert b"".join(receiver.decode(packed)) == b"last"
    with pytest.raises(ProtocolError, match="after the end"):
        list(receiver.decode(b"more"))
    with pytest.raises(ProtocolError, match="after the end"):
        list(Deflate().decode(packed + b"more"))


class TlsClient:
    """The client's side of TLS, in memory."""

    def __init__(self, authority: str) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        context = ssl.create_default_context(cafile=authority)
        self.tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname="127.0.0.1")

    def shake(self, server: Tls, step: int) -> list[bytes]:
        """Do the handshake, feeding the server ``step`` bytes at once; return what it decoded."""
        decoded: list[bytes] = []
        while True:
            try:
                self.tls.do_handshake()
            except ssl.SSLWantReadError:
                decoded += self.pass_on(server, step)
            else:
                return decoded + self.pass_on(server, step)

    def pass_on(self, server: Tls, step: int = 65_536) -> list[bytes]:
        """Carry bytes to the server and what it owes back; return what it decoded."""
        data = self._outgoing.read()
        decoded = [piece for i in range(0, len(data), step) for piece in server.decode(data[i : i + step])]
        self.take(server.owed())
        return decoded

    def take(self, data: bytes) -> None:
        self._incoming.write(data)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def tls(authority: Authority) -> Tls:
    certificate, key = authority.issue("server")
    return Tls(tls_context(BrokerConfig(tls_certificate=certificate, tls_key=key)))


@pytest.mark.parametrize("step", [1, 7, 65_536])
def test_tls_may_be_cut_anywhere(tls: Tls, authority: Authority, step: int) -> None:
    client = TlsClient(authority.certificate)
    assert client.shake(tls, step) == []
    client.tls.write(b"hello " * 100)

    assert b"".join(client.pass_on(tls, step)) == b"hello " * 100
    client.take(tls.encode(b"answer"))
    assert client.tls.read() == b"answer"
    assert tls.certified_name is None


def test_farewells_of_both_sides_end_the_stream_and_are_no_error(tls: Tls, authority: Authority) -> None:
    client = TlsClient(authority.certificate)
    client.shake(tls, 65_536)
    client.tls.write(b"last")
    with pytest.raises(ssl.SSLWantReadError):
        client.tls.unwrap()

    assert client.pass_on(tls) == [b"last"]
    client.take(tls.farewell())
    client.tls.unwrap()


def test_peer_that_may_ends_tls_and_both_go_on_in_plain_text(tls: Tls, authority: Authority) -> None:
    client = TlsClient(authority.certificate)
    client.shake(tls, 65_536)
    tls.let_end()
    with pytest.raises(ssl.SSLWantReadError):
        client.tls.unwrap()
    data = client._outgoing.read()

    assert list(tls.decode(data + b"plain")) == [b"plain"], "It may come with the farewell."
    answer = tls.encode(b"answer")
    client.take(answer.removesuffix(b"answer"))
    client.tls.unwrap()
    assert answer.endswith(b"answer")
    assert list(tls.decode(b"more")) == [b"more"]
    assert (tls.owed(), tls.encode(b"again"), tls.farewell()) == (b"", b"again", b"")


def test_end_of_tls_alone_is_answered_by_one(tls: Tls, authority: Authority) -> None:
    client = TlsClient(authority.certificate)
    client.shake(tls, 65_536)
    tls.let_end()
    with pytest.raises(ssl.SSLWantReadError):
        client.tls.unwrap()

    assert client.pass_on(tls) == []
    client.tls.unwrap()


def test_compression_does_not_end() -> None:
    sender, receiver = Deflate(), Deflate()
    receiver.let_end()

    assert list(receiver.decode(sender.encode(b"x"))) == [b"x"]


def test_farewell_before_a_handshake_is_silent(tls: Tls) -> None:
    assert tls.farewell() == b""


def test_what_is_not_tls_breaks_the_protocol_and_is_told_so(tls: Tls) -> None:
    with pytest.raises(ProtocolError, match="TLS failed"):
        list(tls.decode(b"GET / HTTP/1.1\r\n\r\n"))

    assert tls.owed()[:1] in (b"", b"\x15")
