"""What can only be seen in a whole graph, checked before anything of it runs.

Every source notes its read here. When the pipeline is complete, the options of its runner are settled from all reads
together, and what stands behind a read that never ends is looked at.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final
from weakref import WeakKeyDictionary, ref

import apache_beam as beam
from apache_beam.pipeline import AppliedPTransform, PipelineVisitor
from apache_beam.transforms.trigger import AfterProcessingTime, AfterWatermark

from flumebeam.errors import ConfigurationError
from flumebeam.transforms import beam_compat
from flumebeam.transforms.runner_checks import RunnerTraits, runner_traits
from flumebeam.transforms.runner_settings import settle_flink

__all__ = ["NotedLetters", "NotedRead", "check_graph", "note_letters", "note_read"]


@dataclass(frozen=True, kw_only=True)
class NotedRead:
    """A source of a pipeline.

    Attributes:
        output: What it reads; a weak reference, for collections hold on to their pipeline.
        bounded: Whether it ends by itself.
        flows: Receivers that it opens.
    """

    output: ref[Any]
    bounded: bool
    flows: int


@dataclass(frozen=True, kw_only=True)
class NotedLetters:
    """A sink that hands its dead letters to somebody, who tells when they are kept; weak references as above.

    Attributes:
        written: What it reports of its own.
        kept: What is reported of its dead letters.
    """

    written: ref[Any]
    kept: ref[Any]


_LETTERS: Final[WeakKeyDictionary[Any, list[NotedLetters]]] = WeakKeyDictionary()
_READS: Final[WeakKeyDictionary[Any, list[NotedRead]]] = WeakKeyDictionary()


def note_read(pipeline: beam.Pipeline, read: NotedRead) -> None:
    """Note a source, to be checked with the whole graph when the pipeline is run."""
    reads = _READS.setdefault(pipeline, [])
    if not reads:
        beam_compat.before_run(pipeline, lambda: check_graph(pipeline))
    reads.append(read)


def note_letters(pipeline: beam.Pipeline, letters: NotedLetters) -> None:
    """Note a sink with dead letters, to be checked where a source of ours stands in the graph."""
    _LETTERS.setdefault(pipeline, []).append(letters)


def check_graph(pipeline: beam.Pipeline) -> None:
    """Settle the runner's options, and refuse a graph that would say nothing or break. Idempotent.

    Running a pipeline calls it; a program may call it as soon as its graph is complete.

    Raises:
        ConfigurationError: The runner cannot run what stands behind a source; one sentence says what to do.
    """
    reads = _READS.get(pipeline, [])
    if not reads:
        return
    traits = runner_traits(pipeline)
    endless = [read.output() for read in reads if not read.bounded]
    steps = _Steps()
    pipeline.visit(steps)
    for letters in _LETTERS.get(pipeline, ()):
        _check_letters(letters, steps)
    if traits.name == "Flink":
        groups = any(isinstance(step.transform, beam.GroupByKey) for step in steps.behind(endless))
        flows = max(read.flows for read in reads)
        settle_flink(pipeline, bounded=not endless, flows=flows, groups=groups)
    if traits.name == "the in-process runner":
        for step in steps.behind(endless):
            _check_streams(step)
    if traits.name == "Prism":
        for step in steps.behind(read.output() for read in reads):
            _check_triggers(step, traits)


class _Steps(PipelineVisitor):
    """The steps of a graph, by what they read."""

    def __init__(self) -> None:
        self._readers: dict[Any, list[AppliedPTransform]] = {}

    def visit_transform(self, step: AppliedPTransform) -> None:
        for source in (*step.inputs, *(side.pvalue for side in step.side_inputs)):
            self._readers.setdefault(source, []).append(step)

    def read(self, collection: Any) -> bool:
        """Tell whether anybody reads a collection."""
        return bool(self._readers.get(collection))

    def behind(self, sources: Iterable[Any]) -> Iterator[AppliedPTransform]:
        """Yield the steps that get anything from these collections, each once."""
        open_, seen = list(sources), set()
        while open_:
            for step in self._readers.get(open_.pop(), ()):
                if step not in seen:
                    seen.add(step)
                    yield step
                    open_ += step.outputs.values()


def _check_letters(letters: NotedLetters, steps: _Steps) -> None:
    kept = letters.kept()
    if kept is not None and steps.read(letters.written()) and not steps.read(kept):
        raise ConfigurationError(
            f"Step {kept.producer.full_label!r} keeps dead letters that nobody acknowledges, so their source delivers "
            "them again and again: put an Acknowledge of its own behind dead_letters, as behind written."
        )


def _check_streams(step: AppliedPTransform) -> None:
    if isinstance(step.transform, beam.GroupByKey) or step.side_inputs:
        what = "groups" if isinstance(step.transform, beam.GroupByKey) else "waits for a side input"
        raise ConfigurationError(
            f"The in-process runner lets nothing through step {step.full_label!r}, which {what}, before the source "
            "has ended, and this one does not end: use --runner=PrismRunner (which 'flumebeam prism install' gets), "
            "or give the read max_events, max_seconds or until_empty."
        )


def _check_triggers(step: AppliedPTransform, traits: RunnerTraits) -> None:
    windowing = getattr(step.transform, "windowing", None)
    trigger = getattr(windowing, "triggerfn", None)
    if isinstance(trigger, AfterWatermark) and isinstance(_inner(trigger.early), AfterProcessingTime):
        raise ConfigurationError(
            f"{traits.name} breaks on the early trigger by processing time of step {step.full_label!r}: trigger by "
            "count (AfterCount), or use --runner=FlinkRunner."
        )


def _inner(trigger: Any) -> Any:
    """Return the trigger that ``early=`` was given; Beam wraps it in a repetition."""
    return getattr(trigger, "underlying", trigger)
