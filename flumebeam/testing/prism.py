"""Beam's Prism runner for tests: its program, built once from the Go module proxy and kept in the user's cache."""

from __future__ import annotations

from pathlib import Path

from flumebeam.errors import ConfigurationError
from flumebeam.runners.artifacts import prism, prism_is_there
from flumebeam.testing.requirements import require, unmet

__all__ = ["prism_program"]


def prism_program() -> Path:
    """Return Prism's program, of the version of the installed Beam; give its path to ``--prism_location``.

    The first call builds it, which takes a minute or two.

    Raises:
        pytest.skip.Exception: It is not there yet and Go is missing, or cannot build it; the text says why. A failure
            instead where everything must run, see :mod:`flumebeam.testing.requirements`.
    """
    if not prism_is_there():
        require("go")
    try:
        return prism()
    except ConfigurationError as error:
        unmet(str(error))
