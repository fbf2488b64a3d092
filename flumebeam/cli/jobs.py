"""``flumebeam jobs`` and ``flumebeam stop``: what runs where, and its clean end."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Final

import typer

from flumebeam.errors import ConfigurationError, RunnerError
from flumebeam.runners.flink_rest import FlinkRest

__all__ = ["jobs", "stop"]

_STOP_SECONDS: Final = 90.0

_Master = Annotated[
    str | None, typer.Option("--flink_master", help="Also ask this JobManager, host:port: for jobs started elsewhere.")
]


def jobs(flink_master: _Master = None) -> None:
    """List the pipelines that were started here, and the jobs of a Flink cluster."""
    from flumebeam.pipelines.jobs import known_jobs

    rows = []
    known = known_jobs()
    for job in known:
        where = f"Flink {job.flink}" if job.flink else f"{job.runner} here"
        driver = f"driver {job.pid}" if job.driver_runs else "no driver"
        rows.append((job.name, job.pipeline, where, _state(job.flink, job.asked_for), driver, job.started_ms))
    names = {job.name for job in known}
    if flink_master:
        rows += [
            (found.name, "", f"Flink {flink_master}", found.state, "", found.started_ms)
            for found in FlinkRest(flink_master).jobs()
            if found.name not in names and not found.ended
        ]
    if not rows:
        typer.echo("No job that was started here runs." if not flink_master else "No job runs.")
    for name, pipeline, where, state, driver, started_ms in rows:
        since = datetime.fromtimestamp(started_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
        typer.echo(f"{name:32} {pipeline:20} {where:24} {state:10} since {since} UTC  {driver}".rstrip())


def _state(flink: str, name_or_id: str) -> str:
    if not flink:
        return "RUNNING"
    try:
        found = FlinkRest(flink).job(name_or_id)
    except RunnerError:
        return "UNKNOWN"
    return found.state if found is not None else "SUBMITTING"


def stop(
    job: Annotated[str, typer.Argument(help="Name of the job as 'flumebeam jobs' shows it, or Flink's id.")],
    flink_master: _Master = None,
) -> None:
    """End a pipeline cleanly, wherever it runs; nothing is lost, and what was not committed is delivered again.

    A job on a remote Flink ends between two bundles with a savepoint, or at once where none can be taken. Anything else
    ends with its driver, which is asked to stop.
    """
    from flumebeam.pipelines.jobs import interrupt, known_jobs, stop_flink_job

    known = next((each for each in known_jobs() if job in (each.name, each.flink_id)), None)
    master = flink_master or (known.flink if known else "")
    if master:
        typer.echo(stop_flink_job(FlinkRest(master), known.asked_for if known and not flink_master else job))
        return
    if known is None:
        raise ConfigurationError(
            f"No job {job!r} was started here: 'flumebeam jobs' lists them; name a cluster with --flink_master."
        )
    if not interrupt(known, _STOP_SECONDS):
        raise RunnerError(f"{job} has not ended after {_STOP_SECONDS:g} s; its driver is process {known.pid}.")
    typer.echo(f"{job}: stopped.")
