"""``python -m tests.fuzz TARGET --seconds 600``: coverage-guided by atheris if it is installed, else by Hypothesis.

An input that fails is printed, and can be tried again with ``--input HEX``. Exit status 1 if something failed.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import sys
import time
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

_MOST_BYTES = 4_096


def main() -> int:
    """Fuzz a target for some time, or try one input."""
    parser = argparse.ArgumentParser(prog="fuzz", description="Fuzz the protocol codec and the broker.")
    parser.add_argument("target", choices=("codec", "engine"))
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--corpus", help="directory of inputs that atheris goes on from and adds to")
    parser.add_argument("--input", help="one input, in hexadecimal")
    options = parser.parse_args()
    atheris: Any = None
    if options.input is None:
        with contextlib.suppress(ImportError):
            atheris = importlib.import_module("atheris")
    # What is to be guided by its coverage is changed while it is imported.
    instrumented = atheris.instrument_imports(include=["flumebeam"]) if atheris else contextlib.nullcontext()
    with instrumented:
        target = importlib.import_module("tests.fuzz.targets").TARGETS[options.target]
    if options.input is not None:
        target(bytes.fromhex(options.input))
        return 0
    if atheris is None:
        sys.stdout.write("atheris is not installed: inputs are random, not guided by coverage\n")
        return _at_random(target, options.seconds)
    # The library ends the process: with status 0 after the time, with another one if the target has raised.
    limits = [f"-max_total_time={options.seconds}", f"-max_len={_MOST_BYTES}", "-timeout=20", "-rss_limit_mb=1000"]
    atheris.Setup([sys.argv[0], *limits, *([options.corpus] if options.corpus else [])], _telling(target))
    atheris.Fuzz()
    return 0


def _telling(target: Callable[[bytes], None]) -> Callable[[bytes], None]:
    def run(data: bytes) -> None:
        try:
            target(data)
        except Exception:
            sys.stdout.write(f"failed; try it again with --input {data.hex()}\n")
            sys.stdout.flush()
            raise

    return run


def _at_random(target: Callable[[bytes], None], seconds: int) -> int:
    deadline, tried = time.monotonic() + seconds, 0

    @settings(
        max_examples=1_000,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink),
    )
    @given(st.binary(max_size=_MOST_BYTES))
    def round_of(data: bytes) -> None:
        target(data)

    while time.monotonic() < deadline:
        try:
            round_of()
        except Exception as error:  # noqa: BLE001 - it is the result
            sys.stdout.write(f"failed: {error!r}\n" + "\n".join(getattr(error, "__notes__", ())) + "\n")
            return 1
        tried += 1_000
        sys.stdout.write(f"{tried} inputs\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
