"""Which queues hold which stored messages: changes are gathered for a commit and written together.

Messages that come with few others have a row each, and one for each queue. Many are written as packs, and what a queue
holds of a pack is a row of bits, one for each id from the pack's first. Of packs the bits are known in memory as well,
so that thousands of messages leave their queues by a few rows; what came and left within one commit is never written.
"""

from __future__ import annotations

import sqlite3
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import compress, islice
from operator import lt, not_
from typing import Any, Final

from flumebeam.broker.core.spool import SpooledMessage
from flumebeam.broker.store_packs import decode_pack, encode_pack
from flumebeam.broker.store_rows import execute_rows

__all__ = ["Holdings"]

_MIN_PACK: Final = 8
"""With fewer messages a row for each is cheaper, and nothing of it has to be known in memory."""
_MAX_PACK: Final = 1_024
_MAX_PACK_BYTES: Final = 262_144
"""Larger values save nothing, and room is free again only when all of a pack has gone."""
_MAX_PACKED_BYTES: Final = 16_384
"""Larger messages have a row each, which costs little beside their bytes."""
_MAX_SPAN: Final = 16_384
"""Bits of a pack; messages whose ids lie further apart have a row each."""
_MIN_DEAD_BYTES: Final = 67_108_864
_REWRITTEN_AT_ONCE: Final = 16
"""Packs that one commit frees from what has gone: some 4 MB."""


class _Pack:
    """A pack: its first id, one above the last, and what each queue holds of it, by the queue's number."""

    __slots__ = ("dead", "end", "first", "held", "messages", "size", "unwritten")

    def __init__(self, first: int, end: int, messages: int, size: int) -> None:
        self.first = first
        self.end = end
        self.messages = messages
        self.size = size
        self.held: dict[int, int] = {}
        self.dead = 0
        self.unwritten: Sequence[SpooledMessage] = ()

    def alive(self) -> int:
        """Return the bits of the messages that some queue holds."""
        bits = 0
        for held in self.held.values():
            bits |= held
        return bits


class Holdings:
    """What is stored of messages. One that has failed to write is of no use: load another.

    Args:
        connection: The database.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._packs: dict[int, _Pack] = {}
        self._firsts: list[int] = []
        """First ids of all packs, ascending. No two packs overlap; rows may lie between the messages of one."""
        self._marked: dict[int, set[int]] = {}
        """Messages of which the store knows more than that a queue holds them."""
        self._live_bytes = self._dead_bytes = 0
        self._sparse: dict[int, _Pack] = {}
        # What is gathered.
        self._messages: list[SpooledMessage] = []
        self._homes: list[tuple[int, ...]] = []
        self._departed: dict[int, list[int]] = {}
        self._marks: dict[int, dict[int, list[int | None]]] = {}
        # What is worked out of it, and to be written.
        self._rows: dict[int, tuple[SpooledMessage, list[int]]] = {}
        self._entries: list[tuple[int, int]] = []
        self._gone: dict[int, list[int]] = {}
        self._unmarked: dict[int, list[int]] = {}
        self._changed: dict[tuple[int, int], _Pack] = {}

    def load(self) -> None:
        """Read what is there.

        Raises:
            sqlite3.Error: The database is damaged.
            LookupError: A queue holds a part of a pack that is not there.
        """
        run = self._connection.execute
        for first, end, messages, size in run("SELECT first, last + 1, messages, length(content) FROM packs"):
            self._packs[first] = _Pack(first, end, messages, size)
            self._live_bytes += size
        self._firsts = sorted(self._packs)
        for first, queue, bits in run("SELECT pack, queue, bits FROM held"):
            self._packs[first].held[queue] = int.from_bytes(bits, "little")
        for pack in self._packs.values():
            self._weigh(pack)
        for queue, message in run("SELECT queue, message FROM marks"):
            self._marked.setdefault(queue, set()).add(message)

    # In

    def arrive(self, messages: Sequence[SpooledMessage], queues: tuple[int, ...]) -> None:
        """Gather messages that went into these queues, given by their numbers in the store."""
        self._messages += messages
        self._homes += [queues] * len(messages)

    def depart(self, queue: int, messages: Sequence[int]) -> None:
        """Gather messages that left a queue, given by their ids."""
        self._departed.setdefault(queue, []).extend(messages)
        marked, marks = self._marked.get(queue), self._marks.get(queue)
        if marks:
            for message in messages:
                marks.pop(message, None)
        if marked:
            known = marked.intersection(messages)
            marked -= known
            self._unmarked.setdefault(queue, []).extend(known)

    def come_again(self, queue: int, messages: Sequence[int]) -> None:
        """Gather stored messages that went into one more queue, given by their ids."""
        # Some may have left it a moment ago.
        self._work_out()
        self._write_rows()
        for pack, bits, ids in self._parts(sorted(messages)):
            packed = 0 if pack is None else bits & pack.alive()
            if pack is not None and packed:
                self._hold(pack, queue, pack.held.get(queue, 0) | packed)
                ids = [message for message in ids if not packed >> (message - pack.first) & 1]
            self._entries += [(message, queue) for message in ids]

    def mark(self, queue: int, marks: Iterable[tuple[int, int]], *, counts: bool) -> None:
        """Gather how often messages of a queue were delivered, or under which other id, by their ids."""
        of_queue = self._marks.setdefault(queue, {})
        for message, value in marks:
            of_queue.setdefault(message, [None, None])[counts] = value

    # Working out

    def _work_out(self) -> None:
        """Turn what arrived and departed into what is to be written."""
        messages, homes = self._messages, self._homes
        if messages:
            ids = [message.id for message in messages]
            if not all(map(lt, ids, ids[1:])):
                order = sorted(range(len(ids)), key=ids.__getitem__)
                messages, homes = [messages[number] for number in order], [homes[number] for number in order]
            self._place(messages, homes)
            self._messages, self._homes = [], []
        for queue, departed in self._departed.items():
            self._take_out(queue, departed)
        self._departed.clear()

    def _place(self, messages: list[SpooledMessage], homes: list[tuple[int, ...]]) -> None:
        sizes = [message.size for message in messages]
        if max(sizes) > _MAX_PACKED_BYTES:
            small = [size <= _MAX_PACKED_BYTES for size in sizes]
            self._place_rows(compress(messages, map(not_, small)), compress(homes, map(not_, small)))
            messages, homes = list(compress(messages, small)), list(compress(homes, small))
            sizes = list(compress(sizes, small))
        step = max(1, min(_MAX_PACK, _MAX_PACK_BYTES * len(sizes) // max(sum(sizes), 1)))
        end = self._packs[self._firsts[-1]].end if self._firsts else 0
        for start in range(0, len(messages), step):
            chunk, queues = messages[start : start + step], homes[start : start + step]
            first = chunk[0].id
            # A copy of another site may get messages out of their order.
            if len(chunk) < _MIN_PACK or first < end or chunk[-1].id - first >= _MAX_SPAN:
                self._place_rows(chunk, queues)
            else:
                self._pack(chunk, queues)

    def _place_rows(self, messages: Iterable[SpooledMessage], homes: Iterable[tuple[int, ...]]) -> None:
        for message, queues in zip(messages, homes, strict=True):
            self._rows[message.id] = (message, list(queues))

    def _pack(self, messages: Sequence[SpooledMessage], homes: list[tuple[int, ...]]) -> None:
        first, last = messages[0].id, messages[-1].id
        pack = self._packs[first] = _Pack(first, last + 1, len(messages), 0)
        self._firsts.append(first)
        pack.unwritten = messages
        if homes.count(homes[0]) == len(homes):
            bits = _bits_of([message.id for message in messages], first)
            for queue in homes[0]:
                self._hold(pack, queue, bits)
            return
        ids: dict[int, list[int]] = {}
        for message, queues in zip(messages, homes, strict=True):
            for queue in queues:
                ids.setdefault(queue, []).append(message.id)
        for queue, members in ids.items():
            self._hold(pack, queue, _bits_of(members, first))

    def _hold(self, pack: _Pack, queue: int, bits: int) -> None:
        self._changed[pack.first, queue] = pack
        if bits:
            pack.held[queue] = bits
        else:
            pack.held.pop(queue, None)

    def _take_out(self, queue: int, departed: list[int]) -> None:
        departed.sort()
        for pack, bits, ids in self._parts(departed):
            held = 0 if pack is None else bits & pack.held.get(queue, 0)
            if pack is not None and held:
                self._hold(pack, queue, pack.held[queue] ^ held)
                if held == bits:
                    continue
                ids = [message for message in ids if not held >> (message - pack.first) & 1]
            for message in ids:
                row = self._rows.get(message)
                if row is None:
                    self._gone.setdefault(queue, []).append(message)
                    continue
                row[1].remove(queue)
                if not row[1]:
                    del self._rows[message]

    def _parts(self, ids: list[int]) -> Iterator[tuple[_Pack | None, int, list[int]]]:
        """Yield ascending ids by the pack in whose range they are, each part with its bits there."""
        position = 0
        while position < len(ids):
            number = bisect_right(self._firsts, ids[position])
            pack = self._packs[self._firsts[number - 1]] if number else None
            if pack is not None and ids[position] < pack.end:
                following = bisect_right(ids, pack.end - 1, position)
                part = ids[position:following]
                yield pack, _bits_of(part, pack.first), part
            else:
                above = self._firsts[number] if number < len(self._firsts) else ids[-1] + 1
                following = bisect_right(ids, above - 1, position)
                yield None, 0, ids[position:following]
            position = following

    # Out

    def write(self) -> None:
        """Write what was gathered, in the open transaction.

        Raises:
            sqlite3.Error: It cannot be written.
        """
        self._work_out()
        self._write_rows()
        self._write_packs()
        self._write_marks()
        if self._dead_bytes > max(self._live_bytes, _MIN_DEAD_BYTES):
            self._rewrite()

    def _write_rows(self) -> None:
        run = self._connection
        rows: list[Any] = []
        entries: list[Any] = []
        for message, queues in self._rows.values():
            rows += (message.id, message.template.head(), message.summary, message.body, message.arrived)
            for queue in queues:
                entries += (message.id, queue)
        for entry in self._entries:
            entries += entry
        execute_rows(run, "INSERT INTO messages VALUES {}", "(?,?,?,?,?)", rows)
        execute_rows(run, "INSERT INTO entries VALUES {}", "(?,?)", entries)
        for queue, ids in self._gone.items():
            # Asked for as pairs, SQLite would search all entries.
            execute_rows(run, "DELETE FROM entries WHERE queue = ? AND message IN (VALUES {})", "(?)", ids, queue)
        for ids in self._gone.values():
            execute_rows(
                run,
                "DELETE FROM messages WHERE id IN (VALUES {}) "
                "AND NOT EXISTS (SELECT 1 FROM entries WHERE message = id)",
                "(?)",
                ids,
            )
        self._rows, self._entries, self._gone = {}, [], {}

    def _write_packs(self) -> None:
        run = self._connection
        held: list[Any] = []
        released: dict[int, list[int]] = {}
        for (first, queue), pack in self._changed.items():
            bits = pack.held.get(queue)
            if bits is not None:
                held += (first, queue, bits.to_bytes((bits.bit_length() + 7) // 8, "little"))
            elif not pack.unwritten:
                released.setdefault(queue, []).append(first)
        doomed = []
        for first, pack in {pack.first: pack for pack in self._changed.values()}.items():
            if not pack.held:
                self._forget(pack)
                if not pack.unwritten:
                    doomed.append(first)
                continue
            if pack.unwritten:
                content = encode_pack(first, pack.unwritten)
                run.execute("INSERT INTO packs VALUES (?, ?, ?, ?)", (first, pack.end - 1, pack.messages, content))
                pack.size, pack.unwritten = len(content), ()
                self._live_bytes += pack.size
            self._weigh(pack)
        execute_rows(
            run,
            "INSERT INTO held VALUES {} ON CONFLICT (pack, queue) DO UPDATE SET bits = excluded.bits",
            "(?,?,?)",
            held,
        )
        for queue, firsts in released.items():
            execute_rows(run, "DELETE FROM held WHERE queue = ? AND pack IN (VALUES {})", "(?)", firsts, queue)
        execute_rows(run, "DELETE FROM packs WHERE first IN (VALUES {})", "(?)", doomed)
        self._changed = {}

    def _write_marks(self) -> None:
        run = self._connection
        for queue, ids in self._unmarked.items():
            execute_rows(run, "DELETE FROM marks WHERE queue = ? AND message IN (VALUES {})", "(?)", ids, queue)
        marks: list[Any] = []
        for queue, of_queue in self._marks.items():
            self._marked.setdefault(queue, set()).update(of_queue)
            for message, values in of_queue.items():
                marks += (queue, message, *values)
        execute_rows(
            run,
            "INSERT INTO marks VALUES {} ON CONFLICT (queue, message) DO UPDATE SET "
            "delivery = coalesce(excluded.delivery, delivery), deliveries = coalesce(excluded.deliveries, deliveries)",
            "(?,?,?,?)",
            marks,
        )
        self._marks, self._unmarked = {}, {}

    # Room

    def _weigh(self, pack: _Pack) -> None:
        dead = pack.size - pack.size * pack.alive().bit_count() // pack.messages
        self._dead_bytes += dead - pack.dead
        self._live_bytes -= dead - pack.dead
        pack.dead = dead
        if dead > pack.size // 2:
            self._sparse[pack.first] = pack

    def _forget(self, pack: _Pack) -> None:
        del self._packs[pack.first]
        del self._firsts[bisect_right(self._firsts, pack.first) - 1]
        self._sparse.pop(pack.first, None)
        self._dead_bytes -= pack.dead
        self._live_bytes -= pack.size - pack.dead

    def _rewrite(self) -> None:
        """Free some packs from the messages that no queue holds any more."""
        for pack in list(islice(self._sparse.values(), _REWRITTEN_AT_ONCE)):
            del self._sparse[pack.first]
            ((content,),) = self._connection.execute("SELECT content FROM packs WHERE first = ?", (pack.first,))
            alive = pack.alive()
            kept = [
                message for message in decode_pack(pack.first, content, {}) if alive >> (message.id - pack.first) & 1
            ]
            content = encode_pack(pack.first, kept)
            self._connection.execute(
                "UPDATE packs SET messages = ?, content = ? WHERE first = ?", (len(kept), content, pack.first)
            )
            self._live_bytes += len(content) - (pack.size - pack.dead)
            self._dead_bytes -= pack.dead
            pack.messages, pack.size, pack.dead = len(kept), len(content), 0


def _bits_of(ids: Sequence[int], first: int) -> int:
    """Return a number with the bits of ascending ids set, bit 0 for ``first``."""
    low, high = ids[0] - first, ids[-1] - first
    if high - low == len(ids) - 1:
        return ((1 << len(ids)) - 1) << low
    bits = bytearray((high >> 3) + 1)
    for message in ids:
        offset = message - first
        bits[offset >> 3] |= 1 << (offset & 7)
    return int.from_bytes(bits, "little")
