"""``kill -9`` of a broker that keeps its data: what was acknowledged is there, nothing else is."""

from __future__ import annotations

from pathlib import Path

from tests.faults.broker.scene import killed_scene


def test_killed_broker_keeps_what_it_acknowledged_and_shows_nothing_uncommitted(tmp_path: Path) -> None:
    sums = killed_scene(tmp_path, kills=10, seed="kills")

    assert (sums.lost, sums.repeated, sums.uncommitted) == (0, 0, 0)
    assert sums.acknowledged
    assert sums.committed
    assert sums.transformed
