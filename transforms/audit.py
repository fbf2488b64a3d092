"""The audit: a file with the id of every event that came by, from which a proof counts the lost and the repeated."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import apache_beam as beam
import pyarrow.compute as pc

from flumebeam.batch import EventBatch
from flumebeam.errors import ConfigurationError, StorageError
from flumebeam.event import EVENT_ID_HEADER

__all__ = ["AuditIds"]


class _AuditFn(beam.DoFn):
    def __init__(self, path: str) -> None:
        self._path = path
        self._file: BinaryIO | None = None

    def setup(self) -> None:
        path = Path(self._path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("ab", buffering=0)
        except OSError as error:
            raise ConfigurationError(
                f"The audit cannot be written to {path} ({error.strerror}): name a file in a writable directory."
            ) from error

    def process(self, batch: EventBatch) -> Iterator[EventBatch]:
        ids = pc.fill_null(batch.header(EVENT_ID_HEADER), "")
        lines = "\n".join([*ids.to_pylist(), ""]).encode()
        if self._file is None or self._file.write(lines) != len(lines):
            raise StorageError(f"The audit {self._path} cannot be written any further.")
        yield batch

    def teardown(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


class AuditIds(beam.PTransform):
    """Writes the header ``flumebeam.id`` of every event to a file, one line each, and passes the batches on.

    Input and output: a PCollection of :class:`~flumebeam.batch.EventBatch`. An event without the header gets an empty
    line. Lines are in the file, and survive a kill, before the batch is passed on; so what a later step acknowledges
    has been written.

    Unit of parallelism: the worker. What repeats: ids of events that the source delivers again.

    Args:
        path: The file; lines are appended.
    """

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path

    def expand(self, batches: beam.PCollection[EventBatch]) -> beam.PCollection[EventBatch]:
        """Add the audit."""
        return batches | "Audit" >> beam.ParDo(_AuditFn(self._path)).with_output_types(EventBatch)
