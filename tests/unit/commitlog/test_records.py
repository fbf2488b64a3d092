from __future__ import annotations

import json
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flumebeam.commitlog.ids import IdSet
from flumebeam.commitlog.records import RECORD_VERSION, PartEntry, Record, RecordKind
from flumebeam.errors import CommitLogError
from flumebeam.ids import DeliveryId, delivery_ids

_RECORD = Record(
    RecordKind.TRANSACTION,
    "life.0",
    7,
    1_700_000_000_000,
    (PartEntry("parts/life.0/_a", "fd:1", 12, "2026/11/ü.txt", 3),),
    IdSet.of(delivery_ids([DeliveryId(1, 2), DeliveryId(1, 3), DeliveryId(9, 1)])),
    {"day": "20261122"},
)


def test_a_record_comes_back_from_its_bytes() -> None:
    assert Record.from_bytes(_RECORD.to_bytes(), "here") == _RECORD


def test_a_record_begins_with_two_lines_that_people_can_read() -> None:
    first, second, _ = _RECORD.to_bytes().split(b"\n", 2)

    assert first.startswith(b"flumebeam-commit-log 2 ")
    assert json.loads(second)["parts"][0]["final"] == "2026/11/ü.txt"


def _with_checksum(body: bytes) -> bytes:
    text, _, ids = body.partition(b"\n")
    return b"flumebeam-commit-log 1 %d %d %08x\n" % (len(text), len(ids), zlib.crc32(body)) + body


def test_a_record_of_version_1_is_read_for_ever() -> None:
    ids = "00000001 0000000000000005 0000000000000006 0000000000000007 00000001 00 00 01"
    data = (
        b"flumebeam-commit-log 1 204 35 a2f2bf9d\n"
        b'{"kind": "transaction", "epoch": "e.1", "number": 2, "written_ms": 3, "parts": [{"path": "parts/e.1/_p", '
        b'"file_id": "f", "length": 4, "final": "a.txt", "events": 2}], "events": 2, "facts": {"later": [1]}}\n'
    ) + bytes.fromhex(ids)

    found = Record.from_bytes(data, "here")

    assert (found.kind, found.epoch, found.number, found.written_ms) == (RecordKind.TRANSACTION, "e.1", 2, 3)
    assert found.parts == (PartEntry("parts/e.1/_p", "f", 4, "a.txt", 2),)
    assert found.ids == IdSet.of(delivery_ids([DeliveryId(5, 6), DeliveryId(5, 7)]))
    assert found.facts == {"later": [1]}


@given(st.data())
def test_a_changed_or_cut_record_is_never_taken_for_one(data: st.DataObject) -> None:
    whole = _RECORD.to_bytes()
    at = data.draw(st.integers(0, len(whole) - 1))
    changed = bytearray(whole)
    changed[at] ^= data.draw(st.integers(1, 255))

    for damaged in (bytes(changed), whole[:at]):
        try:
            found = Record.from_bytes(damaged, "there")
        except CommitLogError as error:
            assert "there" in str(error)  # noqa: PT017 - most changes are errors, some (of 08x to 08X) are none
        else:
            assert found == _RECORD


@given(st.binary(max_size=100))
def test_any_bytes_end_in_our_error(data: bytes) -> None:
    with pytest.raises(CommitLogError):
        Record.from_bytes(data, "there")


def test_a_newer_version_says_to_upgrade() -> None:
    newer = _RECORD.to_bytes().replace(b"-log 2 ", b"-log %d " % (RECORD_VERSION + 1), 1)

    with pytest.raises(CommitLogError, match=r"written by a newer flumebeam .* upgrade"):
        Record.from_bytes(newer, "there")


def test_an_unknown_kind_says_to_upgrade() -> None:
    body = _RECORD.to_bytes().partition(b"\n")[2].replace(b'"transaction"', b'"riddle"')

    with pytest.raises(CommitLogError, match=r"kind that this flumebeam does not know \(riddle\); upgrade"):
        Record.from_bytes(_with_checksum(body), "there")
