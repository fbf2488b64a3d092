"""``flumebeam broker``: the development broker as a program."""

from __future__ import annotations

import logging
import signal
import sys
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from flumebeam.broker import BrokerConfig, DevelopmentBroker, parse_fault
from flumebeam.broker.config import EDITIONS
from flumebeam.broker.config_file import BrokerSetup, read_setup
from flumebeam.errors import ConfigurationError
from flumebeam.exits import Exit
from flumebeam.garbage import collecting_seldom

__all__ = ["broker"]

_DEFAULTS: Final = BrokerConfig()
_OPTIONS: Final = (
    "host",
    "port",
    "tls_port",
    "tls_certificate",
    "tls_key",
    "tls_client_ca",
    "standby_port",
    "dr_port",
    "compressed_port",
    "semp_port",
    "semp_tls_port",
    "data",
    "vpn",
    "max_transaction_messages",
    "reject_on_no_match",
    "replay_log_bytes",
    "trace",
)
"""Options of the command that are options of the broker."""
_SEMP_PORT: Final = 8080
"""As the vendor's container has it."""


def broker(
    context: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="TOML file with options, usernames, queues and faults; options given here come first."
        ),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = _DEFAULTS.host,
    port: Annotated[int, typer.Option(help="SMF port; 0 takes a free one.")] = _DEFAULTS.port,
    tls_port: Annotated[
        int | None, typer.Option(help="Port for SMF over TLS, such as 55443; 0 takes a free one.")
    ] = None,
    tls_certificate: Annotated[
        str | None, typer.Option(metavar="FILE", help="Certificate for TLS, in PEM form.")
    ] = None,
    tls_key: Annotated[
        str | None, typer.Option(metavar="FILE", help="Its private key, if it is not in the same file.")
    ] = None,
    tls_client_ca: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Authority of client certificates; then every TLS client needs one, and it names the username.",
        ),
    ] = None,
    standby_port: Annotated[
        int | None, typer.Option(help="Port of a standby broker, for the fault fail-over; 0 takes a free one.")
    ] = None,
    dr_port: Annotated[
        int | None,
        typer.Option(help="Port of a broker at another site, for the fault activate-dr; 0 takes a free one."),
    ] = None,
    like: Annotated[
        str | None, typer.Option(metavar="EDITION", help="Limits of an edition of the vendor: standard.")
    ] = None,
    compressed_port: Annotated[
        int | None, typer.Option(help="Port for compressed SMF, such as 55003; 0 takes a free one.")
    ] = None,
    semp_port: Annotated[
        int, typer.Option(help="Port for management over HTTP, on loopback; 0 takes a free one.")
    ] = _SEMP_PORT,
    semp_tls_port: Annotated[
        int | None,
        typer.Option(
            help="Port for management over HTTPS, such as 1943, with the certificate of TLS; 0 takes a free one."
        ),
    ] = None,
    semp: Annotated[bool, typer.Option("--semp/--no-semp", help="Whether there is management over HTTP.")] = True,
    data: Annotated[
        str | None,
        typer.Option(
            metavar="DIR",
            help="Directory that keeps messages, queues and positions over a crash; without it all is in memory only.",
        ),
    ] = None,
    vpn: Annotated[str, typer.Option(help="Name of the message VPN.")] = _DEFAULTS.vpn,
    user: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[=FILE]",
            help="A client username and the file with its password; without a file any password will do. Repeatable. "
            "[default: default, any password]",
        ),
    ] = None,
    more_vpn: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="A further message VPN, with the client username default and any password; --config takes others. "
            "Repeatable.",
        ),
    ] = None,
    queue: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[=TOPIC,...]",
            help="An exclusive queue and the topics that feed it, such as logs=app/>. Repeatable.",
        ),
    ] = None,
    max_transaction_messages: Annotated[
        int, typer.Option(min=1, help="Messages per transaction.")
    ] = _DEFAULTS.max_transaction_messages,
    reject_on_no_match: Annotated[
        bool, typer.Option(help="Refuse guaranteed messages that no queue wants, instead of dropping them.")
    ] = _DEFAULTS.reject_on_no_match,
    replay_log_bytes: Annotated[
        int | None,
        typer.Option(min=1, metavar="BYTES", help="Keep what was published last in a replay log of this size."),
    ] = None,
    fault: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FAULT",
            help="What is to go wrong at its next occasion, such as 'lose-commit-response applied=true'. Repeatable: "
            "one after the other.",
        ),
    ] = None,
    trace: Annotated[bool, typer.Option("--trace", help="Print every frame, decoded, in both directions.")] = False,
) -> None:
    """Run a development broker, with the defaults of the vendor's own container. Not for production."""
    setup = read_setup(config) if config else BrokerSetup(options={}, queues=(), faults=())
    given = {name: context.params[name] for name in _OPTIONS if _is_given(context, name)}
    options = {"semp_port": _SEMP_PORT} | EDITIONS.get(like or "", {}) | setup.options | given
    if like and like not in EDITIONS:
        BrokerConfig.like(like)
    if not semp:
        options |= {"semp_port": None, "semp_tls_port": None}
    if user:
        options["users"] = dict(map(_user, user))
    if more_vpn:
        options["more_vpns"] = options.get("more_vpns", {}) | {name: {"default": None} for name in more_vpn}
    broker_config = BrokerConfig(**options)
    faults = (*setup.faults, *(parse_fault(text) for text in fault or ()))
    queues = (*setup.queues, *map(_queue, queue or ()))
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", stream=sys.stderr)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        with collecting_seldom(), DevelopmentBroker(broker_config) as running:
            for one in queues:
                running.create_queue(**one)
            running.fault(*faults)
            kept = "everything in memory" if broker_config.data is None else f"data in {broker_config.data}"
            typer.echo(f"Listening on {running.url}, VPN {broker_config.vpn}, {kept}. Ctrl-C ends it.", err=True)
            if broker_config.semp_port is not None:
                login = f"username {broker_config.semp_username}, password as configured"
                if (broker_config.semp_username, broker_config.semp_password) == ("admin", "admin"):
                    login = "username admin, password admin"
                typer.echo(f"Management on {running.semp_url}, {login}.", err=True)
            running.wait()
    except KeyboardInterrupt:
        sys.exit(Exit.OK)


def _is_given(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name != "DEFAULT"


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _user(text: str) -> tuple[str, str | None]:
    name, given, file = text.partition("=")
    if not given:
        return name, None
    try:
        return name, Path(file).read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"The password file {file!r} of user {name} cannot be read: {error}.") from error


def _queue(text: str) -> dict[str, Any]:
    name, _, topics = text.partition("=")
    return {"name": name, "subscriptions": [topic for topic in topics.split(",") if topic]}
