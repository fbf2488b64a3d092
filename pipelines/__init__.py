"""Ready pipelines: graphs to build on, each also a program (``flumebeam run NAME``)."""

from __future__ import annotations

import logging


def _is_ours_to_show(record: logging.LogRecord) -> bool:
    return not str(record.msg).startswith("apitools not found")


# Beam 2.77 warns, whenever it is imported, that a Google package is missing which nothing here needs.
logging.getLogger().addFilter(_is_ours_to_show)
