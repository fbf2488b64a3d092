"""Dead letters: events that a sink's target has refused, each with the reason."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apache_beam as beam
from apache_beam.transforms.window import GlobalWindows

from flumebeam.deliveries import DeadLetter, Durable
from flumebeam.errors import StorageError
from flumebeam.transforms import metrics
from flumebeam.transforms.element_types import taken

__all__ = ["DeadLetter", "DeadLettersToFiles"]


class DeadLettersToFiles(beam.PTransform):
    """Keeps dead letters as JSON lines in a local directory, one file per bundle that has any.

    Input: a PCollection of :class:`DeadLetter`; output: a PCollection of :class:`~flumebeam.deliveries.Durable` for the
    commit step, after the file has been written and synced. A bundle that fails may leave a file behind whose events
    come again.

    Each is a line as :meth:`DeadLetter.line` makes it.

    Args:
        directory: On the worker that runs the sink; made if it is missing.
    """

    def __init__(self, directory: str) -> None:
        super().__init__()
        self._directory = directory

    def expand(self, letters: beam.PCollection[DeadLetter]) -> beam.PCollection[Durable]:
        """Add the sink."""
        return taken(letters, DeadLetter, "DeadLettersToFiles") | "Keep" >> beam.ParDo(
            _KeepFn(self._directory)
        ).with_output_types(Durable)


class _KeepFn(beam.DoFn):
    """Gathers the dead letters of a bundle, which are few, and writes them at its end."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._kept = metrics.counter("dead_letters_kept")

    def start_bundle(self) -> None:
        self._letters: list[DeadLetter] = []

    def process(self, letter: DeadLetter) -> None:
        self._letters.append(letter)

    def finish_bundle(self) -> Iterator[Any]:
        if not self._letters:
            return
        _write(Path(self._directory), self._letters)
        self._kept.inc(len(self._letters))
        for letter in self._letters:
            for durable in letter.durables():
                yield GlobalWindows.windowed_value(durable)


def _write(directory: Path, letters: list[DeadLetter]) -> None:
    path = directory / f"dead-letters-{uuid.uuid4().hex}.jsonl"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="ascii") as file:
            file.writelines(letter.line() for letter in letters)
            file.flush()
            os.fsync(file.fileno())
        folder = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise StorageError(
            f"Dead letters cannot be kept in {directory}: {error.strerror}; make it a directory that can be written."
        ) from error
