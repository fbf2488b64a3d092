"""The transforms as Beam YAML has them: by name, with options that are texts, numbers, lists and mappings.

``yaml_providers.yaml`` beside this module lists them; a YAML pipeline includes it, or is run by ``flumebeam yaml``,
which knows it. Options are those of the transforms. Where a transform takes an object, its form takes a mapping of the
object's attributes. Dead letters come out as Beam YAML has it: ``error_handling: {output: NAME}``.
"""

from __future__ import annotations

import dataclasses
import inspect
import typing
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any, Final, TypeVar

import apache_beam as beam

from flumebeam.commitlog.options import CommitLogOptions
from flumebeam.commitlog.rolling import RollOptions
from flumebeam.deliveries import DeadLetter, Durable
from flumebeam.errors import ConfigurationError
from flumebeam.formats import DatumOptions, TableOptions, TableSchema, open_format
from flumebeam.formats.schema_places import schema_text
from flumebeam.hdfs.paths import PathOptions
from flumebeam.hdfs.targets import HdfsOptions
from flumebeam.interceptors import (
    HostInterceptor,
    Interceptor,
    SeverityInterceptor,
    StaticInterceptor,
    TimestampInterceptor,
)
from flumebeam.solace.config import SolaceOptions
from flumebeam.solace.fields import PLAIN_FIELDS, MessageFields
from flumebeam.solace.packing import Packing
from flumebeam.solace.semp import SempOptions
from flumebeam.sources.options import FileSourceOptions
from flumebeam.transforms import acknowledge as commit_step
from flumebeam.transforms import rows
from flumebeam.transforms.broker_position import BrokerPosition
from flumebeam.transforms.deadletter import DeadLettersToFiles
from flumebeam.transforms.deadletter_topic import DeadLettersToSolace
from flumebeam.transforms.file_read import ReadFromFiles
from flumebeam.transforms.hdfs_write import WriteToHdfs
from flumebeam.transforms.intercept import Intercept
from flumebeam.transforms.read_options import BundleLimits
from flumebeam.transforms.solace_move import MoveOnSolace
from flumebeam.transforms.solace_read import ReadFromSolace
from flumebeam.transforms.solace_write import WriteToSolace

__all__ = [
    "PROVIDERS",
    "acknowledge",
    "dead_letters_to_files",
    "dead_letters_to_solace",
    "from_rows",
    "intercept",
    "json_to_rows",
    "move_on_solace",
    "read_from_files",
    "read_from_solace",
    "rows_to_json",
    "to_rows",
    "write_to_hdfs",
    "write_to_solace",
]

PROVIDERS: Final = Path(__file__).with_name("yaml_providers.yaml")
"""The listing, for ``providers: [{include: ...}]``."""

_T = TypeVar("_T")
_INTERCEPTORS: Final[Mapping[str, Callable[..., Interceptor]]] = {
    "host": HostInterceptor,
    "severity": SeverityInterceptor,
    "static": StaticInterceptor,
    "timestamp": TimestampInterceptor,
}


# -- sources -----------------------------------------------------------------------------------------------------------


def read_from_solace(queue: str = "", connection: Any = None, semp: Any = None, **options: Any) -> beam.PTransform:
    """Read event batches from a queue, or from topics by a queue of the job."""
    asked = None if semp is None else _object(SempOptions, "semp", semp)
    return _called(ReadFromSolace, queue, connection=_connection(connection), semp=asked, **options)


def read_from_files(
    path: str, max_events: int | None = None, bundle: Any = None, position: Any = None, **source: Any
) -> beam.PTransform:
    """Read lines of files; further options are those of ``FileSourceOptions``."""
    return ReadFromFiles(
        _object(FileSourceOptions, "ReadFromFiles", {"path": path, **source}),
        max_events=max_events,
        bundle=None if bundle is None else _object(BundleLimits, "bundle", bundle),
        position=_position(position),
    )


def move_on_solace(
    queue: str, topic: str, connection: Any = None, fields: Any = None, **options: Any
) -> beam.PTransform:
    """Move events from a queue to topics, each batch in one transaction."""
    found = PLAIN_FIELDS if fields is None else _object(MessageFields, "fields", fields)
    return _called(MoveOnSolace, queue, topic, connection=_connection(connection), fields=found, **options)


move_on_solace._yaml_requires_inputs = False  # type: ignore[attr-defined]


# -- between -----------------------------------------------------------------------------------------------------------


def intercept(interceptors: Sequence[Any]) -> beam.PTransform:
    """Pass batches through interceptors: names, or mappings with ``type`` and their attributes."""
    chain = []
    for one in interceptors:
        attributes = {"type": one} if isinstance(one, str) else dict(one)
        kind = str(attributes.pop("type", ""))
        if kind not in _INTERCEPTORS:
            raise ConfigurationError(f"There is no interceptor {kind!r}; there are: {', '.join(_INTERCEPTORS)}.")
        chain.append(_object(_INTERCEPTORS[kind], kind, attributes))
    return Intercept(*chain)


def to_rows() -> beam.PTransform:
    """Turn batches into rows of body and headers."""
    return rows.ToRows()


def from_rows(**options: Any) -> beam.PTransform:
    """Turn rows of body and headers into batches."""
    return _called(rows.FromRows, **options)


def json_to_rows(schema: Mapping[str, Any], error_handling: Any = None, **options: Any) -> beam.PTransform:
    """Turn batches with JSON bodies into rows by a schema."""
    output = _error_output(error_handling)
    return _Outputs(_called(rows.JsonToRows, schema, invalid=output is not None, **options), "rows", output)


def rows_to_json(**options: Any) -> beam.PTransform:
    """Turn rows into batches with JSON bodies."""
    return _called(rows.RowsToJson, **options)


# -- sinks -------------------------------------------------------------------------------------------------------------


def write_to_solace(
    topic: str,
    connection: Any = None,
    fields: Any = None,
    packing: Any = None,
    position: Any = None,
    error_handling: Any = None,
    **options: Any,
) -> beam.PTransform:
    """Publish batches; the output is for ``Acknowledge``."""
    output = _error_output(error_handling)
    write = _called(
        WriteToSolace,
        topic,
        connection=_connection(connection),
        fields=PLAIN_FIELDS if fields is None else _object(MessageFields, "fields", fields),
        packing=None if packing is None else _object(Packing, "packing", packing),
        position=_position(position),
        dead_letters=None if output is None else _AsTheyAre(),
        **options,
    )
    return _Outputs(write, "written", output)


def write_to_hdfs(
    target: str,
    format: str = "text",
    codec: str = "none",
    table: Any = None,
    roll: Any = "files",
    path_options: Any = None,
    hdfs_options: Any = None,
    commit_log: Any = None,
    **options: Any,
) -> beam.PTransform:
    """Write batches to files; the output is for ``Acknowledge``."""
    if roll not in ("files", "transaction", "flume") and not isinstance(roll, Mapping):
        raise ConfigurationError(f"roll is {roll!r}; it must be files, transaction, flume, or a mapping of limits.")
    named = {"files": RollOptions(), "transaction": None, "flume": RollOptions.flume()}
    return _called(
        WriteToHdfs,
        target,
        format=open_format(format, codec=codec, table=None if table is None else _table(table)),
        roll=named[roll] if isinstance(roll, str) else _object(RollOptions, "roll", roll),
        path_options=None if path_options is None else _object(PathOptions, "path_options", path_options),
        hdfs_options=None if hdfs_options is None else _object(HdfsOptions, "hdfs_options", hdfs_options),
        commit_log=None if commit_log is None else _object(CommitLogOptions, "commit_log", commit_log),
        **options,
    )


def dead_letters_to_files(directory: str) -> beam.PTransform:
    """Keep dead letters as lines of JSON; the output is for ``Acknowledge``."""
    return DeadLettersToFiles(directory)


def dead_letters_to_solace(topic: str, connection: Any = None, **options: Any) -> beam.PTransform:
    """Publish dead letters with their causes; the output is for ``Acknowledge``."""
    return _called(DeadLettersToSolace, topic, connection=_connection(connection), **options)


def acknowledge() -> beam.PTransform:
    """Tell sources what is durable: what sinks put out, or batches or rows that passed a sink of another kind."""
    return _AcknowledgeAnything()


class _AcknowledgeAnything(beam.PTransform):
    """Acknowledges durable deliveries, batches, or rows with their origin."""

    def expand(self, found: beam.PCollection[Any]) -> None:
        if not isinstance(found, beam.PCollection):
            # A Flatten before it would end the stage that source, sink and commit step must share.
            raise ConfigurationError(
                "Acknowledge takes one input: give each output of a sink an Acknowledge of its own."
            )
        if found.element_type is Durable:
            found | commit_step.Acknowledge()
        elif rows.are_rows(found):
            found | rows.RowsToDurables() | commit_step.Acknowledge()
        else:
            found | commit_step.AcknowledgeBatches()


# -- parts -------------------------------------------------------------------------------------------------------------


class _AsTheyAre(beam.PTransform):
    """Hands dead letters on to the next step of the YAML pipeline."""

    def expand(self, letters: beam.PCollection[DeadLetter]) -> beam.PCollection[DeadLetter]:
        return letters


class _Outputs(beam.PTransform):
    """Gives the outputs of a transform names, or leaves the second one out where it is empty."""

    def __init__(self, inner: beam.PTransform, main: str, errors: str | None) -> None:
        super().__init__()
        self._inner = inner
        self._main = main
        self._errors = errors

    def expand(self, batches: beam.PCollection[Any]) -> Any:
        main, errors = batches | self._inner
        return main if self._errors is None else {self._main: main, self._errors: errors}


def _called(transform: Callable[..., beam.PTransform], *arguments: Any, **options: Any) -> beam.PTransform:
    """Call a transform; an option that it does not have is one sentence."""
    parameters = inspect.signature(transform).parameters
    flexible = any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters.values())
    if not flexible and (unknown := [name for name in options if name not in parameters]):
        raise ConfigurationError(
            f"{transform.__name__} has no option {unknown[0]!r}; it has: {', '.join(sorted(parameters))}."
        )
    return transform(*arguments, **options)


def _object(kind: Callable[..., _T], option: str, given: Any) -> _T:
    """Return frozen options made of a mapping, with enumerations by value and tuples from lists."""
    if not isinstance(given, Mapping):
        raise ConfigurationError(f"{option} must be a mapping of its settings, not {given!r}.")
    known = [each.name for each in dataclasses.fields(kind)]  # type: ignore[arg-type]
    if unknown := [name for name in given if name not in known]:
        raise ConfigurationError(f"{option} has no setting {unknown[0]!r}; it has: {', '.join(known)}.")
    hints = typing.get_type_hints(kind)
    try:
        return kind(**{name: _value(hints[name], name, value) for name, value in given.items()})
    except TypeError as error:
        raise ConfigurationError(f"{option}: {error}.") from error


def _value(hint: Any, name: str, given: Any) -> Any:
    for kind in (hint, *typing.get_args(hint)):
        if isinstance(kind, type) and issubclass(kind, Enum):
            try:
                return kind(given)
            except ValueError as error:
                known = ", ".join(str(choice.value) for choice in kind)
                raise ConfigurationError(f"{name} is {given!r}; it must be one of {known}.") from error
        if isinstance(kind, type) and dataclasses.is_dataclass(kind) and isinstance(given, Mapping):
            return _object(kind, name, given)
        if typing.get_origin(kind) is tuple and isinstance(given, list):
            return tuple(given)
    return given


def _connection(given: Any) -> SolaceOptions:
    """Return a connection from a URL, from a mapping of settings, or from the environment."""
    if given is None:
        return SolaceOptions.from_environment()
    return SolaceOptions.from_environment_and({"url": given} if isinstance(given, str) else given)


def _position(given: Any) -> BrokerPosition | None:
    if given is None:
        return None
    attributes = {"queue": given} if isinstance(given, str) else dict(given)
    attributes["connection"] = _connection(attributes.get("connection"))
    return _object(BrokerPosition, "position", attributes)


def _table(given: Mapping[str, Any]) -> TableOptions | DatumOptions:
    """Return the options of a typed table, whose ``schema`` is the name of a file, or an address."""
    if given.get("body") == "avro":
        datums = {name: value for name, value in given.items() if name != "body"}
        if "schema" in datums:
            datums["schema"] = schema_text(str(datums["schema"]))
        return _object(DatumOptions, "table", datums)
    return _object(TableOptions, "table", {**given, "schema": TableSchema.read(str(given.get("schema", "")))})


def _error_output(given: Any) -> str | None:
    """Return the name of the output for dead letters.

    Raises:
        ConfigurationError: It is no mapping with ``output``, and nothing else.
    """
    if given is None:
        return None
    if not isinstance(given, Mapping) or list(given) != ["output"]:
        raise ConfigurationError("error_handling has one setting, output: the name of the output for dead letters.")
    return str(given["output"])
