from __future__ import annotations

import re

import pytest

from tests.failures import BROKER_CASES, CASES, PAGE, TESTS, count_events, marked_tests

MARKED = marked_tests()


def test_every_failure_case_has_tests_and_every_test_names_a_case() -> None:
    assert set(MARKED) == set(CASES)


@pytest.mark.parametrize("case", BROKER_CASES)
def test_every_case_of_the_broker_has_a_test_that_counts_its_events(case: str) -> None:
    sources = [(TESTS / name.partition("::")[0]).read_text(encoding="utf-8") for name in MARKED[case]]
    tests = [name.partition("::")[2] for name in MARKED[case]]

    bodies = [
        source.partition(f"def {test}(")[2].partition("\n@pytest")[0]
        for source, test in zip(sources, tests, strict=True)
    ]
    assert any(" counted(" in body for body in bodies)


def test_the_page_has_every_case_with_its_tests() -> None:
    rows = [line.split(" | ") for line in PAGE.read_text(encoding="utf-8").splitlines() if line.endswith("` |")]

    assert {row[0].removeprefix("| "): re.findall(r"`([\w/]+\.py::\w+)`", row[-1]) for row in rows} == {
        case: sorted(MARKED[case]) for case in CASES
    }


def test_events_are_counted_by_what_they_are() -> None:
    sent = [b"1", b"2", b"3", b"4", b"5"]

    events = count_events(sent, [b"1", b"2", b"1", b"1"], refused=[b"3", b"3"], kept=1, lost=1)

    assert (events.sent, events.acknowledged, events.delivered, events.refused) == (5, 4, 2, 1)
    assert (events.lost, events.repeated) == (1, 2)
    assert (events + events).sent == 10


@pytest.mark.parametrize(
    ("sent", "found", "said"),
    [
        ([1, 2], [1], "1 events are not there"),
        ([1], [1, 2], "nobody has sent"),
        ([1, 1], [1], "alike"),
    ],
)
def test_what_is_lost_invented_or_alike_fails(sent: list[int], found: list[int], said: str) -> None:
    with pytest.raises(AssertionError, match=said):
        count_events(sent, found)
