"""The batch: events as Arrow columns, which is what travels between flumebeam's own parts.

Bodies are one binary array. A header that every event has with the same value is stored once (*shared*); any other
header is a string column with nulls where an event has none. A name is either shared or a column, never both. What a
source needs to be told later, the delivery ids, is a column too. Single :class:`~flumebeam.event.Event` objects are
made only for whoever asks for them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from flumebeam.errors import FormatError
from flumebeam.event import Event, Provenance
from flumebeam.ids import DELIVERY_ID_TYPE, DeliveryId

__all__ = ["BatchProvenance", "EventBatch", "has_nul"]

_EMPTY_BODIES: Final = pa.array([], type=pa.binary())
_METADATA_KEY: Final = b"flumebeam"
_HEADER_COLUMN: Final = "h:"


@dataclass(frozen=True, slots=True, eq=False)
class BatchProvenance:
    """Where the events of a batch came from; one receiver delivers one batch.

    Attributes:
        receiver: Identity of the receiver: one bind of one flow, or one run of a file source.
        queue: Name of the queue, or of the directory or file.
        ids: Delivery ids, type ``fixed_size_binary[16]``, one per event.
        redelivered: Booleans, one per event.
        fence: Whether something happened before this batch (a bind, a reconnect, an activation, a redelivery) after
            which another receiver may have had these messages: an exactly-once sink must fence its predecessors
            before it commits anything of this batch.
    """

    receiver: str
    queue: str
    ids: pa.FixedSizeBinaryArray
    redelivered: pa.BooleanArray
    fence: bool = False

    def slice(self, offset: int, length: int | None = None) -> BatchProvenance:
        """Return that of a part of the batch without copying anything."""
        ids, redelivered = self.ids.slice(offset, length), self.redelivered.slice(offset, length)
        # Not dataclasses.replace, which costs three times as much: this is done for each message of a pack.
        return BatchProvenance(self.receiver, self.queue, ids, redelivered, self.fence)


@dataclass(frozen=True, slots=True, eq=False)
class EventBatch:
    """Events as columns.

    Attributes:
        bodies: Type ``binary``, no nulls, one per event.
        shared: Headers that all events have with the same value.
        columns: Other headers: type ``string``, one value per event, null where the event has no such header.
        provenance: Where the events came from; ``None`` for events made by a program.
    """

    bodies: pa.BinaryArray
    shared: Mapping[str, str] = field(default_factory=dict)
    columns: Mapping[str, pa.StringArray] = field(default_factory=dict)
    provenance: BatchProvenance | None = None

    def __len__(self) -> int:
        return len(self.bodies)

    def __eq__(self, other: object) -> bool:
        """Compare by content: same bodies, same headers event by event, same provenance."""
        return isinstance(other, EventBatch) and list(self.events()) == list(other.events())

    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> tuple[Any, ...]:
        return EventBatch.from_ipc, (self.to_ipc(),)

    @property
    def nbytes(self) -> int:
        """Bytes of bodies and of header values in columns, of this batch's own slice only."""
        return sum(map(_value_bytes, (self.bodies, *self.columns.values())))

    def ends(self) -> npt.NDArray[np.int64]:
        """Return how many bytes the bodies and header values in columns have up to each event's end, shape ``(n,)``."""
        return sum(map(_ends, self.columns.values()), _ends(self.bodies))

    # -- making ------------------------------------------------------------------------------------------------------

    @classmethod
    def empty(cls) -> EventBatch:
        """Return a batch without events."""
        return cls(_EMPTY_BODIES)

    @classmethod
    def from_bodies(
        cls,
        bodies: Sequence[bytes] | pa.BinaryArray,
        shared: Mapping[str, str] | None = None,
        columns: Mapping[str, Sequence[str | None] | pa.StringArray] | None = None,
        provenance: BatchProvenance | None = None,
    ) -> EventBatch:
        """Return a batch of these bodies.

        Args:
            bodies: One per event.
            shared: Headers of all events.
            columns: Other headers, one value or ``None`` per event.
            provenance: Where the events came from.

        Raises:
            FormatError: A column has another length than ``bodies``, or a name is both shared and a column.
        """
        array = bodies if isinstance(bodies, pa.Array) else pa.array(bodies, type=pa.binary())
        made = {
            name: values if isinstance(values, pa.Array) else pa.array(values, type=pa.string())
            for name, values in (columns or {}).items()
        }
        for name, column in made.items():
            if len(column) != len(array):
                raise FormatError(f"Header {name!r} has {len(column)} values for {len(array)} events.")
        if both := made.keys() & (shared or {}).keys():
            raise FormatError(f"Headers {sorted(both)} are shared and columns at once.")
        if provenance is not None and not len(provenance.ids) == len(provenance.redelivered) == len(array):
            raise FormatError(f"{len(provenance.ids)} delivery ids for {len(array)} events.")
        return cls(array, dict(shared or {}), made, provenance)

    @classmethod
    def from_events(cls, events: Iterable[Event]) -> EventBatch:
        """Return a batch of single events; headers that all share with one value are stored once.

        Raises:
            FormatError: Some events have a provenance and others none, or they come from several receivers.
        """
        rows = list(events)
        if not rows:
            return cls.empty()
        names = dict.fromkeys(name for event in rows for name in event.headers)
        values = {name: [event.headers.get(name) for event in rows] for name in names}
        shared = {name: column[0] for name, column in values.items() if column.count(column[0]) == len(rows)}
        columns = {name: column for name, column in values.items() if name not in shared}
        return cls.from_bodies(
            [event.body for event in rows],
            {name: value for name, value in shared.items() if value is not None},
            columns,
            _provenance_of([event.provenance for event in rows]),
        )

    @classmethod
    def concat(cls, batches: Sequence[EventBatch]) -> EventBatch:
        """Return the events of several batches as one, in order.

        A shared header stays shared if every batch has it with the same value.

        Raises:
            FormatError: The batches come from several receivers.
        """
        batches = [batch for batch in batches if len(batch)]
        if len(batches) <= 1:
            return batches[0] if batches else cls.empty()
        names = dict.fromkeys(name for batch in batches for name in (*batch.shared, *batch.columns))
        shared: dict[str, str] = {}
        columns: dict[str, pa.StringArray] = {}
        for name in names:
            values = {batch.shared.get(name) for batch in batches}
            if len(values) == 1 and (value := values.pop()) is not None:
                shared[name] = value
            else:
                columns[name] = pa.concat_arrays([batch.header(name) for batch in batches])
        origins = [batch.provenance for batch in batches]
        return cls(pa.concat_arrays([batch.bodies for batch in batches]), shared, columns, _join_provenance(origins))

    # -- looking -----------------------------------------------------------------------------------------------------

    @property
    def header_names(self) -> tuple[str, ...]:
        """Names of all headers that at least one event may have."""
        return (*self.shared, *self.columns)

    def header(self, name: str) -> pa.StringArray:
        """Return one header as a column, null where an event has none.

        A shared header is repeated: look into :attr:`shared` first where one value for the whole batch will do.
        """
        column = self.columns.get(name)
        if column is not None:
            return column
        return pa.repeat(pa.scalar(self.shared.get(name), type=pa.string()), len(self))

    def events(self) -> Iterator[Event]:
        """Make single events, in order. Costs about a microsecond each: batches are for bulk."""
        names = list(self.columns)
        rows = zip(*(column.to_pylist() for column in self.columns.values()), strict=True) if names else None
        origins = self._provenances()
        shared = dict(self.shared)
        for body in self.bodies.to_pylist():
            headers = shared
            if rows is not None:
                own = {name: value for name, value in zip(names, next(rows), strict=True) if value is not None}
                headers = {**shared, **own}
            yield Event(body, headers, next(origins))

    def _provenances(self) -> Iterator[Provenance | None]:
        origin = self.provenance
        if origin is None:
            while True:
                yield None
        for packed, redelivered in zip(origin.ids.to_pylist(), origin.redelivered.to_pylist(), strict=True):
            yield Provenance(origin.receiver, origin.queue, DeliveryId.unpack(packed), redelivered)

    # -- changing ----------------------------------------------------------------------------------------------------

    def slice(self, offset: int, length: int | None = None) -> EventBatch:
        """Return a part of the batch without copying anything."""
        origin = self.provenance
        return EventBatch(
            self.bodies.slice(offset, length),
            self.shared,
            {name: column.slice(offset, length) for name, column in self.columns.items()},
            None if origin is None else origin.slice(offset, length),
        )

    def filter(self, mask: pa.BooleanArray) -> EventBatch:
        """Return the events for which ``mask`` is true, in order."""
        return self._select(lambda column: column.filter(mask))

    def take(self, indices: pa.Array) -> EventBatch:
        """Return the events at ``indices``, in that order."""
        return self._select(lambda column: column.take(indices))

    def _select(self, pick: Any) -> EventBatch:
        origin = self.provenance
        return EventBatch(
            pick(self.bodies),
            self.shared,
            {name: pick(column) for name, column in self.columns.items()},
            None if origin is None else replace(origin, ids=pick(origin.ids), redelivered=pick(origin.redelivered)),
        )

    def with_shared(self, headers: Mapping[str, str]) -> EventBatch:
        """Return the batch with these headers set to one value for all events."""
        columns = {name: column for name, column in self.columns.items() if name not in headers}
        return replace(self, shared={**self.shared, **headers}, columns=columns)

    def with_column(self, name: str, values: pa.StringArray) -> EventBatch:
        """Return the batch with one header set per event, null for none.

        Raises:
            FormatError: ``values`` has another length than the batch.
        """
        if len(values) != len(self):
            raise FormatError(f"Header {name!r} has {len(values)} values for {len(self)} events.")
        shared = {key: value for key, value in self.shared.items() if key != name}
        return replace(self, shared=shared, columns={**self.columns, name: values})

    def without(self, names: Iterable[str]) -> EventBatch:
        """Return the batch without the named headers."""
        drop = set(names)
        return replace(
            self,
            shared={name: value for name, value in self.shared.items() if name not in drop},
            columns={name: column for name, column in self.columns.items() if name not in drop},
        )

    def without_provenance(self) -> EventBatch:
        """Return the batch as if a program had made it."""
        return replace(self, provenance=None)

    # -- bytes -------------------------------------------------------------------------------------------------------

    def to_ipc(self) -> bytes:
        """Return the batch as one Arrow IPC stream; equal columns give equal bytes (headers are sorted by name)."""
        origin = self.provenance
        names = sorted(self.columns)
        arrays = [_compact(self.bodies), *(_compact(self.columns[name]) for name in names)]
        fields = [pa.field("body", pa.binary()), *(pa.field(_HEADER_COLUMN + name, pa.string()) for name in names)]
        facts: dict[str, Any] = {"shared": dict(self.shared)}
        if origin is not None:
            facts["provenance"] = [origin.receiver, origin.queue, origin.fence]
            arrays += [_compact(origin.ids), _compact(origin.redelivered)]
            fields += [pa.field("id", DELIVERY_ID_TYPE), pa.field("redelivered", pa.bool_())]
        schema = pa.schema(fields, metadata={_METADATA_KEY: json.dumps(facts, sort_keys=True).encode()})
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, schema) as writer:
            writer.write_batch(pa.record_batch(arrays, schema=schema))
        return bytes(sink.getvalue())

    @classmethod
    def from_ipc(cls, data: bytes) -> EventBatch:
        """Return the batch that :meth:`to_ipc` wrote.

        Raises:
            FormatError: The bytes are no such stream.
        """
        try:
            with pa.ipc.open_stream(data) as reader:
                table = reader.read_next_batch()
            table.validate(full=True)
            facts = json.loads(table.schema.metadata[_METADATA_KEY])
            columns = {
                column[len(_HEADER_COLUMN) :]: table.column(column)
                for column in table.schema.names
                if column.startswith(_HEADER_COLUMN)
            }
            origin = None
            if "provenance" in facts:
                receiver, queue, fence = facts["provenance"]
                origin = BatchProvenance(receiver, queue, table.column("id"), table.column("redelivered"), fence)
            bodies = table.column("body")
            if bodies.type != pa.binary() or bodies.null_count:
                raise FormatError(f"bodies are {bodies.type} with {bodies.null_count} nulls")
            return cls(bodies, dict(facts["shared"]), columns, origin)
        except (pa.ArrowException, OSError, KeyError, TypeError, ValueError, StopIteration, FormatError) as error:
            raise FormatError(f"These bytes are no event batch: {error}.") from error


def _ends(array: pa.BinaryArray | pa.StringArray) -> npt.NDArray[np.int64]:
    if not len(array):
        return np.zeros(0, np.int64)
    offsets = np.frombuffer(array.buffers()[1], dtype=np.int32)[array.offset : array.offset + len(array) + 1]
    ends: npt.NDArray[np.int64] = offsets[1:].astype(np.int64) - offsets[0]
    return ends


def has_nul(column: pa.StringArray) -> bool:
    """Tell whether a text holds a NUL character, without a look at each text."""
    if not len(column) or column.buffers()[2] is None:
        return False
    offsets = np.frombuffer(column.buffers()[1], np.int32)
    text = np.frombuffer(column.buffers()[2], np.uint8)[offsets[column.offset] : offsets[column.offset + len(column)]]
    return bool(len(text)) and not text.min()


def _value_bytes(array: pa.BinaryArray | pa.StringArray) -> int:
    """Return the bytes of all values. Arrow's own ``nbytes`` asks every buffer and takes ten times as long."""
    if not len(array):
        return 0
    offsets = np.frombuffer(array.buffers()[1], dtype=np.int32)
    return int(offsets[array.offset + len(array)] - offsets[array.offset])


def _compact(array: pa.Array) -> pa.Array:
    """Return an array that holds its own rows only, so that a slice is written as what it is."""
    return array if array.offset == 0 else pc.take(array, pa.array(range(len(array)), type=pa.int64()))


def _provenance_of(origins: Sequence[Provenance | None]) -> BatchProvenance | None:
    known = [origin for origin in origins if origin is not None]
    if not known:
        return None
    if len(known) < len(origins) or len({(origin.receiver, origin.queue) for origin in known}) > 1:
        raise FormatError("Events of several receivers, or with and without provenance, do not make one batch.")
    return BatchProvenance(
        known[0].receiver,
        known[0].queue,
        pa.array([origin.delivery.pack() for origin in known], type=DELIVERY_ID_TYPE),
        pa.array([origin.redelivered for origin in known], type=pa.bool_()),
        any(origin.redelivered for origin in known),
    )


def _join_provenance(origins: Sequence[BatchProvenance | None]) -> BatchProvenance | None:
    known = [origin for origin in origins if origin is not None]
    if not known:
        return None
    if len(known) < len(origins) or len({(origin.receiver, origin.queue) for origin in known}) > 1:
        raise FormatError("Batches of several receivers, or with and without provenance, do not make one batch.")
    return BatchProvenance(
        known[0].receiver,
        known[0].queue,
        pa.concat_arrays([origin.ids for origin in known]),
        pa.concat_arrays([origin.redelivered for origin in known]),
        any(origin.fence for origin in known),
    )
