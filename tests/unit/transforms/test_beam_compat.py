from __future__ import annotations

import gc
import threading
import time
from collections.abc import Iterator
from types import GeneratorType
from typing import Any

import apache_beam as beam
import grpc
import pytest
from apache_beam.metrics import monitoring_infos
from apache_beam.metrics.cells import BoundedTrieData, GaugeData, StringSetData
from apache_beam.metrics.metric import Lineage
from apache_beam.portability.api import metrics_pb2
from apache_beam.runners.portability.fn_api_runner import fn_runner
from apache_beam.runners.worker import data_plane, statesampler
from apache_beam.runners.worker.sdk_worker import BundleProcessorCache, SdkWorker
from apache_beam.utils.counters import CounterFactory

from flumebeam.batch import EventBatch
from flumebeam.testing.memory_queue import MemoryQueue, MemoryReceiverFactory
from flumebeam.transforms import beam_compat
from flumebeam.transforms.acknowledge import AcknowledgeBatches
from flumebeam.transforms.beam_compat import (
    bundle_shall_end,
    end_bundles_before_teardown,
    end_bundles_promptly,
    join_readers,
    keep_metrics_flat,
    tear_down_always,
)
from flumebeam.transforms.read_options import BundleLimits, ReadLimits
from flumebeam.transforms.receiver_read import ReadFromReceivers
from tests.waiting import eventually

BUNDLES = 50
PENDING: list[int] = []
KEPT: list[int] = []


def pending() -> int:
    """Return how many steps of the runner's metrics wait for their evaluation, in this process."""
    found = [thing for thing in gc.get_objects() if isinstance(thing, GeneratorType)]
    return sum(generator.__name__ == "consolidate" for generator in found)


def lineages() -> int:
    """Return how often what was read is noted, in this process."""
    found = [thing for thing in gc.get_objects() if isinstance(thing, metrics_pb2.MonitoringInfo)]
    return sum(monitoring_infos.is_bounded_trie(info) for info in found)


class CountPendingMetrics(beam.DoFn):
    """Notes how many steps of the runner's metrics wait for their evaluation, and how many notes of lineage."""

    def process(self, batch: EventBatch) -> Iterator[EventBatch]:
        Lineage.sources().add("solace", "queue")
        if batch.bodies[0].as_py() == b"%d" % (BUNDLES - 1):
            KEPT.append(lineages())
        if batch.bodies[0].as_py() == b"%d" % (BUNDLES - 1):
            PENDING.append(pending())
        yield batch


def test_nothing_of_the_metrics_of_past_bundles_waits_in_memory(queue: MemoryQueue) -> None:
    PENDING.clear()
    KEPT.clear()
    gc.collect()
    lineages_before = lineages()
    before = pending()  # of other pipelines of this process
    queue.put(b"%d" % number for number in range(BUNDLES))
    pipeline = beam.Pipeline(runner="FnApiRunner")
    _ = (
        pipeline
        | ReadFromReceivers(
            MemoryReceiverFactory(queue.name),
            limits=ReadLimits(max_events=BUNDLES),
            bundle=BundleLimits(events=1, nbytes=1),
        )
        | beam.ParDo(CountPendingMetrics())
        | AcknowledgeBatches()
    )

    counters = pipeline.run().metrics().query()["counters"]

    assert PENDING == [before]
    assert KEPT[0] - lineages_before < BUNDLES / 5
    assert {found.key.metric.name: found.committed for found in counters} == {
        "events_received": BUNDLES,
        "events_acknowledged": BUNDLES,
    }


def test_what_a_stage_has_measured_is_evaluated_at_once_and_only_once() -> None:
    assert keep_metrics_flat()
    installed = fn_runner.consolidate_monitoring_infos

    assert keep_metrics_flat()
    assert fn_runner.consolidate_monitoring_infos is installed
    assert installed(iter(())) == []


def test_of_a_gauge_only_the_latest_value_of_all_bundles_is_kept() -> None:
    keep_metrics_flat()
    gauges = [
        monitoring_infos.int64_user_gauge("flumebeam", name, GaugeData(value, timestamp=at), "step")
        for name, value, at in (("a", 1, 10), ("b", 7, 10), ("a", 2, 30), ("a", 3, 20))
    ]

    kept = fn_runner.consolidate_monitoring_infos(iter(gauges))

    found = {info.labels["NAME"]: monitoring_infos.extract_gauge_value(info)[1] for info in kept}
    assert (len(kept), found) == (2, {"a": 2, "b": 7})


def test_sets_and_tries_of_all_bundles_become_one_that_holds_what_each_of_them_holds() -> None:
    keep_metrics_flat()
    infos = []
    for text in ("q1", "q2", "q1", "q1"):
        trie = BoundedTrieData()
        trie.add(("solace:", "broker.", text))
        infos.append(monitoring_infos.user_bounded_trie("lineage", "sources_v2", trie, "step"))
        infos.append(monitoring_infos.user_set_string("lineage", "sources", StringSetData({text}), "step"))
    kept: list[Any] = []
    for info in infos:
        kept = fn_runner.consolidate_monitoring_infos(iter([info, *kept]))

    found = {info.labels["NAME"]: info for info in kept}
    tries = monitoring_infos.extract_bounded_trie_value(found["sources_v2"]).flattened()
    assert len(kept) == len(found) == 2
    assert {one[:3] for one in tries} == {("solace:", "broker.", "q1"), ("solace:", "broker.", "q2")}
    assert monitoring_infos.extract_string_set_value(found["sources"]) == {"q1", "q2"}


def test_a_kind_of_metric_that_is_not_known_is_kept_from_each_bundle() -> None:
    keep_metrics_flat()
    infos = [monitoring_infos.create_monitoring_info("urn", "unknown", bytes([n]), {"NAME": "a"}) for n in (1, 1, 2)]

    assert len(fn_runner.consolidate_monitoring_infos(iter(infos))) == 3


def test_what_samples_a_bundle_is_woken_seldom_and_still_tells_what_a_step_took() -> None:
    end_bundles_promptly()
    end_bundles_promptly()
    counters = CounterFactory()
    sampler = statesampler.StateSampler("stage", counters)
    step = sampler.scoped_state("step", "process")
    sampler.start()
    with step:
        eventually(lambda: sampler.get_info().time_since_transition > 5_000_000)
    sampler.stop()
    sampler.commit_counters()

    assert isinstance(sampler, beam_compat._Seldom)
    (took,) = [counter.value() for counter in counters.get_counters() if counter.name.step_name == "step"]
    assert took >= 5


def test_a_worker_whose_runner_hung_up_goes_on_to_its_teardown() -> None:
    class Cut:
        def close(self) -> None:
            raise grpc.RpcError("hung up")

    tear_down_always()
    tear_down_always()
    factory = data_plane.GrpcClientDataChannelFactory()
    factory._data_channel_cache["gone"] = Cut()

    factory.close()


def test_a_bundle_at_work_is_told_to_end_and_its_steps_are_torn_down_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    at_work = threading.Event()

    def read(worker: SdkWorker) -> None:
        at_work.set()
        while not bundle_shall_end():
            time.sleep(0.001)
        told.append("ended")

    monkeypatch.setattr(SdkWorker, "process_bundle", read)
    monkeypatch.setattr(BundleProcessorCache, "shutdown", lambda cache: told.append("torn down"))
    end_bundles_before_teardown()
    end_bundles_before_teardown()
    worker = SdkWorker(BundleProcessorCache.__new__(BundleProcessorCache))
    bundle = threading.Thread(target=worker.process_bundle, daemon=True)
    bundle.start()
    at_work.wait()

    worker.bundle_processor_cache.shutdown()

    bundle.join()
    assert told == ["ended", "torn down"]
    assert not bundle_shall_end()
    worker.bundle_processor_cache.shutdown()  # of one that is at rest
    assert told == ["ended", "torn down", "torn down"]


def test_what_reads_from_a_runner_that_ends_has_time_to_notice_and_not_more() -> None:
    ended, never, noticed = threading.Event(), threading.Event(), []

    def notice() -> None:
        ended.wait()
        noticed.append(True)

    threading.Thread(target=notice, name="run_worker_1-1", daemon=True).start()
    threading.Timer(0.05, ended.set).start()
    join_readers(30)
    assert noticed

    threading.Thread(target=never.wait, name="wait_until_finish_read", daemon=True).start()
    begin = time.monotonic()
    join_readers(0.05)
    assert time.monotonic() - begin < 20
    never.set()
