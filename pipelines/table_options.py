"""Options of typed tables: which columns files have, and how bodies become rows of them."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Final

from apache_beam.options.pipeline_options import PipelineOptions

from flumebeam.errors import ConfigurationError
from flumebeam.formats import DatumOptions, Format, TableOptions, TableSchema, open_format
from flumebeam.formats.schema_places import schema_text

__all__ = ["TableTargetOptions"]

_DEFAULTS: Final = {
    "body": "json",
    "body_delimiter": ",",
    "body_quote": '"',
    "unknown_fields": "drop",
    "body_column": "",
    "header_columns": "",
    "source_columns": False,
}
_TAB: Final = r"\t"
_AVRO: Final = "avro"
_FRAMED: Final = "confluent"


class TableTargetOptions(PipelineOptions):
    """What makes files of ``parquet`` and ``avro`` typed tables."""

    @classmethod
    def _add_argparse_args(cls, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--schema",
            metavar="FILE|URL",
            help="columns of the files, an Avro schema of a record or its address in a registry; for --format parquet "
            "or avro [events as they are]",
        )
        parser.add_argument(
            "--body",
            choices=("json", "csv", "avro", "confluent"),
            default="json",
            help="what bodies are; avro: datums of --schema, or of a schema in their headers; confluent: "
            "datums behind the id of a schema; both for --format avro [json]",
        )
        parser.add_argument(
            "--schema_server",
            default="",
            metavar="URL",
            help="http://HOST:PORT that the header flume.avro.schema.url may lead to, for --body avro; the "
            "registry, for --body confluent [none]",
        )
        parser.add_argument(
            "--body_delimiter", default=",", metavar="SIGN", help=r"between fields of csv; \t is a tab [,]"
        )
        parser.add_argument(
            "--body_quote", default='"', metavar="SIGN", help="around fields that hold delimiters; '' for none [\"]"
        )
        parser.add_argument(
            "--unknown_fields",
            choices=("drop", "refuse"),
            default="drop",
            help="fields of JSON that the schema lacks: drop them, or make their events dead letters [drop]",
        )
        parser.add_argument(
            "--body_column", default="", metavar="NAME", help="one more column, with the body as it came [none]"
        )
        parser.add_argument(
            "--header_columns", default="", metavar="NAME,NAME", help="headers that become columns of text [none]"
        )
        parser.add_argument(
            "--source_columns",
            action="store_true",
            default=False,
            help="more columns: source_queue, source_id, source_time",
        )

    def file_format(self, name: str, codec: str) -> Format:
        """Return the format of the files: of typed rows if there is a schema, of datums if bodies are such.

        Args:
            name: Its name.
            codec: Compression that it can carry.

        Raises:
            ConfigurationError: The schema cannot be read, or something does not fit together.
            ConnectionFailedError: Its server does not answer.
        """
        if self.body in (_AVRO, _FRAMED):
            for option, value in _DEFAULTS.items():
                if option != "body" and getattr(self, option) != value:
                    raise ConfigurationError(f"--{option} is for json and csv: leave it out with {self.body}.")
            return open_format(name, codec=codec, table=self.datums())
        if self.schema_server:
            raise ConfigurationError("--schema_server is for --body avro and confluent: give one, or leave it out.")
        if self.schema is not None:
            return open_format(name, codec=codec, table=self.table())
        for option, value in _DEFAULTS.items():
            if getattr(self, option) != value:
                raise ConfigurationError(f"--{option} is for typed tables: give --schema, or leave it out.")
        return open_format(name, codec=codec)

    def datums(self) -> DatumOptions:
        """Return what schema bodies have that are Avro datums."""
        schema = "" if self.schema is None else schema_text(self.schema)
        return DatumOptions(schema=schema, server=self.schema_server, framed=self.body == _FRAMED)

    def table(self) -> TableOptions:
        """Return how bodies become rows; the schema must be given."""
        return TableOptions(
            schema=TableSchema.read(self.schema),
            body=self.body,
            delimiter="\t" if self.body_delimiter == _TAB else self.body_delimiter,
            quote=self.body_quote,
            unknown=self.unknown_fields,
            body_column=self.body_column,
            headers=tuple(name for name in self.header_columns.split(",") if name),
            source=self.source_columns,
        )
