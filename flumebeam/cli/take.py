"""``flumebeam take``: a queue to standard output or a file, taken in transactions or only looked at."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from base64 import b64encode
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path
from typing import Annotated, BinaryIO, Final

import typer

from flumebeam.batch import EventBatch
from flumebeam.cli.connecting import Config, Host, PasswordFile, Url, Username, Vpn, connection_of
from flumebeam.errors import ConfigurationError, ConnectionFailedError, FlumebeamError, StorageError
from flumebeam.event import Event
from flumebeam.exits import Exit
from flumebeam.solace.config import SolaceOptions

__all__ = ["take"]

_MOST_EVENTS: Final = 256
_STEP_SECONDS: Final = 0.2


class Form(Enum):
    """How an event is written."""

    BODY = "body"
    JSON = "json"
    FULL = "full"


def take(
    queue: Annotated[str, typer.Argument(help="Name of the queue.")],
    browse: Annotated[bool, typer.Option("--browse", help="Look and take nothing.")] = False,
    count: Annotated[int | None, typer.Option(min=1, metavar="N", help="End after so many events.")] = None,
    follow: Annotated[bool, typer.Option("--follow", help="Run on and wait for more, until Ctrl-C.")] = False,
    form: Annotated[
        Form,
        typer.Option(
            "--format",
            help="body: its bytes and a newline; json: a line of JSON with headers and body; full: headers, an empty "
            "line, the body, for reading.",
        ),
    ] = Form.BODY,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Append to this file, synced before anything is taken.")
    ] = None,
    selector: Annotated[
        str, typer.Option(metavar="TEXT", help="Only messages that it matches, such as: severity = 'error'.")
    ] = "",
    idle_seconds: Annotated[float, typer.Option(min=0, help="The queue is empty if nothing comes for so long.")] = 1.0,
    url: Url = None,
    host: Host = None,
    vpn: Vpn = None,
    username: Username = None,
    password_file: PasswordFile = None,
    config: Config = None,
) -> None:
    """Write the events of a queue to standard output or a file, and take them off the queue.

    A transaction is committed when what it holds has been written: nothing is lost. What was written and not committed,
    when the command is killed or the connection is lost, is written again by the next one.
    """
    options = connection_of(url, host, vpn, username, password_file, config)
    status = Exit.OK
    done = 0
    source = _looks if browse else _takes
    try:
        with _target(output) as file:
            for written in source(options, queue, selector, _Limits(count, follow, idle_seconds), _writer(file, form)):
                done += written
    except KeyboardInterrupt:
        status = Exit.OK if follow else Exit.INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter complains at its end
    except FlumebeamError as error:
        typer.echo(f"flumebeam: {error}", err=True)
        status = Exit.USAGE if isinstance(error, ConfigurationError) else Exit.FAILED
    typer.echo(f"{done:,} events {'seen' if browse else 'taken'}.", err=True)
    sys.exit(status)


class _Limits:
    """When to end."""

    def __init__(self, count: int | None, follow: bool, idle_seconds: float) -> None:
        self.left = count
        self._follow = follow
        self._patience = max(1, round(idle_seconds / _STEP_SECONDS))
        self._idle = 0

    @property
    def room(self) -> int:
        """Events that may be had at once; 0 at the end."""
        # A packed message is taken whole, so more may have come than was asked for.
        return _MOST_EVENTS if self.left is None else max(0, min(_MOST_EVENTS, self.left))

    def got(self, events: int) -> bool:
        """Count what one attempt of ``_STEP_SECONDS`` has brought; tell whether the queue counts as empty."""
        self._idle = 0 if events else self._idle + 1
        return not self._follow and self._idle >= self._patience

    def done(self, events: int) -> None:
        """Count what has been taken for good."""
        if self.left is not None:
            self.left -= events


def _takes(
    options: SolaceOptions, queue: str, selector: str, limits: _Limits, write: Callable[[EventBatch], None]
) -> Iterator[int]:
    """Yield how many events each transaction has taken."""
    from flumebeam.channel.solace import SolaceChannel  # loads a native library: only this command pays

    with SolaceChannel(options, queue=queue, selector=selector) as channel:
        while limits.room:
            with channel.transaction() as transaction:
                try:
                    batch = transaction.take(limits.room, _STEP_SECONDS)
                except ConnectionFailedError as error:  # the next transaction begins on a new connection, or ends this
                    typer.echo(f"flumebeam: {error} What was not taken comes again.", err=True)
                    continue
                if limits.got(len(batch)):
                    return
                if not len(batch):
                    continue
                write(batch)
                outcome = transaction.commit()
            if outcome.committed:
                limits.done(len(batch))
                yield len(batch)
            else:
                typer.echo(f"The last {len(batch)} events may come again: {outcome.cause}.", err=True)


def _looks(
    options: SolaceOptions, queue: str, selector: str, limits: _Limits, write: Callable[[EventBatch], None]
) -> Iterator[int]:
    """Yield how many events have been looked at, again and again."""
    from flumebeam.solace.flows import FlowOptions
    from flumebeam.solace.session import connect  # loads a native library: only this command pays

    with connect(options) as connection:
        receiver = connection.receiver(queue, flow=FlowOptions(browse=True, selector=selector))
        while limits.room:
            batch = receiver.receive(limits.room, _STEP_SECONDS)
            if limits.got(len(batch)):
                return
            if batch.provenance is not None:
                write(batch)
                receiver.acknowledge(batch.provenance.ids)
                limits.done(len(batch))
                yield len(batch)


@contextlib.contextmanager
def _target(output: Path | None) -> Iterator[BinaryIO]:
    if output is None:
        yield sys.stdout.buffer
        return
    try:
        file = output.open("ab")
    except OSError as error:
        raise ConfigurationError(f"{output} cannot be written: {error.strerror}.") from error
    with file:
        yield file


def _writer(file: BinaryIO, form: Form) -> Callable[[EventBatch], None]:
    line = {Form.BODY: _body, Form.JSON: _json, Form.FULL: _full}[form]

    def write(batch: EventBatch) -> None:
        try:
            file.write(b"".join(map(line, batch.events())))
            file.flush()
            if file is not sys.stdout.buffer:
                os.fsync(file.fileno())
        except BrokenPipeError:
            raise
        except OSError as error:
            raise StorageError(f"The output cannot be written: {error.strerror}; nothing of it was taken.") from error

    return write


def _body(event: Event) -> bytes:
    return event.body + b"\n"


def _json(event: Event) -> bytes:
    facts: dict[str, object] = {"headers": dict(event.headers)}
    try:
        facts["body"] = event.body.decode()
    except UnicodeDecodeError:
        facts["body_base64"] = b64encode(event.body).decode()
    return json.dumps(facts, ensure_ascii=False, sort_keys=True).encode("utf-8", "replace") + b"\n"


def _full(event: Event) -> bytes:
    head = "".join(f"{name}: {value}\n" for name, value in sorted(event.headers.items()))
    return head.encode("utf-8", "replace") + b"\n" + event.body + b"\n\n"
