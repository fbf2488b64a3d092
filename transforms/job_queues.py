"""Queues that are made for one job and removed when it ends."""

from __future__ import annotations

import logging
import uuid
from typing import Final

import apache_beam as beam

from flumebeam.errors import FlumebeamError
from flumebeam.solace.config import SolaceOptions
from flumebeam.transforms import beam_compat
from flumebeam.transforms.running import wait_for_teardown

__all__ = ["new_name", "remove_at_end"]

_LOGGER: Final = logging.getLogger(__name__)


def new_name() -> str:
    """Return a name for a queue of one job, unique in the world."""
    return f"flumebeam-{uuid.uuid4().hex[:16]}"


def remove_at_end(pipeline: beam.Pipeline, connection: SolaceOptions, queue: str) -> None:
    """Remove a queue when a pipeline ends, in the process that runs it; say so before, and if it is not done.

    A job that fails keeps its queue, so that nothing is lost: another one can read it by its name.

    Args:
        pipeline: The job.
        connection: Where the queue is.
        queue: Its name.
    """
    over = False

    def announce() -> None:
        _LOGGER.warning(
            "Queue %s is made for this job, and removed with what is in it when this process sees the job end. If it "
            "is killed before, or does not wait, the queue stays and fills.",
            queue,
        )

    def ended(well: bool) -> None:
        nonlocal over
        if over:
            return
        over = True
        _end(connection, queue, well=well)

    beam_compat.before_run(pipeline, announce)
    beam_compat.after_run(pipeline, ended)


def _end(connection: SolaceOptions, queue: str, *, well: bool) -> None:
    if not well:
        _LOGGER.warning("The job failed, so queue %s stays: read on with queue=%r, or remove it.", queue, queue)
        return
    # Loads a native library, which a process that only builds graphs does not need.
    from flumebeam.solace.session import connect

    wait_for_teardown()
    try:
        with connect(connection) as opened:
            opened.remove_queue(queue)
    except FlumebeamError as error:
        _LOGGER.warning("Queue %s could not be removed and stays: %s", queue, error)
