"""One queue of its own on the module's broker, one target, and the programs between: what most tests here need."""

from __future__ import annotations

import os
import signal
import uuid
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from flumebeam.batch import EventBatch
from flumebeam.broker import DevelopmentBroker
from flumebeam.channel.solace import SolaceChannel
from flumebeam.event import Event
from flumebeam.solace.config import SolaceOptions
from flumebeam.solace.session import connect
from tests.programs import Program, Programs, until

__all__ = ["TRANSACTION", "Scene", "numbered"]

TRANSACTION = 256
"""The broker's limit of messages per transaction, and so what an ingest may repeat."""

_IDLE = ("--until_empty", "--idle_seconds=3")
"""Long enough for a busy machine; drains that are killed, or stopped when the queue is empty, never wait for it."""


def numbered(count: int) -> list[bytes]:
    """Lines that are all different, so that a repeated one and a lost one show."""
    return [b"2026-03-02 08:00:00 INFO [w-%d] order %06d" % (number % 7, number) for number in range(count)]


class Scene:
    """A queue, its topic, and a directory.

    Args:
        broker: Where the queue is made.
        programs: Starts programs.
        directory: Gets the target and the logs.
    """

    def __init__(self, broker: DevelopmentBroker, programs: Programs, directory: Path) -> None:
        self.broker = broker
        self.programs = programs
        self.directory = directory
        self.queue = f"q-{uuid.uuid4().hex[:12]}"
        self.topic = f"logs/{self.queue}"
        self.target: Path | str = directory / "target"
        self.view = directory / "target"
        """Where this process sees the target; another place if the programs have mounts of their own."""
        broker.create_queue(self.queue, subscriptions=[self.topic])

    # -- the broker's side

    @property
    def left(self) -> int:
        """Messages in the queue, delivered and unacknowledged ones included."""
        return self.broker.queue(self.queue).messages

    def fill(self, bodies: Sequence[bytes]) -> None:
        """Put events into the queue, each with the header ``part``, which is 0 or 1."""
        with SolaceChannel(SolaceOptions(host=self.broker.url)) as channel:
            for start in range(0, len(bodies), TRANSACTION):
                with channel.transaction() as transaction:
                    chosen = bodies[start : start + TRANSACTION]
                    events = [Event(body, {"part": str(number % 2)}) for number, body in enumerate(chosen)]
                    transaction.put(EventBatch.from_events(events), self.topic)
                    assert transaction.commit().committed

    def take_all(self) -> list[Event]:
        """Take everything out of the queue."""
        events: list[Event] = []
        with connect(SolaceOptions(host=self.broker.url)) as connection:
            receiver = connection.receiver(self.queue)
            while self.left:
                batch = receiver.receive(10_000, 0.5)
                events += batch.events()
                if batch.provenance is not None:
                    receiver.acknowledge(batch.provenance.ids)
            receiver.close()
        return events

    # -- the programs

    def ingest(self, log: Path) -> Program:
        """Start an ingest of one file."""
        return self.programs.fork("ingest", *self.ingest_options(log))

    def ingest_options(self, log: Path) -> list[str]:
        return [f"--input={log}", f"--topic={self.topic}"]

    def drain(self, *more: str, until_empty: bool = True) -> Program:
        """Start a drain into the target."""
        return self.programs.fork("drain_to_hdfs", *self.drain_options(*more, until_empty=until_empty))

    def drain_all(self, *more: str) -> None:
        """Run a drain until the queue is empty and stop it cleanly."""
        drain = self.drain(*more, until_empty=False)
        # Itself: the broker may not have noticed yet that an earlier one is gone.
        until(lambda: self.has_connected(drain) or not drain.running, "the drain connected")
        until(lambda: self.broker.queue(self.queue).consumers or not drain.running, "the drain bound")
        until(lambda: not self.left or not drain.running, "the queue empty")
        drain.send(signal.SIGINT)
        drain.ends_well()

    def has_connected(self, program: Program) -> bool:
        """Tell whether the broker knows a client of a program that was forked."""
        return any(f"/{program.pid}/" in name for name in self.broker.clients())

    def drain_options(self, *more: str, until_empty: bool = True) -> list[str]:
        """Files end with transactions unless ``more`` says otherwise, so that what is acknowledged is seen."""
        named = [f"--queue={self.queue}", f"--target={self.target}", "--roll=transaction"]
        return [*named, *(_IDLE if until_empty else ()), *more]

    # -- the target's side

    def lines(self) -> Counter[bytes]:
        """Lines of all files that a reader of the target sees, and how often each is there."""
        counts: Counter[bytes] = Counter()
        for path in self.files():
            content = path.read_bytes()
            assert content.endswith(b"\n") or not content, f"{path} ends within a line"
            counts.update(content.split(b"\n")[:-1])
        return counts

    def files(self) -> list[Path]:
        """Files that a reader of the target sees; does not look where a drain at work keeps what comes and goes."""
        found: list[Path] = []
        for place, directories, names in os.walk(self.view):
            directories[:] = [name for name in directories if name[0] not in "._"]
            found += [Path(place, name) for name in names if name[0] not in "._"]
        return sorted(found)

    def count(self) -> int:
        """Lines that a reader of the target sees."""
        return sum(path.read_bytes().count(b"\n") for path in self.files())

    def rubbish(self) -> list[Path]:
        """Files below the target that are neither data nor what a commit log keeps for good."""
        data = set(self.files())
        kept = {"_epochs", "_closed", "_retired", "_days"}
        return [
            path
            for path in self._below()
            if path not in data
            and self._parts(path) != (".flumebeam",)
            and not (self._parts(path)[0] == ".flumebeam.logs" and self._parts(path)[2] in kept)
        ]

    def holds_exactly(self, bodies: Sequence[bytes]) -> None:
        """Check that every event is in the files once, none is invented, the queue is empty, nothing is left over."""
        found, wanted = self.lines(), Counter(bodies)
        assert (found - wanted, wanted - found) == (Counter(), Counter()), "repeated or invented, lost"
        assert self.left == 0
        assert self.rubbish() == []

    def _below(self) -> list[Path]:
        return sorted(path for path in self.view.rglob("*") if path.is_file())

    def _parts(self, path: Path) -> tuple[str, ...]:
        return path.relative_to(self.view).parts
