"""When a directory of a path template is over: the end of the time that its escapes stand for."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Final

from flumebeam.errors import ConfigurationError
from flumebeam.hdfs.escapes import TIME_ESCAPES, PathOptions, TimeEscape

__all__ = ["PartitionTime"]

_LAST_YEAR: Final = 9999
_NEVER_MS: Final = 253_402_300_800_000
"""The end of the year 9999 UTC."""
_SPANS: Final = {"hour": timedelta(hours=1), "minute": timedelta(minutes=1), "second": timedelta(seconds=1)}


class PartitionTime:
    """Tells when directories are over; picklable, thread-safe.

    A partition is over when no later time gives its path: the hour for ``%Y/%m/%d/%H``, the year for ``%Y/%H``. Where a
    clock is set back, the later one of two equal times counts, so no partition is ever over too early.

    Args:
        text: The template, for errors.
        times: Its time escapes.
        options: Time zone and rounding.

    Raises:
        ConfigurationError: No time leaves a path for good, because there is no year in it.
    """

    def __init__(self, text: str, times: Collection[TimeEscape], options: PathOptions) -> None:
        letters = {letter for letter, escape in TIME_ESCAPES.items() if escape in times}
        self._unit = _unit(letters)
        if not self._unit:
            raise ConfigurationError(
                f"A partition of path {text!r} is never complete, because its times come again: put the year into it, "
                "as in 'dt=%Y-%m-%d/hour=%H', or leave out what waits for complete partitions."
            )
        self._options = options
        self._zone = options.zone()

    def end_ms(self, instant_ms: int) -> int:
        """Return when the partition of a time is over, milliseconds since 1970 UTC: the first one of a later partition.

        Args:
            instant_ms: The time of one of its events, milliseconds since 1970 UTC.
        """
        if self._unit == "millisecond":
            return instant_ms + 1
        moment = self._options.rounded(datetime.fromtimestamp(instant_ms // 1000, UTC).astimezone(self._zone))
        wall = moment.replace(tzinfo=None, fold=0)
        if wall.year >= _LAST_YEAR:
            return _NEVER_MS
        end = max(_end_of(self._unit, wall), self._end_of_rounding(wall))
        # A wall clock shows some times twice, and leaves some out.
        stamps = [end.replace(tzinfo=self._zone, fold=fold).timestamp() for fold in (0, 1)]
        return round(max(stamps) * 1000)

    def _end_of_rounding(self, wall: datetime) -> datetime:
        unit, value = self._options.round_unit, self._options.round_value
        if unit is None:
            return wall
        # Rounding begins anew with each day, hour or minute.
        whole = {"hour": "day", "minute": "hour", "second": "minute"}[unit]
        return min(wall + value * _SPANS[unit], _end_of(whole, wall))


def _unit(letters: Collection[str]) -> str:
    """Return the smallest unit of time that a path names from the year on; empty if there is no year."""
    found = set(letters)
    if "t" in found:
        return "millisecond"
    if found & {"s", "c"}:
        return "second"
    if not found & {"Y", "y"}:
        return ""
    month = bool(found & set("mnbB"))
    if not ("j" in found or (month and found & set("de"))):
        return "month" if month else "year"
    if not (found & set("Hk") or (found & set("Il") and "p" in found)):
        return "day"
    if "M" not in found:
        return "hour"
    return "second" if "S" in found else "minute"


def _end_of(unit: str, wall: datetime) -> datetime:
    if unit == "second":
        return wall + _SPANS[unit]
    if unit == "minute":
        return wall.replace(second=0) + _SPANS[unit]
    if unit == "hour":
        return wall.replace(minute=0, second=0) + _SPANS[unit]
    midnight = wall.replace(hour=0, minute=0, second=0)
    if unit == "day":
        return midnight + timedelta(days=1)
    if unit == "month":
        return (midnight.replace(day=1) + timedelta(days=32)).replace(day=1)
    return midnight.replace(year=wall.year + 1, month=1, day=1)
