"""Avro containers of bodies that are Avro datums already: joined to blocks as they are, each checked before."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

from flumebeam.batch import EventBatch
from flumebeam.formats.avro_container import check_avro_options, container
from flumebeam.formats.avro_datum import check_datums, datum_schema
from flumebeam.formats.columns import content

__all__ = ["AvroDatumFormat"]


@dataclass(frozen=True, slots=True)
class AvroDatumFormat:
    """One record per event: its body, a datum of one schema, as Flume's ``AvroEventSerializer`` takes them.

    Args:
        schema: An Avro schema as JSON, of any type; all bodies are datums of it.
        codec: As in :class:`~flumebeam.formats.avro_event.AvroEventFormat`.
        level: As there.
        block_bytes: A block is closed once its records reach this size before compression.

    Raises:
        ConfigurationError: It is no schema; an unknown codec, a level that it does not have, a size below 1.
    """

    schema: str
    codec: str = "none"
    level: int | None = None
    block_bytes: int = 2_048_000
    name: ClassVar[str] = "avro"
    extension: ClassVar[str] = ".avro"
    concatenable: ClassVar[bool] = False
    joining: ClassVar[str] = "avro"

    def __post_init__(self) -> None:
        datum_schema(self.schema)
        check_avro_options(self.codec, self.level, self.block_bytes)

    def check(self, batch: EventBatch) -> None:
        """Raise MisfitError if a body of a batch is not exactly one datum of the schema."""
        check_datums(self.schema, batch.bodies)

    def encode(self, batches: Iterable[EventBatch]) -> Iterator[bytes]:
        """Return one whole file; see :meth:`flumebeam.formats.Format.encode`."""
        schema = datum_schema(self.schema)
        return container(schema, self.codec, self.level, self.block_bytes, batches, self._records)

    def _records(self, batch: EventBatch) -> bytes:
        self.check(batch)
        return content(batch.bodies)
