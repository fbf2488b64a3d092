"""``flumebeam commits``: what an operator sees of a target, and does about it."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from flumebeam.cli.main import app
from flumebeam.clock import SystemClock
from flumebeam.commitlog.completing import PartitionKeeper
from flumebeam.commitlog.driver import Driver
from flumebeam.commitlog.layout import QueueIdentity
from flumebeam.commitlog.life import Life
from flumebeam.commitlog.log import CommitLog
from flumebeam.commitlog.options import CommitLogOptions, QueueAccess
from flumebeam.commitlog.partition_options import PartitionOptions
from flumebeam.commitlog.protocol import PartDraft
from flumebeam.commitlog.rolling import RollOptions
from flumebeam.commitlog.steps import CrashPoint
from flumebeam.errors import FlumebeamError
from flumebeam.hdfs.local import LocalFileSystem
from flumebeam.ids import DeliveryId, delivery_ids

WRITER = Path(__file__).parents[2] / "faults" / "commitlog" / "writer.py"


def commits(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["commits", *arguments])


def shown(target: Path) -> dict[str, Any]:
    [line] = commits("show", str(target), "--json").stdout.splitlines()
    found: dict[str, Any] = json.loads(line)
    return found


def die_at(target: Path, point: CrashPoint) -> None:
    """Have a writer of twelve events commit three at a time, and die."""
    subprocess.run([sys.executable, str(WRITER), str(target), "12", point.name, "1"], timeout=200, check=False)


def finals(target: Path) -> list[Path]:
    return sorted(path for path in target.glob("by=*/*") if path.name[0] not in "._")


def test_what_a_killed_writer_committed_is_shown_as_stuck_and_repaired(tmp_path: Path) -> None:
    die_at(tmp_path, CrashPoint.COMMITTED)
    assert finals(tmp_path) == []

    patient = commits("show", str(tmp_path))
    impatient = commits("show", str(tmp_path), "--older-than", "0")
    assert (patient.exit_code, impatient.exit_code) == (0, 1)
    assert "committed and without a final name: 2 files" in patient.stdout
    assert "its writer is at it, or ended before it was published" in patient.stdout
    found = shown(tmp_path)
    assert len(found["stuck"]) == 2
    assert found["lag_seconds"] > 0
    assert [epoch["is_open"] for epoch in found["epochs"]] == [True]

    repaired = commits("repair", str(tmp_path))

    assert repaired.exit_code == 0
    assert "2 files published, 0 left" in repaired.stdout
    assert len(finals(tmp_path)) == 2
    assert commits("show", str(tmp_path), "--older-than", "0").exit_code == 0


def test_parts_of_a_killed_writer_are_swept_when_its_epoch_is_closed(tmp_path: Path) -> None:
    die_at(tmp_path, CrashPoint.PART_WRITTEN)
    assert shown(tmp_path)["epochs"][0]["parts"] > 0
    assert commits("repair", str(tmp_path)).exit_code == 0
    # It might be alive.
    assert shown(tmp_path)["epochs"][0]["parts"] > 0

    assert commits("repair", str(tmp_path), "--close").exit_code == 0

    found = shown(tmp_path)
    assert (found["epochs"], found["orphans"]) == ([], 0)


def test_looking_changes_nothing(tmp_path: Path) -> None:
    die_at(tmp_path, CrashPoint.PART_PUBLISHED)
    before = sorted(path for path in tmp_path.rglob("*"))

    commits("show", str(tmp_path))

    assert sorted(path for path in tmp_path.rglob("*")) == before


def test_a_file_of_somebody_else_under_the_final_name_is_told_and_gets_around(tmp_path: Path) -> None:
    die_at(tmp_path, CrashPoint.COMMITTED)
    blocked = shown(tmp_path)["stuck"][0]["final"]
    place = tmp_path / blocked
    place.parent.mkdir(exist_ok=True)
    place.write_text("theirs")

    assert "something else has its name" in commits("show", str(tmp_path)).stdout
    assert commits("repair", str(tmp_path)).exit_code == 0

    assert place.read_text() == "theirs"
    assert len(finals(tmp_path)) == 3


def test_what_cannot_be_repaired_is_one_line_and_the_exit_status(tmp_path: Path) -> None:
    die_at(tmp_path, CrashPoint.COMMITTED)
    [record] = tmp_path.rglob("_c-*")
    record.write_bytes(record.read_bytes()[:-3])

    repaired = CliRunner().invoke(app, ["commits", "show", str(tmp_path)])
    assert isinstance(repaired.exception, FlumebeamError)
    assert "is damaged" in str(repaired.exception)


def test_a_directory_without_a_log_is_told(tmp_path: Path) -> None:
    result = commits("show", str(tmp_path))

    assert isinstance(result.exception, FlumebeamError)
    assert f"There is no commit log below {tmp_path}" in str(result.exception)
    die_at(tmp_path, CrashPoint.COMMITTED)
    assert "of a queue other" in str(commits("show", str(tmp_path), "--queue", "other").exception)
    assert commits("show", str(tmp_path), "--queue", "q-").exit_code == 0


# -- lives of one shared queue, in this process: what is left at moments that are hard to meet ------------------------

SHARED = CommitLogOptions(access=QueueAccess.SHARED)
NEVER = RollOptions(max_bytes=0, max_seconds=0)


class _KilledError(BaseException):
    """The process is gone: nothing of it goes on."""


def begin(target: Path, name: str, *, dies_at: CrashPoint | None = None, roll: RollOptions | None = None) -> Life:
    def at(point: CrashPoint) -> None:
        if point is dies_at:
            raise _KilledError

    queue = QueueIdentity("", "", "shared")
    options = replace(SHARED, roll=roll)
    return CommitLog.open(LocalFileSystem(), str(target), queue, options, at=at).begin_life(name)


def commit(life: Life, number: int) -> None:
    if not life.fenced:
        life.fence()
    draft = PartDraft("", f"f.{life.file_stem()}.txt", lambda: [b"%d\n" % number], 1, "bytes")
    life.commit([draft], delivery_ids([DeliveryId(1, number)]))


def events(target: Path) -> list[str]:
    return sorted(line for path in target.glob("f.*") for line in path.read_text().splitlines())


def test_a_repair_removes_an_epoch_on_its_way_out_and_no_segment_of_others(tmp_path: Path) -> None:
    alive = begin(tmp_path, "alive", roll=NEVER)
    commit(alive, 1)
    commit(alive, 2)
    killed = begin(tmp_path, "killed", dies_at=CrashPoint.RETIRED)
    commit(killed, 3)
    with pytest.raises(_KilledError):
        killed.end()
    # Its next step, the last but one.
    (settled,) = tmp_path.glob(".flumebeam.logs/*/_closed/*")
    settled.rename(settled.with_name("_0123456789abcdef"))

    assert [epoch["ids"] for epoch in shown(tmp_path)["epochs"]] == [2]
    assert commits("repair", str(tmp_path)).exit_code == 0

    assert [*tmp_path.glob(".flumebeam.logs/*/_closed/*")] == []
    alive.end()
    assert events(tmp_path) == ["1", "2", "3"]


def test_a_record_that_a_killed_writer_had_on_its_way_is_removed_when_all_writers_are_gone(tmp_path: Path) -> None:
    killed = begin(tmp_path, "killed", dies_at=CrashPoint.COMMITTED)
    with pytest.raises(_KilledError):
        commit(killed, 1)
    (new,) = tmp_path.glob(".flumebeam.logs/*/_new")
    record = new / "_0123456789abcdef"
    record.write_bytes(b"its ids, written and not yet renamed")

    assert commits("repair", str(tmp_path)).exit_code == 0
    # Another writer may be at it.
    assert record.exists()

    assert commits("repair", str(tmp_path), "--close").exit_code == 0
    assert [*new.iterdir()] == []
    assert events(tmp_path) == ["1"]


# -- partitions -------------------------------------------------------------------------------------------------------


def test_a_partition_that_waits_is_shown_with_whose_watermark_and_what_is_unpublished(tmp_path: Path) -> None:
    fs, clock, queue = LocalFileSystem(), SystemClock(), QueueIdentity("", "", "hours")
    log = CommitLog.open(fs, str(tmp_path), queue, CommitLogOptions(roll=NEVER))
    driver = Driver(fs, clock=clock)
    keeper = PartitionKeeper(driver, str(tmp_path), PartitionOptions(), clock=clock, silence=lambda _: None)
    life = log.begin_life("r1")
    keeper.adopt(life)
    keeper.begin(life)
    life.fence()
    keeper.enter(life, {"h=00": 3_600_000})
    draft = PartDraft("h=00", f"f.{life.file_stem()}.txt", lambda: [b"1\n2\n3\n"], 3, "bytes")
    life.commit([draft], delivery_ids(DeliveryId(1, number) for number in range(3)))
    keeper.leave(life, ["h=00"], 1_000)

    wait = {"log": queue.log_name, "epoch": life.epoch, "watermark_ms": 0, "unpublished": True, "files": 1, "events": 3}
    facts = {"path": "h=00", "end_ms": 3_600_000, "delay_ms": 60_000, "late": False, "logs": [queue.log_name]}
    assert shown(tmp_path)["partitions"] == [{**facts, "waits": [wait]}]
    text = commits("show", str(tmp_path)).stdout
    assert "h=00 (ends 1970-01-01 01:00:00 UTC) waits for" in text
    assert "its watermark is 1970-01-01 00:00:00 UTC, and must reach 1970-01-01 01:01:00 UTC" in text
    assert "3 events in 1 parts are not in final files" in text

    # Its process is killed, and somebody settles what it left.
    keeper.close()
    log.close()
    assert commits("repair", str(tmp_path), "--close").exit_code == 0

    [partition] = shown(tmp_path)["partitions"]
    assert [(one["epoch"], one["watermark_ms"], one["unpublished"]) for one in partition["waits"]] == [
        ("", None, False)
    ]
    assert f"{queue.log_name}: no drain of that queue runs" in commits("show", str(tmp_path)).stdout

    # The next drain makes it complete, and nothing waits.
    log = CommitLog.open(fs, str(tmp_path), queue, CommitLogOptions(roll=NEVER))
    driver = Driver(fs, clock=clock)
    keeper = PartitionKeeper(driver, str(tmp_path), PartitionOptions(), clock=clock, silence=lambda _: 3_660_000)
    life = log.begin_life("r2")
    keeper.adopt(life)
    keeper.begin(life)
    life.fence()
    keeper.close()
    log.close()
    assert (tmp_path / "h=00" / "_SUCCESS").exists()
    assert shown(tmp_path)["partitions"] == []
