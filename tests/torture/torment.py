"""One slice: events come in, the drain is killed, frozen and cut again and again; in the end each event is counted."""

from __future__ import annotations

import contextlib
import random
import signal
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from flumebeam.batch import EventBatch
from flumebeam.broker import DevelopmentBroker
from flumebeam.channel.solace import SolaceChannel
from flumebeam.commitlog.completing import PartitionPoint
from flumebeam.commitlog.steps import CrashPoint
from flumebeam.event import Event
from flumebeam.solace.config import SolaceOptions
from flumebeam.testing import running_broker
from flumebeam.testing.hdfs import fresh_directory
from flumebeam.testing.hdfs_ha import HaHdfs
from tests.faults.pipelines import killing
from tests.programs import Program, Programs, until
from tests.torture import partitioned, writer
from tests.torture.lossy import LossyProxy
from tests.torture.sums import Sums

__all__ = ["LocalPlace", "PairPlace", "Place", "torment"]

# Reached only when somebody else's file has a final name.
_POINTS = [point.name for point in CrashPoint if point is not CrashPoint.SUPERSEDED]
_PLAIN_MOMENTS = [*_POINTS, writer.RECEIVED, writer.WRITTEN, writer.TOLD]
_PARTITION_MOMENTS = [*_PLAIN_MOMENTS, *[point.name for point in (*PartitionPoint, *partitioned.HookPoint)] * 2]
_BEAM_MOMENTS = [*_POINTS, killing.RECEIVED, killing.WRITTEN, killing.TOLD]
_END_SECONDS = 120.0
_KEPT = {"_epochs", "_closed", "_retired", "_days"}
_SHELL = "org.apache.hadoop.fs.FsShell"


class Place(ABC):
    """Where a slice's target is, and what can be done to it."""

    address: str

    def torment(self, chance: random.Random, sums: Sums) -> None:  # noqa: B027 - a disk is left alone
        """Do something to the file system, or nothing, while a drain is at work."""

    @abstractmethod
    def lines(self) -> Counter[bytes]:
        """Count the lines that readers see, without any of our own code."""

    @abstractmethod
    def left_over(self) -> list[str]:
        """Return files that are neither data nor what a log keeps."""

    def heal(self) -> None:  # noqa: B027 - a disk is left alone
        """Make the file system whole."""


class LocalPlace(Place):
    """A local directory."""

    def __init__(self, directory: Path) -> None:
        self.address = str(directory)
        self._directory = directory

    def lines(self) -> Counter[bytes]:
        return _lines_below(self._directory)

    def left_over(self) -> list[str]:
        return _left_over_below(self._directory)


class PairPlace(Place):
    """A directory of an HA pair, of whose NameNodes' answers one in five is lost.

    Args:
        pair: The pair.
        proxies: In front of its NameNodes.
        scratch: For the copy that is counted.
    """

    def __init__(self, pair: HaHdfs, proxies: tuple[LossyProxy, ...], scratch: Path) -> None:
        self._pair, self._proxies, self._scratch = pair, proxies, scratch
        self._root = fresh_directory()
        self._before = sum(proxy.dropped for proxy in proxies)
        hosts = ",".join(proxy.url.removeprefix("http://") for proxy in proxies)
        self.address = f"webhdfs://{hosts}{self._root}"
        for proxy in proxies:
            proxy.rate = 0.2

    def torment(self, chance: random.Random, sums: Sums) -> None:
        number = chance.random()
        if number < 0.25:
            self._pair.fail_over()
            sums.fail_overs += 1
        elif number < 0.4:
            self._pair.datanode.freeze()
            time.sleep(chance.uniform(3, 7))
            self._pair.datanode.thaw()
            sums.hung_datanodes += 1

    def heal(self) -> None:
        self._pair.heal()

    @property
    def dropped(self) -> int:
        return sum(proxy.dropped for proxy in self._proxies) - self._before

    def lines(self) -> Counter[bytes]:
        for proxy in self._proxies:
            proxy.rate = 0.0
        self._pair.home.run("client", _SHELL, "-copyToLocal", self._root, str(self._scratch / "copy"))
        return _lines_below(self._scratch / "copy")

    def left_over(self) -> list[str]:
        return _left_over_below(self._scratch / "copy")


def torment(
    seed: str,
    kills: int,
    place: Callable[[Path], contextlib.AbstractContextManager[Place]],
    *,
    beam: bool,
    watched: bool = False,
) -> Sums:
    """Run one slice.

    Args:
        seed: Decides all that chance decides here.
        kills: How often the drain is killed at least.
        place: Gives the target, in a directory.
        beam: Drain through Beam, else by :mod:`tests.torture.writer`.
        watched: Whether its partitions are watched; only without Beam, on a local disk.
    """
    with tempfile.TemporaryDirectory(prefix="torture-") as name, running_broker() as broker:
        directory = Path(name)
        programs = Programs(directory, {"SOLACE_HOST": broker.url})
        with contextlib.closing(programs):
            told = directory / "told" if watched else None
            return _Slice(random.Random(seed), seed, broker, programs, place(directory), beam, told).run(kills)


class _Slice:
    def __init__(
        self,
        chance: random.Random,
        seed: str,
        broker: DevelopmentBroker,
        programs: Programs,
        place: Place,
        beam: bool,
        told: Path | None,
    ) -> None:
        self._chance, self._seed, self._broker, self._programs = chance, seed, broker, programs
        self._place, self._beam, self._told = place, beam, told
        self._moments = _BEAM_MOMENTS if beam else _PLAIN_MOMENTS if told is None else _PARTITION_MOMENTS
        self._patience = 15.0 if beam else 4.0
        self._sums = Sums()
        self._sent: Counter[bytes] = Counter()
        broker.create_queue("q", subscriptions=["logs/q"])

    def run(self, kills: int) -> Sums:
        with SolaceChannel(SolaceOptions(host=self._broker.url)) as channel:
            while self._sums.kills < kills:
                self._fill(channel, self._chance.randrange(20, 400 if self._beam else 160))
                deed = self._chance.choices(
                    (self._at_a_point, self._at_an_instant, self._frozen, self._cut), (6, 3, 1, 1)
                )
                deed[0]()
                if self._told is not None:
                    partitioned.judge(Path(self._place.address), self._told, self._sums)
        self._place.heal()
        self._empty_the_queue()
        # What drains were killed at, or a hung DataNode made after its drain was gone, belongs to nobody.
        self._programs.start("commits", "repair", self._place.address, "--close").ends_well(_END_SECONDS)
        return self._counted()

    def _fill(self, channel: SolaceChannel, count: int) -> None:
        bodies = [b"%s %d" % (self._seed.encode(), len(self._sent) + number) for number in range(count)]
        for start in range(0, count, 200):
            with channel.transaction() as transaction:
                chosen = bodies[start : start + 200]
                events = [Event(body, {"part": str(number % 2)}) for number, body in enumerate(chosen)]
                transaction.put(EventBatch.from_events(events), "logs/q")
                assert transaction.commit().committed
        self._sent.update(bodies)
        self._sums.events += count

    def _start(self, moment: str = "", nth: int = 0, by: signal.Signals = signal.SIGKILL) -> Program:
        if not self._beam:
            # Lives that roll and lives that do not take turns, and settle what the others left; so do those that
            # acknowledge by id and those that take in transactions.
            rolled = self._chance.random() < 0.7
            taken = self._chance.choice((0, 256))
            arguments: tuple[Any, ...] = (self._broker.url, "q", self._place.address, moment, nth, by, rolled, taken)
            return self._programs.fork_main(writer.write, *arguments, str(self._told or ""))
        options = ["--queue=q", f"--target={self._place.address}", "--path=%{part}", "--target_read_timeout_seconds=4"]
        options += ["--roll_bytes=8000", "--roll_seconds=1", f"--transaction_messages={self._chance.choice((0, 256))}"]
        return self._programs.fork_main(killing.drain_that_dies, options, moment or killing.TOLD, nth, by)

    def _at_a_point(self) -> None:
        program = self._start(self._chance.choice(self._moments), self._chance.randrange(1, 4))
        self._place.torment(self._chance, self._sums)
        if _within(self._patience, lambda: not program.running):
            self._sums.kills_at_points += 1
        else:
            # A point that this drain has no reason to pass.
            program.kill()
            self._sums.kills_at_instants += 1

    def _at_an_instant(self) -> None:
        program = self._start()
        self._place.torment(self._chance, self._sums)
        time.sleep(self._chance.uniform(0, self._patience / 2))
        if program.running:
            program.kill()
        self._sums.kills_at_instants += 1

    def _frozen(self) -> None:
        """Freeze a drain, have another take over, wake the first one up, and kill both."""
        frozen = self._start(self._chance.choice(self._moments), self._chance.randrange(1, 3), signal.SIGSTOP)
        if not _within(self._patience, lambda: not frozen.running or frozen.is_frozen()) and frozen.running:
            frozen.send(signal.SIGSTOP)
        if not frozen.running:
            return
        successor = self._start()
        for client in [name for name in self._broker.clients() if f"/{frozen.pid}/" in name]:
            self._broker.cut_connections(client)
        _within(self._patience * 2, lambda: not self._broker.queue("q").messages or not successor.running)
        frozen.send(signal.SIGCONT)
        time.sleep(self._chance.uniform(0, self._patience / 2))
        for program in (frozen, successor):
            if program.running:
                program.kill()
                self._sums.kills_at_instants += 1
        self._sums.freezes += 1

    def _cut(self) -> None:
        program = self._start()
        time.sleep(self._chance.uniform(0, self._patience / 3))
        for client in [name for name in self._broker.clients() if f"/{program.pid}/" in name]:
            self._broker.cut_connections(client)
            self._sums.cuts += 1
        time.sleep(self._chance.uniform(0, self._patience / 2))
        if program.running:
            program.kill()
        self._sums.kills_at_instants += 1

    def _empty_the_queue(self) -> None:
        deadline = time.monotonic() + _END_SECONDS
        while True:
            program = self._start()
            until(partial(self._is_done, program), "the queue empty", _END_SECONDS)
            if program.running:
                program.send(signal.SIGTERM)
                if program.wait() == 0:
                    return
            assert time.monotonic() < deadline, f"status {program.status}: {program.err}"

    def _is_done(self, program: Program) -> object:
        queue = self._broker.queue("q")
        # One that is told to end before it can listen to that is only killed once more.
        return (queue.consumers and not queue.messages) or not program.running

    def _counted(self) -> Sums:
        found = self._place.lines()
        self._sums.lost = (self._sent - found).total()
        self._sums.invented = sum(count for line, count in found.items() if line not in self._sent)
        self._sums.repeated = (found - self._sent).total() - self._sums.invented
        if self._told is not None:
            partitioned.judge(Path(self._place.address), self._told, self._sums, self._sent.total())
        left_over = self._place.left_over()
        self._sums.left_over = len(left_over)
        sys.stderr.writelines(f"left over: {path}\n" for path in left_over)
        if isinstance(self._place, PairPlace):
            self._sums.dropped_answers = self._place.dropped
        return self._sums


def _within(seconds: float, condition: Callable[[], object]) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def _files_below(root: Path) -> Iterator[tuple[tuple[str, ...], Path]]:
    for path in root.rglob("*"):
        if path.is_file():
            yield path.relative_to(root).parts, path


def _lines_below(root: Path) -> Counter[bytes]:
    counts: Counter[bytes] = Counter()
    for parts, path in _files_below(root):
        if not any(part[0] in "._" for part in parts):
            counts.update(path.read_bytes().split(b"\n")[:-1])
    return counts


def _left_over_below(root: Path) -> list[str]:
    hidden = [parts for parts, _ in _files_below(root) if any(part[0] in "._" for part in parts)]
    return ["/".join(parts) for parts in hidden if not _is_kept(parts)]


def _is_kept(parts: tuple[str, ...]) -> bool:
    if parts[0] != ".flumebeam.logs":
        return parts == (".flumebeam",) or parts[-1] == "_SUCCESS"
    # The next drain removes what one that is gone has said of its watermark.
    return parts[2] in _KEPT or (parts[2] == "_partitions" and parts[-1].startswith("_w-"))
