"""A slice of the torture that ``make torture`` runs in full."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.torture.__main__ import main
from tests.torture.sums import Sums


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_slice_of_torture_loses_and_repeats_nothing_and_is_summed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger = tmp_path / "ledger.json"
    options = ["local", "--kills=20", "--slices=1", f"--ledger={ledger}"]

    assert main(options) == 0
    assert main(options) == 2
    assert main([*options, "--resume", "--seconds=150"]) == 0

    done = json.loads(ledger.read_text())
    assert set(done) == {"local/1/0", "local/1/1"}
    # Every second slice watches partitions.
    assert [done[name]["partitions"] > 0 for name in sorted(done)] == [False, True]
    assert capsys.readouterr().out.splitlines()[-1].startswith("clean: 2 of 20 slices")


def test_what_is_lost_repeated_invented_left_told_too_early_or_not_told_is_not_clean() -> None:
    assert Sums(events=3, freezes=1).clean
    for fault in ("lost", "repeated", "invented", "left_over", "premature", "untold"):
        assert not Sums(**{fault: 1}).clean
