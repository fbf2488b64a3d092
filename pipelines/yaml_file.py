"""A pipeline of Beam YAML from a file: with our transforms known, a clean stop on Ctrl-C, and one line of error.

Unit of parallelism, what repeats and what is never lost: as each transform in the file says.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions

from flumebeam.errors import ConfigurationError, FlumebeamError
from flumebeam.pipelines.program import as_program, run_built
from flumebeam.transforms.yaml_forms import PROVIDERS

__all__ = ["NAME", "run_file"]

NAME: Final = "yaml"
_DEFAULT_RUNNER: Final = "FnApiRunner"


def run_file(argv: Sequence[str]) -> int:
    """Run a YAML pipeline; see :func:`~flumebeam.pipelines.program.as_program` for what is returned.

    Args:
        argv: The file, and options of Beam; ``--jinja_variables`` is a JSON object for the template that a file may be.
    """
    return as_program(NAME, lambda: _run(argv))


def _run(argv: Sequence[str]) -> int:
    try:
        from apache_beam.yaml import yaml_transform
    except ImportError as error:
        raise ConfigurationError(
            f"YAML pipelines need Beam's YAML parts, of which {error.name} is missing: pip install 'flumebeam[yaml]'."
        ) from error
    parser = argparse.ArgumentParser(allow_abbrev=False, exit_on_error=False)
    parser.add_argument("file", type=Path)
    parser.add_argument("--jinja_variables", type=json.loads, default={})
    known, beams = parser.parse_known_args(list(argv))
    spec = _spec_of(known.file, known.jinja_variables, yaml_transform)
    plain = yaml_transform.SafeLineLoader.strip_metadata(spec)
    options = PipelineOptions(beams, pickle_library="cloudpickle", **plain.get("options", {}))
    runner = options.view_as(StandardOptions)
    runner.runner = runner.runner or _DEFAULT_RUNNER

    def build(pipeline: beam.Pipeline, _: PipelineOptions) -> None:
        try:
            with _without_advice():
                yaml_transform.expand_pipeline(pipeline, spec, validate_schema="generic", pipeline_path=str(known.file))
        except Exception as error:  # of whatever type a transform or Beam raised it; it goes on as its cause
            # Beam puts its own words, and the line of the file, around whatever a transform has raised.
            if (own := _own_error(error)) is not None:
                raise type(own)(f"{known.file}: {own}") from error
            raise ConfigurationError(f"{known.file}: {error}") from error

    return run_built(NAME, build, options)


def _spec_of(file: Path, variables: dict[str, Any], yaml_transform: Any) -> Any:
    """Return what a file holds, with our listing among its providers."""
    import jinja2
    import yaml

    try:
        text = yaml_transform.expand_jinja(file.read_text(encoding="utf-8"), variables, [str(file.parent)])
        spec = yaml.load(text, Loader=yaml_transform.SafeLineLoader)  # noqa: S506 - it is one of SafeLoader's
    except (OSError, UnicodeDecodeError, yaml.YAMLError, jinja2.TemplateError) as error:
        raise ConfigurationError(f"{file} is no YAML pipeline: {error}.") from error
    if not isinstance(spec, dict) or "pipeline" not in spec:
        raise ConfigurationError(f"{file} is no YAML pipeline: it has no 'pipeline'.")
    spec["providers"] = [*spec.get("providers", ()), {"include": str(PROVIDERS)}]
    return spec


@contextmanager
def _without_advice() -> Iterator[None]:
    """Keep Beam from telling which of its own optional transforms cannot be loaded here."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(level)


def _own_error(error: BaseException | None) -> FlumebeamError | None:
    while error is not None and not isinstance(error, FlumebeamError):
        error = error.__cause__
    return error
