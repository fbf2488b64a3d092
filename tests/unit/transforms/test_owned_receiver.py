"""What the source makes of repeated messages; a flow is stood in for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pyarrow as pa

from flumebeam.batch import EventBatch
from flumebeam.transforms.owned_receiver import OwnedReceiver
from flumebeam.transforms.repeats import RepeatWindow
from tests.unit.transforms.test_repeats import received


class StubFlow:
    """Hands out batches that were prepared."""

    receiver_id = "r"
    unacknowledged = 0

    def __init__(self, *batches: EventBatch) -> None:
        self._batches = list(batches)
        self.acknowledged: list[bytes] = []

    def receive(self, _max_events: int, _timeout: float) -> EventBatch:
        return self._batches.pop(0) if self._batches else EventBatch.empty()

    def acknowledge(self, ids: pa.FixedSizeBinaryArray) -> None:
        self.acknowledged += ids.to_pylist()

    def give_back(self) -> int:
        return 0

    def close(self) -> bool:
        return True


class StubConnection:
    away = False

    def close(self) -> bool:
        return True


def owned(flow: StubFlow, window: RepeatWindow | None) -> Any:
    return OwnedReceiver(flow, StubConnection(), window)  # type: ignore[arg-type]


def fenced(batch: EventBatch) -> EventBatch:
    assert batch.provenance is not None
    return replace(batch, provenance=replace(batch.provenance, fence=True))


def test_a_batch_of_repeats_is_no_silence_and_its_fence_is_kept_for_the_next_one() -> None:
    flow = StubFlow(received((1, "a")), fenced(received((2, "a"))), received((3, "b")), received((4, "c")))
    receiver = owned(flow, RepeatWindow(10))

    fences, silences = [], []
    for _ in range(4):
        batch = receiver.receive(10, 0)
        fences.append(batch.provenance.fence if len(batch) else None)
        silences.append(not len(batch) and not receiver.interrupted)

    assert fences == [False, None, True, False]
    assert silences == [False] * 4
    assert not len(receiver.receive(10, 0))
    assert not receiver.interrupted


def test_a_receiver_that_ends_forgets_what_was_not_acknowledged() -> None:
    window = RepeatWindow(10)
    first = owned(StubFlow(received((1, "a"), (2, "b"))), window)
    batch = first.receive(10, 0)
    first.acknowledge(batch.provenance.ids.slice(0, 1))
    first.close()

    second = owned(StubFlow(received((3, "a"), (4, "b"))), window)

    assert second.receive(10, 0).bodies.to_pylist() == [b"4"]
