"""How bodies that are Avro datums become records: by one schema, or by those that they bring along."""

from __future__ import annotations

from dataclasses import dataclass

from flumebeam.errors import ConfigurationError
from flumebeam.formats.avro_datum import datum_schema
from flumebeam.formats.datums import AvroDatumFormat
from flumebeam.formats.own_schemas import AvroOwnSchemaFormat

__all__ = ["DatumOptions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DatumOptions:
    """What schema bodies have that are Avro datums.

    Attributes:
        schema: An Avro schema as JSON, of all bodies; empty if each event names its own, in the headers
            ``flume.avro.schema.literal`` or ``flume.avro.schema.url``.
        server: ``http://HOST:PORT`` that addresses in headers may lead to; empty for none. Of frames the registry.
        framed: Whether bodies begin with Confluent's frame, which names the schema by its id in a registry.

    Raises:
        ConfigurationError: Both are given, or one is not what it should be.
    """

    schema: str = ""
    server: str = ""
    framed: bool = False

    def __post_init__(self) -> None:
        if self.schema and (self.server or self.framed):
            raise ConfigurationError("A server of schemas is for events that name their own: leave out one of them.")
        if self.framed and not self.server:
            raise ConfigurationError("Bodies in frames need the registry that knows the ids: give a server of schemas.")
        if self.schema:
            datum_schema(self.schema)

    def format(self, codec: str, level: int | None) -> AvroDatumFormat | AvroOwnSchemaFormat:
        """Return the format of the files.

        Raises:
            ConfigurationError: It cannot carry this codec or level, or the server is none.
        """
        if self.schema:
            return AvroDatumFormat(self.schema, codec, level)
        return AvroOwnSchemaFormat(self.server, self.framed, codec, level)
