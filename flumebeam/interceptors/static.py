"""Gives every event the same header."""

from __future__ import annotations

from dataclasses import dataclass

from flumebeam.batch import EventBatch
from flumebeam.errors import ConfigurationError
from flumebeam.event import is_reserved
from flumebeam.interceptors.base import with_header

__all__ = ["StaticInterceptor"]


@dataclass(frozen=True, kw_only=True, slots=True)
class StaticInterceptor:
    """Sets one header to one value.

    Attributes:
        header: Name of the header; not empty and not reserved.
        value: Its value.
        preserve_existing: Leave events alone that have the header.

    Raises:
        ConfigurationError: The name is empty or belongs to the broker message's own fields.
    """

    header: str
    value: str
    preserve_existing: bool = True

    def __post_init__(self) -> None:
        if not self.header or is_reserved(self.header):
            raise ConfigurationError(f"{self.header!r} cannot be the name of a header: choose another one.")

    def __call__(self, batch: EventBatch) -> EventBatch:
        """Return the batch with the header."""
        return with_header(batch, self.header, self.value, preserve_existing=self.preserve_existing)
