from __future__ import annotations

import pytest

from flumebeam.batch import EventBatch
from flumebeam.transforms.bundle_load import MAX_LOADS, BundleLoad
from flumebeam.transforms.read_options import BundleLimits


def of(nbytes: int, events: int = 1) -> EventBatch:
    return EventBatch.from_bodies([b"x" * (nbytes // events)] * events)


def test_a_load_is_full_at_its_events() -> None:
    load = BundleLoad(BundleLimits(events=5))
    load.add(of(3, events=3))
    assert (load.room, load.full) == (2, False)
    load.add(of(2, events=2))
    assert (load.room, load.full) == (0, True)


def test_a_load_is_full_at_its_bytes() -> None:
    load = BundleLoad(BundleLimits(nbytes=of(40).nbytes + 1))
    load.add(of(40))
    assert not load.full
    load.add(of(40))
    assert load.full


def test_what_has_become_durable_makes_room() -> None:
    load = BundleLoad(BundleLimits(events=5))
    load.add(of(5, events=5))
    load.lighten()
    assert (load.room, load.full) == (5, False)


@pytest.mark.parametrize("nbytes", [64, 1_000])
def test_a_bundle_ends_at_some_bytes_in_all_however_fast_its_sink_is(nbytes: int) -> None:
    batch = of(nbytes)
    load = BundleLoad(BundleLimits(nbytes=batch.nbytes))
    for _ in range(MAX_LOADS - 1):
        load.add(batch)
        load.lighten()
        assert not load.full
    load.add(batch)
    load.lighten()
    assert load.full
