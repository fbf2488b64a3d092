from __future__ import annotations

import apache_beam as beam
import pytest
from apache_beam.testing.util import assert_that, equal_to

from flumebeam.batch import EventBatch
from flumebeam.errors import ConfigurationError
from flumebeam.interceptors import HostInterceptor, SeverityInterceptor
from flumebeam.transforms.intercept import Intercept
from flumebeam.transforms.running import run_pipeline


def drop_first(batch: EventBatch) -> EventBatch:
    return batch.slice(1)


def test_batches_pass_the_interceptors_in_order() -> None:
    with beam.Pipeline("FnApiRunner") as pipeline:
        passed = (
            pipeline
            | beam.Create([EventBatch.from_bodies([b"INFO a", b"b"])])
            | Intercept(SeverityInterceptor(), HostInterceptor(host="web-1"))
        )
        assert_that(
            passed,
            equal_to([EventBatch.from_bodies([b"INFO a", b"b"], {"host": "web-1"}, {"severity": ["info", None]})]),
        )


def test_an_interceptor_that_drops_events_stops_the_bundle() -> None:
    pipeline = beam.Pipeline("FnApiRunner")
    pipeline | beam.Create([EventBatch.from_bodies([b"a", b"b"])]) | Intercept(drop_first)

    with pytest.raises(ConfigurationError, match="made 1 events of 2"):
        run_pipeline(pipeline)
