"""Where the demonstration keeps things: one directory with everything that comes out, and what a next run needs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from flumebeam.demo.sample import write_sample
from flumebeam.errors import ConfigurationError
from flumebeam.sources.positions import PositionStore

__all__ = ["Progress", "Workspace"]

_INPUTS: Final = "inputs.json"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one input has been ingested.

    Attributes:
        path: The file.
        origin: Its identity, which is the first half of its events' ids.
        offset: Everything before this offset has been committed to the broker.
    """

    path: Path
    origin: int
    offset: int

    def line_ends(self) -> Iterator[int]:
        """Yield the offset behind each line that is not ingested yet."""
        with self.path.open("rb") as lines:
            lines.seek(self.offset)
            end = self.offset
            for line in lines:
                end += len(line)
                yield end


class Workspace:
    """The directory of a demonstration.

    Attributes:
        batch: Where the batch layer writes.
        packed: Where the second pass, with packed messages, keeps everything; emptied by each run.
        counts: Where the speed layer writes its counts.
        seen: Where the speed layer notes the ids it has seen.
        input: The log of this run.
    """

    def __init__(self, root: Path, given: Path | None) -> None:
        self.root = root
        self.batch = root / "batch"
        self.packed = root / "packed"
        self.counts = root / "speed" / "counts.jsonl"
        self.seen = root / "speed" / "seen.ids"
        self._given = given
        self._state = root / "state"

    @classmethod
    def open(cls, root: Path, given: Path | None, lines: int) -> Self:
        """Make or reuse a workspace.

        Args:
            root: The directory.
            given: The user's log; ``None`` for a made one.
            lines: Lines of the made one.

        Raises:
            ConfigurationError: The directory or the log cannot be used.
        """
        if given is not None and not given.is_file():
            raise ConfigurationError(f"There is no file {given}: name a log with --input (make demo INPUT=...).")
        workspace = cls(root.absolute(), given.absolute() if given else None)
        try:
            for directory in (workspace.batch, workspace.counts.parent, workspace._state, workspace.logs):
                directory.mkdir(parents=True, exist_ok=True)
            if given is None and not workspace._sample(lines).exists():
                write_sample(workspace._sample(lines), lines)
        except OSError as error:
            raise ConfigurationError(
                f"{root} cannot be used for output ({error.strerror}): name another directory with --output."
            ) from error
        workspace.input = workspace._given or workspace._sample(lines)
        workspace._note_input()
        return workspace

    input: Path

    @property
    def logs(self) -> Path:
        """Where the stages' own words go."""
        return self.root / "logs"

    @property
    def broker(self) -> Path:
        """Where the broker keeps its messages, so that a demo that was killed goes on where it was."""
        return self._state / "broker"

    def positions(self, path: Path) -> Path:
        """Return where the positions of an input are kept."""
        return self._state / "positions" / self._names()[str(path)]

    def progress(self) -> list[Progress]:
        """Return how far each input that was ever given has been ingested.

        Raises:
            ConfigurationError: One of them is gone or was changed, so that nothing can be proved any more.
        """
        found = []
        for name in self._names():
            path = Path(name)
            try:
                with PositionStore(self.positions(path)) as positions, path.open("rb") as file:
                    position = positions.meet(file.fileno(), name)
            except FileNotFoundError as error:
                raise ConfigurationError(
                    f"{name} went into {self.root} earlier and is gone, so the sums cannot be taken: "
                    "name another directory with --output."
                ) from error
            found.append(Progress(path, position.identity.origin, position.offset))
        return found

    def _sample(self, lines: int) -> Path:
        return self.root / "input" / f"sample-{lines}.log"

    def _names(self) -> dict[str, str]:
        noted = self._state / _INPUTS
        names: dict[str, str] = json.loads(noted.read_text(encoding="utf-8")) if noted.exists() else {}
        return names

    def _note_input(self) -> None:
        names = self._names()
        names.setdefault(str(self.input), str(len(names)))
        (self._state / _INPUTS).write_text(json.dumps(names, indent=1), encoding="utf-8")
