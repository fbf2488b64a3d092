from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from flumebeam import daemons
from flumebeam.daemons import Daemon, free_ports
from tests.programs import until

_PARENT = """\
import os, signal, sys
from pathlib import Path
from flumebeam.daemons import Daemon
daemon = Daemon("sleeper", ["sleep", "600"], Path(sys.argv[1]), ends_with_us=sys.argv[2] == "True")
daemon.start()
print(daemon.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    made = Daemon("talker", ["sh", "-c", "echo ready $WORD; exec sleep 600"], tmp_path / "log", {"WORD": "now"})
    yield made
    made.kill()


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def orphan_of_a_killed_parent(tmp_path: Path, *, ends_with_us: bool) -> int:
    arguments = [sys.executable, "-c", _PARENT, str(tmp_path / "log"), str(ends_with_us)]
    return int(subprocess.run(arguments, stdout=subprocess.PIPE, check=False).stdout)


def test_it_is_waited_for_by_its_words_and_ended(daemon: Daemon) -> None:
    daemon.start()
    assert daemon.says("ready now", 30)

    daemon.stop()

    assert not daemon.is_running


def test_words_of_an_earlier_life_do_not_count(daemon: Daemon) -> None:
    daemon.log.write_text("ready before\n")
    daemon.start()

    assert daemon.says("ready now", 30)
    assert "before" not in daemon.last_words()


def test_one_that_ends_without_the_words_is_not_waited_for(tmp_path: Path) -> None:
    failing = Daemon("failing", ["sh", "-c", "echo no port"], tmp_path / "log")
    failing.start()

    assert not failing.says("ready", 30)
    assert failing.last_words() == "no port"


def test_a_frozen_one_is_stopped_all_the_same(daemon: Daemon) -> None:
    daemon.start()
    daemon.freeze()

    daemon.stop()

    assert not daemon.is_running


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a program that its parent has died")
def test_it_dies_with_a_parent_that_was_killed(tmp_path: Path) -> None:
    pid = orphan_of_a_killed_parent(tmp_path, ends_with_us=True)

    until(lambda: not alive(pid), "the program has ended")


def test_one_that_may_stay_stays(tmp_path: Path) -> None:
    pid = orphan_of_a_killed_parent(tmp_path, ends_with_us=False)

    assert alive(pid)
    os.kill(pid, signal.SIGKILL)


def test_ports_differ_also_from_those_of_an_earlier_call() -> None:
    assert len({*free_ports(20), *free_ports(20)}) == 40


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell which ports they give away")
def test_nobody_is_given_a_port_before_its_user_comes_or_comes_back() -> None:
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])

    assert all(port < lowest for port in free_ports(20))


def test_a_port_in_use_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ports = iter((taken.getsockname()[1], 0))
        monkeypatch.setattr(daemons, "_next_port", lambda: next(ports))

        assert free_ports(1) != [taken.getsockname()[1]]
