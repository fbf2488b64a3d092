from __future__ import annotations

from typing import Any, Never

import apache_beam as beam
import grpc
import pytest
from apache_beam.runners.runner import PipelineRunner

from flumebeam.errors import ConnectionFailedError, LoginRefusedError, QueueError, RunnerError, StorageFullError
from flumebeam.transforms.running import run_pipeline, unwrap

REMOTE = """Pipeline job-1 failed in state FAILED: java.lang.RuntimeException: Error received from SDK harness:
Traceback (most recent call last):
  File "x.py", line 1, in open
flumebeam.errors.ConnectionFailedError: The broker went away.

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "common.py", line 1512, in apache_beam.runners.common.DoFnRunner.process
flumebeam.errors.QueueError: Queue 'logs' is unknown: create it. [while running 'Read/Receive']
"""


class Fails(beam.DoFn):
    def __init__(self, where: str) -> None:
        self._where = where

    def setup(self) -> None:
        self._fail("setup")

    def process(self, element: Any) -> None:
        self._fail("process")

    def finish_bundle(self) -> None:
        self._fail("finish_bundle")

    def _fail(self, where: str) -> None:
        if where == self._where:
            self._raise()

    @staticmethod
    def _raise() -> Never:
        try:
            raise ConnectionFailedError("Gone.")
        except ConnectionFailedError as error:
            raise LoginRefusedError("The password of user 'x' is wrong.") from error


@pytest.mark.parametrize("where", ["setup", "process", "finish_bundle"])
def test_an_error_of_ours_comes_out_of_a_run_as_it_was_raised(where: str, caplog: pytest.LogCaptureFixture) -> None:
    pipeline = beam.Pipeline(runner="FnApiRunner")
    _ = pipeline | beam.Create([1]) | beam.ParDo(Fails(where))

    with pytest.raises(LoginRefusedError, match=r"^The password of user 'x' is wrong\.$"):
        run_pipeline(pipeline)
    assert not [record for record in caplog.records if record.exc_info], "the traceback was logged as well"


class Elsewhere(PipelineRunner):
    """A runner whose job ends as it is told."""

    def __init__(self, text: str) -> None:
        self._text = text

    def run_pipeline(self, pipeline: beam.Pipeline, options: Any) -> Never:
        raise RuntimeError(self._text)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("Pipeline x failed in state CANCELLED: unknown error", "The job ended as CANCELLED: unknown error"),
        (
            "Pipeline x failed in state FAILED: a.B\nCaused by: d.E: no\n\tat f",
            "The job ended as FAILED: d.E: no",
        ),
    ],
)
def test_the_end_of_a_job_elsewhere_is_one_line(text: str, says: str) -> None:
    pipeline = beam.Pipeline(runner=Elsewhere(text))

    with pytest.raises(RunnerError) as raised:
        run_pipeline(pipeline)

    assert str(raised.value) == says


def test_an_error_of_others_is_left_alone() -> None:
    pipeline = beam.Pipeline(runner="FnApiRunner")
    _ = pipeline | beam.Create([0]) | beam.Map(lambda number: 1 // number)

    with pytest.raises(ZeroDivisionError):
        run_pipeline(pipeline)


def test_the_last_error_of_ours_in_a_traceback_as_text_counts() -> None:
    found = unwrap(RuntimeError(REMOTE))

    assert type(found) is QueueError
    assert str(found) == "Queue 'logs' is unknown: create it."


def test_an_error_in_this_process_loses_the_name_of_the_step() -> None:
    found = unwrap(StorageFullError("The disk is full. [while running 'Write/Commit']"))

    assert type(found) is StorageFullError
    assert str(found) == "The disk is full."


@pytest.mark.parametrize("text", ["", "flumebeam.errors.NoSuchError: x", "flumebeam.errors.Final: x"])
def test_text_without_an_error_of_ours_is_none(text: str) -> None:
    assert unwrap(RuntimeError(text)) is None


class Gone(PipelineRunner):
    """A runner whose program has ended."""

    def run_pipeline(self, pipeline: beam.Pipeline, options: Any) -> Never:
        raise grpc.RpcError("Socket closed")


def test_a_runner_whose_program_has_ended_is_one_sentence() -> None:
    pipeline = beam.Pipeline(runner=Gone())
    _ = pipeline | beam.Create([1])

    with pytest.raises(RunnerError, match=r"^The runner's program no longer answers \(no status\): .*'flumebeam jobs'"):
        run_pipeline(pipeline)
