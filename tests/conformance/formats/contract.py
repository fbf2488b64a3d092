"""What every file format must keep; each format runs this suite on itself, with a reader made by somebody else."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from functools import partial
from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flumebeam.batch import EventBatch
from flumebeam.event import Event
from flumebeam.formats import Format, way_to_join
from flumebeam.formats.joining import join_files

_HEADERS = st.dictionaries(st.text(max_size=5), st.text(max_size=200), max_size=4)
_ODD_BODIES = [b"", b"\r", b"a\r\n"[:2], b"\xff\xfe\x00", "ü€\U0001f600".encode(), b"x" * 1_000_000, b" "]


class FormatContract:
    """Subclasses give :attr:`format`, a reader :meth:`read`, and what a file of the format keeps of an event."""

    format: Format
    keeps_headers: bool
    bodies: st.SearchStrategy[bytes]
    """Bodies that the format can hold and give back."""
    headers: st.SearchStrategy[dict[str, str]] = _HEADERS
    """Headers that it can hold and give back, if it has any."""

    def read(self, data: bytes) -> list[Event]:
        """Return the events of a file, with a reader that is not ours; headers empty if the format has none."""
        raise AssertionError("each format has a reader")

    def encoded(self, *batches: EventBatch) -> bytes:
        return b"".join(self.format.encode(batches))

    def kept(self, *batches: EventBatch) -> list[Event]:
        events = [event for batch in batches for event in batch.events()]
        return [Event(event.body, dict(event.headers) if self.keeps_headers else {}) for event in events]

    def test_odd_bodies_come_back_as_they_were(self) -> None:
        batch = EventBatch.from_bodies(_ODD_BODIES)

        assert self.read(self.encoded(batch)) == self.kept(batch)

    def test_headers_of_every_kind_come_back_if_the_format_has_headers(self) -> None:
        batch = EventBatch.from_bodies(
            [b"a", b"b", b"c"],
            {"shared": "s", "empty": ""},
            {"some": [None, "", "ü" * 100], "all": ["1", "2", "3"], "none": [None, None, None]},
        )
        alone = EventBatch.from_bodies([b"d", b"e"], None, {"few": [None, "x"]})

        assert self.read(self.encoded(batch, alone)) == self.kept(batch, alone)

    def test_any_events_come_back_in_order(self) -> None:
        @given(st.lists(st.lists(st.builds(Event, self.bodies, self.headers), max_size=5), max_size=4))
        def check(groups: list[list[Event]]) -> None:
            batches = [EventBatch.from_events(events) for events in groups]
            assert self.read(self.encoded(*batches)) == self.kept(*batches)

        check()

    def test_a_part_of_a_batch_is_written_as_that_part(self) -> None:
        batch = EventBatch.from_bodies([b"%d" % n for n in range(50)], {"h": "v"}, {"c": [str(n) for n in range(50)]})
        part = batch.slice(13, 21)

        assert self.read(self.encoded(part)) == self.kept(part)

    def test_a_file_without_events_is_valid_and_empty(self) -> None:
        assert self.read(self.encoded()) == []
        assert self.read(self.encoded(EventBatch.empty())) == []

    def test_no_piece_is_empty(self) -> None:
        assert all(self.format.encode([EventBatch.empty(), EventBatch.from_bodies([b"a"]), EventBatch.empty()]))

    def test_batches_are_taken_one_at_a_time(self) -> None:
        taken = 0

        def batches() -> Iterator[EventBatch]:
            nonlocal taken
            for n in range(40):
                taken = n
                yield EventBatch.from_bodies([bytes([n, m % 251]) * 500 for m in range(400)])

        pieces = iter(self.format.encode(batches()))
        for _ in range(3):
            next(pieces)

        assert taken < 39

    def test_another_attempt_gives_a_file_of_the_same_length_and_meaning(self) -> None:
        batch = EventBatch.from_bodies([b"a", b"bb"], {"h": "v"})
        first, second = self.encoded(batch), self.encoded(batch)

        assert len(first) == len(second)
        assert self.read(first) == self.read(second)

    def test_files_one_after_another_are_one_file_if_the_format_says_so(self) -> None:
        one, two = EventBatch.from_bodies([b"a"]), EventBatch.from_bodies([b"b", b"c"])
        if not self.format.concatenable:
            with pytest.raises(Exception):  # noqa: B017, PT011 - whatever the foreign reader says
                assert self.read(self.encoded(one) + self.encoded(two)) == self.kept(one, two)
            return

        assert self.read(self.encoded(one) + self.encoded(two)) == self.kept(one, two)

    def test_files_that_are_joined_are_one_file_of_all_their_events(self) -> None:
        groups = [
            [EventBatch.from_bodies([b"%d" % n], {"h": "v"}), EventBatch.from_bodies([b"%d-" % n * 30_000] * 6)]
            for n in range(3)
        ]
        files = [self.encoded(*batches) for batches in groups]

        def in_pieces(file: bytes) -> Iterator[bytes]:
            yield from (file[at : at + 1_009] for at in range(0, len(file), 1_009))

        pieces = [*join_files(way_to_join(self.format), [partial(in_pieces, file) for file in files])]

        assert all(pieces)
        assert self.read(b"".join(pieces)) == self.kept(*chain.from_iterable(groups))

    def test_one_file_joined_is_that_file(self) -> None:
        batch = EventBatch.from_bodies([b"a", b"b"])
        file = self.encoded(batch)

        assert self.read(b"".join(join_files(way_to_join(self.format), [lambda: iter([file])]))) == self.kept(batch)

    def test_it_can_be_sent_to_a_worker(self) -> None:
        assert pickle.loads(pickle.dumps(self.format)) == self.format  # noqa: S301
