"""Client usernames and client profiles: who may log in, and what such a client may do and use."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeAlias

from flumebeam.broker.config import BrokerConfig
from flumebeam.broker.core.acl import AclProfile, Rule, TopicException
from flumebeam.broker.core.queue_settings import Permission, QueueSettings
from flumebeam.broker.core.templates import QueueTemplate, TopicEndpointTemplate

__all__ = ["DEFAULT_PROFILE", "DEFAULT_USERNAME", "ClientProfile", "ClientUsername", "Setup", "read_setup"]

DEFAULT_PROFILE: Final = "default"
"""Name of the ACL profile and of the client profile that every message VPN has."""
DEFAULT_USERNAME: Final = "default"
"""Whom a client is taken for that needs no password and has an unknown username."""


@dataclass(frozen=True, slots=True)
class ClientUsername:
    """Who may log in.

    Attributes:
        name: The username.
        password: Its password; None accepts any.
        enabled: Whether it may log in now.
        acl_profile: Name of the ACL profile of its clients.
        client_profile: Name of the client profile of its clients.
        manages_subscriptions: Whether its clients may subscribe for others.
    """

    name: str
    password: str | None = field(repr=False)
    enabled: bool = True
    acl_profile: str = DEFAULT_PROFILE
    client_profile: str = DEFAULT_PROFILE
    manages_subscriptions: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientProfile:
    """What clients may do and use. By default it is what the vendor's is: direct messaging only.

    Attributes:
        name: Its name.
        send_guaranteed: Whether they may publish guaranteed messages.
        receive_guaranteed: Whether they may bind to queues.
        create_endpoints: Whether they may create and delete queues, temporary ones included.
        endpoint_durability: Which ones: ``"all"``, ``"durable"`` or ``"non-durable"``.
        queue_template: Name of the template of queues that they make, if none is for the name of the queue.
        endpoint_template: The same for topic endpoints.
        transact: Whether they may open transacted sessions.
        share_subscriptions: Whether they may have shared subscriptions.
        plain_after_tls: Whether they may end TLS after their login, if their message VPN allows it.
        compress: Whether they may connect to the port for compressed connections.
        reject_on_no_match: Whether a guaranteed message that nobody gets is refused.
        max_connections: Clients of one username.
        max_smf_connections: The same, for the one protocol that there is.
        max_subscriptions: Subscriptions of one client.
        max_receiving: Flows of one client that consume or browse.
        max_sending: Publisher flows of one client.
        max_sessions: Transacted sessions of one client.
        max_endpoints: Queues that one username may have created.
        max_transactions: Transactions of one client in which something was published and that have not ended.
        max_transaction_messages: Published plus consumed messages of one transaction.
        kept: What else was set, by the vendor's names: it is shown and has no effect here.
    """

    name: str
    send_guaranteed: bool = False
    receive_guaranteed: bool = False
    create_endpoints: bool = False
    endpoint_durability: str = "all"
    queue_template: str = ""
    endpoint_template: str = ""
    transact: bool = False
    share_subscriptions: bool = False
    compress: bool = True
    plain_after_tls: bool = True
    reject_on_no_match: bool = False
    max_connections: int = 1_000
    max_smf_connections: int = 1_000
    max_subscriptions: int = 100_000
    max_receiving: int = 1_000
    max_sending: int = 1_000
    max_sessions: int = 10
    max_endpoints: int = 1_000
    max_transactions: int = 1_000
    max_transaction_messages: int = 256
    kept: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def limited(cls, name: str, config: BrokerConfig) -> ClientProfile:
        """Return a profile that allows what one does that nobody has set up otherwise."""
        return cls(
            name=name,
            max_connections=config.max_connections,
            max_smf_connections=config.max_connections,
            max_subscriptions=config.max_subscriptions,
            max_receiving=config.max_flows_per_connection,
            max_sending=config.max_flows_per_connection,
            max_sessions=config.max_sessions_per_connection,
            max_endpoints=config.max_queues,
            max_transaction_messages=config.max_transaction_messages,
        )

    @classmethod
    def permissive(cls, name: str, config: BrokerConfig) -> ClientProfile:
        """Return a profile that allows everything, within the broker's limits."""
        return replace(
            cls.limited(name, config),
            send_guaranteed=True,
            receive_guaranteed=True,
            create_endpoints=True,
            transact=True,
            share_subscriptions=True,
            reject_on_no_match=config.reject_on_no_match,
        )


Setup: TypeAlias = ClientUsername | AclProfile | ClientProfile | QueueTemplate | TopicEndpointTemplate
"""What a message VPN is set up with, apart from its queues."""


def _acl_profile(name: str, connect: Any, **rules: Any) -> AclProfile:
    topics = {
        kind: Rule(rule["allowed"], tuple(TopicException(*one) for one in rule["exceptions"]))
        for kind, rule in rules.items()
    }
    return AclProfile(name=name, connect=Rule(connect["allowed"], tuple(connect["exceptions"])), **topics)


def _template(kind: type[QueueTemplate]) -> Callable[..., QueueTemplate]:
    def read(permission: int, settings: Mapping[str, Any], **fields: Any) -> QueueTemplate:
        return kind(permission=Permission(permission), settings=QueueSettings(**settings), **fields)

    return read


_READERS: Final[Mapping[str, Callable[..., Setup]]] = {
    ClientUsername.__name__: ClientUsername,
    AclProfile.__name__: _acl_profile,
    ClientProfile.__name__: ClientProfile,
    QueueTemplate.__name__: _template(QueueTemplate),
    TopicEndpointTemplate.__name__: _template(TopicEndpointTemplate),
}


def read_setup(kind: str, fields: Mapping[str, Any]) -> Setup:
    """Return what a store has kept as the name of its class and its fields.

    Raises:
        LookupError, TypeError, ValueError: It is none of these.
    """
    return _READERS[kind](**fields)
