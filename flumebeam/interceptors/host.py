"""Names the machine on which events were read."""

from __future__ import annotations

import socket
from dataclasses import dataclass

from flumebeam.batch import EventBatch
from flumebeam.event import HOST_HEADER
from flumebeam.interceptors.base import with_header

__all__ = ["HostInterceptor"]


@dataclass(frozen=True, kw_only=True, slots=True)
class HostInterceptor:
    """Sets the header ``host``.

    Attributes:
        host: Its value; by default the name of the machine that runs the interceptor.
        header: Name of the header.
        preserve_existing: Leave events alone that have the header.
    """

    host: str | None = None
    header: str = HOST_HEADER
    preserve_existing: bool = False

    def __call__(self, batch: EventBatch) -> EventBatch:
        """Return the batch with the header."""
        host = socket.gethostname() if self.host is None else self.host
        return with_header(batch, self.header, host, preserve_existing=self.preserve_existing)
