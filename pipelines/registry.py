"""The pipelines by name, without importing Beam for a list of them."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Final, Protocol, cast

from flumebeam.errors import ConfigurationError

__all__ = ["PipelineModule", "load", "summaries"]

_SUMMARIES: Final = {
    "ingest": "files and spool directories to a topic, in transactions",
    "drain_to_hdfs": "a queue to files on HDFS or a local disk, exactly once",
    "speed_layer": "live counts of a queue: per second, severity and source",
    "lambda_architecture": "ingest, batch layer and speed layer side by side",
}


class PipelineModule(Protocol):
    """What a module of a pipeline offers to whoever runs it by name; it has a ``build(pipeline, options)`` besides."""

    def main(self, argv: Sequence[str] | None = None) -> int:
        """Run the pipeline with these arguments (by default the process's own) and return an exit status."""
        ...


def summaries() -> dict[str, str]:
    """Return a line about each pipeline, by name."""
    return dict(_SUMMARIES)


def load(name: str) -> PipelineModule:
    """Return the module of a pipeline.

    Args:
        name: As in :func:`summaries`.

    Raises:
        ConfigurationError: There is no such pipeline.
    """
    if name not in _SUMMARIES:
        raise ConfigurationError(f"There is no pipeline {name!r}; there are: {', '.join(_SUMMARIES)}.")
    return cast(PipelineModule, importlib.import_module(f"flumebeam.pipelines.{name}"))
