"""A small world in which the production transitions of the commit log run, one file system call at a time.

Processes run the steps of :mod:`flumebeam.commitlog.protocol` and :mod:`flumebeam.commitlog.recovery` on one file
system in memory, fed by an exclusive queue that takes messages back whenever it likes. A *plan* says at which call
something happens: another process goes on, the queue moves to another receiver while the old one knows nothing of it, a
process dies, an answer is lost, a call is done late. Everything else is determined, so every plan can be repeated.

With rolling, transactions of one message each commit segments, and a second thread of each process merges two of them
at a time, whenever it gets its turn, while the first one commits and folds.
"""

from __future__ import annotations

import itertools
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import partial
from typing import Any

from flumebeam.commitlog import merging, protocol, publishing, recovery
from flumebeam.commitlog.ids import IdIndex, IdSet
from flumebeam.commitlog.layout import Entry, LogLayout, QueueIdentity
from flumebeam.commitlog.merging import Roll
from flumebeam.commitlog.protocol import PartDraft, Scribe, Segment
from flumebeam.commitlog.records import Record
from flumebeam.commitlog.steps import (
    Concat,
    Delete,
    Join,
    List,
    MakeDirectory,
    Pause,
    Reached,
    Read,
    Rename,
    Stat,
    Steps,
    Together,
    Unanswered,
    Write,
)
from flumebeam.errors import (
    EpochClosedError,
    FlumebeamError,
    StorageError,
    StorageMissingError,
    StorageUnavailableError,
)
from flumebeam.formats.joining import join_files
from flumebeam.ids import DeliveryId, delivery_ids
from flumebeam.testing.memory_filesystem import MemoryFileSystem

_TARGET = "/target"
_MOST_CALLS = 3_000


class Event(Enum):
    """What a plan can make happen at one call."""

    SWITCH = "another process goes on"
    MOVE = "the queue moves to another receiver, whose process goes on"
    CRASH = "the process dies"
    LOST = "the call is done and not answered, and repeated"
    SILENT = "the call is not done and not answered, and repeated"
    LATE = "the call is not answered, repeated, and done once more at the next switch"
    LOST_GIVE_UP = "the call is done and not answered, and patience is at its end"
    SILENT_GIVE_UP = "the call is not done and not answered, and patience is at its end"
    LATE_GIVE_UP = "the call is not answered, patience is at its end, and it is done at the next switch"


_FAULTS = {
    Event.LOST: (True, False, False),
    Event.SILENT: (False, False, False),
    Event.LATE: (False, True, False),
    Event.LOST_GIVE_UP: (True, False, True),
    Event.SILENT_GIVE_UP: (False, False, True),
    Event.LATE_GIVE_UP: (False, True, True),
}
"""Per fault: whether the call is done at once, whether it is done late, whether patience is at its end."""


class BrokenPromiseError(AssertionError):
    """An event was lost, repeated, or acknowledged before it was in a final file."""


@dataclass(frozen=True)
class _Look:
    """A process waits until the broker has something for it."""


@dataclass(frozen=True)
class _Rest:
    """The second thread of a process waits until there is something to merge."""


@dataclass
class _Shared:
    """What the two threads of a process share.

    Attributes:
        epoch: The epoch of the life.
        unmerged: Segments whose merge is not done.
        due: Rolls to be merged.
        closed: How many rolls were given up to be merged; names the next one.
        over: Whether the second thread found the life to be over.
    """

    epoch: str = ""
    unmerged: list[Segment] = field(default_factory=list)
    due: list[Roll] = field(default_factory=list)
    closed: int = 0
    over: bool = False


@dataclass
class Broker:
    """One exclusive queue: messages in order, receivers in the order of their binds, the first one gets all."""

    left: list[int]
    bound: list[str] = field(default_factory=list)
    holder: dict[int, str] = field(default_factory=dict)
    delivered: set[int] = field(default_factory=set)
    activated: set[str] = field(default_factory=set)

    def bind(self, receiver: str) -> None:
        self.bound.append(receiver)
        self.activated.discard(receiver)

    def unbind(self, receiver: str) -> None:
        """The connection is gone: what was held goes to whoever is next."""
        self.bound = [name for name in self.bound if name != receiver]
        self.holder = {number: name for number, name in self.holder.items() if name != receiver}

    def has_something_for(self, receiver: str) -> bool:
        return self.bound[:1] == [receiver] and any(number not in self.holder for number in self.left)

    def deliver(self, receiver: str) -> tuple[int, bool]:
        """Return the next message and whether its receiver must fence."""
        number = next(number for number in self.left if number not in self.holder)
        fence = number in self.delivered or receiver not in self.activated
        self.holder[number] = receiver
        self.delivered.add(number)
        self.activated.add(receiver)
        return number, fence

    def acknowledge(self, receiver: str, number: int) -> None:
        """Ignored if the receiver does not hold it any more."""
        if self.holder.get(number) == receiver:
            del self.holder[number]
            self.left.remove(number)


class World:
    """Processes, a queue and a file system, run by a plan.

    Args:
        plan: What happens at which call, counted from 0 over all processes.
        processes: How many there are.
        messages: How many the queue holds at first.
        rolling: Whether transactions commit segments.
        can_concat: Whether the file system moves files together.
        impatient: Whether whoever takes over gives up at once what others have on its way.
    """

    def __init__(
        self,
        plan: Mapping[int, Event],
        processes: int = 2,
        messages: int = 2,
        *,
        rolling: bool = False,
        can_concat: bool = True,
        impatient: bool = False,
    ) -> None:
        self.plan = dict(plan)
        self._old_ms = None if impatient else 1_000
        self.calls = 0
        self.rolling = rolling
        self.fs = MemoryFileSystem(can_concat=can_concat)
        self.fs.make_directory(_TARGET)
        self.broker = Broker(list(range(messages)))
        self.messages = messages
        self._late: list[Rename | Write | Join | Concat] = []
        self._fresh = (f"n{number:06d}" for number in itertools.count())
        self.scribe = Scribe(LogLayout(_TARGET, QueueIdentity("", "", "q")), lambda: next(self._fresh), lambda: 0)
        self._shared = [_Shared() for _ in range(processes)]
        self._count = processes
        self._processes = [self._process(name) for name in range(processes)]
        if rolling:
            self._processes += [self._merging(name) for name in range(processes)]
        self._waiting: dict[int, Any] = {}
        self._receiver: dict[int, str] = {}
        self._giving_up: set[int] = set()
        self._current = 0

    # -- the run -----------------------------------------------------------------------------------------------------

    def run(self) -> int:
        """Run to the end and check the promise; return how many calls that took.

        Raises:
            BrokenPromiseError: It was not kept.
        """
        for number in range(len(self._processes)):
            self._resume(number, None)
        while self.broker.left or any(self._is_busy(number) for number in self._waiting):
            if self.calls > _MOST_CALLS:
                raise BrokenPromiseError(f"no progress: {self.broker}")
            self._turn()
        self._release()
        self._settle_all()
        self._check_finals(set(range(self.messages)), exact=True)
        return self.calls

    def _turn(self) -> None:
        ready = [number for number in self._waiting if self._is_ready(number)]
        if self._current not in ready:
            self._switch(ready[0])
        event = self.plan.pop(self.calls, None)
        self.calls += 1
        number = self._current
        if event in (Event.SWITCH, Event.MOVE):
            if event is Event.MOVE and self.broker.bound:
                # The old receiver is frozen, or cut off and does not know it yet.
                self.broker.unbind(self.broker.bound[0])
            others = [other for other in self._waiting if other != number and self._is_ready(other)]
            self._switch(others[0] if others else number)
        elif event is Event.CRASH:
            self._crash(number % self._count)
        else:
            self._resume(number, self._perform(number, self._waiting[number], event))

    def _crash(self, name: int) -> None:
        self.broker.unbind(self._receiver.get(name, ""))
        self._shared[name] = _Shared()
        for number in range(name, len(self._processes), self._count):
            self._processes[number].close()
            self._processes[number] = self._process(name) if number == name else self._merging(name)
        self._switch(name)
        for number in range(name, len(self._processes), self._count):
            self._resume(number, None)

    def _is_busy(self, number: int) -> bool:
        step = self._waiting[number]
        if isinstance(step, _Rest):
            return bool(self._shared[number % self._count].due)
        return not isinstance(step, _Look)

    def _is_ready(self, number: int) -> bool:
        if isinstance(self._waiting[number], _Rest):
            return self._is_busy(number)
        if not isinstance(self._waiting[number], _Look):
            return True
        receiver = self._receiver[number]
        return receiver not in self.broker.bound or self.broker.has_something_for(receiver)

    def _switch(self, number: int) -> None:
        self._current = number
        self._release()

    def _release(self) -> None:
        late, self._late = self._late, []
        for call in late:
            self._do_quietly(call)

    def _do_quietly(self, call: Rename | Write | Join | Concat) -> None:
        try:
            self._do(call)
        except StorageError:
            pass

    def _resume(self, number: int, answer: Any) -> None:
        process = self._processes[number]
        self._waiting[number] = process.throw(answer) if isinstance(answer, FlumebeamError) else process.send(answer)

    def _perform(self, number: int, step: Any, event: Event | None) -> Any:
        if isinstance(step, _Look | _Rest):
            return None
        if isinstance(step, Pause):
            if number in self._giving_up:
                self._giving_up.discard(number)
                return step.cause
            return None
        if event in _FAULTS and isinstance(step, Rename | Write | Join | Concat):
            done, late, give_up = _FAULTS[event]
            if done:
                self._do_quietly(step)
            if late:
                self._late.append(step)
            if give_up:
                self._giving_up.add(number)
            return Unanswered(StorageUnavailableError("No answer."))
        try:
            return self._do(step)
        except StorageError as error:
            return error

    def _do(self, step: Any) -> Any:
        match step:
            case MakeDirectory(path):
                self.fs.make_directory(path)
            case Write(path, chunks):
                return self.fs.write(path, list(chunks))
            case Join(how, sources, path):
                try:
                    return self.fs.write(path, join_files(how, [partial(self.fs.read_chunks, one) for one in sources]))
                except StorageMissingError:
                    return None
            case Concat(target, sources):
                return self.fs.concat(target, sources)
            case Rename(source, target):
                return self.fs.rename(source, target)
            case Stat(path):
                return self.fs.stat(path)
            case List(path):
                return self.fs.list(path)
            case Read(path):
                return self.fs.read(path)
            case Delete(path):
                return self.fs.delete(path)
        return None

    # -- a process: what the sink, the reader and the commit step do together ----------------------------------------

    def _process(self, name: int) -> Generator[Any, Any, None]:
        while True:
            receiver = f"p{name}"
            try:
                epoch = yield from _flat(protocol.open_epoch(self.scribe, receiver))
                receiver = self._receiver[name] = epoch
                self._shared[name] = _Shared(epoch)
                self.broker.bind(receiver)
                yield from self._life(receiver, epoch, self._shared[name])
            except (EpochClosedError, StorageError):
                # All that is held is dropped, and the receiver closed.
                self.broker.unbind(receiver)

    def _life(self, receiver: str, epoch: str, shared: _Shared) -> Generator[Any, Any, None]:
        index = IdIndex()
        committed = IdSet()
        held: list[int] = []
        retired: frozenset[str] = frozenset()
        for number in itertools.count(1):
            while not self.broker.has_something_for(receiver):
                # What is idle is rolled.
                self._roll(shared, at_least=1)
                yield _Look()
                if receiver not in self.broker.bound:
                    # The client has noticed, and binds again under the same receiver, with what it holds.
                    self.broker.bind(receiver)
            fence = False
            while self.broker.has_something_for(receiver):
                message, must_fence = self.broker.deliver(receiver)
                fence |= must_fence
                held += [message] if message not in held else []
                if self.rolling:
                    break
            if shared.over:
                raise EpochClosedError("The second thread was refused.")
            if fence:
                merge = not self.rolling
                found = yield from _flat(
                    recovery.take_over(self.scribe, epoch, retired, old_ms=self._old_ms, merge=merge)
                )
                index.add(found.ids)
                retired = found.retired
            column = _ids(held)
            known = [message for message, is_known in zip(held, index.contains(column), strict=True) if is_known]
            self._acknowledge(receiver, known)
            held = [message for message in held if message not in known]
            if not held:
                continue
            content = b"".join(b"%d\n" % message for message in held)
            draft = PartDraft("d", f"{epoch}.{number}", lambda content=content: [content], len(held))  # type: ignore[misc]
            if self.rolling:
                draft = replace(draft, name=f"{epoch}.{shared.closed}", joining="bytes")
            ids = IdSet.of(_ids(held))
            prepared = yield from _flat(protocol.prepare(self.scribe, epoch, number, [draft], ids))
            yield from _flat(protocol.commit(self.scribe, prepared))
            record = prepared.record
            directory = self.scribe.layout.epoch(epoch)
            finals = [part.final for part in record.parts]
            if not self.rolling:
                yield from _flat(publishing.publish(self.scribe, directory, record, finals))
                yield from _flat(publishing.mark_published(self.scribe.layout, record))
            index.add(ids)
            committed = committed.union(ids)
            self._acknowledge(receiver, held)
            held = []
            if self.rolling:
                shared.unmerged.append(Segment(number, 0, record.parts[0]))
                if number % 2:
                    yield from _flat(protocol.fold(self.scribe, epoch, number, committed, [*shared.unmerged]))
                else:
                    self._roll(shared, at_least=2)

    def _roll(self, shared: _Shared, at_least: int) -> None:
        """Give what is not under way yet to the second thread, by final names; closes them."""
        under_way = {segment.key for roll in shared.due for segment in roll.segments}
        files: dict[str, list[Segment]] = {}
        for segment in shared.unmerged:
            if segment.key not in under_way:
                files.setdefault(segment.part.final, []).append(segment)
        due = [Roll(tuple(segments)) for segments in files.values() if len(segments) >= at_least]
        shared.due += due
        shared.closed += len(due)

    def _merging(self, name: int) -> Generator[Any, Any, None]:
        """The second thread: merges what is due, then what dead lives left behind."""
        while True:
            shared = self._shared[name]
            if not shared.due:
                yield _Rest()
                continue
            roll = shared.due[0]
            try:
                directory = self.scribe.layout.epoch(shared.epoch)
                yield from _flat(merging.merge(self.scribe, directory, shared.epoch, roll))
                yield from _flat(merging.mark_done(self.scribe.layout, shared.epoch, roll.first.key))
                yield from _flat(recovery.settle_closed(self.scribe))
            except (EpochClosedError, StorageError):
                shared.over = True
                shared.due.clear()
                continue
            shared.due.remove(roll)
            shared.unmerged = [segment for segment in shared.unmerged if segment not in roll.segments]

    # -- the promise -------------------------------------------------------------------------------------------------

    def _acknowledge(self, receiver: str, messages: list[int]) -> None:
        self._check_finals(set(messages), exact=False)
        for message in messages:
            self.broker.acknowledge(receiver, message)

    def _settle_all(self) -> None:
        """What a process does that comes much later."""
        steps = _flat(protocol.open_epoch(self.scribe, "last"))
        epoch = self._finish(steps)
        self._finish(_flat(recovery.take_over(self.scribe, epoch, (), old_ms=1_000)))

    def _finish(self, steps: Generator[Any, Any, Any]) -> Any:
        answer = None
        while True:
            try:
                answer = self._do(steps.send(answer))
            except StopIteration as end:
                return end.value

    def _check_finals(self, wanted: set[int], *, exact: bool) -> None:
        files = self.fs.files
        finals = [content for path, content in files.items() if "/.flumebeam.logs/" not in path]
        found = sorted(int(line) for content in finals for line in content.splitlines())
        if len(set(found)) < len(found):
            raise BrokenPromiseError(f"repeated: {found}")
        if self.rolling and not exact:
            found += [int(line) for path in self._named() for line in files.get(path, b"").splitlines()]
        if not wanted <= set(found) or (exact and wanted != set(found)):
            raise BrokenPromiseError(f"lost: {sorted(wanted - set(found))} is not in {found}")

    def _named(self) -> set[str]:
        """Hidden files that a record names: they are committed."""
        layout = self.scribe.layout
        return {
            layout.in_log(part.path)
            for path, content in self.fs.files.items()
            if path.startswith((layout.epochs, layout.closed)) and Entry.parse(path.rpartition("/")[2])
            for part in Record.from_bytes(content, path).parts
        }


def _ids(messages: list[int]) -> Any:
    return delivery_ids(DeliveryId(1, message) for message in messages)


def _flat(steps: Steps[Any]) -> Generator[Any, Any, Any]:
    """Do the branches of steps that may go together one after another, and pass over named places."""
    answer: Any = None
    failure: FlumebeamError | None = None
    while True:
        try:
            step = steps.send(answer) if failure is None else steps.throw(failure)
        except StopIteration as end:
            return end.value
        answer, failure = None, None
        try:
            if isinstance(step, Together):
                answer = []
                for branch in step.branches:
                    answer.append((yield from _flat(branch)))
            elif not isinstance(step, Reached):
                answer = yield step
        except FlumebeamError as error:
            failure = error
