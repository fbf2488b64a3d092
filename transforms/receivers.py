"""The open receivers of this process: one registry through which sources, sinks and the commit step meet.

A source opens receivers here under a flow of its own and hands out their batches. A sink that keeps a life per
receiver registers hooks that are called before each bind and after each close. The commit step acknowledges by
receiver id. Nothing here knows Beam, queues or files.

Rules of the house, each kept under one lock:

* A receiver belongs to one flow of one source. Bundles of that flow take turns; whoever comes next gets the same
  receiver, unless it still holds deliveries of a bundle that failed: then it is closed, which gives them back, and a
  new one is opened.
* The instances of a source are its users. When a user leaves whose bundle was never settled, the receiver is closed;
  when the last user leaves, all receivers of the source are.
* A user that has left, and a process that shuts down, open nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType
from typing import Final, Protocol, TypeAlias, TypeVar

import pyarrow as pa

from flumebeam.deliveries import Receiver
from flumebeam.errors import ReceiverLostError

__all__ = [
    "RECEIVERS",
    "BindHook",
    "CloseHook",
    "HookRegistration",
    "ReceiverFactory",
    "ReceiverRegistry",
    "SilenceHook",
    "SourceUser",
]

BindHook: TypeAlias = Callable[[str, str], None]
"""Called with a source's name (the queue) and the id of a receiver that is about to be bound."""

CloseHook: TypeAlias = Callable[[str, bool], None]
"""Called with the id of a receiver that has been closed, and what its ``close`` returned."""

SilenceHook: TypeAlias = Callable[[str], None]
"""Called with the id of a receiver that is known to be served, and gets nothing."""

_Hook = TypeVar("_Hook")


class ReceiverFactory(Protocol):
    """A picklable recipe for receivers of one source: plain options, no connection."""

    @property
    def source(self) -> str:
        """Name of what is read: the queue, the directory, the file pattern. Bind hooks are called with it."""
        ...

    @property
    def lineage(self) -> tuple[str, ...]:
        """What is read, for Beam's lineage: the kind of place, and its name there, the largest part first."""
        ...

    def open(self, before_bind: Callable[[str], None]) -> Receiver:
        """Open a receiver.

        It may have more than a :class:`~flumebeam.deliveries.Receiver` has: ``interrupted``, true while its source is
        away and coming back, so that nobody takes silence for an empty source; a method ``give_back()``, which tells
        the source that what is not acknowledged has failed, called before such a receiver is closed; ``oldest_age``,
        the seconds since the oldest delivery that is not acknowledged was handed out; ``acknowledged_after``, the
        seconds for which the oldest delivery of the last acknowledgement had waited, or ``None``; ``active``, false
        while another receiver gets what the source has, so that nobody takes silence for an empty source, either; and
        ``backlog``, messages and bytes that the source holds, or ``None`` if that is not known.

        Args:
            before_bind: To be called once with the new receiver's id before anything can be delivered to it. If it
                raises, nothing is bound and the error goes on to the caller.

        Raises:
            FlumebeamError: The source cannot be opened; one sentence says why.
        """
        ...


class SourceUser:
    """One instance of a source within this process; from :meth:`ReceiverRegistry.join`."""

    __slots__ = ("source",)

    def __init__(self, source: Hashable) -> None:
        self.source = source


class HookRegistration(AbstractContextManager["HookRegistration"]):
    """A registered hook; :meth:`remove` it, or use it in a ``with`` block."""

    def __init__(self, remove: Callable[[], None]) -> None:
        self._remove = remove

    def remove(self) -> None:
        """Take the hook out. Idempotent."""
        self._remove()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()


@dataclass(slots=True, eq=False)
class _Entry:
    """An open receiver.

    Attributes:
        holder: Who read from it last.
        unsettled: Users whose bundles wait to be settled by a later call, with the number of such bundles.
    """

    flow: tuple[Hashable, int]
    receiver: Receiver
    holder: SourceUser
    unsettled: dict[SourceUser, int] = field(default_factory=dict)


class ReceiverRegistry:
    """Open receivers by id and by flow. Thread-safe; nothing slow happens under its lock."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_flow: dict[tuple[Hashable, int], _Entry] = {}
        self._by_id: dict[str, _Entry] = {}
        self._opening: dict[tuple[Hashable, int], threading.Lock] = {}
        self._users: set[SourceUser] = set()
        self._leaving = 0
        self._bind_hooks: dict[object, BindHook] = {}
        self._close_hooks: dict[object, CloseHook] = {}
        self._silence_hooks: dict[object, SilenceHook] = {}
        self._silent: dict[str, int] = {}
        self._shut_down = False

    # -- sources -----------------------------------------------------------------------------------------------------

    def join(self, source: Hashable) -> SourceUser:
        """Register an instance of a source; to be followed by one :meth:`leave`.

        Args:
            source: Identity of the source, the same for all its instances, also for unpickled ones.
        """
        user = SourceUser(source)
        with self._lock:
            self._users.add(user)
        return user

    def leave(self, user: SourceUser) -> None:
        """End an instance's use. Idempotent.

        Receivers that hold deliveries of a bundle of its that was never settled are closed, and all receivers of the
        source if it was the last instance.
        """
        with self._lock:
            self._users.discard(user)
            last = all(other.source != user.source for other in self._users)
            leaving = {
                entry: failed
                for entry in self._by_flow.values()
                if entry.flow[0] == user.source and ((failed := self._left_behind(entry, user)) or last)
            }
            for entry in leaving:
                self._forget(entry)
            if last:
                self._opening = {key: lock for key, lock in self._opening.items() if key[0] != user.source}
            self._leaving += 1
        try:
            self._close_all(leaving)
        finally:
            with self._lock:
                self._leaving -= 1

    def acquire(
        self, user: SourceUser, flow: int, factory: ReceiverFactory, *, settled_later: bool = False
    ) -> Receiver:
        """Return the open receiver of a flow, opening one if there is none.

        To be called before every read: another part of the process may have closed the receiver meanwhile.

        Args:
            user: Who reads; at most one bundle at a time.
            flow: Number of the flow within the source.
            factory: Opens a new receiver.
            settled_later: Whether a bundle's deliveries may be acknowledged after the bundle has ended (see
                :meth:`hold`). If not, deliveries that another instance left open belong to a bundle that failed.

        Raises:
            ReceiverLostError: The instance has left, or the process shuts down.
            FlumebeamError: Whatever ``factory`` raises.
        """
        key = (user.source, flow)
        with self._lock:
            self._check_may_open(user)
            entry = self._by_flow.get(key)
            if entry is not None and entry.holder is user:
                return entry.receiver
            opening = self._opening.setdefault(key, threading.Lock())
        with opening:
            return self._take_over(key, user, factory, settled_later)

    def _take_over(
        self, key: tuple[Hashable, int], user: SourceUser, factory: ReceiverFactory, settled_later: bool
    ) -> Receiver:
        with self._lock:
            self._check_may_open(user)
            entry = self._by_flow.get(key)
            if entry is not None:
                if entry.holder is user or settled_later or entry.receiver.unacknowledged == 0:
                    entry.holder = user
                    return entry.receiver
                self._forget(entry)
        if entry is not None:
            self._close(entry.receiver, failed=True)
        receiver = factory.open(partial(self._before_bind, factory.source))
        entry = _Entry(key, receiver, user)
        try:
            with self._lock:
                self._check_may_open(user)
                self._by_flow[key] = self._by_id[receiver.receiver_id] = entry
        except ReceiverLostError:
            self._close(receiver)
            raise
        return receiver

    def hold(self, user: SourceUser, receiver_id: str) -> None:
        """Note that a bundle of ``user`` has deliveries of this receiver which :meth:`settle` will follow up."""
        with self._lock:
            if (entry := self._by_id.get(receiver_id)) is not None:
                entry.unsettled[user] = entry.unsettled.get(user, 0) + 1

    def settle(self, user: SourceUser, receiver_id: str) -> None:
        """Note that one bundle that :meth:`hold` announced has been followed up. Unknown ones are ignored."""
        with self._lock:
            entry = self._by_id.get(receiver_id)
            if entry is not None and (left := entry.unsettled.pop(user, 0)) > 1:
                entry.unsettled[user] = left - 1

    def note_silence(self, user: SourceUser, flow: int, at_ms: int) -> None:
        """Note that the receiver of a flow has nothing more to deliver from before a time, as far as silence tells.

        Args:
            user: Who reads.
            flow: Number of the flow within the source.
            at_ms: Event time, milliseconds since 1970 UTC.
        """
        hooks: list[SilenceHook] = []
        with self._lock:
            entry = self._by_flow.get((user.source, flow))
            if entry is None or not getattr(entry.receiver, "active", True):
                return
            receiver_id = entry.receiver.receiver_id
            if receiver_id not in self._silent and getattr(entry.receiver, "active", False):
                hooks = list(self._silence_hooks.values())
            self._silent[receiver_id] = at_ms
        for hook in hooks:
            hook(receiver_id)

    # -- sinks and the commit step -----------------------------------------------------------------------------------

    def acknowledge(self, receiver_id: str, ids: pa.FixedSizeBinaryArray) -> float | None:
        """Tell the source that deliveries are durable.

        Args:
            receiver_id: Who delivered them.
            ids: Delivery ids; ids that are not open are ignored.

        Returns:
            Seconds for which the oldest of them had waited, if the receiver knows that.

        Raises:
            ReceiverLostError: That receiver is not open in this process.
            ConnectionFailedError: The source cannot be told.
        """
        with self._lock:
            entry = self._by_id.get(receiver_id)
        if entry is None:
            raise ReceiverLostError(
                f"Receiver {receiver_id} is not open in this process, so {len(ids)} durable deliveries cannot be "
                "acknowledged and will be delivered again: keep source, sink and commit step in one fused stage, "
                "without a shuffle between them."
            )
        entry.receiver.acknowledge(ids)
        return getattr(entry.receiver, "acknowledged_after", None)

    def silence(self, receiver_id: str) -> int | None:
        """Return what was last noted of a receiver's silence, if everything that it delivered is acknowledged.

        Of a receiver that is being closed, as its close hooks see it, that is for them to know.

        Args:
            receiver_id: The receiver.

        Returns:
            Event time, milliseconds since 1970 UTC, before which it has nothing more to deliver; or ``None``.
        """
        with self._lock:
            entry = self._by_id.get(receiver_id)
            if entry is not None and entry.receiver.unacknowledged:
                return None
            return self._silent.get(receiver_id)

    def abandon(self, receiver_id: str) -> None:
        """Close a receiver and give its deliveries back as failed; the source opens a new one. Idempotent.

        For a sink that must not make them durable, and for a source that has waited too long.
        """
        with self._lock:
            entry = self._by_id.get(receiver_id)
            if entry is not None:
                self._forget(entry)
        if entry is not None:
            self._close(entry.receiver, failed=True)

    def before_bind(self, hook: BindHook) -> HookRegistration:
        """Have ``hook`` called before every bind of a receiver in this process.

        It runs in the thread that opens the receiver, before anything can be delivered. An error that it raises stops
        the bind. Sinks register in ``setup``, which runners call before the source of the same stage reads, and
        remove in ``teardown``.

        Args:
            hook: Called with the source's name and the new receiver's id.
        """
        return self._register(self._bind_hooks, hook)

    def after_close(self, hook: CloseHook) -> HookRegistration:
        """Have ``hook`` called after every receiver of this process was closed, in the thread that closed it.

        Runners tear a stage down from its source to its sink (measured with Beam 2.77); a sink that may meet the other
        order removes its hook when no receiver is open any more whose life it keeps.

        Args:
            hook: Called with the receiver's id, and whether all acknowledgements of what it delivered have arrived.
        """
        return self._register(self._close_hooks, hook)

    def on_silence(self, hook: SilenceHook) -> HookRegistration:
        """Have ``hook`` called when a receiver of this process gets nothing for the first time, in its reader's thread.

        Only of receivers of which their source says that they are the one that is served: never of one that stands by.

        Args:
            hook: Called with the receiver's id; must not wait.
        """
        return self._register(self._silence_hooks, hook)

    def _register(self, hooks: dict[object, _Hook], hook: _Hook) -> HookRegistration:
        key = object()

        def remove() -> None:
            with self._lock:
                hooks.pop(key, None)

        with self._lock:
            hooks[key] = hook
        return HookRegistration(remove)

    # -- the process -------------------------------------------------------------------------------------------------

    def shut_down(self) -> None:
        """Close every receiver and never open another one. For the end of the process. Idempotent."""
        with self._lock:
            self._shut_down = True
            entries = list(self._by_flow.values())
            for entry in entries:
                self._forget(entry)
        self._close_all(dict.fromkeys(entries, False))

    def unacknowledged(self, source: Hashable) -> int:
        """Return how many deliveries of a source are open in this process: handed out and not acknowledged."""
        with self._lock:
            return sum(entry.receiver.unacknowledged for entry in self._by_flow.values() if entry.flow[0] == source)

    @property
    def in_use(self) -> bool:
        """Whether any source of this process is set up, or still closes its receivers."""
        with self._lock:
            return bool(self._users or self._leaving)

    @property
    def torn_down(self) -> bool:
        """Whether no source and no sink of this process is set up any more."""
        with self._lock:
            return not (self._users or self._leaving or self._bind_hooks or self._close_hooks)

    @property
    def settled(self) -> bool:
        """Whether everything that was delivered has been acknowledged."""
        with self._lock:
            return all(entry.receiver.unacknowledged == 0 for entry in self._by_flow.values())

    @property
    def open_receivers(self) -> tuple[str, ...]:
        """Ids of the receivers that are open now."""
        with self._lock:
            return tuple(self._by_id)

    # -- private -----------------------------------------------------------------------------------------------------

    def _before_bind(self, source: str, receiver_id: str) -> None:
        with self._lock:
            hooks = list(self._bind_hooks.values())
        for hook in hooks:
            hook(source, receiver_id)

    def _close(self, receiver: Receiver, *, failed: bool = False) -> None:
        settled = False
        try:
            if failed and (give_back := getattr(receiver, "give_back", None)) is not None:
                give_back()
            settled = receiver.close()
        finally:
            with self._lock:
                hooks = list(self._close_hooks.values())
            try:
                for hook in hooks:
                    hook(receiver.receiver_id, settled)
            finally:
                with self._lock:
                    self._silent.pop(receiver.receiver_id, None)

    def _close_all(self, entries: dict[_Entry, bool]) -> None:
        """Close receivers, giving back what failed; every one is tried, then the first error goes on."""
        errors: list[Exception] = []
        for entry, failed in entries.items():
            try:
                self._close(entry.receiver, failed=failed)
            except Exception as error:  # noqa: BLE001 - raised below, after the others have been closed
                errors.append(error)
        if errors:
            raise errors[0]

    def _check_may_open(self, user: SourceUser) -> None:
        if self._shut_down or user not in self._users:
            raise ReceiverLostError("This reader has been closed: it opens no receiver any more.")

    def _forget(self, entry: _Entry) -> None:
        self._by_flow.pop(entry.flow, None)
        self._by_id.pop(entry.receiver.receiver_id, None)

    @staticmethod
    def _left_behind(entry: _Entry, user: SourceUser) -> bool:
        """Whether a leaving user's bundles left deliveries in a receiver that nobody will acknowledge."""
        if user in entry.unsettled:
            return True
        return entry.holder is user and not entry.unsettled and entry.receiver.unacknowledged > 0


RECEIVERS: Final = ReceiverRegistry()
"""The registry of this process: source, sink and commit step of one stage run in one process."""
