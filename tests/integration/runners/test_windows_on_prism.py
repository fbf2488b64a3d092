"""Windows, triggers and late events become files on Prism, which runs graphs as clusters do."""

from __future__ import annotations

from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing import test_stream
from apache_beam.transforms import trigger, window
from apache_beam.transforms.window import TimestampedValue

from flumebeam.batch import EventBatch
from flumebeam.demo.proof import files_below
from flumebeam.testing.prism import prism_program
from flumebeam.transforms import WriteWindowsToFiles

NOON = 1_704_110_400  # 2024-01-01 12:00 UTC


def at(seconds: int, body: bytes) -> TimestampedValue[EventBatch]:
    return TimestampedValue(EventBatch.from_bodies([body]), NOON + seconds)


@pytest.mark.timeout(1200)  # the first one may have to build Prism
def test_late_events_are_files_of_panes_of_their_own(tmp_path: Path) -> None:
    # A server of its own: another test of this process may have asked for one that does not exist.
    own = "--experiments=disable_prism_server_singleton"
    options = PipelineOptions(["--streaming", f"--prism_location={prism_program()}", own])
    stream = test_stream.TestStream().advance_watermark_to(NOON).add_elements([at(1, b"1"), at(2, b"2")])
    stream = stream.advance_watermark_to(NOON + 3_700).add_elements([at(3, b"late")])
    stream = stream.advance_watermark_to(NOON + 9_000).add_elements([at(4, b"too late")])
    with beam.Pipeline(runner="PrismRunner", options=options) as pipeline:
        (
            pipeline
            | stream.advance_watermark_to_infinity()
            | beam.WindowInto(
                window.FixedWindows(3600),
                trigger=trigger.AfterWatermark(late=trigger.AfterCount(1)),
                accumulation_mode=trigger.AccumulationMode.DISCARDING,
                allowed_lateness=1_800,
            )
            | WriteWindowsToFiles(str(tmp_path))
        )

    found = {path.name.rpartition("-")[0]: path.read_bytes() for path in files_below(tmp_path)}
    hour = "FlumeData.20240101T120000Z-20240101T130000Z"
    assert found == {f"{hour}-pane-0-00000-of-00001": b"1\n2\n", f"{hour}-pane-1-late-00000-of-00001": b"late\n"}
