from __future__ import annotations

import pytest

from flumebeam.transforms.restriction import Position, Provider, Share, Tracker, make_shares


def test_a_runner_cannot_split_a_read() -> None:
    tracker = Tracker(Position(), bounded=False)
    tracker.try_claim(Position(events=5, started_ms=1))

    assert tracker.try_split(0.5) is None
    assert tracker.try_split(0) is None


def test_a_resting_reader_gives_its_rest_back_with_what_it_has_counted() -> None:
    tracker = Tracker(Position(), bounded=True)
    tracker.try_claim(Position(events=5, started_ms=1, last_event_ms=2, resting=True))

    split = tracker.try_split(0)

    assert split is not None
    assert split[1] == Position(events=5, started_ms=1, last_event_ms=2)
    assert tracker.check_done()


@pytest.mark.parametrize(("now_ms", "started_ms", "last_event_ms"), [(9, 5, 8), (7, 5, 7), (3, 3, 3)])
def test_no_time_of_a_read_is_in_the_future_of_a_clock_that_was_set_back(
    now_ms: int, started_ms: int, last_event_ms: int
) -> None:
    position = Position(events=1, started_ms=5, last_event_ms=8)

    assert position.not_after(now_ms) == Position(events=1, started_ms=started_ms, last_event_ms=last_event_ms)


def test_a_reader_that_returns_without_finishing_is_found_out() -> None:
    tracker = Tracker(Position(), bounded=True)
    tracker.try_claim(Position(events=5))

    with pytest.raises(ValueError, match="neither finished nor deferred"):
        tracker.check_done()


@pytest.mark.parametrize("bounded", [False, True])
def test_trackers_are_as_bounded_as_their_source(bounded: bool) -> None:
    provider = Provider(bounded)

    assert provider.create_tracker(provider.initial_restriction(Share((0,), None))).is_bounded() is bounded


def test_a_drained_read_ends_at_once_because_the_source_keeps_the_rest() -> None:
    assert Provider(bounded=False).truncate(Share((0,), None), Position()) is None


def test_flows_are_one_share_where_one_worker_reads_them() -> None:
    assert make_shares(3, 100, together=True) == [Share((0, 1, 2), 100)]


def test_distributed_flows_share_the_events_between_them() -> None:
    assert make_shares(3, 100, together=False) == [Share((0,), 34), Share((1,), 33), Share((2,), 33)]


def test_a_flow_without_a_share_of_the_events_is_not_bound() -> None:
    assert make_shares(3, 2, together=False) == [Share((0,), 1), Share((1,), 1)]
