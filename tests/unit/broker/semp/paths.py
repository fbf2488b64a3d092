"""Where the message VPN is, in each of the three APIs."""

from __future__ import annotations

CONFIG = "/SEMP/v2/config/msgVpns/default"
MONITOR = "/SEMP/v2/monitor/msgVpns/default"
ACTION = "/SEMP/v2/action/msgVpns/default"
