"""When a directory of a path is over."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flumebeam.batch import EventBatch
from flumebeam.errors import ConfigurationError
from flumebeam.hdfs.paths import PathOptions, PathTemplate

BERLIN = "Europe/Berlin"


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text).astimezone(UTC).timestamp() * 1000)


def end_of(path: str, at: str, **options: object) -> str:
    time = PathTemplate(path, PathOptions(**options)).partition_time()  # type: ignore[arg-type]
    return datetime.fromtimestamp(time.end_ms(ms(at)) / 1000, UTC).isoformat()[:-6]


@pytest.mark.parametrize(
    ("path", "end"),
    [
        ("%Y", "2025-01-01T00:00:00"),
        ("%Y/%H", "2025-01-01T00:00:00"),
        ("%Y-%m", "2024-03-01T00:00:00"),
        ("%y/%B", "2024-03-01T00:00:00"),
        ("dt=%Y-%m-%d", "2024-03-01T00:00:00"),
        ("%Y%j", "2024-03-01T00:00:00"),
        ("%D", "2024-03-01T00:00:00"),
        ("%Y/%m/%d/%H", "2024-02-29T14:00:00"),
        ("%Y/%n/%e/%k/%{host}", "2024-02-29T14:00:00"),
        ("%Y/%m/%d/%I%p", "2024-02-29T14:00:00"),
        ("%Y/%m/%d/%I", "2024-03-01T00:00:00"),
        ("%Y/%m/%d/%M", "2024-03-01T00:00:00"),
        ("%Y/%m/%d/%H%M", "2024-02-29T13:38:00"),
        ("%Y/%m/%d/%H%M%S", "2024-02-29T13:37:13"),
        ("%s", "2024-02-29T13:37:13"),
        ("%t", "2024-02-29T13:37:12.346000"),
    ],
)
def test_a_partition_ends_with_the_smallest_time_that_its_path_names(path: str, end: str) -> None:
    assert end_of(path, "2024-02-29T13:37:12.345+00:00") == end


@pytest.mark.parametrize(
    ("unit", "value", "end"),
    [
        ("second", 10, "2024-02-29T13:37:20"),
        ("minute", 15, "2024-02-29T13:45:00"),
        ("minute", 35, "2024-02-29T14:00:00"),
        ("hour", 6, "2024-02-29T18:00:00"),
        ("hour", 7, "2024-02-29T14:00:00"),
        ("hour", 24, "2024-03-01T00:00:00"),
    ],
)
def test_rounding_makes_partitions_longer(unit: str, value: int, end: str) -> None:
    assert end_of("%Y%m%d%H%M%S", "2024-02-29T13:37:12+00:00", round_unit=unit, round_value=value) == end


@pytest.mark.parametrize(
    ("at", "end"),
    [
        # The clock goes from 03:00 back to 02:00 at 01:00 UTC: that hour is there twice, under one name.
        ("2024-10-27T00:30:00+00:00", "2024-10-27T02:00:00"),
        ("2024-10-27T01:30:00+00:00", "2024-10-27T02:00:00"),
        # The clock goes from 02:00 to 03:00 at 01:00 UTC.
        ("2024-03-31T00:30:00+00:00", "2024-03-31T01:00:00"),
        ("2024-03-31T01:30:00+00:00", "2024-03-31T02:00:00"),
    ],
)
def test_an_hour_ends_where_its_zone_says_also_when_the_clock_is_set(at: str, end: str) -> None:
    assert end_of("%Y/%m/%d/%H", at, time_zone=BERLIN) == end


@pytest.mark.parametrize("path", ["", "logs", "%{host}", "%H", "%m/%d", "%A", "%z"])
def test_a_path_whose_times_come_again_is_refused(path: str) -> None:
    with pytest.raises(ConfigurationError, match="put the year into it"):
        PathTemplate(path).partition_time()


@pytest.mark.parametrize("path", ["%Y", "%Y/%m", "%Y/%m/%d", "%Y/%j/%H", "%Y/%m/%d/%H/%M", "%c", "%Y/%m/%d/%l/%p/%M"])
@given(
    start=st.integers(ms("1980-01-01T00:00:00+00:00"), ms("2100-01-01T00:00:00+00:00")),
    later=st.integers(0, 30 * 3_600_000),
    zone=st.sampled_from(["UTC", BERLIN, "America/New_York", "Australia/Lord_Howe", "Pacific/Apia", "Asia/Kolkata"]),
    rounding=st.sampled_from([(None, 1), ("second", 7), ("minute", 10), ("hour", 5)]),
)
def test_no_time_after_the_end_gives_the_same_path(
    path: str, start: int, later: int, zone: str, rounding: tuple[str | None, int]
) -> None:
    unit, value = rounding
    options = PathOptions(time_zone=zone, round_unit=unit, round_value=value, time_headers=())  # type: ignore[arg-type]
    template = PathTemplate(path, options)
    event = EventBatch.from_bodies([b"x"])
    end = template.partition_time().end_ms(start)
    found = template.expand(event, start)

    assert found.instants == (start,)
    assert start < end
    assert template.expand(event, end + later).paths != found.paths


def test_the_last_year_that_there_is_ends_with_it() -> None:
    time = PathTemplate("%Y/%m").partition_time()

    assert time.end_ms(253_402_214_399_000) == 253_402_300_800_000


def test_paths_of_one_batch_come_with_a_time_of_each() -> None:
    times = ["2024-01-01T00:10:00+00:00", "2024-01-01T01:00:00+00:00", "2024-01-01T00:50:00+00:00"]
    batch = EventBatch.from_bodies([b"a", b"b", b"c"], None, {"timestamp": [str(ms(time)) for time in times]})
    template = PathTemplate("%Y/%m/%d/%H")
    found = template.expand(batch, 0)

    ends = [template.partition_time().end_ms(instant) for instant in found.instants]
    assert dict(zip(found.paths, ends, strict=True)) == {
        "2024/01/01/00": ms("2024-01-01T01:00:00+00:00"),
        "2024/01/01/01": ms("2024-01-01T02:00:00+00:00"),
    }
