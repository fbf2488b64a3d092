"""A slice of ``make soak-beam``."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.pipelines.soak import Result, soak


@pytest.mark.slow
def test_ingest_and_drain_are_exact_while_all_connections_are_cut_again_and_again(tmp_path: Path) -> None:
    result = soak(tmp_path, events=10_000, seed="slice", cut_seconds=(0.5, 1.5))

    assert result.exact, result
    assert result.cuts > 1, result


def test_the_verdict_counts_what_is_lost_repeated_left_or_grown() -> None:
    fine = Result(events=3, once=3, memory={"ingest": [100 << 20, 105 << 20], "drain": [100 << 20, 100 << 20]})

    assert fine.exact
    assert fine.flat
    assert not Result(events=3, once=2).exact
    assert not Result(events=3, once=3, repeated=1).exact
    assert not Result(events=3, once=3, left=1).exact
    assert not Result(events=3, memory={"drain": [100 << 20, 100 << 20, 130 << 20, 130 << 20]}).flat
