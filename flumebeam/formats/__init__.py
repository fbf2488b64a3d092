"""What a file holds: formats that turn batches of events into the bytes of whole files, found by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final, Protocol

from flumebeam.batch import EventBatch
from flumebeam.errors import ConfigurationError
from flumebeam.formats.avro_event import AvroEventFormat
from flumebeam.formats.datum_options import DatumOptions
from flumebeam.formats.datums import AvroDatumFormat
from flumebeam.formats.joining import AS_BYTES
from flumebeam.formats.own_schemas import AvroOwnSchemaFormat
from flumebeam.formats.parquet import ParquetFormat
from flumebeam.formats.schemas import TableSchema
from flumebeam.formats.sequence_file import SequenceFileFormat, TextSequenceFileFormat
from flumebeam.formats.tables import TableOptions
from flumebeam.formats.text import HeaderAndTextFormat, TextFormat
from flumebeam.formats.typed_avro import AvroTableFormat
from flumebeam.formats.typed_parquet import ParquetTableFormat

__all__ = [
    "FORMAT_NAMES",
    "TABLE_FORMAT_NAMES",
    "AvroDatumFormat",
    "AvroEventFormat",
    "AvroOwnSchemaFormat",
    "AvroTableFormat",
    "DatumOptions",
    "Format",
    "HeaderAndTextFormat",
    "ParquetFormat",
    "ParquetTableFormat",
    "SequenceFileFormat",
    "TableOptions",
    "TableSchema",
    "TextFormat",
    "TextSequenceFileFormat",
    "checker",
    "chosen_format",
    "divided",
    "divider",
    "open_format",
    "wants_provenance",
    "way_to_join",
]


class Format(Protocol):
    """A way to write events into a file. Holds options only: thread-safe, picklable, used for many files."""

    @property
    def name(self) -> str:
        """What options call it."""
        ...

    @property
    def extension(self) -> str:
        """What file names end in, with its dots and with the codec's part."""
        ...

    @property
    def concatenable(self) -> bool:
        """Whether files put one after another are one valid file of all their events, in order.

        A format that is not may have an attribute ``joining``, one of the other ways of
        :mod:`flumebeam.formats.joining`. If it has none, sinks do not roll: each transaction's files are final. One
        with an attribute ``provenance`` that is true gets batches that tell where their events came from. One with a
        method ``check``, which raises FormatError for a batch that :meth:`encode` would refuse, is asked that where
        nothing is to be written. One whose files cannot hold any events together has a method ``divide``: it returns
        the parts of a batch, each with a word for the names of its files.
        """
        ...

    def encode(self, batches: Iterable[EventBatch]) -> Iterator[bytes]:
        """Return one whole file, from its first byte to its last.

        Batches are taken one at a time, as the pieces are consumed, so a file never stands in memory. Called again
        for another attempt with the same batches, it gives a file of the same length and meaning.

        Args:
            batches: The file's events, in order.

        Yields:
            Non-empty pieces of any size; about one for each batch.

        Raises:
            FormatError: An event cannot be written in this format.
        """
        ...


def way_to_join(format: Format) -> str:
    """Return how :mod:`flumebeam.formats.joining` makes one file of several of a format; empty if it cannot."""
    return AS_BYTES if format.concatenable else str(getattr(format, "joining", ""))


def wants_provenance(format: Format) -> bool:
    """Return whether a format writes where events came from: its attribute ``provenance``, if it has one."""
    return bool(getattr(format, "provenance", False))


def checker(format: Format) -> Callable[[EventBatch], object] | None:
    """Return what tells whether a format takes a batch, without writing it: its method ``check``, if it has one."""
    check: Callable[[EventBatch], object] | None = getattr(format, "check", None)
    return check


def divided(format: Format, batch: EventBatch) -> Iterable[tuple[str, EventBatch]]:
    """Return the parts of a batch that may share a file, each with a word for its name; empty where all may."""
    return divide(batch) if (divide := divider(format)) is not None else (("", batch),)


def divider(format: Format) -> Callable[[EventBatch], Iterable[tuple[str, EventBatch]]] | None:
    """Return what tells apart events that may not share a file: a format's method ``divide``, if it has one."""
    divide: Callable[[EventBatch], Iterable[tuple[str, EventBatch]]] | None = getattr(format, "divide", None)
    return divide


_FORMATS: Final[dict[str, Callable[[str, int | None], Format]]] = {
    "avro_event": AvroEventFormat.of_codec,
    "header_and_text": HeaderAndTextFormat.of_codec,
    "parquet": ParquetFormat.of_codec,
    "sequence_file": SequenceFileFormat.of_codec,
    "sequence_file_text": TextSequenceFileFormat.of_codec,
    "text": TextFormat.of_codec,
}

_TABLES: Final[dict[str, Callable[[TableOptions, str, int | None], Format]]] = {
    "avro": AvroTableFormat,
    "parquet": ParquetTableFormat,
}

FORMAT_NAMES: Final = tuple(sorted(_FORMATS))
"""Names that :func:`open_format` knows for events as they are."""
TABLE_FORMAT_NAMES: Final = tuple(sorted(_TABLES))
"""Names that it knows for typed tables."""


def open_format(
    name: str, *, codec: str = "none", level: int | None = None, table: TableOptions | DatumOptions | None = None
) -> Format:
    """Return the format of a name.

    Args:
        name: One of :data:`FORMAT_NAMES`; with ``table``, of :data:`TABLE_FORMAT_NAMES`.
        codec: A compression that this format can carry: texts and sequence files take every codec of
            :mod:`flumebeam.codecs`; Avro and Parquet compress parts of a file, with codecs of their own.
        level: How hard to compress, in the codec's own scale; ``None`` for its default.
        table: How bodies become rows of a typed table, or what schema they have as Avro datums; ``None`` for events as
            they are.

    Raises:
        ConfigurationError: There is no such format, or it cannot carry this codec or level.
    """
    if isinstance(table, DatumOptions):
        if name != AvroDatumFormat.name:
            raise ConfigurationError(f"Bodies that are Avro datums go to files of format avro, not {name!r}.")
        return table.format(codec, level)
    if table is not None:
        if name not in _TABLES:
            raise ConfigurationError(f"Only {' and '.join(TABLE_FORMAT_NAMES)} hold typed tables, not {name!r}.")
        return _TABLES[name](table, codec, level)
    if name in _FORMATS:
        return _FORMATS[name](codec, level)
    if name in _TABLES:
        raise ConfigurationError(f"The format {name!r} needs the schema of a table.")
    raise ConfigurationError(f"There is no format {name!r}; use one of: {', '.join(FORMAT_NAMES)}.")


def chosen_format(format: str | Format, codec: str) -> Format:
    """Return the format that an option names, or the one that is given.

    Args:
        format: Name of a format, or one that is ready, of somebody's own for example.
        codec: A compression that a named format can carry.

    Raises:
        ConfigurationError: There is no such format, or it cannot carry the codec; a codec beside a ready format.
    """
    if isinstance(format, str):
        return open_format(format, codec=codec)
    if codec != "none":
        raise ConfigurationError(f"Give the codec {codec!r} to your format {format.name} itself.")
    return format
