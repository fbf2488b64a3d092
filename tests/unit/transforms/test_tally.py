from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flumebeam.batch import EventBatch
from flumebeam.transforms.tally import Tally, tally_batch

NOW_MS = 1_700_000_000_500


def tally(batch: EventBatch, now_ms: int = NOW_MS) -> Tally:
    return tally_batch(batch, now_ms=now_ms, source_header="file", time_header="sent")


def test_a_batch_is_counted_by_second_severity_and_source() -> None:
    batch = EventBatch.from_bodies(
        [b""] * 4,
        columns={"severity": ["info", None, "error", "info"], "file": ["a", "b", "a", None]},
    )

    assert tally(batch) == Tally(1_700_000_000, 4, {"info": 2, "error": 1}, {"a": 2, "b": 1})


def test_shared_headers_count_for_all_events() -> None:
    batch = EventBatch.from_bodies([b""] * 3, {"severity": "warn", "file": "a", "sent": str(NOW_MS - 10)})

    counted = tally(batch)

    assert (counted.severities, counted.sources) == ({"warn": 3}, {"a": 3})
    assert sum(counted.latencies.values()) == 3


def test_headers_that_no_event_has_count_nothing() -> None:
    assert tally(EventBatch.from_bodies([b"a"])) == Tally(1_700_000_000, 1)


@pytest.mark.parametrize(
    ("late_ms", "lowest", "highest"), [(0, 0, 0), (1, 0.9, 1.1), (100, 98, 102), (60_000, 59_000, 61_000)]
)
def test_latency_is_within_one_percent(late_ms: int, lowest: float, highest: float) -> None:
    latency = tally(EventBatch.from_bodies([b""], columns={"sent": [str(NOW_MS - late_ms)]})).latency_ms(0.5)

    assert latency is not None
    assert lowest <= latency <= highest


def test_percentiles_are_those_of_the_events_that_say_when_they_were_sent() -> None:
    sent = [str(NOW_MS - 10)] * 97 + [None] * 50 + [str(NOW_MS - 1000)] * 3
    counted = tally(EventBatch.from_bodies([b""] * 150, columns={"sent": sent}))

    assert counted.latency_ms(0.5) == pytest.approx(10, rel=0.02)
    assert counted.latency_ms(0.97) == pytest.approx(10, rel=0.02)
    assert counted.latency_ms(0.99) == pytest.approx(1000, rel=0.02)


def test_a_clock_that_is_ahead_gives_no_negative_latency() -> None:
    assert tally(EventBatch.from_bodies([b""], {"sent": str(NOW_MS + 5000)})).latency_ms(0.5) == 0


def test_nothing_known_is_no_latency() -> None:
    assert tally(EventBatch.from_bodies([b""])).latency_ms(0.5) is None


@given(st.lists(st.sampled_from([b"x"]), min_size=1, max_size=20), st.data())
def test_tallies_of_parts_add_up_to_the_tally_of_the_whole(bodies: list[bytes], data: st.DataObject) -> None:
    count = len(bodies)
    columns = {
        "severity": data.draw(st.lists(st.sampled_from(["info", "warn", None]), min_size=count, max_size=count)),
        "file": data.draw(st.lists(st.sampled_from(["a", "b"]), min_size=count, max_size=count)),
        "sent": data.draw(st.lists(st.sampled_from([str(NOW_MS - 7), None]), min_size=count, max_size=count)),
    }
    whole = EventBatch.from_bodies(bodies, columns=columns)
    cut = data.draw(st.integers(0, count))

    assert tally(whole.slice(0, cut)) + tally(whole.slice(cut)) == tally(whole)


def test_sources_beyond_a_thousand_are_counted_together() -> None:
    batch = EventBatch.from_bodies([b""] * 3000, columns={"file": [f"f{n % 1500}" for n in range(3000)]})

    counted = tally(batch) + tally(batch)

    assert len(counted.sources) <= 1001
    assert sum(counted.sources.values()) == 6000


def test_a_line_of_json_says_everything() -> None:
    counted = Tally(1_700_000_000, 7, {"warn": 2, "info": 5}, {"b": 3, "a": 3, "c": 1}, {0: 7})

    assert json.loads(counted.to_json(total=99)) == {
        "time": "2023-11-14T22:13:20Z",
        "events": 7,
        "total": 99,
        "severity": {"info": 5, "warn": 2},
        "top": [["a", 3], ["b", 3], ["c", 1]],
        "latency_ms": {"p50": 0.0, "p99": 0.0},
    }
