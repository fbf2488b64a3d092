"""Options of the broker."""

from __future__ import annotations

from typing import Any

import pytest

from flumebeam.broker import BrokerConfig
from flumebeam.errors import ConfigurationError


def test_defaults_are_those_of_the_vendors_container() -> None:
    config = BrokerConfig()

    assert (config.host, config.port, config.vpn) == ("127.0.0.1", 55555, "default")
    assert config.users == {"default": None}
    assert config.max_transaction_messages == 256
    assert not config.reject_on_no_match


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"port": -1}, "port is -1"),
        ({"port": 65_536}, "65535"),
        ({"max_queues": 0}, "max_queues is 0"),
        ({"login_timeout_seconds": -0.5}, "login_timeout_seconds"),
        ({"semp_port": 65_536}, "semp_port is 65536"),
        ({"compressed_port": -1}, "compressed_port is -1"),
        ({"tls_port": 0}, "TLS needs a certificate"),
        ({"vpn": ""}, "message VPN"),
        ({"users": {}}, "client username"),
        ({"more_vpns": {"default": {}}}, "The message VPN default is the first one"),
    ],
)
def test_mistakes_are_named(options: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        BrokerConfig(**options)


def test_passwords_are_not_in_the_representation() -> None:
    assert "geheim" not in repr(BrokerConfig(users={"u": "geheim"}, semp_password="geheim"))
