from __future__ import annotations

from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.transforms.trigger import AccumulationMode, AfterCount, AfterProcessingTime, AfterWatermark, Repeatedly
from apache_beam.transforms.window import FixedWindows

from flumebeam.errors import ConfigurationError
from flumebeam.solace.config import SolaceOptions
from flumebeam.testing.memory_queue import MemoryQueue, MemoryReceiverFactory
from flumebeam.transforms.acknowledge import Acknowledge, AcknowledgeBatches
from flumebeam.transforms.deadletter import DeadLettersToFiles
from flumebeam.transforms.graph_checks import check_graph
from flumebeam.transforms.read_options import ReadLimits
from flumebeam.transforms.receiver_read import ReadFromReceivers
from flumebeam.transforms.solace_write import WriteToSolace

IN_PROCESS = ["--runner=FnApiRunner"]
EARLY = AfterWatermark(early=AfterProcessingTime(1))


@pytest.fixture
def prism(tmp_path: Path) -> list[str]:
    """Options of a runner that is not started here."""
    program = tmp_path / "prism"
    program.touch()
    return ["--runner=DirectRunner", f"--prism_location={program}"]


def graph(flags: list[str], queue: MemoryQueue, step: Any, *, limits: ReadLimits | None = None) -> beam.Pipeline:
    pipeline = beam.Pipeline(options=PipelineOptions(flags))
    _ = pipeline | ReadFromReceivers(MemoryReceiverFactory(queue.name), limits=limits) | "Mine" >> step
    return pipeline


def windows(trigger: Any = None) -> Any:
    return beam.WindowInto(FixedWindows(1), trigger=trigger, accumulation_mode=AccumulationMode.DISCARDING)


class InWindows(beam.PTransform):
    """Beam itself refuses to group what never ends and has no window."""

    def __init__(self, step: Any) -> None:
        super().__init__()
        self._step = step

    def expand(self, batches: beam.PCollection) -> beam.PCollection:
        return batches | windows() | self._step


GROUPING = {
    "group": InWindows(beam.GroupBy(lambda batch: 0)),
    "count": InWindows(beam.combiners.Count.Globally().without_defaults()),
    "reshuffle": beam.Reshuffle(),
}


@pytest.mark.parametrize("step", GROUPING.values(), ids=GROUPING)
def test_on_the_in_process_runner_nothing_may_group_what_never_ends(queue: MemoryQueue, step: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"'Mine.* groups, before .*--runner=PrismRunner.*flumebeam prism i"):
        check_graph(graph(IN_PROCESS, queue, step))


def test_nor_may_anything_wait_for_it_as_a_side_input(queue: MemoryQueue) -> None:
    pipeline = beam.Pipeline(options=PipelineOptions(IN_PROCESS))
    read = pipeline | ReadFromReceivers(MemoryReceiverFactory(queue.name))
    _ = pipeline | beam.Create([1]) | "Wait" >> beam.Map(lambda one, side: one, beam.pvalue.AsIter(read))

    with pytest.raises(ConfigurationError, match="'Wait', which waits for a side input"):
        check_graph(pipeline)


@pytest.mark.parametrize("step", GROUPING.values(), ids=GROUPING)
def test_what_ends_may_be_grouped_anywhere_and_prism_groups_what_does_not(
    queue: MemoryQueue, prism: list[str], step: Any
) -> None:
    check_graph(graph(IN_PROCESS, queue, step, limits=ReadLimits(max_events=1)))
    check_graph(graph(prism, queue, step))


def test_a_fused_stage_may_run_for_ever_in_process(queue: MemoryQueue) -> None:
    check_graph(graph(IN_PROCESS, queue, AcknowledgeBatches()))


def test_a_run_is_stopped_before_it_begins(queue: MemoryQueue) -> None:
    with pytest.raises(ConfigurationError, match="groups"):
        graph(IN_PROCESS, queue, GROUPING["group"]).run()


def test_a_trigger_that_breaks_prism_is_refused_there(queue: MemoryQueue, prism: list[str]) -> None:
    with pytest.raises(ConfigurationError, match=r"Prism breaks on the early trigger .* 'Mine.*--runner=FlinkRunner"):
        check_graph(graph(prism, queue, windows(EARLY)))
    check_graph(graph(prism, queue, windows(Repeatedly(AfterCount(5)))))


def test_settings_of_flink_look_at_all_reads_together(queue: MemoryQueue) -> None:
    flags = ["--runner=FlinkRunner", "--flink_master=cluster:8081", "--streaming"]
    pipeline = beam.Pipeline(options=PipelineOptions(flags))
    for name, limits in (("ends", ReadLimits(max_events=1)), ("goes on", ReadLimits())):
        _ = pipeline | name >> ReadFromReceivers(MemoryReceiverFactory(queue.name), limits=limits, flows=2)

    check_graph(pipeline)

    options = pipeline.options.get_all_options()
    assert (options["checkpointing_interval"], options["parallelism"]) == (10_000, 2)
    assert options["shutdown_sources_after_idle_ms"] is None


def test_a_graph_without_a_source_of_ours_is_none_of_our_business() -> None:
    pipeline = beam.Pipeline(options=PipelineOptions(IN_PROCESS))
    _ = pipeline | beam.Create([1])

    check_graph(pipeline)


@pytest.mark.parametrize("told", [True, False])
def test_dead_letters_that_are_kept_and_never_acknowledged_are_refused(queue: MemoryQueue, told: bool) -> None:
    pipeline = beam.Pipeline(options=PipelineOptions(IN_PROCESS))
    batches = pipeline | ReadFromReceivers(MemoryReceiverFactory(queue.name))
    write = WriteToSolace("t", connection=SolaceOptions(), dead_letters=DeadLettersToFiles("nowhere"))
    written = batches | "Mine" >> write
    written.written | "Told" >> Acknowledge()
    if told:
        written.dead_letters | "ToldOfLetters" >> Acknowledge()
        check_graph(pipeline)
        return

    with pytest.raises(ConfigurationError, match="Mine/DeadLettersToFiles/Keep' keeps dead letters that nobody ackn"):
        check_graph(pipeline)
