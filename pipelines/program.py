"""A pipeline as a program: options in, exit status out, one line of error."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, NoReturn

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions

from flumebeam.errors import ConfigurationError, FlumebeamError
from flumebeam.exits import Exit
from flumebeam.pipelines import launching
from flumebeam.transforms.graph_checks import check_graph

__all__ = [
    "Options",
    "arguments_of",
    "as_program",
    "in_process",
    "parse",
    "run_built",
]

Options = Sequence[type[PipelineOptions]]
_DEFAULT_RUNNER: Final = "FnApiRunner"
_IN_PROCESS: Final = ("FnApiRunner", "DirectRunner")


class _Parser(argparse.ArgumentParser):
    """Raises where argparse would print its usage and leave the process."""

    def error(self, message: str) -> NoReturn:
        raise ConfigurationError(f"{message[:1].upper()}{message[1:]}; --help lists the options.")


def parse(argv: Sequence[str], name: str, summary: str, groups: Options) -> PipelineOptions:
    """Return the options of a pipeline.

    Args:
        argv: The arguments, without the program's name.
        name: Name of the pipeline.
        summary: What it does, for ``--help``.
        groups: The groups of options that it has; all others are Beam's.

    Raises:
        ConfigurationError: An option is unknown, lacks its value or has an impossible one.
        SystemExit: ``--help`` was asked for, and has been printed.
    """
    parser = _Parser(
        prog=f"flumebeam run {name}",
        description=summary,
        epilog="Options of Beam can follow.",
        allow_abbrev=False,
    )
    _add(parser, [*groups, launching.LaunchOptions])
    parser.add_argument("--runner", default=_DEFAULT_RUNNER, metavar="NAME", help=f"Beam's runner [{_DEFAULT_RUNNER}]")
    known, others = parser.parse_known_args(list(argv))
    if known.runner in _IN_PROCESS:
        _refuse_unknown(others)
    options = PipelineOptions(list(argv))
    options.view_as(StandardOptions).runner = known.runner
    launching.check_launch(options)
    return options


def _beams_options() -> set[str]:
    """Return the names that Beam knows without our groups, all of which it knows once they are imported."""
    ours = _Parser(allow_abbrev=False)
    _add(ours, [group for group in PipelineOptions.__subclasses__() if group.__module__.startswith("flumebeam.")])
    return set(PipelineOptions([]).get_all_options()) - set(vars(ours.parse_known_args([])[0]))


def in_process(options: PipelineOptions) -> bool:
    """Tell whether the runner is one of those that run everything in this process."""
    return options.view_as(StandardOptions).runner in _IN_PROCESS


def arguments_of(argv: Sequence[str], own: Options, groups: Options) -> list[str]:
    """Return the arguments that concern some groups, and all that are Beam's: for a process of their own.

    Args:
        argv: The arguments of a pipeline.
        own: All groups of options that it has.
        groups: Those wanted.
    """
    every, wanted = _Parser(allow_abbrev=False), _Parser(allow_abbrev=False)
    _add(every, own)
    _add(wanted, groups)
    beams = every.parse_known_args(list(argv))[1]
    given = vars(wanted.parse_known_args(list(argv))[0])
    arguments = []
    for name, value in given.items():
        if value == wanted.get_default(name):
            continue
        if value is True:
            arguments.append(f"--{name}")
        else:
            arguments += [f"--{name}={one}" for one in (value if isinstance(value, list) else [value])]
    return [*arguments, *beams]


def _add(parser: argparse.ArgumentParser, groups: Options) -> None:
    for group in groups:
        title = (group.__doc__ or "").partition(".")[0]
        group._add_argparse_args(parser.add_argument_group(title))


def _refuse_unknown(others: Sequence[str]) -> None:
    """Refuse what nobody knows. On other runners it may be an option of the job server, which Beam does not know."""
    beams = _beams_options()
    for before, text in zip(("", *others), others, strict=False):
        option = text.removeprefix("--").partition("=")[0]
        if text.startswith("--") and option not in beams:
            raise ConfigurationError(f"There is no option --{option}; --help lists the options.")
        if not text.startswith("--") and not before.startswith("--"):
            raise ConfigurationError(f"{text!r} stands behind no option; --help lists the options.")


def run_built(name: str, build: Callable[[beam.Pipeline, PipelineOptions], Any], options: PipelineOptions) -> int:
    """Build a pipeline and run it to its end or to a clean stop.

    Args:
        name: Of the pipeline.
        build: Adds it to an empty one.
        options: Its options.

    Returns:
        :attr:`Exit.OK`.

    Raises:
        FlumebeamError: What went wrong.
        KeyboardInterrupt: Interrupted before a source was open.
    """
    launching.prepare(name, options)
    pipeline = beam.Pipeline(options=options)
    build(pipeline, options)
    # A mistake shows before anything is started.
    check_graph(pipeline)
    launching.launch(name, pipeline)
    return Exit.OK


def as_program(name: str, main: Callable[[], int]) -> int:
    """Call ``main``, and turn what goes wrong into one line on standard error and an exit status.

    Returns:
        What ``main`` returned, or of :class:`~flumebeam.exits.Exit`: ``USAGE`` for a user's mistake, ``FAILED`` for any
        other error of ours, ``INTERRUPTED`` for Ctrl-C before a source was open. Stopping a running pipeline by Ctrl-C
        is ``OK``: nothing is lost and the same command goes on.

    Raises:
        Exception: Whatever is a defect and not an error of ours, with its traceback.
    """
    try:
        with _plain_log():
            return main()
    except ConfigurationError as error:
        _say(name, error)
        return Exit.USAGE
    except FlumebeamError as error:
        _say(name, error)
        return Exit.FAILED
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else Exit.OK


@contextmanager
def _plain_log() -> Iterator[None]:
    """Print what is logged about stopping, and about options that were set, as plain lines."""
    handler = logging.StreamHandler()
    loggers = [logging.getLogger(name) for name in ("flumebeam.transforms", "flumebeam.pipelines")]
    before = [(logger.level, logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        logger.propagate = False
    try:
        yield
    finally:
        for logger, (level, propagate) in zip(loggers, before, strict=True):
            logger.removeHandler(handler)
            logger.setLevel(level)
            logger.propagate = propagate


def _say(name: str, error: FlumebeamError) -> None:
    sys.stderr.write(f"flumebeam {name}: {' '.join(str(error).split())}\n")
