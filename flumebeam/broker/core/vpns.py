"""Message VPNs come, change and go."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from flumebeam.broker.core.access import all_setup, take_setup
from flumebeam.broker.core.host import Host
from flumebeam.broker.core.journal import Configured, InVpn, VpnDeleted, VpnSet
from flumebeam.broker.core.profiles import Setup
from flumebeam.broker.core.vpn import Vpn, VpnSettings

__all__ = ["add_vpn", "configure_vpn", "create_vpn", "delete_vpn", "invalid_vpn_name", "note_vpn"]

_MAX_NAME: Final = 32


def invalid_vpn_name(name: str) -> bool:
    """Return whether ``name`` is empty, longer than 32 bytes, or holds a character that the vendor forbids."""
    return not name or len(name.encode()) > _MAX_NAME or any(character in name for character in "*?")


def add_vpn(host: Host, name: str, settings: VpnSettings, setup: Iterable[Setup], now: float) -> Vpn:
    """Add a message VPN that the configuration or a store has, under a name that is free.

    Args:
        host: The broker.
        name: Its name.
        settings: Whether it is open, and its limits.
        setup: Its client usernames and profiles.
        now: Time, seconds of the shell's clock.
    """
    vpn = host.vpns[name] = Vpn(name, host, settings)
    vpn.now = now
    for value in setup:
        take_setup(vpn, value)
    return vpn


def note_vpn(vpn: Vpn) -> None:
    """Note a message VPN that no store knows yet in the journal, if there is one."""
    if vpn.host.journal is not None:
        vpn.host.journal.append(VpnSet(vpn.name, vpn.settings))
        vpn.spool.journal = [Configured(value) for value in all_setup(vpn)]


def create_vpn(host: Host, name: str, settings: VpnSettings, setup: Iterable[Setup], now: float) -> Vpn:
    """Create a message VPN; the arguments are those of :func:`add_vpn`."""
    vpn = add_vpn(host, name, settings, setup, now)
    note_vpn(vpn)
    host.report(f"message VPN {name} created")
    return vpn


def configure_vpn(vpn: Vpn, settings: VpnSettings) -> None:
    """Change a message VPN. The clients of one that is disabled now are disconnected."""
    vpn.settings = settings
    if vpn.host.journal is not None:
        vpn.host.journal.append(VpnSet(vpn.name, settings))
    vpn.report(f"message VPN {vpn.name} changed")
    if not settings.enabled:
        _close_all(vpn)


def delete_vpn(vpn: Vpn) -> None:
    """Delete a message VPN with all that is in it, and disconnect its clients."""
    _close_all(vpn)
    for queue in list(vpn.queues.values()):
        vpn.remove_queue(queue)
    if vpn.log is not None:
        vpn.remove_log(vpn.log)
    host, changes = vpn.host, vpn.spool.journal
    if host.journal is not None and changes is not None:
        host.journal += (InVpn(vpn.name), *changes, VpnDeleted(vpn.name))
        vpn.spool.journal = None
    del host.vpns[vpn.name]
    host.report(f"message VPN {vpn.name} deleted")


def _close_all(vpn: Vpn) -> None:
    for connection in list(vpn.clients.values()):
        vpn.drop(connection)
        connection.close()
