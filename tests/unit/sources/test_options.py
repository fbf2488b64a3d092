from __future__ import annotations

from pathlib import Path

import pytest

from flumebeam.commitlog.layout import MARKER
from flumebeam.errors import ConfigurationError
from flumebeam.sources.options import FileSourceOptions, WhenDone


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"path": ""}, "needs a path"),
        ({"path": "a.log", "follow": True}, "only a spool directory"),
        ({"path": "a", "completed_suffix": ""}, "ending of completed files"),
        ({"path": "a", "completed_suffix": "/x"}, "ending of completed files"),
        ({"path": "a", "max_line_bytes": 0}, "max_line_bytes must be from 1"),
        ({"path": "a", "max_line_bytes": 2**31}, "max_line_bytes must be from 1"),
        ({"path": "a", "block_bytes": 0}, "block_bytes must be from 1"),
        ({"path": "a", "poll_seconds": 0}, "poll_seconds must be more than 0"),
    ],
)
def test_what_cannot_work_is_refused_with_a_sentence(options: dict[str, object], sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        FileSourceOptions(**options)  # type: ignore[arg-type]


def test_only_files_of_a_spool_directory_are_renamed_unless_told_otherwise() -> None:
    assert FileSourceOptions(path="d", spool=True).renames
    assert not FileSourceOptions(path="a.log").renames
    assert not FileSourceOptions(path="d", spool=True, when_done=WhenDone.KEEP).renames
    assert FileSourceOptions(path="a.log", when_done=WhenDone.RENAME).renames


def test_positions_of_a_spool_directory_stand_in_it(tmp_path: Path) -> None:
    assert FileSourceOptions(path=str(tmp_path), spool=True).tracker_path == tmp_path / ".flumebeam"


def test_positions_of_a_spool_directory_that_is_the_target_of_a_drain_stand_beside_its_mark(tmp_path: Path) -> None:
    (tmp_path / MARKER).write_bytes(b"a layout")

    assert FileSourceOptions(path=str(tmp_path), spool=True).tracker_path == tmp_path / ".flumebeam.positions"


def test_positions_of_other_files_stand_in_the_users_state_one_directory_per_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    one = FileSourceOptions(path="a.log").tracker_path

    assert one.parent == tmp_path / "flumebeam" / "positions"
    assert FileSourceOptions(path=str(tmp_path / "a.log")).tracker_path == one
    assert FileSourceOptions(path="b.log").tracker_path != one
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert FileSourceOptions(path="a.log").tracker_path.is_relative_to(tmp_path / "home" / ".local" / "state")


def test_a_named_tracker_directory_is_used() -> None:
    assert FileSourceOptions(path="a", tracker_dir="/t").tracker_path == Path("/t")
