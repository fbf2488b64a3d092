"""Who may ask for what: administrators by their password, and what their access levels allow."""

from __future__ import annotations

import base64
import binascii
import hmac
from typing import Final
from urllib.parse import unquote

from flumebeam.broker.core.broker_settings import ACCESS_LEVELS, Administrator
from flumebeam.broker.core.host import Host
from flumebeam.broker.semp.replies import Problem, Request, Status

__all__ = ["authenticate", "permit"]

_ADMIN_ONLY: Final = ("usernames", "certAuthorities", "clientCertAuthorities", "domainCertAuthorities", "")
"""Collections of the broker that only an administrator with all rights changes; the last one is the broker itself."""
_VPNS: Final = "msgVpns"


def authenticate(request: Request, host: Host) -> Administrator:
    """Return the administrator whose password a request has.

    Raises:
        Problem: It has none.
    """
    scheme, _, encoded = (request.authorization or "").partition(" ")
    try:
        given = base64.b64decode(encoded.strip().encode(), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        given = b""
    name, _, password = given.partition(b":")
    user = host.settings.administrators.get(name.decode(errors="replace"))
    known = user is not None and hmac.compare_digest(password, user.password.encode())
    if user is None or not known or not user.enabled or scheme.lower() != "basic":
        raise Problem(Status.UNAUTHORIZED, "Username and password of an administrator are needed.", 401)
    return user


def permit(user: Administrator, method: str, path: str) -> None:
    """Check that an administrator may do what a request is about.

    Args:
        user: The administrator.
        method: HTTP method.
        path: What follows the name of the API in the path.

    Raises:
        Problem: It takes a higher access level.
    """
    collection, _, rest = path.partition("/")
    vpn = unquote(rest.partition("/")[0])
    if collection == "about":
        return
    needed = "read-only" if method == "GET" else "admin" if collection in _ADMIN_ONLY else "read-write"
    held = [user.access]
    if collection == _VPNS and (method == "GET" or "/" in rest):
        held.append(user.exceptions.get(vpn, user.vpn_access))
    if max(map(ACCESS_LEVELS.index, held)) < ACCESS_LEVELS.index(needed):
        raise Problem(Status.UNAUTHORIZED, f"This takes an administrator with the access level {needed}.", 403)
