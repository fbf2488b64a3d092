"""``flumebeam broker``: the development broker as a program."""

from __future__ import annotations

import logging
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Final

import typer

from flumebeam.broker import BrokerConfig, DevelopmentBroker, parse_fault
from flumebeam.errors import ConfigurationError
from flumebeam.exits import Exit

__all__ = ["broker"]

_DEFAULTS: Final = BrokerConfig()
_SEMP_PORT: Final = 8080
"""As the vendor's container has it."""


def broker(
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
    config = replace(
        BrokerConfig.like(like) if like else _DEFAULTS,
        host=host,
        port=port,
        standby_port=standby_port,
        dr_port=dr_port,
        tls_port=tls_port,
        tls_certificate=tls_certificate,
        tls_key=tls_key,
        tls_client_ca=tls_client_ca,
        compressed_port=compressed_port,
        semp_port=semp_port if semp else None,
        semp_tls_port=semp_tls_port if semp else None,
        data=data,
        vpn=vpn,
        users=dict(map(_user, user)) if user else _DEFAULTS.users,
        max_transaction_messages=max_transaction_messages,
        reject_on_no_match=reject_on_no_match,
        trace=trace,
    )
    faults = [parse_fault(text) for text in fault or ()]
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", stream=sys.stderr)
    with DevelopmentBroker(config) as running:
        for name, topics in map(_queue, queue or ()):
            running.create_queue(name, subscriptions=topics)
        running.fault(*faults)
        kept = "everything in memory" if data is None else f"data in {data}"
        typer.echo(f"Listening on {running.url}, VPN {vpn}, {kept}. Ctrl-C ends it.", err=True)
        if semp:
            typer.echo(f"Management on {running.semp_url}, username admin, password admin.", err=True)
        try:
            running.wait()
        except KeyboardInterrupt:
            sys.exit(Exit.OK)


def _user(text: str) -> tuple[str, str | None]:
    name, given, file = text.partition("=")
    if not given:
        return name, None
    try:
        return name, Path(file).read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"The password file {file!r} of user {name} cannot be read: {error}.") from error


def _queue(text: str) -> tuple[str, list[str]]:
    name, _, topics = text.partition("=")
    return name, [topic for topic in topics.split(",") if topic]
