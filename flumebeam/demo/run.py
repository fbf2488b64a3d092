"""The demonstration itself: broker, ingest, batch layer and speed layer side by side, one kill, and the proof."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Final

from rich.console import Console
from rich.table import Table

from flumebeam.broker import BrokerConfig, DevelopmentBroker, QueueStatus
from flumebeam.demo.packed import Packed, move_packed
from flumebeam.demo.processes import Stage
from flumebeam.demo.proof import LayerProof, files_below, prove_ids, prove_lines
from flumebeam.demo.screen import QueueView, Screen, StageView
from flumebeam.demo.workspace import Progress, Workspace
from flumebeam.ids import DeliveryId

__all__ = ["Demo"]

_TOPIC: Final = "demo/logs"
_QUEUES: Final = ("batch", "speed")
_TICK_SECONDS: Final = 0.1
_LAYERS: Final = ("drain_to_hdfs", "speed_layer")


@dataclass(slots=True)
class _Meter:
    """When a stage saw its first and its last event, and how many."""

    name: str
    done: int = 0
    first: float | None = None
    last: float = 0.0

    def read(self, done: int, now: float) -> None:
        if done > self.done:
            self.first = now if self.first is None else self.first
            self.done, self.last = done, now

    @property
    def seconds(self) -> float:
        return self.last - self.first if self.first is not None else 0.0

    @property
    def rate(self) -> float:
        return self.done / self.seconds if self.seconds > 0 else 0.0


def _taken(before: QueueStatus, now: QueueStatus) -> int:
    return now.received - before.received + before.messages - now.messages


def _state(meter: _Meter, stage: Stage) -> str:
    if not stage.running:
        return "done"
    return "running" if meter.done else "starting"


class Demo:
    """One run of the demonstration.

    Args:
        output: Directory for everything.
        given: The user's log, or ``None`` for a made one.
        lines: Lines of the made one.
        kill: Whether the drain is killed once.
    """

    def __init__(self, output: Path, given: Path | None, *, lines: int, kill: bool) -> None:
        self._console = Console()
        self._workspace = Workspace.open(output, given, lines)
        self._kill = kill
        self._interrupts = 0
        self._stopped = False
        self._before: tuple[QueueStatus, ...] = ()
        self._meters = {name: _Meter(name) for name in ("ingest", *_LAYERS)}

    def run(self) -> int:
        """Run it and return an exit status: 0 if every sum closes, 1 if not, 130 if it was stopped and they close.

        Raises:
            FlumebeamError: A stage failed, or the output cannot be used.
        """
        workspace = self._workspace
        before = {progress.path: progress for progress in workspace.progress()}
        lines = sum(1 for _ in before[workspace.input].line_ends())
        self._console.print(f"Log     {workspace.input}: {lines:,} lines to go", highlight=False, soft_wrap=True)
        config = BrokerConfig(port=0, data=str(workspace.broker))
        with DevelopmentBroker(config) as broker, self._count_interrupts():
            for queue in _QUEUES:
                broker.create_queue(queue, access="exclusive", subscriptions=[_TOPIC])
            left = [broker.queue(queue).messages for queue in _QUEUES]
            self._console.print(
                f"Broker  {broker.url}: topic {_TOPIC} feeds the queues {' and '.join(_QUEUES)}"
                + (f"; {max(left):,} messages are left from last time" if any(left) else ""),
                highlight=False,
                soft_wrap=True,
            )
            if lines or any(left):
                self._move(broker, lines + max(left))
            packed = self._move_packed(broker) if lines and not self._stopped else None
            self._stopped = self._stopped or bool(self._interrupts)
        return self._prove(workspace.progress(), packed)

    # -- moving ------------------------------------------------------------------------------------------------------

    def _stages(self, broker: DevelopmentBroker) -> dict[str, Stage]:
        workspace, environment = self._workspace, self._environment(broker)
        positions = workspace.positions(workspace.input)
        options = {
            "ingest": ["--input", str(workspace.input), "--topic", _TOPIC, "--tracker_dir", str(positions)],
            "drain_to_hdfs": ["--queue", "batch", "--target", str(workspace.batch), "--roll_seconds", "2"],
            "speed_layer": ["--queue", "speed", "--counts_to", str(workspace.counts), "--seen_to", str(workspace.seen)],
        }
        return {
            name: Stage(name, arguments, workspace.logs / f"{name}.log", environment)
            for name, arguments in options.items()
        }

    def _move(self, broker: DevelopmentBroker, total: int) -> None:
        stages = self._stages(broker)
        drain = stages["drain_to_hdfs"]
        started, to_kill = time.monotonic(), self._kill
        self._before = tuple(broker.queue(name) for name in _QUEUES)
        try:
            for stage in stages.values():
                stage.start()
            with Screen(self._console, total) as screen:
                while True:
                    through = self._through(broker, stages["ingest"])
                    now = time.monotonic()
                    self._read(broker, now)
                    self._show(screen, broker, stages, now - started)
                    if self._interrupts:
                        self._end_early(screen, broker, stages["ingest"])
                    elif to_kill and self._meters["drain_to_hdfs"].done >= total / 3:
                        # Also one that was through with everything before anybody looked.
                        to_kill = False
                        self._kill_and_restart(screen, broker, drain)
                    elif through:
                        break
                    for layer in _LAYERS:
                        stages[layer].check()
                    time.sleep(_TICK_SECONDS)  # the pace of the screen, not a wait for luck
        finally:
            for stage in stages.values():
                stage.stop()
        for stage in stages.values():
            stage.check()

    def _environment(self, broker: DevelopmentBroker) -> dict[str, str]:
        return {"SOLACE_HOST": broker.url, "SOLACE_VPN": "default", "SOLACE_USERNAME": "default"}

    def _move_packed(self, broker: DevelopmentBroker) -> Packed | None:
        self._console.print(
            "Again   the same log, many events in one message: flumebeam run ingest --pack",
            highlight=False,
            soft_wrap=True,
        )
        workspace, environment = self._workspace, self._environment(broker)
        return move_packed(broker, workspace.input, workspace.packed, environment, lambda: bool(self._interrupts))

    def _through(self, broker: DevelopmentBroker, ingest: Stage) -> bool:
        """Tell whether all has arrived; a layer that is still starting may have files of its predecessor to publish."""
        arrived = all(status.consumers and not status.messages for status in map(broker.queue, _QUEUES))
        return arrived and not ingest.running and ingest.check()

    def _read(self, broker: DevelopmentBroker, now: float) -> None:
        batch, speed = (broker.queue(name) for name in _QUEUES)
        batch_before, speed_before = self._before
        self._meters["ingest"].read(batch.received - batch_before.received, now)
        self._meters["drain_to_hdfs"].read(_taken(batch_before, batch), now)
        self._meters["speed_layer"].read(_taken(speed_before, speed), now)

    def _show(self, screen: Screen, broker: DevelopmentBroker, stages: dict[str, Stage], elapsed: float) -> None:
        views = tuple(
            StageView(meter.name, meter.done, meter.rate, _state(meter, stages[meter.name]))
            for meter in self._meters.values()
        )
        queues = tuple(
            QueueView(status.name, status.messages, status.unacknowledged) for status in map(broker.queue, _QUEUES)
        )
        screen.show(elapsed, views, queues)

    def _kill_and_restart(self, screen: Screen, broker: DevelopmentBroker, drain: Stage) -> None:
        done = self._meters["drain_to_hdfs"].done
        killed = drain.kill()
        while broker.queue(_QUEUES[0]).consumers:
            time.sleep(_TICK_SECONDS)  # until the broker has noticed: whoever consumes from now on is the new one
        started = drain.start()
        screen.say(f"Kill    drain_to_hdfs (process {killed}) with kill -9 after {done:,} events; it is {started} now")

    def _end_early(self, screen: Screen, broker: DevelopmentBroker, ingest: Stage) -> None:
        self._interrupts = 0
        self._stopped = True
        ingest.stop()
        left = sum(broker.queue(name).messages for name in _QUEUES)
        screen.say(f"Stop    ingest has stopped; {left:,} messages are still in the queues and are drained now")

    @contextmanager
    def _count_interrupts(self) -> Iterator[None]:
        def note(number: int, frame: FrameType | None) -> None:
            self._interrupts += 1

        previous = signal.signal(signal.SIGINT, note)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, previous)

    # -- proving -----------------------------------------------------------------------------------------------------

    def _prove(self, inputs: list[Progress], packed: Packed | None) -> int:
        files = files_below(self._workspace.batch)
        batch = prove_lines(((progress.path, progress.offset) for progress in inputs), files)
        speed = prove_ids(self._expected_ids(inputs), self._seen_ids())
        table = Table(title="What went in and what came out, counted by reading both", title_justify="left")
        for column in ("", "ingest", "batch layer", "speed layer"):
            table.add_column(column, justify="left" if not column else "right")
        for row, ingest, left, right in self._rows(batch, speed):
            table.add_row(row, ingest, left, right)
        self._console.print(table)
        size = sum(path.stat().st_size for path in files)
        self._console.print(
            f"Files   {len(files)} with {size:,} bytes below {self._workspace.batch}\nCounts  {self._workspace.counts}",
            highlight=False,
            soft_wrap=True,
        )
        if packed is not None:
            self._tell_of(packed)
        closes = batch.closes and speed.closes and (packed is None or packed.proof.closes)
        if closes:
            self._console.print("Proof   every line is in the files once, and was seen live once", style="green")
        else:
            self._console.print("Proof   THE SUMS DO NOT CLOSE: see 'lost' and 'repeated' above", style="bold red")
        if not closes:
            return 1
        return 130 if self._stopped else 0

    def _tell_of(self, packed: Packed) -> None:
        rate = packed.proof.seen / packed.seconds if packed.seconds else 0.0
        self._console.print(
            f"Packed  {packed.proof.seen:,} events in {packed.messages:,} messages, through ingest and batch layer in "
            f"{packed.seconds:.1f} s: {rate:,.0f} events per second, lost {packed.proof.lost:,}, "
            f"repeated {packed.proof.repeated:,}",
            highlight=False,
            soft_wrap=True,
        )

    def _rows(self, batch: LayerProof, speed: LayerProof) -> Iterator[tuple[str, str, str, str]]:
        meters = list(self._meters.values())
        yield "lines read", f"{batch.expected:,}", "", ""
        yield "events moved in this run", *(f"{meter.done:,}" for meter in meters)  # type: ignore[misc]
        yield "events found", "", f"{batch.seen:,}", f"{speed.seen:,}"
        yield "lost", "", f"{batch.lost:,}", f"{speed.lost:,}"
        yield "repeated", "", f"{batch.repeated:,}", f"{speed.repeated:,}"
        yield "seconds", *(f"{meter.seconds:.1f}" for meter in meters)  # type: ignore[misc]
        yield "events per second", *(f"{meter.rate:,.0f}" for meter in meters)  # type: ignore[misc]

    def _expected_ids(self, inputs: list[Progress]) -> Iterator[str]:
        for progress in inputs:
            whole = Progress(progress.path, progress.origin, 0)
            for end in whole.line_ends():
                if end <= progress.offset:
                    yield str(DeliveryId(progress.origin, end))

    def _seen_ids(self) -> Iterator[str]:
        if self._workspace.seen.exists():
            with self._workspace.seen.open(encoding="ascii") as lines:
                for line in lines:
                    yield line.rstrip("\n")
