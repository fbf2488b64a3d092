"""What the message VPNs of one broker share: ids, connections, limits, and the journal of what happens to them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeAlias

from flumebeam.broker.config import BrokerConfig
from flumebeam.broker.core.broker_settings import BrokerSetting, BrokerSettings
from flumebeam.broker.core.journal import BrokerConfigured, BrokerUnconfigured, InVpn, Issued, Portions, Record
from flumebeam.broker.core.spool import MessageIds
from flumebeam.broker.fault_plan import FaultPlan

if TYPE_CHECKING:
    from flumebeam.broker.core.connection import Connection
    from flumebeam.broker.core.vpn import Vpn
    from flumebeam.smf.assuredctrl import AssuredControl

__all__ = ["Host", "Late"]

_RESERVED_IDS: Final = 1 << 20
_RESERVED_HANDLES: Final = 1 << 10
"""Reserved ahead in the journal, so that most events need no record of what they gave out."""


Late: TypeAlias = "tuple[float, Connection, AssuredControl]"
"""An answer to be sent after some seconds."""


class Host:
    """The broker around its message VPNs.

    Args:
        config: Limits and defaults.
        ids: Numbers messages.
        faults: What is to go wrong.
        report: Told of logins, binds and the like, one readable line each.

    Attributes:
        vpns: The message VPNs by name.
        settings: What it is set up with as a whole.
        connections: All connections, those that have not logged in included.
        pending: Connections with output to write or a wish to be closed.
        storage_full: Whether nothing more can be made durable for now.
        last_handle: The last flow or session id given out.
        clock_offset: What makes the shell's time the time since 1970 UTC, seconds.
        late: Answers that the shell is to send later.
        journal: What has happened to message VPNs as a whole; None if nothing is kept.
        portions: Those in which the journal is taken.
    """

    def __init__(self, config: BrokerConfig, ids: MessageIds, faults: FaultPlan, report: Callable[[str], None]) -> None:
        self.config = config
        self.ids = ids
        self.faults = faults
        self.report = report
        self.vpns: dict[str, Vpn] = {}
        self.settings = BrokerSettings()
        self.connections: set[Connection] = set()
        self.pending: set[Connection] = set()
        self.storage_full = False
        self.last_handle = 0
        self.clock_offset = 0.0
        self.journal: list[Record] | None = None
        self.portions = Portions()
        self.late: list[Late] = []
        self._issued = Issued(0, 0)

    def next_handle(self) -> int:
        """Return a flow or session id that this broker has not used before (32 bits)."""
        self.last_handle = self.last_handle % 0xFFFF_FFFF + 1
        return self.last_handle

    def put_setting(self, value: BrokerSetting) -> None:
        """Add or replace what the broker as a whole is set up with; it applies from now on."""
        self.settings.take(value)
        if self.journal is not None:
            self.journal.append(BrokerConfigured(value))

    def drop_setting(self, value: BrokerSetting) -> None:
        """Remove a setting that is there."""
        self.settings.drop(value)
        if self.journal is not None:
            self.journal.append(BrokerUnconfigured(type(value).__name__, value.name))

    def spooled_bytes(self) -> int:
        """Return the bodies in the spool, of all message VPNs."""
        return sum(vpn.spool.bytes for vpn in self.vpns.values())

    def start_journal(self) -> None:
        """Keep a journal from now on."""
        self.journal = []
        for vpn in self.vpns.values():
            vpn.spool.journal = []

    def stop_journal(self) -> None:
        """Keep no journal any more."""
        self.journal = None
        for vpn in self.vpns.values():
            vpn.spool.journal = None

    def take_journal(self) -> list[Record]:
        """Return what has changed since the last call, empty if no journal is kept."""
        if self.journal is None:
            return []
        records, self.journal = self.journal, []
        for vpn in self.vpns.values():
            changes = vpn.spool.journal
            if changes:
                records.append(InVpn(vpn.name))
                records += changes
                vpn.spool.journal = []
        if self.ids.last > self._issued.message_id or self.last_handle > self._issued.handle:
            self._issued = Issued(self.ids.last + _RESERVED_IDS, self.last_handle + _RESERVED_HANDLES)
            records.append(self._issued)
        if records:
            self.portions.current += 1
        return records
