"""Cut connections: every event is moved exactly once, in order, whatever the client knows of its transactions."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.broker import soak
from tests.faults.broker.cuts import CutSums, cut_scene


def test_events_are_moved_exactly_once_while_connections_are_cut_anywhere() -> None:
    sums = cut_scene(cuts=60, events=5_000, seed="cuts")

    assert sums.clean, sums
    assert sums.cuts >= 60
    assert sums.committed
    assert sums.unknown_undone


def test_soak_is_resumed_and_summed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(
        soak.SOAKS, "cuts", soak.Soak(3, lambda seed: CutSums(cuts=2, lost=seed.endswith("/2")), CutSums)
    )
    ledger = str(tmp_path / "ledger.json")

    assert soak.main(["cuts", "--ledger", ledger, "--slices", "2"]) == 0
    assert "clean: 2 of 3 slices, 4 cuts" in capsys.readouterr().out
    assert soak.main(["cuts", "--ledger", ledger]) == 2
    assert soak.main(["cuts", "--ledger", ledger, "--resume"]) == 1
    told = capsys.readouterr().out
    assert "slice cuts/1/2: 2 cuts" in told
    assert "NOT CLEAN: 3 of 3 slices, 6 cuts" in told
