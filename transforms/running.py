"""Running a pipeline for people: a clean stop on Ctrl-C, and one clear error instead of a runner's traceback."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import apache_beam as beam
import grpc
from apache_beam.runners.runner import PipelineState

from flumebeam import errors
from flumebeam.errors import FlumebeamError, RunnerError
from flumebeam.transforms import beam_compat
from flumebeam.transforms.receivers import RECEIVERS
from flumebeam.transforms.signals import stop_on_signals
from flumebeam.transforms.stopping import forget_stop, request_stop, stop_requested

__all__ = ["quiet_ends", "run_pipeline", "submit_pipeline", "unwrap", "wait_for_teardown"]

_LOOK_SECONDS: Final = 0.2
_STAYS_SECONDS: Final = 10.0
_REST_SECONDS: Final = 2.0
_TEARDOWN_SECONDS: Final = 15.0
_STEP: Final = re.compile(r" \[while running '[^']*'\]$")
_JOB: Final = re.compile(r"^Pipeline \S+ failed in state (\w+): (.*)$", re.DOTALL)
_TRACED: Final = re.compile(r"^flumebeam\.errors\.(\w+): (.*)$", re.MULTILINE)


def run_pipeline(pipeline: beam.Pipeline, *, stop_seconds: float = 60.0) -> Any:
    """Run a pipeline to its end, in this thread.

    Ctrl-C and SIGTERM stop it cleanly, see :func:`~flumebeam.transforms.signals.stop_on_signals`; a stopped pipeline
    ends as done.

    Args:
        pipeline: To be run.
        stop_seconds: How long a clean stop may take before the process ends.

    Returns:
        Beam's result, in its final state.

    Raises:
        FlumebeamError: What a source, a sink or the commit step raised, as it was raised.
        RunnerError: A job outside this process failed for another reason, or was ended from elsewhere.
        KeyboardInterrupt: Interrupted while no source was open in this process.
        Exception: Whatever else made the pipeline fail.
    """
    with stop_on_signals(stop_seconds=stop_seconds) as install_again, _reported_once():
        try:
            result = pipeline.run()
            if not PipelineState.is_terminal(result.state):
                install_again()
                beam_compat.watch_without_deadline(result)
                _wait(result)
            wait_for_teardown()
        except grpc.RpcError:
            _end_workers()
            raise
        finally:
            forget_stop()
    return result


def submit_pipeline(pipeline: beam.Pipeline, has_begun: Callable[[], bool], *, seconds: float = 300.0) -> None:
    """Have a runner elsewhere take a pipeline, and return when it runs there; its end is not waited for.

    Args:
        pipeline: To be run, with workers that are not in this process.
        has_begun: Asks the runner.
        seconds: How long that may take.

    Raises:
        FlumebeamError: What made the job fail before it had begun.
        RunnerError: It has not begun in time; it may do so later.
        Exception: Whatever else made the pipeline fail.
    """
    with _reported_once():
        result = pipeline.run()
        deadline = time.monotonic() + seconds
        while not has_begun():
            if PipelineState.is_terminal(result.state):
                result.wait_until_finish()
                return
            if time.monotonic() > deadline:
                raise RunnerError(f"The job has not begun within {seconds:g} s: look for it where it was sent.")
            time.sleep(_LOOK_SECONDS)


def _wait(result: Any) -> None:
    """Wait for the end of a job, and end one that stays when its sources have ended, as Flink does with checkpoints."""
    ended = threading.Event()
    cancelled = threading.Event()

    def end_what_stays() -> None:
        quiet = 0.0
        while not ended.wait(_LOOK_SECONDS):
            quiet = quiet + _LOOK_SECONDS if stop_requested() and RECEIVERS.in_use and RECEIVERS.settled else 0.0
            if quiet >= _STAYS_SECONDS:
                cancelled.set()
                result.cancel()
                return

    watcher = threading.Thread(target=end_what_stays, name="flumebeam-end", daemon=True)
    watcher.start()
    try:
        result.wait_until_finish()
    except RuntimeError:
        if not cancelled.is_set():
            _end_workers()
            raise
    finally:
        ended.set()
        watcher.join()


def wait_for_teardown() -> None:
    """Let workers in this process close what they have open: some runners call a job done before they have."""
    deadline = time.monotonic() + _TEARDOWN_SECONDS
    while not RECEIVERS.torn_down and time.monotonic() < deadline:
        time.sleep(0.02)


def _end_workers() -> None:
    """Have workers in this process end what they are at, and wait for it: what they read from is closed soon.

    For a job that was ended from elsewhere or has failed, or whose runner is gone. Not all runners tell their workers.
    """
    request_stop()
    deadline = time.monotonic() + _TEARDOWN_SECONDS
    quiet = 0.0
    while not RECEIVERS.torn_down and time.monotonic() < deadline and quiet < _REST_SECONDS:
        time.sleep(_LOOK_SECONDS)
        quiet = quiet + _LOOK_SECONDS if RECEIVERS.settled else 0.0


def unwrap(error: BaseException) -> FlumebeamError | None:
    """Return the error of ours that a runner's error stands for, if any.

    A runner in this process raises the error itself with the name of the step behind its text; others send a traceback
    as text, of which the last error of ours counts.

    Args:
        error: What ``Pipeline.run`` or ``wait_until_finish`` raised.
    """
    if isinstance(error, FlumebeamError):
        return type(error)(_STEP.sub("", str(error)))
    for name, text in reversed(_TRACED.findall(str(error))):
        kind = getattr(errors, name, None)
        if isinstance(kind, type) and issubclass(kind, FlumebeamError):
            return kind(_STEP.sub("", text))
    return None


def _of_a_job(error: Exception) -> RunnerError | None:
    """Return the end of a job outside this process as an error of ours; Beam has logged all that is known about it."""
    if (found := _JOB.match(str(error))) is None:
        return None
    state, text = found.groups()
    lines = [line.strip() for line in text.splitlines() if line.strip()] or ["no reason given"]
    causes = [line.partition("Caused by: ")[2] for line in lines if line.startswith("Caused by: ")]
    return RunnerError(f"The job ended as {state}: {(causes or lines)[-1][:500]}")


def _of_a_runner(error: Exception) -> RunnerError | None:
    """Return the end of the program that the job was given to as an error of ours."""
    if not isinstance(error, grpc.RpcError):
        return None
    code = getattr(error, "code", lambda: None)()
    return RunnerError(
        f"The runner's program no longer answers ({code.name if code else 'no status'}): what was not committed is "
        "delivered again. Start the pipeline again; a job on a cluster may run on, which 'flumebeam jobs' tells."
    )


@contextmanager
def quiet_ends() -> Iterator[None]:
    """Print nothing when a runner lets go of a worker or a driver in this process: so ends every job on Flink.

    Errors of ours that Beam would log are not logged either: they are reported by whoever runs the pipeline.
    """
    loggers = [logging.getLogger(f"apache_beam.runners.{name}") for name in ("common", "worker.data_plane")]

    def foreign(record: logging.LogRecord) -> bool:
        return not (record.exc_info and isinstance(record.exc_info[1], FlumebeamError | grpc.RpcError))

    def hook(thread: threading.ExceptHookArgs) -> None:
        if not isinstance(thread.exc_value, grpc.RpcError):
            hook_before(thread)

    hook_before, threading.excepthook = threading.excepthook, hook
    for logger in loggers:
        logger.addFilter(foreign)
    try:
        yield
    finally:
        threading.excepthook = hook_before
        for logger in loggers:
            logger.removeFilter(foreign)


@contextmanager
def _reported_once() -> Iterator[None]:
    """Raise errors of ours as they were raised, and a runner's as one of ours."""
    with quiet_ends():
        try:
            yield
        except Exception as error:  # Beam raises whatever a transform raised, wrapped or not; all of it goes on
            if (own := unwrap(error) or _of_a_job(error) or _of_a_runner(error)) is not None:
                raise own from error
            raise
