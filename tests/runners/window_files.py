"""A graph that writes files of windows, as a user's program has it."""

from __future__ import annotations

import sys

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.transforms import window

from flumebeam.event import Event
from flumebeam.transforms import FromEvents, WriteWindowsToFiles

__all__ = ["EVENTS", "START_SECONDS", "main"]

START_SECONDS = 1_704_110_400
EVENTS = 600
_HOURS = 3


def main(target: str, run: str, *options: str) -> int:
    """Write events of three hours into files of an hour each, by two shards; return the exit status.

    Args:
        target: Address of the target.
        run: Tells apart what this program writes.
        options: Of the runner.
    """
    spacing = _HOURS * 3600 // EVENTS
    events = [(Event(b"%d" % number), START_SECONDS + number * spacing) for number in range(EVENTS)]
    with beam.Pipeline(options=PipelineOptions([*options])) as pipeline:
        (
            pipeline
            | beam.Create(events)
            | beam.MapTuple(window.TimestampedValue).with_output_types(Event)
            | beam.WindowInto(window.FixedWindows(3600))
            | FromEvents()
            | WriteWindowsToFiles(target, path="dt=%Y-%m-%d/hour=%H", shards=2, run=run)
        )
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
