"""The container of the page: its file, with an engine that is played where there is none."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

import pytest

from tests.faults.pipelines.scene import Scene
from tests.runners.faults import BODIES, PATIENCE, on, own_server
from tests.runners.kinds import Runner

_PAGE = Path(__file__).parents[2] / "docs" / "clusters.md"
# Of an engine: what Beam asks it for. A container is a process, and its name the process's id in 64 digits.
_ENGINE = """\
#!{python}
import os, signal, subprocess, sys
with open("{log}", "a") as log:
    log.write(" ".join(sys.argv[1:]) + "\\n")
command, *rest = sys.argv[1:]
if command == "run":
    arguments = rest[rest.index("flumebeam:test") + 1:]
    with open("{log}.worker", "ab") as said:
        worker = subprocess.Popen([{entrypoint!r}, *arguments], stdout=said, stderr=said, start_new_session=True)
    print(f"{{worker.pid:064d}}")
elif command == "inspect":
    print("true" if os.path.exists(f"/proc/{{int(rest[-1])}}") else "false")
elif command == "kill":
    os.kill(int(rest[-1]), signal.SIGTERM)
"""


@pytest.mark.row(
    "workers in containers (DOCKER), the engine played by a program",
    dict.fromkeys(("FnApiRunner", "Prism", "Spark local", "Flink cluster", "Spark cluster"), "see Flink [local]"),
)
@on("Flink [local]")
def test_the_entry_point_of_the_container_is_a_worker(scene: Scene, runner: Runner, tmp_path: Path) -> None:
    file = re.search(r"```dockerfile\n(.*?)```", _PAGE.read_text(encoding="utf-8"), re.S)
    assert file is not None
    [entrypoint] = json.loads(file[1].partition("ENTRYPOINT ")[2])
    engine, log = tmp_path / "engine" / "docker", tmp_path / "engine.log"
    engine.parent.mkdir()
    program = Path(sys.executable).with_name(entrypoint)
    engine.write_text(_ENGINE.format(python=sys.executable, log=log, entrypoint=str(program)))
    engine.chmod(0o755)
    scene.fill(BODIES)
    in_containers = ["--environment_type=DOCKER", "--environment_config=flumebeam:test"]
    options = [*scene.drain_options(*in_containers), *own_server(runner)]
    path = {"PATH": f"{engine.parent}:{os.environ['PATH']}"}

    scene.programs.start("run", "drain_to_hdfs", *options, environment=path).ends_well(PATIENCE)

    scene.holds_exactly(BODIES)
    assert "run" in log.read_text()
