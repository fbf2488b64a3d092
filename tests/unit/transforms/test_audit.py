from __future__ import annotations

from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing.util import assert_that, equal_to

from flumebeam.batch import EventBatch
from flumebeam.errors import ConfigurationError
from flumebeam.transforms.audit import AuditIds
from flumebeam.transforms.running import run_pipeline

BATCH = EventBatch.from_bodies([b"a", b"b"], columns={"flumebeam.id": ["x-1", None]})


def pipeline() -> beam.Pipeline:
    return beam.Pipeline(options=PipelineOptions(["--runner=FnApiRunner"]))


def test_every_event_leaves_a_line_and_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "new" / "seen.ids"
    for _ in range(2):
        with pipeline() as graph:
            assert_that(graph | beam.Create([BATCH]) | AuditIds(str(path)), equal_to([BATCH]))

    assert path.read_text() == "x-1\n\nx-1\n\n"


def test_lines_are_in_the_file_before_the_batch_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "seen.ids"
    step = AuditIds(str(path))
    with pipeline() as graph:
        read = graph | beam.Create([BATCH]) | step | beam.Map(lambda _: path.read_text())
        assert_that(read, equal_to(["x-1\n\n"]))


def test_an_audit_that_cannot_be_written_is_a_users_mistake(tmp_path: Path) -> None:
    graph = pipeline()
    graph | beam.Create([BATCH]) | AuditIds(str(tmp_path))

    with pytest.raises(ConfigurationError, match="name a file in a writable directory"):
        run_pipeline(graph)
