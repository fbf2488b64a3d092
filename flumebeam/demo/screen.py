"""What the demonstration shows while it runs: bars on a terminal, a line every two seconds elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

__all__ = ["QueueView", "Screen", "StageView"]

_PLAIN_SECONDS: Final = 2.0
_BAR_WIDTH: Final = 30


@dataclass(frozen=True, slots=True)
class StageView:
    """A stage at one moment.

    Attributes:
        name: Name of the stage.
        done: Events through with it.
        rate: Events per second since it saw the first one.
        state: A word or two: starting, running, killed, done.
    """

    name: str
    done: int
    rate: float
    state: str


@dataclass(frozen=True, slots=True)
class QueueView:
    """A queue at one moment.

    Attributes:
        name: Name of the queue.
        depth: Messages in it, delivered and unacknowledged ones included.
        unacknowledged: Messages that a consumer holds.
    """

    name: str
    depth: int
    unacknowledged: int


class Screen:
    """Shows progress; a context manager.

    Args:
        console: Where to.
        total: Events that each stage will see.
    """

    def __init__(self, console: Console, total: int) -> None:
        self._console = console
        self._total = total
        self._live = Live(console=console, refresh_per_second=8, transient=True) if console.is_terminal else None
        self._last_plain = 0.0

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def say(self, text: str) -> None:
        """Print a line that stays."""
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def show(self, elapsed: float, stages: tuple[StageView, ...], queues: tuple[QueueView, ...]) -> None:
        """Show where everything stands, ``elapsed`` seconds after the start."""
        if self._live is not None:
            self._live.update(self._drawn(stages, queues))
        elif elapsed - self._last_plain >= _PLAIN_SECONDS:
            self._last_plain = elapsed
            parts = [f"{stage.name} {stage.done:,} ({stage.rate:,.0f}/s)" for stage in stages]
            parts += [f"queue {queue.name} {queue.depth:,}" for queue in queues]
            self.say(f"{elapsed:5.1f} s  " + "  ".join(parts))

    def _drawn(self, stages: tuple[StageView, ...], queues: tuple[QueueView, ...]) -> RenderableType:
        table = Table.grid(padding=(0, 2))
        for stage in stages:
            table.add_row(
                Text(stage.name, style="bold"),
                ProgressBar(total=self._total, completed=min(stage.done, self._total), width=_BAR_WIDTH),
                Text(f"{stage.done:,} of {self._total:,}", justify="right"),
                Text(f"{stage.rate:,.0f} events/s", justify="right", style="cyan"),
                Text(stage.state, style="red" if stage.state == "killed" else "dim"),
            )
        for queue in queues:
            table.add_row(
                Text(f"queue {queue.name}", style="dim"),
                ProgressBar(total=self._total, completed=queue.depth, width=_BAR_WIDTH, complete_style="yellow"),
                Text(f"{queue.depth:,} waiting", justify="right"),
                Text(f"{queue.unacknowledged:,} unacknowledged", justify="right", style="dim"),
                Text(""),
            )
        return Group(Text(""), table)
