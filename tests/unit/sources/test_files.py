from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from flumebeam.batch import EventBatch
from flumebeam.clock import ManualClock
from flumebeam.errors import ConfigurationError, FormatError, StorageError
from flumebeam.ids import DELIVERY_ID_TYPE, DeliveryId
from flumebeam.sources.files import FileReceiver
from flumebeam.sources.options import FileSourceOptions, WhenDone

Open = Callable[..., FileReceiver]


@pytest.fixture
def open_source(tmp_path: Path) -> Iterator[Open]:
    receivers = []

    def opening(path: Path | str, clock: ManualClock | None = None, **options: object) -> FileReceiver:
        tracker = {} if options.get("spool") else {"tracker_dir": str(tmp_path / "tracker")}
        receiver = FileReceiver(FileSourceOptions(path=str(path), **tracker, **options), clock=clock)  # type: ignore[arg-type]
        receivers.append(receiver)
        return receiver

    yield opening
    for receiver in receivers:
        receiver.close()


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    directory = tmp_path / "spool"
    directory.mkdir()
    return directory


def put(path: Path, content: bytes, age: int) -> Path:
    path.write_bytes(content)
    os.utime(path, (1_000_000_000 - age, 1_000_000_000 - age))
    return path


def drain(receiver: FileReceiver, max_events: int = 1000) -> list[EventBatch]:
    batches = []
    while len(batch := receiver.receive(max_events, 0)):
        batches.append(batch)
    return batches


def bodies(batches: list[EventBatch]) -> list[bytes]:
    return [body for batch in batches for body in batch.bodies.to_pylist()]


def tell(receiver: FileReceiver, *batches: EventBatch) -> None:
    for batch in batches:
        assert batch.provenance is not None
        receiver.acknowledge(batch.provenance.ids)


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir() if not path.name.startswith("."))


def test_every_line_is_an_event_as_it_was(open_source: Open, tmp_path: Path) -> None:
    log = put(tmp_path / "a.log", b"one\r\n\n\xff\xfe\x00\n" + b"x" * 1_000_000 + b"\nno end", 0)

    found = bodies(drain(open_source(log, block_bytes=1000)))

    assert found == [b"one\r", b"", b"\xff\xfe\x00", b"x" * 1_000_000, b"no end"]


def test_ids_are_file_identity_and_offset_behind_the_line_and_stand_in_the_header(
    open_source: Open, tmp_path: Path
) -> None:
    log = put(tmp_path / "a.log", b"one\n\nthree", 0)
    receiver = open_source(log, file_header=True)

    batch = EventBatch.concat(drain(receiver))

    origins = {event.provenance.delivery.origin for event in batch.events() if event.provenance}
    assert len(origins) == 1
    origin = origins.pop()
    assert [event.provenance.delivery for event in batch.events() if event.provenance] == [
        DeliveryId(origin, 4),
        DeliveryId(origin, 5),
        DeliveryId(origin, 10),
    ]
    assert [dict(event.headers) for event in batch.events()] == [
        {"file": str(log), "basename": "a.log", "flumebeam.id": f"{origin:016x}-{end:016x}"} for end in (4, 5, 10)
    ]
    assert batch.provenance is not None
    assert (batch.provenance.receiver, batch.provenance.queue) == (receiver.receiver_id, str(log))


def test_max_events_is_kept(open_source: Open, tmp_path: Path) -> None:
    receiver = open_source(put(tmp_path / "a.log", b"1\n2\n3\n4\n5\n", 0), block_bytes=6)

    assert [len(batch) for batch in drain(receiver, 2)] == [2, 1, 2]
    assert receiver.unacknowledged == 5


def test_the_next_receiver_begins_behind_what_is_durable(open_source: Open, tmp_path: Path) -> None:
    log = put(tmp_path / "a.log", b"1\n2\n3\n", 0)
    first = open_source(log)
    one, two, three = drain(first, 1)
    tell(first, three, one)
    assert first.unacknowledged == 1
    first.close()

    again = drain(open_source(log))

    assert bodies(again) == [b"2", b"3"]
    assert [event.provenance.delivery for batch in again for event in batch.events() if event.provenance] == [
        event.provenance.delivery for batch in (two, three) for event in batch.events() if event.provenance
    ]


def test_nothing_acknowledged_is_everything_again(open_source: Open, tmp_path: Path) -> None:
    log = put(tmp_path / "a.log", b"1\n2\n", 0)
    first = open_source(log)
    drain(first)
    first.close()

    assert bodies(drain(open_source(log))) == [b"1", b"2"]


def test_a_grown_file_gives_its_new_lines(open_source: Open, tmp_path: Path) -> None:
    log = put(tmp_path / "a.log", b"1\n", 0)
    first = open_source(log)
    tell(first, *drain(first))
    first.close()
    with log.open("ab") as file:
        file.write(b"2\n")

    assert bodies(drain(open_source(log))) == [b"2"]


def test_a_file_that_is_kept_is_not_read_twice(open_source: Open, tmp_path: Path) -> None:
    log = put(tmp_path / "a.log", b"1\n2", 0)
    first = open_source(log)
    tell(first, *drain(first))
    first.close()

    assert drain(open_source(log)) == []
    assert log.exists()


def test_a_pattern_reads_its_files_oldest_first_and_a_linked_one_once(open_source: Open, tmp_path: Path) -> None:
    put(tmp_path / "b.log", b"old\n", 20)
    new = put(tmp_path / "a.log", b"new\n", 10)
    (tmp_path / "current.log").symlink_to(new)
    put(tmp_path / "c.txt", b"other\n", 30)

    assert bodies(drain(open_source(tmp_path / "*.log"))) == [b"old", b"new"]


def test_a_file_with_a_patterns_name_is_that_file(open_source: Open, tmp_path: Path) -> None:
    log = put(tmp_path / "a[1].log", b"1\n", 0)
    put(tmp_path / "a1.log", b"2\n", 0)

    assert bodies(drain(open_source(log))) == [b"1"]


def test_a_spooled_file_is_completed_when_all_of_it_is_durable(open_source: Open, spool: Path) -> None:
    put(spool / "a.log", b"1\n2\n", 20)
    put(spool / "b.log", b"3\n", 10)
    receiver = open_source(spool, spool=True)
    one, two, three = drain(receiver, 1)

    tell(receiver, two, three)
    assert names(spool) == ["a.log", "b.log.COMPLETED"]
    tell(receiver, one)
    assert names(spool) == ["a.log.COMPLETED", "b.log.COMPLETED"]
    assert receiver.unacknowledged == 0
    assert not list((spool / ".flumebeam").glob("*.position"))


def test_a_file_acknowledged_before_its_end_was_seen_is_completed_at_its_end(open_source: Open, spool: Path) -> None:
    put(spool / "a.log", b"1\n", 0)
    receiver = open_source(spool, spool=True)
    tell(receiver, receiver.receive(10, 0))
    assert names(spool) == ["a.log"]

    assert len(receiver.receive(10, 0)) == 0
    assert names(spool) == ["a.log.COMPLETED"]


def test_a_file_that_was_through_when_the_process_was_killed_is_completed_by_the_next(
    open_source: Open, spool: Path
) -> None:
    put(spool / "a.log", b"1\n", 0)
    first = open_source(spool, spool=True)
    tell(first, first.receive(10, 0))
    first.close()

    assert drain(open_source(spool, spool=True)) == []
    assert names(spool) == ["a.log.COMPLETED"]


def test_an_empty_spooled_file_is_completed(open_source: Open, spool: Path) -> None:
    put(spool / "a.log", b"", 0)

    assert drain(open_source(spool, spool=True)) == []
    assert names(spool) == ["a.log.COMPLETED"]


def test_a_completed_file_is_never_overwritten_and_its_name_can_come_again(open_source: Open, spool: Path) -> None:
    for content in (b"1\n", b"1\n", b"2\n"):
        put(spool / "a.log", content, 0)
        receiver = open_source(spool, spool=True)
        batches = drain(receiver)
        assert bodies(batches) == content.split()
        tell(receiver, *batches)
        receiver.close()

    assert names(spool) == ["a.log.1.COMPLETED", "a.log.2.COMPLETED", "a.log.COMPLETED"]


def test_a_new_file_of_an_old_name_has_other_ids(open_source: Open, spool: Path) -> None:
    origins = set()
    for age in (2, 1):
        put(spool / "a.log", b"same\n", age)
        receiver = open_source(spool, spool=True)
        batches = drain(receiver)
        origins |= {event.provenance.delivery.origin for event in batches[0].events() if event.provenance}
        tell(receiver, *batches)
        receiver.close()

    assert len(origins) == 2


def test_hidden_unfinished_and_completed_files_are_left_alone(open_source: Open, spool: Path) -> None:
    for name in (".hidden", "a.tmp", "b.COMPLETED"):
        put(spool / name, b"x\n", 0)
    (spool / "directory").mkdir()

    assert drain(open_source(spool, spool=True)) == []


def test_spooled_files_can_be_kept(open_source: Open, spool: Path) -> None:
    put(spool / "a.log", b"1\n", 0)
    receiver = open_source(spool, spool=True, when_done=WhenDone.KEEP)
    tell(receiver, *drain(receiver))
    receiver.close()

    assert names(spool) == ["a.log"]
    assert drain(open_source(spool, spool=True, when_done=WhenDone.KEEP)) == []


def test_a_spooled_file_that_changes_while_it_is_read_stops_the_source(open_source: Open, spool: Path) -> None:
    log = put(spool / "a.log", b"1\nhal", 0)
    receiver = open_source(spool, spool=True)
    assert bodies([receiver.receive(10, 0)]) == [b"1"]
    with log.open("ab") as file:
        file.write(b"f\n")
    assert bodies([receiver.receive(10, 0)]) == [b"half"]

    with pytest.raises(StorageError, match=r"a\.log changed while it was read.*\.tmp"):
        receiver.receive(10, 0)


def test_a_followed_directory_gives_files_as_they_come(open_source: Open, spool: Path) -> None:
    clock = ManualClock()
    receiver = open_source(spool, clock=clock, spool=True, follow=True, poll_seconds=0.5)
    assert len(receiver.receive(10, 0)) == 0
    put(spool / "a.log", b"1\n", 0)
    assert len(receiver.receive(10, 0)) == 0
    clock.advance(0.5)

    batch = receiver.receive(10, 0)

    assert bodies([batch]) == [b"1"]
    tell(receiver, batch)
    clock.advance(0.5)
    assert len(receiver.receive(10, 0)) == 0
    put(spool / "a.log", b"2\n", 0)
    clock.advance(0.5)
    assert bodies(drain(receiver)) == [b"2"]


def test_closing_ends_a_wait_at_once(open_source: Open, spool: Path) -> None:
    receiver = open_source(spool, spool=True, follow=True, poll_seconds=100)
    waiting = threading.Thread(target=receiver.receive, args=(10, 100))
    waiting.start()

    receiver.close()
    waiting.join(60)

    assert not waiting.is_alive()


def test_a_closed_receiver_gives_nothing_and_ignores_acks(open_source: Open, tmp_path: Path) -> None:
    receiver = open_source(put(tmp_path / "a.log", b"1\n2\n", 0))
    batch = receiver.receive(1, 0)
    receiver.close()
    receiver.close()
    tell(receiver, batch)

    assert len(receiver.receive(1, 0)) == 0


def test_ids_of_others_are_ignored(open_source: Open, tmp_path: Path) -> None:
    receiver = open_source(put(tmp_path / "a.log", b"1\n", 0))
    receiver.receive(1, 0)
    receiver.acknowledge(pa.array([DeliveryId(1, 2).pack()], type=DELIVERY_ID_TYPE))

    assert receiver.unacknowledged == 1


def test_a_line_that_is_too_long_names_file_and_offset(open_source: Open, tmp_path: Path) -> None:
    receiver = open_source(put(tmp_path / "a.log", b"1\n" + b"x" * 30, 0), max_line_bytes=20, block_bytes=8)
    assert bodies([receiver.receive(10, 0)]) == [b"1"]

    with pytest.raises(FormatError, match=r"a\.log: The line at offset 2 is longer than 20 bytes"):
        receiver.receive(10, 0)


def test_a_file_taken_away_before_it_was_opened_is_passed_over(open_source: Open, spool: Path) -> None:
    put(spool / "a.log", b"1\n", 20)
    put(spool / "b.log", b"2\n", 10)
    receiver = open_source(spool, spool=True)
    (spool / "a.log").unlink()

    assert bodies(drain(receiver)) == [b"2"]


@pytest.mark.parametrize(
    ("path", "options", "sentence"),
    [
        ("absent.log", {}, r"The file .*absent\.log does not exist"),
        ("absent*.log", {}, r"No file matches .*absent\*\.log"),
        (".", {}, r"is a directory: give it as spool directory"),
        ("absent", {"spool": True}, r"The spool directory .*absent does not exist"),
    ],
)
def test_a_path_without_files_is_a_users_mistake(
    open_source: Open, tmp_path: Path, path: str, options: dict[str, object], sentence: str
) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        open_source(tmp_path / path, **options)


def test_two_receivers_of_one_directory_are_refused(open_source: Open, spool: Path) -> None:
    open_source(spool, spool=True)

    with pytest.raises(ConfigurationError, match="Another process reads these files already"):
        open_source(spool, spool=True)


def test_closing_tells_whether_everything_that_was_handed_out_was_acknowledged(
    open_source: Open, tmp_path: Path
) -> None:
    path = put(tmp_path / "log", b"a\nb\nc\n", 1)
    untouched = open_source(path)
    assert untouched.close()
    behind = open_source(path)
    tell(behind, behind.receive(1, 0))
    behind.receive(1, 0)
    assert not behind.close()
    assert not behind.close()
    settled = open_source(path)
    tell(settled, settled.receive(1, 0))

    assert settled.close()
    assert settled.close()
