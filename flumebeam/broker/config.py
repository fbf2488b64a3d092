"""Options of the development broker: where it listens, whom it lets in, and a limit on everything that can grow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final, Self

from flumebeam.errors import ConfigurationError

__all__ = ["EDITIONS", "BrokerConfig"]

_PORTS: Final = ("port", "tls_port", "compressed_port", "standby_port", "dr_port", "semp_port", "semp_tls_port")


EDITIONS: Final[dict[str, dict[str, Any]]] = {
    "standard": {"max_ingress_per_second": 10_000, "max_connections": 1_000},
}
"""Limits of the vendor's editions."""


@dataclass(frozen=True, kw_only=True)
class BrokerConfig:
    """Options of a development broker. The defaults are those of the vendor's own broker container where it has them.

    Raises:
        ConfigurationError: A value is out of its range.
    """

    host: str = "127.0.0.1"
    """Address to listen on. Loopback: nobody should run production on a development broker."""
    port: int = 55555
    """SMF port; 0 takes a free one."""
    tls_port: int | None = None
    """Port for SMF over TLS; 0 takes a free one, None has none."""
    tls_certificate: str | None = None
    """File with the broker's certificate, and the chain to its authority, in PEM form."""
    tls_key: str | None = None
    """File with the certificate's private key, without a passphrase; None looks into the certificate's file."""
    tls_client_ca: str | None = None
    """File with the authorities whose client certificates are accepted; then every TLS client needs one."""
    compressed_port: int | None = None
    """Port for compressed SMF; 0 takes a free one, None has none."""
    standby_port: int | None = None
    """Port of a second broker that shares the state of the first and takes over from it; 0 takes a free one."""
    dr_port: int | None = None
    """Port of a broker at another site with a copy of the messages, for disasters; 0 takes a free one."""
    semp_port: int | None = None
    """Port for management over HTTP (SEMP); 0 takes a free one, None has none."""
    semp_tls_port: int | None = None
    """Port for management over HTTPS, with the same certificate; 0 takes a free one, None has none."""
    semp_host: str = "127.0.0.1"
    """Address that management listens on: loopback, whatever the clients' is."""
    semp_username: str = "admin"
    semp_password: str = field(default="admin", repr=False)
    data: str | None = None
    """Directory that keeps messages, queues, positions and outcomes over a crash; None keeps all in memory only."""
    vpn: str = "default"
    """The first message VPN, which cannot be deleted."""
    more_vpns: Mapping[str, Mapping[str, str | None]] = field(default_factory=dict, repr=False)
    """Further message VPNs, each with its client usernames and their passwords."""
    users: Mapping[str, str | None] = field(default_factory=lambda: {"default": None}, repr=False)
    """Client usernames of the first message VPN and their passwords; None accepts any password."""
    oauth_username: Callable[[str], str | None] | None = field(default=None, repr=False)
    """Returns the username that an OAuth access token stands for, None for a token that is not valid; asked at every
    login by token, in the broker's thread. Without it there are no such logins."""
    trace: bool = False
    """Write every frame, decoded, to the log ``flumebeam.broker.trace``: for looking, not for measuring."""
    reject_on_no_match: bool = False
    """Refuse guaranteed messages that match no queue; otherwise they are acknowledged and dropped."""

    replay_log_bytes: int | None = None
    """Bodies that the replay log of the first message VPN holds, made at the start if there is none; None: no log."""

    max_ingress_per_second: int | None = None
    """Messages a second that all clients together may publish; beyond it they are read more slowly. None: no limit."""
    max_connections: int = 1_000
    """Each connection costs a socket and buffers."""
    max_vpns: int = 100
    """Message VPNs; each has a topic tree of its own."""
    max_queues: int = 10_000
    """Queues of a message VPN; each is kept until it is deleted."""
    max_subscriptions: int = 100_000
    """Topic subscriptions of all clients and queues of a message VPN together; each is a node in the topic tree."""
    max_flows: int = 100_000
    """Publisher flows of all clients of a message VPN together, and as many that consume."""
    max_sessions: int = 10_000
    """Transacted sessions of all clients of a message VPN together; each may hold a whole transaction."""
    max_transactions: int = 10_000
    """Transactions of a message VPN in which something was published and that have not ended."""
    max_flows_per_connection: int = 1_000
    """Publisher flows, and as many that consume; each has its own state. A client profile may say otherwise."""
    max_sessions_per_connection: int = 100
    """Transacted sessions; each may hold a whole transaction. A client profile may say otherwise."""
    max_resumable: int = 10_000
    """Publisher flows and transacted sessions remembered for clients that are away."""

    max_message_bytes: int = 10_000_000
    """Largest message, header included; the client library enforces it too."""
    max_login_bytes: int = 65_536
    """Largest frame before login: strangers get little memory."""
    max_spool_bytes: int = 1_500_000_000
    """Bodies of all spooled messages, of all message VPNs together; a body in several queues counts once. They are
    held in memory."""
    max_queue_bytes: int = 1_500_000_000
    """Bodies in one queue, so that a forgotten queue can be kept from filling the spool."""
    max_queue_consumers: int = 1_000
    """Flows bound to one queue, as the vendor's default has it."""
    max_queue_messages: int = 5_000_000
    """Messages in one queue: small messages cost memory beyond their bodies."""
    max_delivered_unacked: int = 10_000
    """Deliveries of one consumer flow that wait for acknowledgement; beyond it the flow gets nothing more."""
    max_transaction_messages: int = 256
    """Published plus consumed messages of one transaction; a commit beyond it fails."""
    max_transaction_bytes: int = 500_000_000
    """Bodies staged in one transaction, because nothing else bounds what is published before a commit."""
    min_free_disk_bytes: int = 100_000_000
    """With less room on the disk of ``data`` publishers are refused: acknowledgements need some room, too."""
    max_unsent_bytes: int = 64_000_000
    """Output that a client does not read; beyond it the connection is closed."""
    delivery_batch_bytes: int = 1_048_576
    """Deliveries put into one write; the rest waits until the client has read."""

    login_timeout_seconds: float = 10.0
    """A connection that has not logged in by then is closed."""
    keepalive_misses: int = 10
    """A client that is silent for this many of its keepalive intervals is disconnected."""
    session_retention_seconds: float = 180.0
    """A transacted session whose client is away is rolled back after this time; what a consumer that is away holds is
    remembered for as long."""
    publisher_retention_seconds: float = 3_600.0
    """The position of a publisher flow whose client is away is forgotten after this time."""
    temporary_queue_grace_seconds: float = 60.0
    """A temporary queue survives a lost connection for this time."""

    @classmethod
    def like(cls, edition: str) -> Self:
        """Return the options of one of the vendor's editions, as far as they limit what a client can do.

        ``standard`` is the free software edition: 10,000 messages a second and 1,000 connections (the vendor's
        documentation of system scaling parameters and of editions).

        Raises:
            ConfigurationError: The edition is unknown.
        """
        if edition not in EDITIONS:
            raise ConfigurationError(f"There is no edition {edition!r}; choose one of {', '.join(EDITIONS)}.")
        return cls(**EDITIONS[edition])

    def __post_init__(self) -> None:
        for option in fields(self):
            value = getattr(self, option.name)
            if isinstance(value, bool) or not isinstance(value, int | float):
                continue
            if value < 0 or (value == 0 and option.name not in _PORTS):
                raise ConfigurationError(f"The broker option {option.name} is {value}; it must be above 0.")
        for name in _PORTS:
            if (getattr(self, name) or 0) > 65_535:
                raise ConfigurationError(f"The broker's {name} is {getattr(self, name)}; ports end at 65535.")
        if (self.tls_port is not None or self.semp_tls_port is not None) and self.tls_certificate is None:
            raise ConfigurationError("TLS needs a certificate; name its file with tls_certificate.")
        if self.vpn in self.more_vpns:
            raise ConfigurationError(f"The message VPN {self.vpn} is the first one; give further ones other names.")
        if not self.vpn or not self.users:
            raise ConfigurationError("The broker needs the name of its message VPN and at least one client username.")
