"""From laptop to cluster: the commands of the page, as printed but for ports and the number of lines."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from flumebeam.daemons import free_ports
from flumebeam.testing.requirements import require
from tests.programs import until

_PAGE = Path(__file__).parents[2] / "docs" / "clusters.md"
_LINES = 2_000
_PATIENCE = 400.0


class Terminals:
    """Runs blocks of commands; those that run on get a terminal of their own."""

    def __init__(self, directory: Path) -> None:
        self._ports = dict(zip(("55555", "8081", "7077"), free_ports(3), strict=True))
        self._directory = directory
        self._environment = {
            **os.environ,
            "PATH": f"{directory}/bin:{os.environ['PATH']}",
            "XDG_STATE_HOME": str(directory / "state"),
            "SOLACE_HOST": f"tcp://127.0.0.1:{self._ports['55555']}",
        }
        command = directory / "bin" / "flumebeam"
        command.parent.mkdir()
        command.write_text(f'#!/bin/sh\nexec {sys.executable} -m flumebeam "$@"\n')
        command.chmod(0o755)
        self._running: list[subprocess.Popen[bytes]] = []

    def moved(self, block: str) -> str:
        for printed, free in self._ports.items():
            block = re.sub(rf"\b{printed}\b", str(free), block)
        for command, printed in (("broker --no-semp", "55555"), ("cluster flink", "8081"), ("cluster spark", "7077")):
            plain = f"flumebeam {command.partition(' --')[0]}"
            block = re.sub(rf"^{plain}", f"flumebeam {command} --port {self._ports[printed]}", block)
        return block.replace("100000", str(_LINES))

    def run(self, block: str) -> str:
        done = subprocess.run(
            ["bash", "-ec", self.moved(block)],
            cwd=self._directory,
            env=self._environment,
            capture_output=True,
            timeout=_PATIENCE,
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode()

    def open(self, block: str, port: str | None = None) -> subprocess.Popen[bytes]:
        command = ["bash", "-ec", f"exec {self.moved(block)}"]
        process = subprocess.Popen(command, cwd=self._directory, env=self._environment, process_group=0)
        self._running.append(process)
        if port is not None:
            until(lambda: self._answers(self._ports[port]), f"port {port} answers", _PATIENCE)
        return process

    def close(self) -> None:
        for process in reversed(self._running):
            process.send_signal(signal.SIGINT)
        for process in self._running:
            process.wait(60)

    @staticmethod
    def _answers(port: int) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def terminals(tmp_path: Path) -> Iterator[Terminals]:
    require("java")
    made = Terminals(tmp_path)
    yield made
    made.close()


def lines(directory: Path) -> int:
    """Count what is written, also what waits in hidden parts until its file is rolled."""
    count = 0
    for place, _, names in os.walk(directory):
        for path in (Path(place, name) for name in names):
            if "_parts" in path.parts or path.name.startswith("FlumeData"):
                with contextlib.suppress(FileNotFoundError):  # the drain at work moved it since
                    count += path.read_bytes().count(b"\n")
    return count


@pytest.mark.cluster
def test_the_way_from_laptop_to_cluster_is_as_it_is_printed(terminals: Terminals, tmp_path: Path) -> None:
    section = _PAGE.read_text(encoding="utf-8").partition("## From laptop to cluster")[2].partition("\n## ")[0]
    blocks = re.findall(r"^```sh\n(.*?)^```", section, re.M | re.S)
    broker, fill, in_process, flink, on_flink, stop, spark, on_spark = blocks

    terminals.open(broker, "55555")
    terminals.run(fill)
    assert terminals.run(in_process).split()[-1] == str(_LINES)

    cluster = terminals.open(flink, "8081")
    job = terminals.run(on_flink).strip()
    assert re.fullmatch(r"[0-9a-f]{32}", job)
    until(lambda: lines(tmp_path / "from-flink") == _LINES, "all on Flink", _PATIENCE)
    assert terminals.run(stop).split()[-1] == str(_LINES)
    cluster.send_signal(signal.SIGINT)
    assert cluster.wait(60) == 0

    terminals.open(spark, "7077")
    assert terminals.run(on_spark).split()[-1] == str(_LINES)
