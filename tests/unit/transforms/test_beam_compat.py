from __future__ import annotations

import apache_beam as beam
from apache_beam.runners.portability.fn_api_runner import fn_runner

from flumebeam.testing.memory_queue import MemoryQueue, MemoryReceiverFactory
from flumebeam.transforms.acknowledge import AcknowledgeBatches
from flumebeam.transforms.beam_compat import keep_metrics_flat
from flumebeam.transforms.read_options import BundleLimits, ReadLimits
from flumebeam.transforms.receiver_read import ReadFromReceivers


def test_metrics_can_be_read_after_more_bundles_than_python_can_recurse(queue: MemoryQueue) -> None:
    bundles = 600  # without the remedy 400 are too many for the recursion limit of 1,000
    queue.put([b"x"] * bundles)
    pipeline = beam.Pipeline(runner="FnApiRunner")
    _ = (
        pipeline
        | ReadFromReceivers(
            MemoryReceiverFactory(queue.name), limits=ReadLimits(max_events=bundles), bundle=BundleLimits(events=1)
        )
        | AcknowledgeBatches()
    )

    counters = pipeline.run().metrics().query()["counters"]

    assert {found.key.metric.name: found.committed for found in counters} == {
        "events_received": bundles,
        "events_acknowledged": bundles,
    }


def test_what_a_stage_has_measured_is_evaluated_at_once_and_only_once() -> None:
    assert keep_metrics_flat()
    installed = fn_runner.consolidate_monitoring_infos

    assert keep_metrics_flat()
    assert fn_runner.consolidate_monitoring_infos is installed
    assert installed(iter(())) == []
