from __future__ import annotations

import inspect
import re

from flumebeam import errors


def classes() -> dict[str, type[errors.FlumebeamError]]:
    return {name: cls for name, cls in inspect.getmembers(errors, inspect.isclass) if cls.__module__ == errors.__name__}


def test_the_printed_tree_is_the_real_one() -> None:
    printed: dict[str, str] = {}
    parents: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        if match := re.match(r"    ([│├└─ ]*)(\w+Error)\b", line):
            depth = len(match[1]) // 4
            parents[depth:] = [match[2]]
            printed[match[2]] = parents[depth - 1] if depth else "Exception"

    assert printed == {name: cls.__bases__[0].__name__ for name, cls in classes().items()}


def test_every_error_is_exported() -> None:
    assert sorted(classes()) == sorted(errors.__all__)
