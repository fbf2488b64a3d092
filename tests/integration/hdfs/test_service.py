"""``flumebeam hdfs`` as users start it."""

from __future__ import annotations

import os
import re
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from flumebeam.hdfs.cluster import LocalHdfs
from flumebeam.hdfs.service import HdfsService
from flumebeam.hdfs.targets import open_target
from tests.programs import Program, Programs, until


class Command:
    """The command over a data directory of its own."""

    def __init__(self, programs: Programs, data: Path) -> None:
        self.data = data
        self._programs = programs

    def __call__(self, *arguments: str) -> Program:
        return self._programs.start("hdfs", *arguments, f"--data={self.data}")

    def start(self) -> str:
        """Start HDFS and return the target it names."""
        program = self("start", "--port=0", "--rpc-port=0")
        program.ends_well(100)
        found = re.search(r"Target: (webhdfs://127.0.0.1:\d+/logs)", program.out)
        assert found is not None, program.out
        return found[1]


@pytest.fixture
def hdfs(tmp_path: Path) -> Iterator[Command]:
    programs = Programs(tmp_path, {})
    yield Command(programs, tmp_path / "data")
    programs.close()
    HdfsService(tmp_path / "data").stop()


@pytest.mark.slow
@pytest.mark.hdfs
@pytest.mark.usefixtures("hdfs_cluster")
def test_files_are_kept_from_stop_to_start_and_a_second_start_is_refused(hdfs: Command) -> None:
    target = open_target(hdfs.start())
    target.filesystem.write("/logs/a", [b"kept"])
    target.filesystem.close()

    again = hdfs("start", "--port=0", "--rpc-port=0")
    assert again.wait() == 2
    assert re.fullmatch(
        r"Starting.*\nflumebeam: This HDFS runs already, at webhdfs://.*; end it with: flumebeam hdfs stop.\n",
        again.err,
    )
    status = hdfs("status")
    status.ends_well()
    assert "NameNode: process" in status.out

    hdfs("stop").ends_well()
    ended = hdfs("status")
    assert ended.wait() == 1
    assert ended.out == "HDFS does not run; start it with: flumebeam hdfs start.\n"

    target = open_target(hdfs.start())
    assert target.filesystem.read("/logs/a") == b"kept"
    target.filesystem.close()
    running = HdfsService(hdfs.data).status()
    assert running is not None

    os.kill(running.daemons[1].pid, signal.SIGKILL)
    until(lambda: running.ended, "the DataNode ended")
    broken = hdfs("status")
    assert broken.wait() == 1
    assert "The DataNode ended; its log is" in broken.out
    hdfs.start()


def test_stopping_what_does_not_run_is_no_error(hdfs: Command) -> None:
    stopped = hdfs("stop")

    stopped.ends_well()
    assert stopped.out == "HDFS did not run.\n"


def test_a_port_in_use_is_told_with_the_option_to_change(hdfs: Command, hdfs_cluster: LocalHdfs) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]

        refused = hdfs("start", f"--port={taken}", "--rpc-port=0")

        assert refused.wait() == 2
    assert f"Port {taken} cannot be used (Address already in use); choose another: --port 0" in refused.err


def test_another_process_that_got_the_same_id_is_not_ended(tmp_path: Path) -> None:
    service = HdfsService(tmp_path)
    tmp_path.joinpath("running.json").write_text(
        '{"webhdfs_url": "http://127.0.0.1:1", "hdfs_url": "hdfs://127.0.0.1:2", "configuration": "",'
        f' "daemons": [{{"name": "NameNode", "pid": {os.getpid()}, "began": 1, "log": "x"}}]}}'
    )

    assert service.stop() is False
    assert service.status() is None
