"""Finds the level of log lines: one regular expression over the whole batch, no Python object per event."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from flumebeam.batch import EventBatch
from flumebeam.event import SEVERITY_HEADER

__all__ = ["SeverityInterceptor"]

_LEVELS: Final = {
    **dict.fromkeys(("emerg", "emergency", "alert", "crit", "critical", "fatal", "panic"), "fatal"),
    **dict.fromkeys(("err", "error", "severe"), "error"),
    **dict.fromkeys(("warn", "warning"), "warn"),
    **dict.fromkeys(("notice", "info"), "info"),
    "debug": "debug",
    "trace": "trace",
}
"""Words for levels, in lower case, and the level each stands for."""

_SYSLOG: Final = ("fatal", "fatal", "fatal", "error", "warn", "info", "info", "debug")
"""Levels of the eight syslog severities, which are the last three bits of the priority (RFC 5424, section 6.2.1)."""

_WORDS: Final = "|".join(sorted(_LEVELS, key=len, reverse=True))
# A word in capitals stands for a level anywhere; in other spellings it is too common a word, so it counts only where
# a level is written: in brackets as Apache and nginx do (with Apache's module before it), or named level or severity.
_PATTERN: Final = (
    r"^<(?P<priority>\d{1,3})>"
    rf"|\b(?P<capitals>{_WORDS.upper()})\b"
    rf'|(?:\[(?:[\w.-]+:)?|(?i:level|severity)"?[=:] ?"?)(?P<named>(?i:{_WORDS}))\b'
)
_LOOK_AT_BYTES: Final = 512
"""How much of a line is searched: a level stands near the beginning, and lines of a megabyte exist."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SeverityInterceptor:
    """Sets the header ``severity`` of every event in whose body a level is found.

    The first level in the line counts: ``ERROR`` and the like in capitals, ``[error]`` and ``[core:error]``,
    ``level=warn``, ``"severity": "info"``, or a syslog priority ``<34>`` at the beginning. Its value is fatal, error,
    warn, info, debug or trace. Bodies may hold any bytes.

    Attributes:
        header: Name of the header; what events had under it before is replaced.
    """

    header: str = SEVERITY_HEADER

    def __call__(self, batch: EventBatch) -> EventBatch:
        """Return the batch with the header where a level was found."""
        heads = pc.binary_slice(batch.bodies, 0, _LOOK_AT_BYTES)
        found = pc.extract_regex(heads, _PATTERN)
        # One of the three is not empty where the pattern matched; all are null where it did not.
        word = pc.binary_join_element_wise(*found.flatten(), pa.scalar(b"", type=pa.binary()))
        words = word.dictionary_encode()
        levels = pa.array([_level(one) for one in words.dictionary.to_pylist()], type=pa.string())
        return batch.with_column(self.header, levels.take(words.indices))


def _level(word: bytes) -> str:
    text = word.decode("ascii")
    return _SYSLOG[int(text) & 7] if text.isdigit() else _LEVELS[text.lower()]
