"""The demonstration as a newcomer runs it."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ODD = [b"", b"\xff\xfe not UTF-8", b"carriage return\r", b"x" * 1_000_000, b"same", b"same", b"last, without an end"]


def demo(output: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "flumebeam", "demo", "--output", str(output), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
    )


def lines_below(directory: Path) -> Iterator[bytes]:
    for path in directory.rglob("[!._]*.txt"):
        if ".flumebeam.logs" not in path.parts:
            yield from path.read_bytes().split(b"\n")[:-1]


@pytest.mark.timeout(1800)
def test_a_log_of_any_bytes_is_proven_and_a_lost_line_is_found(tmp_path: Path) -> None:
    log = tmp_path / "any.log"
    log.write_bytes(b"\n".join([*(b"line %d" % number for number in range(3000)), *ODD]))
    output = tmp_path / "out"

    first = demo(output, "--input", str(log))

    assert first.returncode == 0, first.stdout + first.stderr
    assert "with kill -9 after" in first.stdout
    assert sorted(lines_below(output / "batch")) == sorted(log.read_bytes().split(b"\n"))
    assert re.search(r"Packed  3,007 events in \d+ messages, .* lost 0, repeated 0", first.stdout)
    assert sorted(lines_below(output / "packed" / "files")) == sorted(log.read_bytes().split(b"\n"))

    again = demo(output, "--input", str(log))

    assert again.returncode == 0, again.stdout + again.stderr
    assert "0 lines to go" in again.stdout

    victim = max((output / "batch").glob("*.txt"), key=lambda path: path.stat().st_size)
    victim.write_bytes(victim.read_bytes().split(b"\n", 1)[1])
    cheated = demo(output, "--input", str(log))

    assert cheated.returncode == 1
    assert "THE SUMS DO NOT CLOSE" in cheated.stdout


@pytest.mark.timeout(1800)
def test_ctrl_c_loses_nothing_and_the_next_run_picks_up(tmp_path: Path) -> None:
    said = ""
    for lines in (80_000, 320_000, 1_280_000):
        output = tmp_path / str(lines)
        status, said = interrupted(output, lines)
        assert status == 130, said
        if "ingest has stopped" in said:
            break
        # All was moved before the signal came, which takes longer with more lines.
    assert "ingest has stopped" in said

    rest = demo(output, "--lines", str(lines), "--no-kill")

    assert rest.returncode == 0, rest.stdout + rest.stderr
    assert f"{lines:,}" in rest.stdout


def interrupted(output: Path, lines: int) -> tuple[int, str]:
    """Interrupt a demo that has begun to move lines; return its status and what it said."""
    command = [sys.executable, "-m", "flumebeam", "demo", "--output", str(output), "--lines", str(lines), "--no-kill"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, bufsize=1) as running:
        assert running.stdout is not None
        said = ""
        for line in running.stdout:
            said += line
            # The first line of progress that tells of events.
            if "ingest" in line and "ingest 0 " not in line:
                running.send_signal(signal.SIGINT)
                break
        said += running.stdout.read()
        return running.wait(500), said


def test_a_log_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    run = demo(tmp_path / "out", "--input", str(tmp_path / "none.log"))

    assert run.returncode == 2
    assert run.stderr.count("\n") == 1
    assert "There is no file" in run.stderr


@pytest.mark.timeout(1800)
def test_a_demo_that_is_killed_goes_on_where_it_was_and_loses_nothing(tmp_path: Path) -> None:
    output = tmp_path / "out"
    command = [sys.executable, "-m", "flumebeam", "demo", "--output", str(output), "--lines", "80000", "--no-kill"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, bufsize=1) as running:
        assert running.stdout is not None
        for line in running.stdout:
            if "ingest" in line and "ingest 0 " not in line:
                running.kill()
                break

    rest = demo(output, "--lines", "80000", "--no-kill")

    assert "80,000" in rest.stdout, rest.stdout + rest.stderr
    assert re.search(r"lost +│ +│ +0 │ +0 │", rest.stdout), rest.stdout
