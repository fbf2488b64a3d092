from __future__ import annotations

from itertools import islice
from pathlib import Path

import pytest

from flumebeam.demo.sample import sample_lines, write_sample


def test_the_same_seed_gives_the_same_bytes() -> None:
    assert list(sample_lines(2000)) == list(sample_lines(2000))
    assert list(sample_lines(2000, seed=2)) != list(sample_lines(2000))


def test_the_sample_has_the_odd_lines_of_real_logs(tmp_path: Path) -> None:
    write_sample(tmp_path / "log", 6000)
    data = (tmp_path / "log").read_bytes()
    lines = data.split(b"\n")

    assert len(lines) == 6000
    assert b"" in lines
    assert any(line.endswith(b"\r") for line in lines)
    assert any(len(line) > 100_000 for line in lines)
    assert not data.endswith(b"\n")
    with pytest.raises(UnicodeDecodeError):
        data.decode()


def test_no_line_holds_a_newline() -> None:
    assert not any(b"\n" in line for line in islice(sample_lines(3000), 3000))
