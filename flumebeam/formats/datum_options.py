"""How bodies that are Avro datums become records: by one schema, or by those that they bring along."""

from __future__ import annotations

from dataclasses import dataclass

from flumebeam.errors import ConfigurationError
from flumebeam.formats.avro_datum import datum_schema
from flumebeam.formats.datums import AvroDatumFormat
from flumebeam.formats.header_schemas import AvroHeaderFormat

__all__ = ["DatumOptions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DatumOptions:
    """What schema bodies have that are Avro datums.

    Attributes:
        schema: An Avro schema as JSON, of all bodies; empty if each event names its own, in the headers
            ``flume.avro.schema.literal`` or ``flume.avro.schema.url``.
        server: ``http://HOST:PORT`` that addresses in headers may lead to; empty for none.

    Raises:
        ConfigurationError: Both are given, or one is not what it should be.
    """

    schema: str = ""
    server: str = ""

    def __post_init__(self) -> None:
        if self.schema and self.server:
            raise ConfigurationError("A server of schemas is for events that name their own: leave out one of them.")
        if self.schema:
            datum_schema(self.schema)

    def format(self, codec: str, level: int | None) -> AvroDatumFormat | AvroHeaderFormat:
        """Return the format of the files.

        Raises:
            ConfigurationError: It cannot carry this codec or level, or the server is none.
        """
        if self.schema:
            return AvroDatumFormat(self.schema, codec, level)
        return AvroHeaderFormat(self.server, codec, level)
