"""Schemas that events name themselves, in Flume's two headers or in a frame, and containers of such events."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from hashlib import sha256
from itertools import chain
from threading import Lock
from typing import Any, ClassVar, Final

import pyarrow as pa
import pyarrow.compute as pc

from flumebeam.batch import EventBatch
from flumebeam.clock import SystemClock
from flumebeam.errors import ConfigurationError, FormatError, MisfitError
from flumebeam.formats.avro_datum import check_datums, datum_schema
from flumebeam.formats.datums import AvroDatumFormat
from flumebeam.formats.schema_places import schema_text, server_of

__all__ = ["SCHEMA_LITERAL_HEADER", "SCHEMA_URL_HEADER", "AvroOwnSchemaFormat"]

SCHEMA_LITERAL_HEADER: Final = "flume.avro.schema.literal"
"""Holds the schema of a body, as JSON; named as in Flume's ``AvroEventSerializer``."""
SCHEMA_URL_HEADER: Final = "flume.avro.schema.url"
"""Holds its address, and wins over the literal one, as there."""
FRAME_BYTES: Final = 5
"""Confluent's frame before a datum: a zero byte, and the id of its schema in a registry, highest byte first.

https://docs.confluent.io/platform/current/schema-registry/fundamentals/serdes-develop/index.html#wire-format
"""

_NO_SCHEMA: Final = "no-schema-"
_LITERAL, _URL, _ID = "l", "u", "i"
_WORD_DIGITS: Final = 12
_MOST_SCHEMAS: Final = 1_000
_ASKED_AGAIN_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class AvroOwnSchemaFormat:
    """One record per event: its body, a datum of the schema that the event itself names.

    Files hold events of one schema each: :meth:`divide` tells them apart.

    Args:
        server: ``http://HOST:PORT`` that addresses in headers may lead to; empty for none. Who publishes an event
            would else make workers ask any server that they reach. Of frames the registry that knows their ids.
        framed: Whether schemas are named by frames before the datums, which are left out of the files; else by headers.
        codec: As in :class:`~flumebeam.formats.avro_event.AvroEventFormat`.
        level: As there.
        block_bytes: As in :class:`~flumebeam.formats.datums.AvroDatumFormat`.

    Raises:
        ConfigurationError: An unknown codec, a level that it does not have, a size below 1, a server that is none.
    """

    server: str = ""
    framed: bool = False
    codec: str = "none"
    level: int | None = None
    block_bytes: int = 2_048_000
    name: ClassVar[str] = AvroDatumFormat.name
    extension: ClassVar[str] = AvroDatumFormat.extension
    concatenable: ClassVar[bool] = AvroDatumFormat.concatenable
    joining: ClassVar[str] = AvroDatumFormat.joining

    def __post_init__(self) -> None:
        self._of('"null"')
        if self.server or self.framed:
            server_of(self.server)

    def divide(self, batch: EventBatch) -> Iterator[tuple[str, EventBatch]]:
        """Return the events of a batch by schema, each part with a word that is the schema's own.

        Raises:
            ConnectionFailedError: A server of schemas does not answer.
        """
        for reference, places in self._references(batch):
            try:
                word = _word(self._schema(reference))
            except MisfitError:
                # None of them is written. Should the schema appear in between, no other is in their file.
                word = _NO_SCHEMA + _word(reference)
            yield word, batch if places is None else batch.take(places)

    def check(self, batch: EventBatch) -> None:
        """Raise MisfitError if an event has no schema, or a body is not exactly one datum of it.

        Raises:
            ConnectionFailedError: A server of schemas does not answer.
        """
        datums = self._datums(batch).bodies
        for reference, places in self._references(batch):
            try:
                check_datums(self._schema(reference), datums if places is None else datums.take(places))
            except MisfitError as error:
                suspect = error.suspects[0] if error.suspects else 0
                raise MisfitError(str(error), [suspect if places is None else places[suspect].as_py()]) from error

    def encode(self, batches: Iterable[EventBatch]) -> Iterator[bytes]:
        """Return one whole file; see :meth:`flumebeam.formats.Format.encode`.

        Raises:
            FormatError: Events have different schemas.
        """
        filled = (batch for batch in batches if len(batch))
        first = next(filled, None)
        if first is None:
            return self._of('"null"').encode(())
        schema = self._schema(self._references(first)[0][0])
        return self._of(schema).encode(self._alike(schema, chain((first,), filled)))

    def _alike(self, schema: str, batches: Iterable[EventBatch]) -> Iterator[EventBatch]:
        for batch in batches:
            if any(self._schema(reference) != schema for reference, _ in self._references(batch)):
                raise FormatError("Events of different schemas cannot share a file.")
            yield self._datums(batch)

    def _references(self, batch: EventBatch) -> list[tuple[str, pa.Array | None]]:
        return _framed_references(batch.bodies) if self.framed else _references(batch)

    def _datums(self, batch: EventBatch) -> EventBatch:
        if not self.framed:
            return batch
        # Not binary_slice: it fails on bodies that are shorter than where it starts.
        return replace(batch, bodies=pc.binary_replace_slice(batch.bodies, 0, FRAME_BYTES, b""))

    def _of(self, schema: str) -> AvroDatumFormat:
        return AvroDatumFormat(schema, self.codec, self.level, self.block_bytes)

    def _schema(self, reference: str) -> str:
        """Return the schema that headers name.

        Raises:
            MisfitError: There is none.
            ConnectionFailedError: Its server does not answer.
        """
        kind, value = reference[:1], reference[1:]
        if not kind and self.framed:
            raise MisfitError("The body does not begin with the frame that names its schema: a zero byte and an id.")
        if not kind:
            raise MisfitError(
                f"The event has no schema: it needs the header {SCHEMA_LITERAL_HEADER} or {SCHEMA_URL_HEADER}."
            )
        try:
            if kind == _ID:
                return _SCHEMAS.at(f"{self.server.rstrip('/')}/schemas/ids/{value}")
            if kind == _LITERAL:
                return _canonical(value)
            allowed = server_of(self.server) if self.server else "none"
            if server_of(value) != allowed:
                raise ConfigurationError(
                    f"The schema that {SCHEMA_URL_HEADER} names is not on the server of schemas, which is {allowed}."
                )
            return _SCHEMAS.at(value)
        except ConfigurationError as error:
            raise MisfitError(str(error)) from error


def _references(batch: EventBatch) -> list[tuple[str, pa.Array | None]]:
    """Return what names schemas, and the places of its events; ``None`` for all. Nothing is done for each event."""
    if not batch.columns.keys() & {SCHEMA_LITERAL_HEADER, SCHEMA_URL_HEADER}:
        for kind, name in ((_URL, SCHEMA_URL_HEADER), (_LITERAL, SCHEMA_LITERAL_HEADER)):
            if name in batch.shared:
                return [(kind + batch.shared[name], None)]
        return [("", None)]
    url, literal = (
        pc.binary_join_element_wise(kind, batch.header(name), "")
        for kind, name in ((_URL, SCHEMA_URL_HEADER), (_LITERAL, SCHEMA_LITERAL_HEADER))
    )
    return _places(pc.coalesce(url, literal, pa.scalar("")), str)


def _framed_references(bodies: pa.BinaryArray) -> list[tuple[str, pa.Array | None]]:
    """Return the same of bodies in frames."""
    return _places(pc.binary_slice(bodies, 0, FRAME_BYTES), _id_of)


def _id_of(frame: bytes) -> str:
    has_id = len(frame) == FRAME_BYTES and not frame[0]
    return f"{_ID}{int.from_bytes(frame[1:])}" if has_id else ""


def _places(column: pa.Array, name: Callable[[Any], str]) -> list[tuple[str, pa.Array | None]]:
    found = column.dictionary_encode()
    names = [name(value) for value in found.dictionary.to_pylist()]
    if len(names) == 1:
        return [(names[0], None)]
    return [(each, pc.indices_nonzero(pc.equal(found.indices, index))) for index, each in enumerate(names)]


def _word(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:_WORD_DIGITS]


@lru_cache(_MOST_SCHEMAS)
def _canonical(text: str) -> str:
    """Return a schema without what makes equal ones differ as texts."""
    return json.dumps(datum_schema(text))


class _Schemas:
    """What addresses answered, once for a process: a schema at an address is taken to stay the same."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._clock = SystemClock()
        self._found: dict[str, str] = {}
        self._refused: dict[str, tuple[float, str]] = {}

    def at(self, url: str) -> str:
        """Return a schema.

        Raises:
            ConfigurationError: There is none, or was none in the last minute; or this process has too many by now.
            ConnectionFailedError: Its server does not answer.
        """
        with self._lock:
            if url in self._found:
                return self._found[url]
            until, said = self._refused.get(url, (0.0, ""))
            if self._clock.monotonic() < until:
                raise ConfigurationError(said)
            if len(self._found) == _MOST_SCHEMAS:
                raise ConfigurationError(
                    f"This process has read schemas from {_MOST_SCHEMAS} addresses already, and reads no more."
                )
            try:
                self._found[url] = text = _canonical(schema_text(url))
            except ConfigurationError as error:
                if len(self._refused) == _MOST_SCHEMAS:
                    self._refused.clear()
                self._refused[url] = self._clock.monotonic() + _ASKED_AGAIN_SECONDS, str(error)
                raise
            return text


_SCHEMAS: Final = _Schemas()
