"""Topics of batches: fixed, a template over headers, or a function of one's own; resolved per batch."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from flumebeam.batch import EventBatch
from flumebeam.errors import ConfigurationError

__all__ = ["TopicFunction", "TopicTemplate", "topic_function"]

TopicFunction: TypeAlias = "Callable[[EventBatch], str | pa.StringArray]"
"""Returns one topic for all events of a batch, or one per event. Picklable: a function of a module, or an object."""

_ESCAPE: Final = re.compile(r"%\{([^{}]*)\}|%(.?)")
_UNSAFE: Final = re.compile(r"[/*>%\x00-\x1f\x7f]")
_MISSING: Final = "none"
_MAX_TOPIC_BYTES: Final = 250


class TopicTemplate:
    """A topic with ``%{header}`` in it; ``%%`` is a percent sign. Picklable.

    What a header inserts never changes the number of levels: ``/``, the wildcards ``*`` and ``>``, ``%`` and control
    characters become ``%XX``. An empty or missing header becomes ``none``.

    Args:
        text: For example ``logs/%{host}/%{severity}``.

    Raises:
        ConfigurationError: An empty topic or level, an unknown escape, or a fixed topic that is too long.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        # Text and header names in turns: text, header, text, header, ..., text.
        self._pieces: list[str] = [""]
        end = 0
        for escape in _ESCAPE.finditer(text):
            self._pieces[-1] += text[end : escape.start()]
            end = escape.end()
            if escape[1]:
                self._pieces += [escape[1], ""]
            elif escape[2] == "%":
                self._pieces[-1] += "%"
            else:
                raise ConfigurationError(
                    f"Topic {text!r} has {escape[0]!r} at position {escape.start()}: write %{{header}} or %%."
                )
        self._pieces[-1] += text[end:]
        if not all(text.split("/")):
            raise ConfigurationError(f"Topic {text!r} has an empty level: a topic is like logs/%{{host}}/app.")
        if len(self._pieces) == 1 and len(self._pieces[0].encode()) > _MAX_TOPIC_BYTES:
            raise ConfigurationError(f"Topic {text!r} is longer than {_MAX_TOPIC_BYTES} bytes.")

    def __repr__(self) -> str:
        return f"TopicTemplate({self._text!r})"

    def __call__(self, batch: EventBatch) -> str | pa.StringArray:
        """Return the topic of a batch, or one topic per event where a header in it differs."""
        parts: list[str | pa.StringArray] = []
        for index, piece in enumerate(self._pieces):
            if index % 2 == 0:
                parts.append(piece)
            elif (column := batch.columns.get(piece)) is None:
                parts.append(_safe(batch.shared.get(piece)))
            else:
                # Made safe once per value, not once per event.
                values = column.dictionary_encode(null_encoding="encode")
                parts.append(pa.array(map(_safe, values.dictionary.to_pylist()), pa.string()).take(values.indices))
        fixed = [part for part in parts if isinstance(part, str)]
        return "".join(fixed) if len(fixed) == len(parts) else pc.binary_join_element_wise(*parts, "")


def topic_function(topic: str | TopicFunction) -> TopicFunction:
    """Return the function of a topic that may be given as a template.

    Raises:
        ConfigurationError: The template cannot work.
    """
    return TopicTemplate(topic) if isinstance(topic, str) else topic


def _safe(value: str | None) -> str:
    return _UNSAFE.sub(lambda found: f"%{ord(found[0]):02X}", value) if value else _MISSING
