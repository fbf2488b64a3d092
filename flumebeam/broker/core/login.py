"""Login: who may come in, and what the broker tells about itself."""

from __future__ import annotations

import hmac
import math
from typing import Final

from flumebeam.broker.config import BrokerConfig
from flumebeam.broker.core.access import admit
from flumebeam.broker.core.acl import may_connect
from flumebeam.broker.core.connection import Connection, ConnectionState
from flumebeam.broker.core.profiles import DEFAULT_USERNAME, ClientProfile
from flumebeam.broker.core.responses import OK
from flumebeam.broker.core.vpn import Vpn
from flumebeam.broker.faults import RefuseLogins
from flumebeam.errors import ProtocolError
from flumebeam.smf.clientctrl import AuthenticationScheme, Capabilities, Capability, ClientControl, ClientControlKind
from flumebeam.smf.values import Response

__all__ = ["handle_client_control"]

_ROUTER: Final = "flumebeam"
_BAD_NAME: Final = Response(400, "Client Name Parse Error")
_UNKNOWN_VPN: Final = Response(403, "Message VPN Not Allowed")
_MAX_CLIENT_NAME: Final = 160
_PLAIN_TEXT: Final = 0
_GRANTED: Final = frozenset(
    (
        Capability.COMPRESSION,
        Capability.CONSUMER_FLOWS,
        Capability.TEMPORARY_ENDPOINTS,
        Capability.PUBLISHER_FLOWS,
        Capability.BROWSER,
        Capability.ENDPOINT_MANAGEMENT,
        Capability.SELECTORS,
        Capability.ENDPOINT_MESSAGE_TTL,
        Capability.QUEUE_SUBSCRIPTIONS,
        Capability.SUBSCRIPTION_MANAGER,
        Capability.SHARED_SUBSCRIPTIONS,
        Capability.TRANSACTED_SESSIONS,
        Capability.NO_LOCAL,
        Capability.ACTIVE_FLOW_INDICATION,
        Capability.DISCARD_BEHAVIOR,
        Capability.REPLAY,
        Capability.LONG_SELECTORS,
        Capability.ENDPOINT_ERROR_ID,
        Capability.SETTLEMENT_OUTCOMES,
        Capability.VARIABLE_EXTENDED_PARAMETERS,
    )
)
_ASSURED_CONTROL_VERSIONS: Final = bytes.fromhex("00 04 00000007 01 03")
"""No further booleans; AssuredCtrl in versions 1 to 3, of which clients choose 3."""


def handle_client_control(vpn: Vpn, connection: Connection, request: ClientControl) -> None:
    """Let a client in, or refuse it and close.

    Raises:
        ProtocolError: The connection is logged in already.
    """
    if request.kind is ClientControlKind.UPDATE:
        _update(vpn, connection, request)
        return
    if connection.state is not ConnectionState.CONNECTED:
        raise ProtocolError("A client that is logged in logged in again.")
    client_name = request.client_name or f"{connection.peer}/{vpn.next_handle()}"
    # Asked once: behind it may be a function of the user's.
    username, proven = _identity(vpn, connection, request)
    home = vpn if request.vpn is None else vpn.host.vpns.get(request.vpn)
    refusal = _UNKNOWN_VPN if home is None else _refusal(home, connection, request, client_name, username, proven)
    if home is None or refusal is not None:
        refusal = refusal or _UNKNOWN_VPN
        connection.send(ClientControl(correlation=request.correlation, response=refusal))
        connection.close()
        vpn.report(
            f"login of {client_name} as {username} to VPN {request.vpn or ''} refused: {refusal.code} {refusal.text}"
        )
        return
    home.now, vpn = vpn.now, home
    former = vpn.clients.get(client_name)
    if former is not None:
        # A client that comes back before the broker has noticed that its old connection is dead.
        vpn.report(f"{client_name} logged in again: its former connection is closed")
        former.output.clear()
        former.close()
        vpn.drop(former)
    connection.advance("login accepted")
    connection.vpn = vpn
    connection.client_name = client_name
    connection.username = username if username in vpn.users else DEFAULT_USERNAME
    admit(vpn, connection)
    connection.description = request.description or ""
    connection.software = request.software_version or ""
    connection.platform = request.platform or ""
    connection.no_local = request.no_local is not None
    connection.ends_tls = request.encoding == _PLAIN_TEXT
    connection.inbox = _inbox(vpn, client_name)
    connection.reader.max_frame_bytes = vpn.config.max_message_bytes + vpn.config.max_login_bytes
    connection.silence_limit = (request.keepalive_seconds or math.inf) * vpn.config.keepalive_misses
    vpn.clients[client_name] = connection
    connection.send(_welcome(vpn, connection, request))
    vpn.report(f"{client_name} logged in as {connection.username} from {connection.peer}")


def _inbox(vpn: Vpn, client_name: str) -> str:
    return f"#P2P/v:{_ROUTER}/{vpn.spool.spooler_id:x}/{client_name}"


def _update(vpn: Vpn, connection: Connection, request: ClientControl) -> None:
    """Change a client's name or description, with the inbox that its name makes."""
    if connection.state is not ConnectionState.LOGGED_IN:
        raise ProtocolError("A client that is not logged in changed its name or description.")
    name = request.client_name or connection.client_name
    response = OK
    if vpn.clients.get(name, connection) is not connection:
        response = Response(403, "Client Name Already In Use")
    elif len(name.encode()) > _MAX_CLIENT_NAME:
        response = _BAD_NAME
    else:
        if request.description is not None:
            connection.description = request.description
        if name != connection.client_name:
            vpn.report(f"{connection.client_name} is now {name}")
            connection.inbox = _inbox(vpn, name)
            vpn.rename(connection, name)
            admit(vpn, connection)
    connection.send(
        ClientControl(
            kind=request.kind,
            correlation=request.correlation,
            response=response,
            client_name=connection.client_name,
            description=connection.description,
            p2p_topic=connection.inbox,
        )
    )


def _identity(vpn: Vpn, connection: Connection, request: ClientControl) -> tuple[str, bool]:
    """Return who a client is, and whether a certificate or token has proven it already."""
    if request.authentication == AuthenticationScheme.CLIENT_CERTIFICATE:
        return connection.certified_name or "", True
    if request.authentication == AuthenticationScheme.OAUTH:
        lookup = vpn.config.oauth_username
        return (lookup and lookup(request.access_token or "")) or "", True
    return request.username or "", False


def _refusal(
    vpn: Vpn, connection: Connection, request: ClientControl, client_name: str, username: str, proven: bool
) -> Response | None:
    if connection.refusal is not None:
        return connection.refusal
    refused = vpn.faults.strike(RefuseLogins) if vpn.faults else None
    if refused is not None:
        return Response(refused.code, refused.reason)
    settings = vpn.settings
    if not settings.enabled:
        return Response(503, "Message VPN Unavailable")
    if request.authentication is None and not settings.by_password:
        return Response(403, "Basic Authentication Is Shutdown")
    if request.authentication == AuthenticationScheme.CLIENT_CERTIFICATE and not settings.by_certificate:
        return Response(403, "Client Certificate Authentication Is Shutdown")
    user = vpn.users.get(username)
    if user is None and not proven and not settings.checks_passwords:
        user = vpn.users.get(DEFAULT_USERNAME)
    if user is None:
        return Response(401, "Unauthorized")
    password = None if proven or not settings.checks_passwords else user.password
    if password is not None and not hmac.compare_digest(password.encode(), (request.password or "").encode()):
        return Response(401, "Unauthorized")
    if not user.enabled:
        return Response(403, "Client Username Is Shutdown")
    if not may_connect(vpn.acl_profiles[user.acl_profile].connect, connection.peer):
        return Response(403, "Forbidden")
    if request.encoding is not None and not (
        request.encoding == _PLAIN_TEXT
        and settings.plain_after_tls
        and vpn.client_profiles[user.client_profile].plain_after_tls
    ):
        return Response(403, "SSL Downgrade Not Allowed")
    if len(client_name.encode()) > _MAX_CLIENT_NAME:
        return _BAD_NAME
    most = min(settings.max_connections, settings.max_smf_connections)
    if len(vpn.host.connections) > vpn.config.max_connections or (
        len(vpn.clients) >= most and client_name not in vpn.clients
    ):
        return Response(503, "Too Many Clients")
    others = sum(other.username == user.name for name, other in vpn.clients.items() if name != client_name)
    profile = vpn.client_profiles[user.client_profile]
    if others >= min(profile.max_connections, profile.max_smf_connections):
        return Response(503, "Too Many Clients")
    return None


def _welcome(vpn: Vpn, connection: Connection, request: ClientControl) -> ClientControl:
    return ClientControl(
        correlation=request.correlation,
        response=OK,
        software_version="10.0.0.0",
        software_date="Jan 1 2025 00:00:00",
        platform="flumebeam development broker",
        client_name=connection.client_name,
        vpn=vpn.name,
        p2p_topic=connection.inbox,
        capabilities=Capabilities(
            granted=_GRANTED - _withheld(vpn.config, connection.profile),
            max_guaranteed_bytes=vpn.config.max_message_bytes,
            max_direct_bytes=vpn.config.max_message_bytes,
        ),
        virtual_router=f"v:{_ROUTER}",
        router_name=_ROUTER,
        extended_capabilities=_ASSURED_CONTROL_VERSIONS,
        no_local=request.no_local,
    )


def _withheld(config: BrokerConfig, profile: ClientProfile) -> set[Capability]:
    """Return what the broker can do in general and not now, or a client may not: its library says so before it asks."""
    allowed = {
        Capability.COMPRESSION: config.compressed_port is not None,
        Capability.CONSUMER_FLOWS: profile.receive_guaranteed,
        Capability.BROWSER: profile.receive_guaranteed,
        Capability.PUBLISHER_FLOWS: profile.send_guaranteed,
        Capability.ENDPOINT_MANAGEMENT: profile.create_endpoints,
        Capability.TEMPORARY_ENDPOINTS: profile.create_endpoints,
        Capability.TRANSACTED_SESSIONS: profile.transact,
        Capability.SHARED_SUBSCRIPTIONS: profile.share_subscriptions,
    }
    return {capability for capability, allows in allowed.items() if not allows}
