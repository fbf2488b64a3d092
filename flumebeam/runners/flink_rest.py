"""Flink's REST interface, as much of it as it takes to see jobs and to end them.

Beam's own ``cancel()`` does not stop a job on a remote Flink (measured with Beam 2.77): this does.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Final

import requests

from flumebeam.errors import ConfigurationError, RunnerError

__all__ = ["FlinkJob", "FlinkRest"]

_TIMEOUT_SECS: Final = 10.0
_POLL_SECS: Final = 0.2
_ENDED: Final = frozenset({"FINISHED", "CANCELED", "FAILED"})


@dataclass(frozen=True, kw_only=True)
class FlinkJob:
    """A job as its JobManager sees it.

    Attributes:
        id: Flink's id, 32 hexadecimal digits.
        name: Beam's ``--job_name``.
        state: In Flink's words: RUNNING, RESTARTING, FINISHED, CANCELED, FAILED and so on.
        started_ms: Milliseconds since 1970 UTC.
        begun: Whether all its tasks run, with the workers that they need, or have run to their end.
    """

    id: str
    name: str
    state: str
    started_ms: int
    begun: bool

    @property
    def ended(self) -> bool:
        """Whether nothing of it runs any more."""
        return self.state in _ENDED


class FlinkRest:
    """Asks one JobManager.

    Args:
        master: Its REST address: ``host:port``, or a URL.
    """

    def __init__(self, master: str) -> None:
        self.url = (master if "://" in master else f"http://{master}").rstrip("/")
        self._session = requests.Session()
        self._session.trust_env = False

    def slots(self) -> int | None:
        """Return how many slots are registered, ``None`` if nobody answers."""
        try:
            return int(self._ask("GET", "/overview")["slots-total"])
        except (RunnerError, KeyError):
            return None

    def jobs(self) -> list[FlinkJob]:
        """Return all jobs that the JobManager remembers.

        Raises:
            RunnerError: It does not answer.
        """
        return [
            FlinkJob(
                id=job["jid"],
                name=job["name"],
                state=job["state"],
                started_ms=job["start-time"],
                begun=0 < job["tasks"]["total"] == job["tasks"]["running"] + job["tasks"]["finished"],
            )
            for job in self._ask("GET", "/jobs/overview")["jobs"]
        ]

    def job(self, name_or_id: str) -> FlinkJob | None:
        """Return a job, the latest of that name; ``None`` if there is none.

        Raises:
            RunnerError: Flink does not answer.
        """
        found = [job for job in self.jobs() if name_or_id in (job.id, job.name)]
        return max(found, key=lambda job: job.started_ms, default=None)

    def cancel(self, job: str) -> None:
        """End a job at once: what its bundles had not committed is delivered again.

        Raises:
            RunnerError: Flink refused, or does not answer.
        """
        self._ask("PATCH", f"/jobs/{job}")

    def stop(self, job: str, seconds: float) -> str:
        """End a job between two bundles, with a savepoint, and return where that is.

        Never with Flink's drain: it waits for a source to end, which a queue's never does (measured: it hangs).

        Args:
            job: Its id.
            seconds: How long it may take.

        Raises:
            RunnerError: No savepoint could be taken; the job runs on.
        """
        trigger = self._ask("POST", f"/jobs/{job}/stop", json={"drain": False})["request-id"]
        deadline = time.monotonic() + seconds
        while (answer := self._ask("GET", f"/jobs/{job}/savepoints/{trigger}"))["status"]["id"] != "COMPLETED":
            if time.monotonic() > deadline:
                raise RunnerError(f"Flink took no savepoint of job {job} within {seconds:g} s.")
            time.sleep(_POLL_SECS)
        if (place := answer["operation"].get("location")) is None:
            cause = str(answer["operation"].get("failure-cause", {}).get("class", "no reason given"))
            raise RunnerError(f"Flink took no savepoint of job {job}: {cause}.")
        return str(place)

    def wait(self, job: str, seconds: float) -> FlinkJob:
        """Wait until a job has ended, and return it.

        Raises:
            RunnerError: It has not ended in time, or is unknown.
        """
        deadline = time.monotonic() + seconds
        while True:
            found = self.job(job)
            if found is None:
                raise RunnerError(f"Flink at {self.url} does not know job {job}.")
            if found.ended:
                return found
            if time.monotonic() > deadline:
                raise RunnerError(f"Job {job} is still {found.state} after {seconds:g} s.")
            time.sleep(_POLL_SECS)

    def _ask(self, method: str, path: str, **arguments: Any) -> Any:
        try:
            answer = self._session.request(method, f"{self.url}{path}", timeout=_TIMEOUT_SECS, **arguments)
        except (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema) as error:
            raise ConfigurationError(f"{self.url!r} is no address of a Flink JobManager: use host:port.") from error
        except requests.RequestException as error:
            raise RunnerError(
                f"No Flink JobManager answers at {self.url}: is it running, and is that its REST port?"
            ) from error
        try:
            content = answer.json() if answer.content else {}
        except ValueError as error:
            raise RunnerError(f"What answers at {self.url} is no Flink JobManager.") from error
        if not answer.ok:
            reason = str((content.get("errors") or [answer.reason])[0]).splitlines()[0]
            raise RunnerError(f"Flink at {self.url} refused {method} {path}: {reason[:300]}")
        return content
