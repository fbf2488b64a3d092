"""Who is told of complete partitions, and how: a command, an address, or a function."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Final, TypeAlias

import requests

from flumebeam.errors import ConfigurationError, HookError

__all__ = ["CommandHook", "HttpHook", "PartitionEvent", "PartitionEventKind", "PartitionHook", "parse_hook"]

_COMMAND: Final = "command:"
_LONGEST_OUTPUT: Final = 500


class PartitionEventKind(Enum):
    """What has happened to a partition."""

    COMPLETE = "complete"
    """Its time is over, and everything of it is in files."""
    LATE = "late"
    """It was complete, and more files of it have come."""


@dataclass(frozen=True, slots=True)
class PartitionEvent:
    """What a hook is told, at least once.

    Attributes:
        kind: What has happened.
        target: Address of the target, as it was given.
        partition: The partition's directory, relative to the target.
        end_ms: When its time was over, milliseconds since 1970 UTC.
    """

    kind: PartitionEventKind
    target: str
    partition: str
    end_ms: int

    @property
    def location(self) -> str:
        """Address of the partition's directory."""
        return f"{self.target.rstrip('/')}/{self.partition}"

    def to_json(self) -> str:
        """Return it as one line of JSON: ``event``, ``target``, ``partition``, ``location``, ``end``."""
        end = datetime.fromtimestamp(self.end_ms / 1000, UTC)
        facts = {
            "event": self.kind.value,
            "target": self.target,
            "partition": self.partition,
            "location": self.location,
            "end": end.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        }
        return json.dumps(facts)


PartitionHook: TypeAlias = Callable[[PartitionEvent], None]
"""Told of an event; whatever it raises has it told again, later."""


@dataclass(frozen=True, slots=True)
class CommandHook:
    """Runs a command, without a shell: the event as JSON in its standard input, and as environment variables.

    Attributes:
        words: Program and arguments.
        timeout_seconds: After which it is ended, and counts as failed.
    """

    words: tuple[str, ...]
    timeout_seconds: float

    def __call__(self, event: PartitionEvent) -> None:
        """Run it.

        Raises:
            HookError: It cannot be run, took too long, or did not end with status 0.
        """
        variables = {
            "FLUMEBEAM_EVENT": event.kind.value,
            "FLUMEBEAM_TARGET": event.target,
            "FLUMEBEAM_PARTITION": event.partition,
            "FLUMEBEAM_LOCATION": event.location,
        }
        try:
            done = subprocess.run(  # noqa: S603 - the user's own command
                self.words,
                input=event.to_json() + "\n",
                env=os.environ | variables,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                timeout=self.timeout_seconds,
                check=False,
            )
        except OSError as error:
            raise HookError(
                f"{self.words[0]} cannot be run: {error.strerror}; give a program of this machine."
            ) from error
        except subprocess.TimeoutExpired as error:
            raise HookError(
                f"{self.words[0]} did not end within {self.timeout_seconds:g} s; have it take the event and return."
            ) from error
        if done.returncode:
            said = done.stdout.strip()[-_LONGEST_OUTPUT:] or "nothing"
            raise HookError(f"{self.words[0]} ended with status {done.returncode} and said: {said}")


@dataclass(frozen=True, slots=True)
class HttpHook:
    """Posts the event as JSON to an address.

    Attributes:
        url: Where.
        timeout_seconds: Longest wait for an answer.
    """

    url: str
    timeout_seconds: float

    def __call__(self, event: PartitionEvent) -> None:
        """Post it.

        Raises:
            HookError: There was no answer, or one that is not 2xx.
        """
        headers = {"Content-Type": "application/json"}
        try:
            answer = requests.post(
                self.url, data=event.to_json(), headers=headers, timeout=self.timeout_seconds, allow_redirects=False
            )
        except requests.RequestException as error:
            raise HookError(f"{self.url} does not answer ({type(error).__name__}); it is asked again.") from error
        if not 200 <= answer.status_code < 300:
            raise HookError(f"{self.url} answered {answer.status_code} {answer.reason}; it must answer 2xx.")


def parse_hook(text: str, timeout_seconds: float) -> PartitionHook:
    """Return the hook that a text names: ``command:PROGRAM ARGUMENTS``, ``http://...`` or ``https://...``.

    Raises:
        ConfigurationError: It names none of them.
    """
    if text.startswith(("http://", "https://")):
        return HttpHook(text, timeout_seconds)
    try:
        words = shlex.split(text.removeprefix(_COMMAND)) if text.startswith(_COMMAND) else []
    except ValueError as error:
        raise ConfigurationError(f"The command of {text!r} cannot be read: {error}.") from error
    if not words:
        raise ConfigurationError(
            f"Complete partitions can be told to 'command:PROGRAM ARGUMENTS' or 'http://HOST/PATH', not to {text!r}."
        )
    return CommandHook(tuple(words), timeout_seconds)
