"""The escape sequences of path templates: their syntax, and what each makes of an event's time.

Letters and meanings are those of Flume's HDFS sink. Names of days and months are English on every machine.
"""

from __future__ import annotations

import functools
import re
import socket
import zoneinfo
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Final, Literal

from flumebeam.errors import ConfigurationError
from flumebeam.event import RESERVED_PREFIX, TIMESTAMP_HEADER

__all__ = ["TIME_ESCAPES", "HostName", "PathOptions", "Piece", "TimeEscape", "parse"]

_SECOND_MS: Final = 1000
_MINUTE_MS: Final = 60_000
_DAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS: Final = tuple("January February March April May June July August September October November December".split())
_LARGEST_ROUND: Final = {"second": 60, "minute": 60, "hour": 24}


@dataclass(frozen=True, slots=True)
class TimeEscape:
    """What a letter makes of a time.

    Attributes:
        step_ms: Times within one step of the clock (milliseconds) give the same text.
        text: Called with the rounded time in its zone, and with the event's time in milliseconds, not rounded.
    """

    step_ms: int
    text: Callable[[datetime, int], str]


def _clock(pattern: str, step_ms: int = _MINUTE_MS) -> TimeEscape:
    return TimeEscape(step_ms, lambda moment, _: moment.strftime(pattern))


def _number(value: Callable[[datetime], int]) -> TimeEscape:
    return TimeEscape(_MINUTE_MS, lambda moment, _: str(value(moment)))


def _word(value: Callable[[datetime], str], step_ms: int = _MINUTE_MS) -> TimeEscape:
    return TimeEscape(step_ms, lambda moment, _: value(moment))


def _long_date(moment: datetime) -> str:
    day, month = _DAYS[moment.weekday()][:3], _MONTHS[moment.month - 1][:3]
    return f"{day} {month} {moment.day} {moment:%H:%M:%S} {moment.year:04d}"


TIME_ESCAPES: Final = {
    "Y": _word(lambda moment: f"{moment.year:04d}"),
    "y": _clock("%y"),
    "m": _clock("%m"),
    "n": _number(lambda moment: moment.month),
    "d": _clock("%d"),
    "e": _number(lambda moment: moment.day),
    "j": _clock("%j"),
    "H": _clock("%H"),
    "k": _number(lambda moment: moment.hour),
    "I": _clock("%I"),
    "l": _number(lambda moment: (moment.hour - 1) % 12 + 1),
    "M": _clock("%M"),
    "S": _clock("%S", _SECOND_MS),
    "p": _word(lambda moment: "AM" if moment.hour < 12 else "PM"),
    "a": _word(lambda moment: _DAYS[moment.weekday()][:3]),
    "A": _word(lambda moment: _DAYS[moment.weekday()]),
    "b": _word(lambda moment: _MONTHS[moment.month - 1][:3]),
    "B": _word(lambda moment: _MONTHS[moment.month - 1]),
    "c": _word(_long_date, _SECOND_MS),
    "s": _word(lambda moment: str(int(moment.timestamp())), _SECOND_MS),
    "t": TimeEscape(1, lambda _, instant_ms: str(instant_ms)),
    "z": _clock("%z"),
}
"""One-letter escapes. ``%D``, which holds slashes, is read as ``%m/%d/%y``."""

_HOST_WORDS: Final[dict[str, Literal["name", "address", "full_name"]]] = {
    "localhost": "name",
    "ip": "address",
    "fqdn": "full_name",
}
_TOKEN: Final = re.compile(
    r"%\{(?P<header>[A-Za-z0-9_.-]+)\}|%\[(?P<host>\w+)\]|%(?P<letter>[A-Za-z%])|(?P<slash>/)|(?P<literal>[^%/]+)"
)
_FORBIDDEN: Final = re.compile("[:#\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class HostName:
    """The machine that writes, for ``%[localhost]``, ``%[IP]`` and ``%[FQDN]``.

    Attributes:
        name: Its own name, without domain where it has none.
        address: Its IP address.
        full_name: Its name with domain, as the resolver gives it.
    """

    name: str
    address: str
    full_name: str

    @classmethod
    @functools.cache
    def of_this_machine(cls) -> HostName:
        """Return the names of this machine; asks the resolver once."""
        name = socket.gethostname()
        try:
            address = socket.gethostbyname(name)
        except OSError:
            # A machine that does not find itself still has a name to write under.
            address = "127.0.0.1"
        return cls(name, address, socket.getfqdn(name))


@dataclass(frozen=True, slots=True, kw_only=True)
class PathOptions:
    """How a path template reads time.

    Attributes:
        time_zone: IANA name of the zone for escapes, or ``local`` for the zone of the machine that writes.
        round_value: Times are rounded down to a multiple of this many units before escapes (all but ``%t``).
        round_unit: ``second``, ``minute`` or ``hour`` of the zone's clock; ``None`` for no rounding.
        time_headers: Where an event's time is looked for, first to last, as milliseconds since 1970 UTC in decimal; a
            header that holds anything else is passed over. Empty: the arrival time is used, always.
        host: The writing machine's names; ``None`` asks the machine where the template is used.

    Raises:
        ConfigurationError: An unknown zone or unit, or a value that does not fit its unit.
    """

    time_zone: str = "UTC"
    round_value: int = 1
    round_unit: Literal["second", "minute", "hour"] | None = None
    time_headers: tuple[str, ...] = (TIMESTAMP_HEADER, RESERVED_PREFIX + "sender-timestamp")
    host: HostName | None = None

    def __post_init__(self) -> None:
        self.zone()
        if self.round_unit is None:
            return
        largest = _LARGEST_ROUND.get(self.round_unit)
        if largest is None:
            raise ConfigurationError(f"Times round to second, minute or hour, not to {self.round_unit!r}.")
        if not 1 <= self.round_value <= largest:
            raise ConfigurationError(f"round_value is 1 to {largest} for {self.round_unit}s, got {self.round_value}.")

    def zone(self) -> tzinfo | None:
        """Return the zone for escapes; ``None`` stands for the machine's own."""
        if self.time_zone == "local":
            return None
        try:
            return zoneinfo.ZoneInfo(self.time_zone)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ConfigurationError(
                f"There is no time zone {self.time_zone!r}; use an IANA name such as Europe/Berlin, UTC, or local."
            ) from error

    def rounded(self, moment: datetime) -> datetime:
        """Return a time, in its zone, rounded down as the options say."""
        value = self.round_value
        if self.round_unit == "second":
            return moment.replace(second=moment.second - moment.second % value)
        if self.round_unit == "minute":
            return moment.replace(minute=moment.minute - moment.minute % value, second=0)
        if self.round_unit == "hour":
            return moment.replace(hour=moment.hour - moment.hour % value, minute=0, second=0)
        return moment


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of one name of a path: exactly one of these is set.

    Attributes:
        literal: Text as it stands.
        header: Name of the header to insert.
        time: What to make of the event's time.
        host: Field of :class:`HostName` to insert.
    """

    literal: str = ""
    header: str | None = None
    time: TimeEscape | None = None
    host: Literal["name", "address", "full_name"] | None = None


def parse(text: str) -> tuple[tuple[Piece, ...], ...]:
    """Return a template's pieces, name by name; empty names (doubled slashes) are left out.

    Raises:
        ConfigurationError: The template has an unknown or unfinished escape, or a name that no path should hold.
    """
    names: list[list[Piece]] = [[]]
    position = 0
    while position < len(text):
        found = _TOKEN.match(text, position)
        if found is None:
            raise ConfigurationError(_unknown(text, position))
        if found["slash"]:
            names.append([])
        elif found["letter"] == "D":
            month, day, year = (Piece(time=TIME_ESCAPES[letter]) for letter in "mdy")
            names[-1].append(month)
            names += [[day], [year]]
        else:
            names[-1].append(_piece(found, text, position))
        position = found.end()
    kept = tuple(tuple(name) for name in names if name)
    for name in kept:
        _check(name, text)
    return kept


def _piece(found: re.Match[str], text: str, position: int) -> Piece:
    if found["literal"] is not None:
        if bad := _FORBIDDEN.search(found["literal"]):
            raise ConfigurationError(
                f"Path {text!r} has {bad[0]!r} at position {position + bad.start() + 1}, which HDFS paths cannot hold."
            )
        return Piece(literal=found["literal"])
    if found["header"] is not None:
        return Piece(header=found["header"])
    if found["host"] is not None:
        word = _HOST_WORDS.get(found["host"].lower())
        if word is None:
            raise ConfigurationError(_unknown(text, position))
        return Piece(host=word)
    if found["letter"] == "%":
        return Piece(literal="%")
    escape = TIME_ESCAPES.get(found["letter"])
    if escape is None:
        raise ConfigurationError(_unknown(text, position))
    return Piece(time=escape)


def _unknown(text: str, position: int) -> str:
    known = "%{header}, %[localhost], %[IP], %[FQDN], %%, %" + " %".join(sorted([*TIME_ESCAPES, "D"], key=str.lower))
    start = text[position : position + 12]
    return f"Path {text!r} has an unknown escape at position {position + 1}, {start!r}; use one of: {known}."


def _check(name: tuple[Piece, ...], text: str) -> None:
    first = name[0].literal
    whole = "".join(piece.literal for piece in name) if all(piece.literal for piece in name) else None
    if whole in (".", ".."):
        raise ConfigurationError(f"Path {text!r} holds the name {whole!r}; write the path out, below its target.")
    if first[:1] in (".", "_"):
        raise ConfigurationError(
            f"Path {text!r} holds a name that begins with {first[0]!r}: Hadoop and Spark would not read its files."
        )
