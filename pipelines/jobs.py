"""What runs where: a file for each pipeline that was started here, for whoever wants to see it or to end it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

from flumebeam.errors import RunnerError
from flumebeam.runners.flink_rest import FlinkRest

__all__ = ["Job", "interrupt", "known_jobs", "noted", "stop_flink_job"]

_SAVEPOINT_SECONDS: Final = 60.0
_END_SECONDS: Final = 60.0


@dataclass(frozen=True, kw_only=True)
class Job:
    """A pipeline that was started here.

    Attributes:
        name: Its own name, also on its cluster.
        pipeline: Name of the pipeline.
        runner: Name of the runner.
        flink: REST address of the remote Flink that runs it; empty where it ends with its driver.
        pid: Process id of its driver.
        started_ms: Milliseconds since 1970 UTC.
        flink_id: Flink's id of a job that was detached from its driver; else empty.
    """

    name: str
    pipeline: str
    runner: str
    flink: str
    pid: int
    started_ms: int
    flink_id: str = ""

    @property
    def asked_for(self) -> str:
        """What Flink is asked for: its own id where it is known, for a name may be given again; else the name."""
        return self.flink_id or self.name

    @property
    def driver_runs(self) -> bool:
        """Whether the process that started it lives."""
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return b"flumebeam" in Path(f"/proc/{self.pid}/cmdline").read_bytes()


def _directory() -> Path:
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state, "flumebeam", "jobs")


@contextlib.contextmanager
def noted(job: Job) -> Iterator[Callable[..., None]]:
    """Keep a file about a job while its driver runs.

    Yields:
        A function to call when the job goes on without its driver, with Flink's id where it is known: the file stays.
    """
    place = _directory() / f"{job.name}.json"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(json.dumps(asdict(job)), encoding="utf-8")
    keep = False

    def goes_on(flink_id: str = "") -> None:
        nonlocal keep
        keep = True
        place.write_text(json.dumps(asdict(replace(job, flink_id=flink_id))), encoding="utf-8")

    try:
        yield goes_on
    finally:
        if not keep:
            place.unlink(missing_ok=True)


def known_jobs() -> list[Job]:
    """Return the jobs that were started here and may still run, and forget those that are known to have ended."""
    jobs = []
    for place in sorted(_directory().glob("*.json")):
        try:
            job = Job(**json.loads(place.read_text(encoding="utf-8")))
        except (ValueError, TypeError, FileNotFoundError):
            continue
        if job.driver_runs or (job.flink and not _has_ended(job)):
            jobs.append(job)
        else:
            place.unlink(missing_ok=True)
    return jobs


def _has_ended(job: Job) -> bool:
    try:
        found = FlinkRest(job.flink).job(job.asked_for)
    except RunnerError:
        return False
    return found is None or found.ended


def interrupt(job: Job, seconds: float) -> bool:
    """Ask a driver to stop, as Ctrl-C does; tell whether it ended in time."""
    os.kill(job.pid, signal.SIGINT)
    deadline = time.monotonic() + seconds
    while job.driver_runs:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def stop_flink_job(rest: FlinkRest, name_or_id: str) -> str:
    """End a job on a remote Flink: between two bundles with a savepoint where it can take one, else at once.

    Either way nothing is lost: what was not committed goes back to the broker when the workers' connections end.

    Args:
        rest: Asks its JobManager.
        name_or_id: Its name, or Flink's id.

    Returns:
        What was done, as a sentence.

    Raises:
        RunnerError: There is no such job, Flink does not answer, or the job has not ended within a minute.
    """
    job = rest.job(name_or_id)
    if job is None:
        raise RunnerError(f"Flink at {rest.url} knows no job {name_or_id!r}; 'flumebeam jobs' lists them.")
    if job.ended:
        return f"{job.name} has ended already ({job.state})."
    try:
        done = f"stopped, savepoint {rest.stop(job.id, _SAVEPOINT_SECONDS)}"
    except RunnerError as error:
        rest.cancel(job.id)
        done = f"cancelled ({error})"
    ended = rest.wait(job.id, _END_SECONDS)
    return f"{job.name}: {done}; Flink says {ended.state}. What was not committed is delivered again."
