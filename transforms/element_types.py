"""What elements a transform takes: looked at when the graph is built, so that a mistake is one sentence and no job.

Where the type of the elements is not known then, for example behind a ``Map`` of a function without annotations, each
element is looked at on its way.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Final, TypeVar

import apache_beam as beam
from apache_beam.typehints.typehints import UnionConstraint

from flumebeam.batch import EventBatch
from flumebeam.deliveries import DeadLetter, Durable
from flumebeam.errors import ConfigurationError
from flumebeam.event import Event

__all__ = ["refuse", "taken", "typed"]

_T = TypeVar("_T")

_ADVICE: Final[dict[type, str]] = {
    EventBatch: "For single events, bytes or text put FromEvents() in front of it.",
    Event: "It takes bytes and text, too; for anything else put a Map to Event(body, headers) in front of it.",
    Durable: "Put it behind WriteToHdfs, behind .written of WriteToSolace, or use AcknowledgeBatches behind a sink of "
    "your own.",
    DeadLetter: "Put a Map to DeadLetter(event, target, cause) in front of it.",
}


def typed(elements: Any, wanted: tuple[type, ...], transform: str) -> bool:
    """Tell whether the type of a collection's elements is known, and is what a transform takes.

    Args:
        elements: What the transform is applied to.
        wanted: Types of elements that it takes, the one to advise first.
        transform: Its name, for the message.

    Raises:
        ConfigurationError: It is known to be something else, or it is no single collection.
    """
    if not isinstance(elements, beam.PCollection):
        outputs = ", ".join(f".{name}" for name in getattr(elements, "_fields", ()))
        which = f"one of its outputs: {outputs}" if outputs else "the one that is meant"
        raise ConfigurationError(
            f"{transform} takes one PCollection and is applied to a {type(elements).__name__}: name {which}."
        )
    found = elements.element_type
    kinds = list(found.union_types) if isinstance(found, UnionConstraint) else [found]
    if any(kind in wanted for kind in kinds):
        return len(kinds) == 1
    if all(isinstance(kind, type) and kind is not object for kind in kinds):
        raise refuse(" or ".join(sorted(kind.__name__ for kind in kinds)), wanted, transform)
    return False


def refuse(found: str, wanted: tuple[type, ...], transform: str) -> ConfigurationError:
    """Return the error for elements of a wrong type.

    Args:
        found: What they are.
        wanted: Types that the transform takes, the one to advise first.
        transform: Its name.
    """
    return ConfigurationError(
        f"{transform} takes elements of the type {wanted[0].__name__} and is given {found}. {_ADVICE[wanted[0]]}"
    )


def taken(elements: Any, wanted: type, transform: str) -> beam.PCollection:
    """Return a collection of which every element is known to be of the type wanted, or is looked at.

    Args:
        elements: What the transform is applied to.
        wanted: Type of elements that it takes.
        transform: Its name, for the message.

    Raises:
        ConfigurationError: The elements are known to be something else. When the pipeline runs: one of them is.
    """
    if typed(elements, (wanted,), transform):
        return elements
    return elements | "Taken" >> beam.Map(partial(_looked_at, wanted, transform)).with_output_types(wanted)


def _looked_at(wanted: type[_T], transform: str, element: Any) -> _T:
    if not isinstance(element, wanted):
        raise refuse(type(element).__name__, (wanted,), transform)
    return element
