"""Options of the commands that connect to a broker: the usual ones; all others come from ``SOLACE_...`` or a file."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import typer

from flumebeam.solace.config import SolaceOptions

__all__ = ["Config", "Host", "PasswordFile", "Url", "Username", "Vpn", "connection_of"]

Url: TypeAlias = Annotated[
    str | None,
    typer.Option("--solace-url", metavar="URL", help="tcps://user@host:55443/vpn, instead of the next three."),
]
Host: TypeAlias = Annotated[
    str | None, typer.Option("--solace-host", metavar="URL", help="tcp://host:55555, or a list. [SOLACE_HOST]")
]
Vpn: TypeAlias = Annotated[
    str | None, typer.Option("--solace-vpn", metavar="NAME", help="Message VPN. [SOLACE_VPN, default]")
]
Username: TypeAlias = Annotated[
    str | None, typer.Option("--solace-username", metavar="NAME", help="Client username. [SOLACE_USERNAME, default]")
]
PasswordFile: TypeAlias = Annotated[
    str | None,
    typer.Option("--solace-password-file", metavar="FILE", help="File with the password. [SOLACE_PASSWORD]"),
]
Config: TypeAlias = Annotated[
    str | None,
    typer.Option("--solace-config", metavar="FILE", help="Settings of the connection, TLS for example, by name."),
]


def connection_of(
    url: str | None,
    host: str | None,
    vpn: str | None,
    username: str | None,
    password_file: str | None,
    config: str | None,
) -> SolaceOptions:
    """Return the connection that options name, and what they leave open from the environment.

    Raises:
        ConfigurationError: A value cannot work.
    """
    given = {"url": url, "host": host, "vpn": vpn, "username": username, "password_file": password_file}
    return SolaceOptions.from_environment_and({name: value for name, value in given.items() if value}, config=config)
