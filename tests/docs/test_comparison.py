from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
PAGE = TESTS.parent / "docs" / "comparison.md"


def test_every_test_that_the_comparison_names_is_there() -> None:
    named = re.findall(r"`([\w/]+\.py)`", PAGE.read_text(encoding="utf-8"))

    assert named
    assert [name for name in named if not (TESTS / name).is_file()] == []


def test_every_row_of_the_comparison_says_yes_with_a_test_or_no_with_a_reason() -> None:
    rows = [line.split("|")[1:-1] for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]

    assert len(rows) > 40
    for feature, here, proof in rows:
        assert here.strip(), feature
        assert proof.strip(), feature
        assert here.strip() != "no" or ".py`" not in proof, feature


def test_what_connectors_and_brokers_have_is_answered_by_yes_or_no() -> None:
    pages = PAGE.read_text(encoding="utf-8").split("## Beam connectors")[1]
    rows = [line.split("|")[1:-1] for line in pages.splitlines() if line.startswith("| ")]

    assert [feature for feature, here, _ in rows if not re.match(r" (yes|no)\b", here) and here != " here "] == []
