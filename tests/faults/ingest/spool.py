"""The spool directory that every ingest here reads, and a run that nobody disturbs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from flumebeam.broker import DevelopmentBroker
from flumebeam.pipelines.ingest import main

LINES = 1_500


def run_to_the_end(broker: DevelopmentBroker, spool: Path, arguments: Sequence[str]) -> None:
    assert main([*arguments, f"--solace_host={broker.url}"]) == 0
    assert [path.name for path in spool.glob("*.log*")] == ["1.log.COMPLETED"]
