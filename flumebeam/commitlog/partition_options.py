"""When a partition counts as complete, and who is told."""

from __future__ import annotations

from dataclasses import dataclass

from flumebeam.commitlog.hooks import PartitionHook, parse_hook
from flumebeam.errors import ConfigurationError

__all__ = ["PartitionOptions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionOptions:
    """When a partition is complete, and who is told.

    Attributes:
        delay_seconds: How much later than its end events of a partition may come, in event time.
        success_file: Name of the empty file that says in a partition's directory that it is complete. Readers skip it.
        on_complete: Told of complete partitions, and of files that come later, at least once each:
            ``command:PROGRAM ARGUMENTS``, ``http://HOST/PATH``, or a function of a
            :class:`~flumebeam.commitlog.hooks.PartitionEvent`, which is pickled. ``None`` tells nobody.
        hook_seconds: How long a command or an address may take.

    Raises:
        ConfigurationError: A value that cannot work.
    """

    delay_seconds: float = 60.0
    success_file: str = "_SUCCESS"
    on_complete: str | PartitionHook | None = None
    hook_seconds: float = 30.0

    def __post_init__(self) -> None:
        if self.delay_seconds < 0 or self.hook_seconds <= 0:
            raise ConfigurationError("Partitions: delay_seconds must be 0 or more, and hook_seconds positive.")
        if self.success_file[:1] not in ("_", ".") or any(sign in self.success_file for sign in "/:#"):
            raise ConfigurationError(
                f"A success file cannot be named {self.success_file!r}: begin with '_', so that readers skip it, and "
                "leave out '/', ':' and '#'."
            )
        self.hook()

    def hook(self) -> PartitionHook | None:
        """Return who is told, or ``None``."""
        if isinstance(self.on_complete, str):
            return parse_hook(self.on_complete, self.hook_seconds)
        return self.on_complete
