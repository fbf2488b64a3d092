"""``flumebeam yaml FILE``: a pipeline of Beam YAML that uses our transforms."""

from __future__ import annotations

import sys
from typing import Annotated, Final

import typer

__all__ = ["CONTEXT", "yaml"]

CONTEXT: Final = {"ignore_unknown_options": True, "allow_extra_args": True}
"""Everything behind the file belongs to Beam."""


def yaml(
    context: typer.Context,
    file: Annotated[str, typer.Argument(help="The pipeline, a file of Beam YAML; it may be a Jinja template.")],
) -> None:
    """Run a pipeline of Beam YAML in which the transforms of flumebeam are known.

    Beam's options may follow; --jinja_variables takes a JSON object for a template. Needs flumebeam[yaml].
    """
    from flumebeam.pipelines import yaml_file  # Beam takes a second to import: only this command pays

    sys.exit(yaml_file.run_file([file, *context.args]))
