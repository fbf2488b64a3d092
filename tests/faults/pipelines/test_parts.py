"""Parts of a launcher do not outlive it."""

from __future__ import annotations

import subprocess
import sys

from flumebeam.testing import running_broker
from tests.programs import until

LAUNCHER = """
import sys, time
from flumebeam.pipelines.processes import Part, PartProcess
part = PartProcess(Part("flumebeam.pipelines", ["speed_layer", "--queue=q", "--quiet", "--solace_host=" + sys.argv[1]]))
part.wait(600)
"""


def test_parts_die_with_a_launcher_that_is_killed() -> None:
    with running_broker() as broker:
        broker.create_queue("q")
        with subprocess.Popen([sys.executable, "-c", LAUNCHER, broker.url]) as launcher:
            until(lambda: broker.queue("q").consumers == 1, "the part has bound")
            launcher.kill()

        until(lambda: broker.queue("q").consumers == 0, "the part is gone")
