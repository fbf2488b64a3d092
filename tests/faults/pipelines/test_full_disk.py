"""A disk that is full, for a while or for good: the drain waits for its patience, then says so, and loses nothing."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.pipelines.scene import Scene, numbered
from tests.programs import Program, until

LINES = numbered(2_000)
_NAMESPACES = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-Urm"]
_MOUNT = 'mount -t tmpfs -o size=1m tmpfs "$0" && echo mounted && exec sleep 600'


class SmallDisk:
    """A file system of one megabyte that only some processes see, and this one through ``/proc``.

    Args:
        keeper: The process that keeps it alive.
        directory: Where those processes have it.
    """

    def __init__(self, keeper: subprocess.Popen[bytes], directory: Path) -> None:
        self.prefix = ["nsenter", *(() if os.geteuid() == 0 else ("-U", "--preserve-credentials"))]
        self.prefix += ["-m", "-t", str(keeper.pid)]
        self.view = Path(f"/proc/{keeper.pid}/root{directory}")
        self._filler = self.view / "filler"
        self._directory = directory

    def fill(self, leave: int = 0) -> None:
        """Use up the disk but for some bytes."""
        free = os.statvfs(self.view)
        self._filler.write_bytes(bytes(free.f_bavail * free.f_frsize - leave))

    def free(self) -> None:
        """Make room."""
        self._filler.unlink()

    def remount(self, how: str) -> None:
        """Let it be written (``rw``), or not (``ro``), which waits until no file is open for writing."""
        command = [*self.prefix, "mount", "-o", f"remount,{how}", str(self._directory)]
        until(lambda: subprocess.run(command, check=False, timeout=60).returncode == 0, f"mounted {how}")


@pytest.fixture
def disk(scene: Scene, tmp_path: Path) -> Iterator[SmallDisk]:
    """A small disk that is the scene's target, mounted in a namespace of its own; this needs no privileges on most
    systems."""
    directory = tmp_path / "disk"
    directory.mkdir()
    if shutil.which("unshare") is None or shutil.which("nsenter") is None:
        pytest.skip("unshare and nsenter are missing; on Debian: apt-get install util-linux")
    with subprocess.Popen([*_NAMESPACES, "sh", "-c", _MOUNT, str(directory)], stdout=subprocess.PIPE) as keeper:
        try:
            assert keeper.stdout is not None
            if keeper.stdout.readline() != b"mounted\n":
                pytest.skip("this system lets nobody mount in a namespace of their own (a container without user ones)")
            made = SmallDisk(keeper, directory)
            scene.target = directory / "target"
            scene.view = made.view / "target"
            yield made
            scene.programs.close()
        finally:
            keeper.kill()


def start_drain(scene: Scene, disk: SmallDisk, *more: str) -> Program:
    arguments = scene.drain_options(*more, until_empty=False)
    return scene.programs.start("run", "drain_to_hdfs", *arguments, prefix=disk.prefix)


def drain_all(scene: Scene, disk: SmallDisk) -> None:
    drain = start_drain(scene, disk)
    until(lambda: not scene.left, "the queue empty")
    drain.send(signal.SIGINT)
    drain.ends_well()


def test_a_disk_that_stays_full_is_one_line_that_says_what_to_do_and_nothing_is_lost(
    scene: Scene, disk: SmallDisk
) -> None:
    scene.fill(LINES)
    # Enough for the log's directories and for a part of the events.
    disk.fill(leave=40_000)

    drain = start_drain(scene, disk, "--patience_seconds=0.5")

    assert drain.wait() == 1
    assert drain.out == ""
    [line] = drain.err.splitlines()
    assert line.startswith("flumebeam drain_to_hdfs: ")
    assert f"{scene.target}/" in line
    assert "no space" in line.lower()
    assert "free" in line.lower()
    disk.free()
    drain_all(scene, disk)
    scene.holds_exactly(LINES)


def test_a_disk_that_is_full_for_a_while_is_waited_for(scene: Scene, disk: SmallDisk) -> None:
    drain = start_drain(scene, disk)
    scene.fill(LINES[:100])
    until(lambda: not scene.left, "the first hundred drained")
    disk.fill()
    scene.fill(LINES[100:])
    [parts] = scene.view.glob(".flumebeam.logs/*/_parts/*")
    before = parts.stat().st_mtime_ns
    until(lambda: parts.stat().st_mtime_ns != before, "an attempt to write a part")

    disk.free()

    until(lambda: not scene.left, "the queue empty")
    drain.send(signal.SIGINT)
    drain.ends_well()
    scene.holds_exactly(LINES)


def test_a_disk_that_turns_read_only_is_one_line_and_the_same_command_goes_on_when_it_is_not(
    scene: Scene, disk: SmallDisk
) -> None:
    drain = start_drain(scene, disk)
    scene.fill(LINES[:100])
    until(lambda: not scene.left, "the first hundred drained")
    disk.remount("ro")
    scene.fill(LINES[100:])

    assert drain.wait() == 1
    [line] = drain.err.splitlines()
    assert line.startswith("flumebeam drain_to_hdfs: ")
    assert "read-only" in line.lower()
    assert scene.left == len(LINES) - 100
    disk.remount("rw")
    drain_all(scene, disk)
    scene.holds_exactly(LINES)
