"""Event batches to Beam rows and back, as they are or with JSON bodies by a schema: for Beam YAML and sinks of rows.

A row carries where its event came from as one more field, :data:`ORIGIN_FIELD`. As long as the steps between keep it,
what is made of the rows can still be acknowledged. Everything works within one bundle, without a shuffle.

Rows are for reach and not for speed: one costs some microseconds a step, one that is checked by a schema some ten.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, Final, NamedTuple, NoReturn

import apache_beam as beam
from apache_beam import coders
from apache_beam.pvalue import TaggedOutput
from apache_beam.transforms.window import GlobalWindows
from apache_beam.typehints import schemas
from apache_beam.typehints.row_type import RowTypeConstraint

from flumebeam.batch import EventBatch
from flumebeam.deliveries import DeadLetter, Durable
from flumebeam.errors import ConfigurationError, FormatError
from flumebeam.event import Event, Provenance
from flumebeam.ids import DeliveryId, delivery_ids
from flumebeam.transforms import metrics
from flumebeam.transforms.element_types import taken
from flumebeam.transforms.events import FromEvents

__all__ = ["ORIGIN_FIELD", "FromRows", "JsonToRows", "ParsedRows", "RowsToDurables", "RowsToJson", "ToRows", "are_rows"]

ORIGIN_FIELD: Final = "flumebeam_origin"
"""Field of a row that says which delivery it is: text, null for an event that a program made."""

_ORIGIN: Final = (ORIGIN_FIELD, str | None)
_EVENT_FIELDS: Final = [("body", bytes), ("headers", Mapping[str, str]), _ORIGIN]
_ROWS: Final = "rows"
_INVALID: Final = "invalid"
_DELIVERIES: Final = 1_000
"""How many deliveries of rows are reported at once."""


class ToRows(beam.PTransform):
    """Turns event batches into rows with the fields ``body`` (bytes), ``headers`` (a map of text) and the origin.

    Input: a PCollection of :class:`~flumebeam.batch.EventBatch`; output: a PCollection of rows.
    """

    def expand(self, batches: beam.PCollection[EventBatch]) -> beam.PCollection[beam.Row]:
        """Add the step."""
        rows = RowTypeConstraint.from_fields(_EVENT_FIELDS)
        return taken(batches, EventBatch, "ToRows") | "ToRows" >> beam.FlatMap(_rows_of).with_output_types(rows)


def _rows_of(batch: EventBatch) -> Iterator[beam.Row]:
    for event in batch.events():
        yield beam.Row(body=event.body, headers=dict(event.headers), flumebeam_origin=_origin_text(event.provenance))


class FromRows(beam.PTransform):
    """Turns rows with the fields of :class:`ToRows` into event batches; ``body`` may be text, and others are ignored.

    Input: a PCollection of rows; output: a PCollection of :class:`~flumebeam.batch.EventBatch`.

    Args:
        origin: Whether rows must have :data:`ORIGIN_FIELD`. Say ``False`` only for rows that no queue has delivered, or
            whose source acknowledges by bundle finalization.

    Raises:
        ConfigurationError: On expansion: the input are no rows, or a field is missing.
    """

    def __init__(self, *, origin: bool = True) -> None:
        super().__init__()
        self._origin = origin

    def expand(self, rows: beam.PCollection[beam.Row]) -> beam.PCollection[EventBatch]:
        """Add the step."""
        names = _fields_of(rows, origin=self._origin)
        if "body" not in names:
            raise ConfigurationError(f"Rows need a field 'body' to become events; these have {', '.join(names)}.")
        return rows | "FromRows" >> beam.Map(_event_of).with_output_types(Event) | FromEvents()


def _event_of(row: Any) -> Event:
    body = row.body.encode() if isinstance(row.body, str) else bytes(row.body)
    return Event(body, dict(getattr(row, "headers", None) or {}), _provenance_of(row))


class ParsedRows(NamedTuple):
    """What comes out of :class:`JsonToRows`.

    Attributes:
        rows: PCollection of rows.
        invalid: PCollection of :class:`~flumebeam.deliveries.DeadLetter`, empty unless they were asked for.
    """

    rows: beam.PCollection[beam.Row]
    invalid: beam.PCollection[DeadLetter]


class JsonToRows(beam.PTransform):
    """Turns event batches with JSON bodies into rows by a schema, in one step.

    Input: a PCollection of :class:`~flumebeam.batch.EventBatch`; output: :class:`ParsedRows`. A field that is not
    required and missing, or null, is null.

    Promise: a row that comes out can be encoded by its schema. Every other body is an error that stops the run, or a
    dead letter with its cause.

    Args:
        schema: JSON Schema of an object, as Beam YAML has it for its own sources; needs ``flumebeam[yaml]``.
        headers: Headers that become fields of text: name of the field to name of the header.
        invalid: Let dead letters of bodies that are invalid come out; whoever asks for them must keep and acknowledge
            them. By default the first one stops the run.

    Raises:
        ConfigurationError: The schema cannot be one of rows, or the extra ``yaml`` is not installed.
    """

    def __init__(
        self, schema: Mapping[str, Any], *, headers: Mapping[str, str] | None = None, invalid: bool = False
    ) -> None:
        super().__init__()
        self._schema = dict(schema)
        self._headers = dict(headers or {})
        self._invalid = invalid
        try:
            fields = schemas.named_fields_from_schema(_json_utils().json_schema_to_beam_schema(self._schema))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ConfigurationError(f"The schema cannot be one of rows: {error}.") from error
        known = [name for name, _ in fields]
        if twice := [name for name in self._headers if name in known]:
            raise ConfigurationError(f"{twice[0]!r} is a field of the schema and of a header: give one another name.")
        self._type = RowTypeConstraint.from_fields([*fields, *((name, str | None) for name in self._headers), _ORIGIN])

    def expand(self, batches: beam.PCollection[EventBatch]) -> ParsedRows:
        """Add the step."""
        parse = _ParseFn(self._schema, self._headers, self._type, self._invalid)
        outputs = taken(batches, EventBatch, "JsonToRows") | "Parse" >> beam.ParDo(parse).with_outputs(
            _INVALID, main=_ROWS
        )
        outputs[_ROWS].element_type = self._type
        outputs[_INVALID].element_type = DeadLetter
        return ParsedRows(outputs[_ROWS], outputs[_INVALID])


class _ParseFn(beam.DoFn):
    def __init__(self, schema: dict[str, Any], headers: dict[str, str], row_type: Any, invalid: bool) -> None:
        self._schema = schema
        self._headers = headers
        self._type = row_type
        self._invalid = invalid
        self._dead = metrics.counter("dead_letters")

    def setup(self) -> None:
        import jsonschema

        utils = _json_utils()
        self._validate = jsonschema.validators.validator_for(self._schema)(self._schema).validate
        self._convert = utils.json_to_row(utils.json_type_to_beam_type(self._schema))
        self._coder = coders.registry.get_coder(self._type)
        self._errors = (ValueError, KeyError, TypeError, OverflowError, RecursionError, jsonschema.ValidationError)

    def process(self, batch: EventBatch) -> Iterator[Any]:
        for event in batch.events():
            try:
                row = self._row(event)
            except self._errors as error:
                cause = f"its body is not what the schema says: {str(error).partition(chr(10))[0]}"
                if not self._invalid:
                    raise FormatError(
                        f"An event of {event.provenance.queue if event.provenance else 'a program'!r} cannot be a row, "
                        f"{cause}. Change the schema, or have dead letters made of such events."
                    ) from error
                self._dead.inc()
                yield TaggedOutput(_INVALID, DeadLetter(event, "", cause))
            else:
                yield row

    def _row(self, event: Event) -> beam.Row:
        parsed = _without_nulls(json.loads(event.body, parse_constant=_refuse), self._schema)
        self._validate(parsed)
        fields = self._convert(parsed).as_dict()
        fields.update((name, event.headers.get(header)) for name, header in self._headers.items())
        row = beam.Row(**fields, flumebeam_origin=_origin_text(event.provenance))
        self._coder.encode(row)  # else it would fail somewhere behind, and again with every delivery
        return row


class RowsToJson(beam.PTransform):
    """Turns rows into event batches with JSON bodies, in one step.

    Input: a PCollection of rows; output: a PCollection of :class:`~flumebeam.batch.EventBatch`. Fields that are null
    are left out. A value that JSON cannot hold, such as bytes, stops the run with
    :class:`~flumebeam.errors.FormatError`.

    Args:
        headers: Fields that become headers and are not in the body: name of the header to name of the field.
        origin: As for :class:`FromRows`.

    Raises:
        ConfigurationError: On expansion: the input are no rows, or a field is missing.
    """

    def __init__(self, *, headers: Mapping[str, str] | None = None, origin: bool = True) -> None:
        super().__init__()
        self._headers = dict(headers or {})
        self._origin = origin

    def expand(self, rows: beam.PCollection[beam.Row]) -> beam.PCollection[EventBatch]:
        """Add the step."""
        names = _fields_of(rows, origin=self._origin)
        if missing := [name for name in self._headers.values() if name not in names]:
            raise ConfigurationError(f"There is no field {missing[0]!r} for a header; there are {', '.join(names)}.")
        format_row = partial(_formatted, headers=self._headers)
        return rows | "Format" >> beam.Map(format_row).with_output_types(Event) | FromEvents()


def _formatted(row: Any, headers: Mapping[str, str]) -> Event:
    found = _members(row)
    found.pop(ORIGIN_FIELD, None)
    own = {name: str(found.pop(field)) for name, field in headers.items() if field in found}
    try:
        body = json.dumps(found, allow_nan=False, ensure_ascii=False, default=_plain).encode()
    except (TypeError, ValueError) as error:
        raise FormatError(f"A row cannot be JSON: {error}. Leave such a field out, or make text of it.") from error
    return Event(body, own, _provenance_of(row))


def _members(row: Any) -> dict[str, Any]:
    """Return the fields of a row that are not null, and of the rows within."""
    fields: dict[str, Any] = row._asdict()
    return {name: _json_of(value) for name, value in fields.items() if value is not None}


def _json_of(value: Any) -> Any:
    if hasattr(value, "_asdict"):
        return _members(value)
    if isinstance(value, Mapping):
        return {name: _json_of(member) for name, member in value.items()}
    if isinstance(value, list | tuple):
        return [_json_of(member) for member in value]
    return value


class RowsToDurables(beam.PTransform):
    """Reports rows as durable, for :class:`~flumebeam.transforms.acknowledge.Acknowledge`: behind a sink of rows.

    Input: a PCollection of rows that have :data:`ORIGIN_FIELD`; output: a PCollection of
    :class:`~flumebeam.deliveries.Durable`. Rows whose origin is null are passed over.

    Raises:
        ConfigurationError: On expansion: the rows have no such field.
    """

    def expand(self, rows: beam.PCollection[beam.Row]) -> beam.PCollection[Durable]:
        """Add the step."""
        _fields_of(rows, origin=True)
        return rows | "Durables" >> beam.ParDo(_DurablesFn()).with_output_types(Durable)


class _DurablesFn(beam.DoFn):
    def start_bundle(self) -> None:
        self._found: dict[str, list[DeliveryId]] = {}

    def process(self, row: Any) -> Iterator[Durable]:
        if (origin := _provenance_of(row)) is not None:
            ids = self._found.setdefault(origin.receiver, [])
            ids.append(origin.delivery)
            if len(ids) >= _DELIVERIES:
                yield Durable(origin.receiver, delivery_ids(self._found.pop(origin.receiver)))

    def finish_bundle(self) -> Iterator[Any]:
        for receiver, ids in self._found.items():
            yield GlobalWindows.windowed_value(Durable(receiver, delivery_ids(ids)))


# -- parts -------------------------------------------------------------------------------------------------------------


def _json_utils() -> Any:
    """Return Beam's own conversions between JSON and schemas; importing them takes a second."""
    try:
        from apache_beam.yaml import json_utils
    except ImportError as error:
        raise ConfigurationError(
            f"Rows of JSON need Beam's YAML parts, of which {error.name} is missing: pip install 'flumebeam[yaml]'."
        ) from error
    return json_utils


def are_rows(collection: beam.PCollection[Any]) -> bool:
    """Tell whether the elements of a collection are rows of a known schema."""
    try:
        schemas.schema_from_element_type(collection.element_type)
    except (TypeError, ValueError):
        return False
    return True


def _fields_of(rows: beam.PCollection[Any], *, origin: bool) -> list[str]:
    try:
        schema = schemas.schema_from_element_type(rows.element_type)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(
            f"These are no rows but {rows.element_type}: put ToRows or JsonToRows first."
        ) from error
    names = [field.name for field in schema.fields]
    if origin and ORIGIN_FIELD not in names:
        raise ConfigurationError(
            f"The rows have lost their field {ORIGIN_FIELD}, without which nothing is acknowledged: keep it in the "
            "steps between, or say origin: false for rows that no queue has delivered."
        )
    return names


def _origin_text(origin: Provenance | None) -> str | None:
    if origin is None:
        return None
    return f"{origin.receiver} {origin.delivery.pack().hex()} {int(origin.redelivered)} {origin.queue}"


def _provenance_of(row: Any) -> Provenance | None:
    text = getattr(row, ORIGIN_FIELD, None)
    if text is None:
        return None
    receiver, delivery, redelivered, queue = text.split(" ", 3)
    return Provenance(receiver, queue, DeliveryId.unpack(bytes.fromhex(delivery)), redelivered == "1")


def _without_nulls(value: Any, schema: Mapping[str, Any]) -> Any:
    """Leave out members that are null: a schema of rows can name no other type for what may be missing."""
    properties = schema.get("properties")
    if not isinstance(value, dict) or not isinstance(properties, Mapping):
        return value
    return {
        name: _without_nulls(member, properties.get(name, {})) for name, member in value.items() if member is not None
    }


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


def _plain(value: Any) -> Any:
    """Return a number of NumPy, which a function of the user may have made, as one of Python."""
    if hasattr(value, "item"):
        return value.item()
    raise TypeError(f"{value!r} is {type(value).__name__}")
