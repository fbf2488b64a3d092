"""``flumebeam put``: lines of files or of standard input to a topic or a queue, in transactions."""

from __future__ import annotations

import os
import select
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated, Final

import typer

from flumebeam.batch import EventBatch
from flumebeam.cli.connecting import Config, Host, PasswordFile, Url, Username, Vpn, connection_of
from flumebeam.errors import ConfigurationError, FlumebeamError, PublishRefusedError
from flumebeam.exits import Exit
from flumebeam.sources.lines import LineSplitter

__all__ = ["Interrupts", "put"]

_BLOCK_BYTES: Final = 1 << 18
_MAX_LINE_BYTES: Final = 8 << 20
_RETRY_SECONDS: Final = 120.0
_PUT_OFF: Final = b"flumebeam: the transaction in progress is ended first; Ctrl-C again leaves it.\n"


def put(
    files: Annotated[
        list[Path] | None, typer.Argument(help="Files to read; without any, or as -, standard input.")
    ] = None,
    topic: Annotated[
        str | None, typer.Option(metavar="TEMPLATE", help="Topic, with headers if wanted: logs/%{host}.")
    ] = None,
    queue: Annotated[str | None, typer.Option(metavar="NAME", help="One queue, instead of a topic.")] = None,
    header: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="A header of every event. Repeatable.")
    ] = None,
    transaction: Annotated[int, typer.Option(min=1, help="Lines of one transaction at most.")] = 256,
    url: Url = None,
    host: Host = None,
    vpn: Vpn = None,
    username: Username = None,
    password_file: PasswordFile = None,
    config: Config = None,
) -> None:
    """Publish lines as events, in transactions. A line is the body of an event, without its newline.

    What standard input has by now is committed at once, so a growing log can be piped in. The first line that the
    broker refuses ends it; what was committed before stays committed, and is counted. Ctrl-C lets the transaction in
    progress end; a second one does not.
    """
    if (topic is None) == (queue is None):
        raise ConfigurationError("Name where the lines go, by one of --topic and --queue.")
    options = connection_of(url, host, vpn, username, password_file, config)
    # Load a native library: only this command pays.
    from flumebeam.channel.publishing import Publisher
    from flumebeam.channel.solace import SolaceChannel
    from flumebeam.channel.topics import TopicTemplate
    from flumebeam.solace.outgoing import queue_topic

    target = TopicTemplate(topic) if topic is not None else None
    shared = dict(map(_header, header or ()))
    publisher = Publisher(SolaceChannel(options, max_transaction_messages=transaction), transaction, _RETRY_SECONDS)
    status = Exit.OK
    interrupts = Interrupts()
    signal.signal(signal.SIGINT, interrupts)
    try:
        for batch in _batches(files or [Path("-")], shared):
            topics = queue_topic(queue or "") if target is None else target(batch)
            with interrupts.put_off():
                for settled in (*publisher.add(batch, topics), *publisher.flush()):
                    if hasattr(settled, "cause"):
                        raise PublishRefusedError(f"A line was refused: {settled.cause}.")
    except KeyboardInterrupt:
        status = Exit.INTERRUPTED
    except FlumebeamError as error:
        typer.echo(f"flumebeam: {error}", err=True)
        status = Exit.FAILED
    finally:
        publisher.close()
    counts = publisher.counts
    doubt = ""
    if counts.transactions_unknown:
        doubt += f" Of {counts.transactions_unknown:,} the answer was lost: their lines may be there twice."
    if interrupts.cut_short:
        doubt += " It was stopped within a transaction: further lines may be there."
    typer.echo(
        f"{counts.events_committed:,} lines committed in {counts.transactions_committed:,} transactions.{doubt}",
        err=True,
    )
    sys.exit(status)


class Interrupts:
    """Ctrl-C: at once while lines are waited for, and only the second one while a transaction is in progress.

    A handler of SIGINT. It runs when the client's library returns, which waits for an answer of the broker for ten
    seconds at most.

    Attributes:
        cut_short: Whether a transaction was left without knowing what became of it.
    """

    def __init__(self) -> None:
        self.cut_short = False
        self._count = 0
        self._busy = False
        self._ending = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Note a Ctrl-C, and end what can be ended.

        Raises:
            KeyboardInterrupt: Now.
        """
        if self._ending:
            return
        self._count += 1
        if not self._busy or self._count > 1:
            self.cut_short, self._ending = self._busy, True
            raise KeyboardInterrupt
        # Straight to the descriptor: a handler may run within a write to the stream.
        os.write(sys.stderr.fileno(), _PUT_OFF)

    @contextmanager
    def put_off(self) -> Iterator[None]:
        """Do what is within to its end first.

        Raises:
            KeyboardInterrupt: Ctrl-C came meanwhile; or twice, then at once.
        """
        self._busy = True
        try:
            yield
        finally:
            self._busy = False
        if self._count:
            self._ending = True
            raise KeyboardInterrupt


def _header(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise ConfigurationError(f"--header must look like NAME=VALUE, not {text!r}.")
    return name, value


def _batches(files: list[Path], shared: dict[str, str]) -> Iterator[EventBatch]:
    for path in files:
        splitter = LineSplitter(0, _MAX_LINE_BYTES)
        for block in _blocks(path):
            lines = splitter.feed(block)
            if len(lines):
                yield EventBatch.from_bodies(lines.bodies, shared)
        rest = splitter.finish()
        if len(rest):
            yield EventBatch.from_bodies(rest.bodies, shared)


def _blocks(path: Path) -> Iterator[bytes]:
    """Yield the blocks of a file, or what standard input has, whenever it has some."""
    if str(path) == "-":
        source = sys.stdin.fileno()
        while block := _available(source):
            yield block
        return
    try:
        with path.open("rb", buffering=0) as file:
            while block := file.read(_BLOCK_BYTES):
                yield block
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}.") from error


def _available(source: int) -> bytes:
    """Return what a pipe holds now, at least one byte unless it has ended: a block of a pipe is small."""
    block = os.read(source, _BLOCK_BYTES)
    parts = [block]
    size = len(block)
    while block and size < _BLOCK_BYTES and select.select([source], [], [], 0)[0]:
        block = os.read(source, _BLOCK_BYTES - size)
        parts.append(block)
        size += len(block)
    return b"".join(parts)
