"""A runner for a pipeline: what a user would else have to fetch, start and name before ``--runner`` works.

On Flink and Spark a job server is started beside the driver, unless ``--job_endpoint`` names one, and ends with it.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import logging
import os
import re
import secrets
import shutil
import sys
import tempfile
from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import apache_beam as beam
from apache_beam.options.pipeline_options import (
    FlinkRunnerOptions,
    GoogleCloudOptions,
    PipelineOptions,
    PortableOptions,
    PrismRunnerOptions,
    SparkRunnerOptions,
    StandardOptions,
)

from flumebeam.clock import SystemClock
from flumebeam.errors import ConfigurationError, RunnerError
from flumebeam.garbage import collecting_seldom
from flumebeam.pipelines.jobs import Job, noted, stop_flink_job
from flumebeam.runners import artifacts
from flumebeam.runners.flink_rest import FlinkJob, FlinkRest
from flumebeam.runners.job_servers import FlinkJobServer, JobServer, SparkJobServer
from flumebeam.transforms import beam_compat
from flumebeam.transforms.runner_settings import is_local, runs_in_driver
from flumebeam.transforms.running import quiet_ends, run_pipeline, submit_pipeline

__all__ = ["POOL_PORT", "LaunchOptions", "check_launch", "launch", "prepare", "worker_command"]

_LOGGER: Final = logging.getLogger(__name__)
POOL_PORT: Final = 50_000
"""Where a worker pool listens, in Beam's own container, too."""

_NOTICE_SECONDS: Final = 3.0
_SAVEPOINT_REFUSED: Final = "Failed to rollback to checkpoint/savepoint"
_LOCAL_SPARK: Final = re.compile(r"local(\[.+\])?")


class LaunchOptions(PipelineOptions):
    """How the driver runs."""

    @classmethod
    def _add_argparse_args(cls, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--detach",
            action="store_true",
            default=False,
            help="leave when the job has begun on a remote Flink, and print its id; 'flumebeam stop' ends it",
        )


def check_launch(options: PipelineOptions) -> None:
    """Check that a pipeline can be detached, if it shall be.

    Raises:
        ConfigurationError: It would end with its driver.
    """
    if not options.view_as(LaunchOptions).detach:
        return
    on_flink = options.view_as(StandardOptions).runner == "FlinkRunner" and _cluster(options) is not None
    if not on_flink or runs_in_driver(options):
        raise ConfigurationError(
            "Only a job on a remote Flink goes on without its driver: leave out --detach, or give --runner=FlinkRunner "
            "with --flink_master, and workers that are not in the driver."
        )


def prepare(name: str, options: PipelineOptions) -> None:
    """Complete the options of a pipeline that is about to be built, as far as they concern its runner.

    Args:
        name: Of the pipeline.
        options: Are changed where the user gave nothing.

    Raises:
        ConfigurationError: Prism is not installed, or nobody said how workers start on a cluster.
    """
    runner = options.view_as(StandardOptions).runner
    job = options.view_as(GoogleCloudOptions)  # Beam keeps the name of a job there, for every runner
    job.job_name = job.job_name or f"{name.replace('_', '-')}-{secrets.token_hex(3)}"
    prism = options.view_as(PrismRunnerOptions)
    if runner in ("PrismRunner", "DirectRunner") and prism.prism_location is None:
        if artifacts.prism_is_there():
            prism.prism_location = str(artifacts.prism_place())
        elif runner == "PrismRunner" and not beam_compat.finds_prism(options):
            raise ConfigurationError("Prism is not installed: run 'flumebeam prism install', or give --prism_location.")
    if (master := _cluster(options)) is not None:
        _prepare_workers(master, options.view_as(PortableOptions))


def _cluster(options: PipelineOptions) -> str | None:
    """Return the address of the remote Flink or Spark that is named, if any."""
    runner = options.view_as(StandardOptions).runner
    if runner == "FlinkRunner" and not is_local(options):
        return str(options.view_as(FlinkRunnerOptions).flink_master)
    spark = options.view_as(SparkRunnerOptions).spark_master_url
    if runner == "SparkRunner" and not _LOCAL_SPARK.fullmatch(spark):
        return str(spark)
    return None


def _prepare_workers(master: str, portable: PortableOptions) -> None:
    kind = (portable.environment_type or "").upper()
    described = portable.environment_config or portable.environment_options
    if not kind and not described:
        if not _is_loopback(master):
            raise ConfigurationError(
                f"Say how workers start on {master}: --environment_type=PROCESS where flumebeam is installed on every "
                "machine, EXTERNAL where 'flumebeam worker-pool' runs on each, or DOCKER with an image of yours."
            )
        kind = portable.environment_type = "PROCESS"
        _LOGGER.info("--environment_type=PROCESS, for the cluster is on this machine.")
    if kind == "PROCESS" and not described:
        portable.environment_config = json.dumps({"command": str(worker_command())})
    if kind == "EXTERNAL" and not described:
        portable.environment_config = f"localhost:{POOL_PORT}"


def _is_loopback(master: str) -> bool:
    host = master.partition("://")[2] or master
    host = host.rpartition(":")[0].strip("[]") or host
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


def worker_command() -> Path:
    """Return the program that workers of this installation are started by.

    Raises:
        ConfigurationError: It is not there.
    """
    beside = Path(sys.executable).with_name("flumebeam-worker")
    if beside.exists():
        return beside
    if (found := shutil.which("flumebeam-worker")) is not None:
        return Path(found)
    raise ConfigurationError("The program flumebeam-worker is not beside this Python: install flumebeam again by pip.")


def launch(name: str, pipeline: beam.Pipeline) -> None:
    """Run a pipeline to its end or to a clean stop, on the runner that its options name.

    Args:
        name: Of the pipeline.
        pipeline: Built with options that :func:`prepare` has completed.

    Raises:
        ConfigurationError: Flink does not take the savepoint for this job.
        FlumebeamError: What else went wrong.
        KeyboardInterrupt: Interrupted before a source was open.
    """
    options = pipeline.options
    runner = str(options.view_as(StandardOptions).runner)
    cluster = _cluster(options) or ""
    job = Job(
        name=str(options.view_as(GoogleCloudOptions).job_name),
        pipeline=name,
        runner=runner,
        flink=cluster if runner == "FlinkRunner" else "",
        pid=os.getpid(),
        started_ms=SystemClock().epoch_ms(),
    )
    with noted(job) as goes_on, quiet_ends(), collecting_seldom(), _job_server(runner, options):
        try:
            if options.view_as(LaunchOptions).detach:
                goes_on(_detach(pipeline, job))
            else:
                run_pipeline(pipeline)
        except RunnerError as error:
            if job.flink:
                # Its job server may be gone, and not the job; whoever lists jobs forgets those that have ended.
                goes_on()
            if _SAVEPOINT_REFUSED not in str(error):
                raise
            raise ConfigurationError(
                "Flink cannot start this job from the savepoint, which is for the same pipeline with the --parallelism "
                "that it was taken with. Nothing depends on it: start it anew, without --savepoint_path."
            ) from error
        except KeyboardInterrupt:
            if not job.flink:
                raise
            _LOGGER.warning("Stopping the job on Flink. Once more leaves it running.")
            try:
                _LOGGER.warning("%s", stop_flink_job(FlinkRest(job.flink), job.name))
            except BaseException:  # a second interrupt, or no answer: the job goes on, and it is said
                goes_on()
                raise
        finally:
            # Beam's portable runners take it out of the options, which a next pipeline may share.
            options.view_as(StandardOptions).runner = runner


def _detach(pipeline: beam.Pipeline, job: Job) -> str:
    """Leave a job alone once Flink runs it; print its id, and return it."""
    rest = FlinkRest(job.flink)
    before = {known.id for known in rest.jobs()}
    found: list[FlinkJob] = []

    def has_begun() -> bool:
        found[:] = [each for each in rest.jobs() if each.name == job.name and each.id not in before]
        return any(each.begun for each in found)

    submit_pipeline(pipeline, has_begun)
    [mine] = found
    _LOGGER.info("%s runs on Flink %s: 'flumebeam jobs' shows it, 'flumebeam stop' ends it.", job.name, job.flink)
    sys.stdout.write(f"{mine.id}\n")
    return mine.id


@contextlib.contextmanager
def _job_server(runner: str, options: PipelineOptions) -> Iterator[None]:
    portable = options.view_as(PortableOptions)
    if runner not in ("FlinkRunner", "SparkRunner") or portable.job_endpoint:
        yield
        return
    with tempfile.TemporaryDirectory(prefix="flumebeam-") as scratch:
        server: JobServer
        if runner == "FlinkRunner":
            flink = options.view_as(FlinkRunnerOptions)
            jar = flink.flink_job_server_jar
            server = FlinkJobServer(Path(scratch), "[local]" if is_local(options) else flink.flink_master, jar=jar)
        else:
            spark = options.view_as(SparkRunnerOptions)
            server = SparkJobServer(Path(scratch), spark.spark_master_url, jar=spark.spark_job_server_jar)
        try:
            with server:
                portable.job_endpoint = server.endpoint
                yield
        finally:
            portable.job_endpoint = None
            beam_compat.join_readers(_NOTICE_SECONDS)
