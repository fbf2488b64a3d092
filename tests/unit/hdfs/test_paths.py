from __future__ import annotations

import pickle
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flumebeam.batch import EventBatch
from flumebeam.errors import ConfigurationError
from flumebeam.hdfs.paths import BatchPaths, HostName, PathOptions, PathTemplate, safe_text

ARRIVAL = 1_600_000_000_000
"""2020-09-13 12:26:40 UTC, a Sunday."""


def ms(*when: int, zone: str = "UTC") -> int:
    return int(datetime(*when, tzinfo=ZoneInfo(zone)).timestamp() * 1000)  # type: ignore[arg-type, misc]


def one(text: str, options: PathOptions | None = None, **headers: str) -> str:
    batch = EventBatch.from_bodies([b"x"], headers)
    paths = PathTemplate(text, options).expand(batch, ARRIVAL)
    assert paths.indices is None
    return paths.paths[0]


def each(paths: BatchPaths, batch: EventBatch) -> list[str]:
    """The path of each event, in the batch's order."""
    indices = [0] * len(batch) if paths.indices is None else paths.indices.tolist()
    return [paths.paths[index] for index in indices]


@pytest.mark.parametrize(
    ("escape", "text"),
    [
        ("%Y", "2005"), ("%y", "05"), ("%m", "03"), ("%n", "3"), ("%d", "03"), ("%e", "3"), ("%j", "062"),
        ("%H", "04"), ("%k", "4"), ("%I", "04"), ("%l", "4"), ("%M", "05"), ("%S", "09"), ("%p", "AM"),
        ("%a", "Thu"), ("%A", "Thursday"), ("%b", "Mar"), ("%B", "March"), ("%D", "03/03/05"),
        ("%c", "Thu Mar 3 04%3A05%3A09 2005"), ("%s", "1109822709"), ("%t", "1109822709123"), ("%z", "+0000"),
        ("%%", "%"), ("%[localhost]", "box"), ("%[IP]", "10.0.0.7"), ("%[ip]", "10.0.0.7"), ("%[FQDN]", "box.org"),
        ("%{host}", "web1"),
    ],
)  # fmt: skip
def test_an_escape_means_what_it_means_in_flume(escape: str, text: str) -> None:
    options = PathOptions(host=HostName("box", "10.0.0.7", "box.org"))
    moment = str(ms(2005, 3, 3, 4, 5, 9) + 123)

    assert one(f"a/x{escape}y", options, timestamp=moment, host="web1") == f"a/x{text}y"


@pytest.mark.parametrize(("hour", "expected"), [(0, "00 0 12 12 AM"), (12, "12 12 12 12 PM"), (23, "23 23 11 11 PM")])
def test_hours_count_from_midnight_and_from_noon(hour: int, expected: str) -> None:
    assert one("%H %k %I %l %p", timestamp=str(ms(2024, 1, 1, hour))) == expected


class TestTime:
    @pytest.mark.failure("no timestamp header")
    def test_it_is_the_timestamp_header_then_the_sender_s_then_the_arrival(self) -> None:
        headers = {"timestamp": str(ms(2001, 1, 1)), "solace.sender-timestamp": str(ms(2002, 1, 1))}

        assert one("%Y", **headers) == "2001"
        assert one("%Y", **{"solace.sender-timestamp": headers["solace.sender-timestamp"]}) == "2002"
        assert one("%Y") == "2020"

    @pytest.mark.parametrize("bad", ["", "soon", "-1", "1e3", "12.5", " 5", "0x10", "9" * 15, "9" * 40, "١٢"])
    def test_what_is_no_time_is_passed_over(self, bad: str) -> None:
        batch = EventBatch.from_bodies([b"a", b"b"], None, {"timestamp": [bad, str(ms(2001, 1, 1))]})

        assert each(PathTemplate("%Y").expand(batch, ARRIVAL), batch) == ["2020", "2001"]
        assert one("%Y", timestamp=bad) == "2020"

    def test_each_event_looks_for_its_own(self) -> None:
        batch = EventBatch.from_bodies(
            [b""] * 4,
            None,
            {
                "timestamp": [str(ms(2001, 1, 1)), None, "x", None],
                "solace.sender-timestamp": [str(ms(2002, 1, 1)), str(ms(2003, 1, 1)), str(ms(2004, 1, 1)), None],
            },
        )

        assert each(PathTemplate("%Y").expand(batch, ARRIVAL), batch) == ["2001", "2003", "2004", "2020"]

    def test_a_shared_time_fills_what_a_column_leaves_open(self) -> None:
        batch = EventBatch.from_bodies(
            [b""] * 2, {"solace.sender-timestamp": str(ms(2002, 1, 1))}, {"timestamp": [str(ms(2001, 1, 1)), None]}
        )

        assert each(PathTemplate("%Y").expand(batch, ARRIVAL), batch) == ["2001", "2002"]

    def test_other_headers_or_none_can_be_named(self) -> None:
        assert one("%Y", PathOptions(time_headers=("at",)), at=str(ms(1999, 1, 1)), timestamp="0") == "1999"
        assert one("%Y", PathOptions(time_headers=()), timestamp="0") == "2020"

    def test_the_zone_decides_day_and_hour(self) -> None:
        moment = str(ms(2024, 6, 30, 22, 30))

        assert one("%Y-%m-%d %H %z", timestamp=moment) == "2024-06-30 22 +0000"
        assert one("%Y-%m-%d %H %z", PathOptions(time_zone="Europe/Berlin"), timestamp=moment) == "2024-07-01 00 +0200"
        assert one("%H-%M", PathOptions(time_zone="Asia/Kathmandu"), timestamp=moment) == "04-15"

    def test_local_is_the_zone_of_the_machine(self) -> None:
        moment = ms(2024, 6, 30, 22, 30)

        local = datetime.fromtimestamp(moment // 1000, UTC).astimezone()

        assert one("%d %H %z", PathOptions(time_zone="local"), timestamp=str(moment)) == local.strftime("%d %H %z")

    def test_the_last_usable_time_fits_every_zone(self) -> None:
        assert one("%Y", PathOptions(time_zone="Pacific/Kiritimati"), timestamp=str(253_402_214_399_999)) == "9999"

    @pytest.mark.parametrize(
        ("unit", "value", "expected"),
        [(None, 1, "22-47-38"), ("second", 10, "22-47-30"), ("minute", 10, "22-40-00"), ("hour", 6, "18-00-00"),
         ("minute", 60, "22-00-00"), ("hour", 24, "00-00-00"), ("second", 1, "22-47-38")],
    )  # fmt: skip
    def test_rounding_goes_down_on_the_zone_s_clock(self, unit: str | None, value: int, expected: str) -> None:
        options = PathOptions(time_zone="Asia/Kathmandu", round_unit=unit, round_value=value)  # type: ignore[arg-type]
        moment = ms(2024, 6, 30, 22, 47, 38, zone="Asia/Kathmandu")

        assert one("%H-%M-%S", options, timestamp=str(moment)) == expected

    def test_rounding_leaves_the_raw_time_alone(self) -> None:
        options = PathOptions(round_unit="hour", round_value=1)
        moment = ms(2024, 6, 30, 22, 47, 38) + 5

        assert one("%t %s", options, timestamp=str(moment)) == f"{moment} {ms(2024, 6, 30, 22) // 1000}"

    @given(
        st.lists(st.integers(0, 4_000_000_000_000) | st.integers(0, 94_694_400_000), min_size=1, max_size=30),
        st.sampled_from(["UTC", "Europe/Berlin", "Asia/Kathmandu", "Australia/Lord_Howe", "Africa/Monrovia"]),
        st.sampled_from(["%Y/%m/%d", "%H", "%Y%m%d%H%M", "%S", "%z %H", "%t"]),
    )
    def test_a_batch_has_the_paths_of_its_events_one_by_one(self, times: list[int], zone: str, text: str) -> None:
        batch = EventBatch.from_bodies([b""] * len(times), None, {"timestamp": [str(time) for time in times]})
        template = PathTemplate(text, PathOptions(time_zone=zone))

        moments = [datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=time) for time in times]
        expected = [
            str(time) if text == "%t" else moment.astimezone(ZoneInfo(zone)).strftime(text)
            for time, moment in zip(times, moments, strict=True)
        ]
        # Offsets of early years have seconds, which strftime would print after the minutes.
        assert [path[:7] if "z" in text else path for path in each(template.expand(batch, 0), batch)] == [
            path[:7] if "z" in text else path for path in expected
        ]


class TestHeaders:
    def test_a_shared_header_gives_one_path_for_the_batch(self) -> None:
        batch = EventBatch.from_bodies([b"a", b"b"], {"host": "web1"})

        paths = PathTemplate("logs/%{host}/%Y").expand(batch, ARRIVAL)

        assert (paths.paths, paths.indices) == (("logs/web1/2020",), None)

    def test_columns_give_one_path_for_each_combination_that_occurs(self) -> None:
        batch = EventBatch.from_bodies(
            [b""] * 6, None, {"a": ["1", "1", "2", "2", None, "1"], "b": ["x", "y", "x", "y", "y", "x"]}
        )

        paths = PathTemplate("%{a}/%{b}/%{a}").expand(batch, ARRIVAL)

        assert each(paths, batch) == ["1/x/1", "1/y/1", "2/x/2", "2/y/2", "none/y/none", "1/x/1"]
        assert len(paths.paths) == 5

    def test_hours_of_one_day_are_one_path(self) -> None:
        times = [str(ms(2024, 1, 1, hour)) for hour in range(24)]
        batch = EventBatch.from_bodies([b""] * 24, None, {"timestamp": times})

        assert PathTemplate("%d").expand(batch, 0).indices is None

    def test_many_columns_of_many_values_are_told_apart(self) -> None:
        rows = range(3000)
        columns = {f"h{n}": [str((row * (n + 1)) % 2999) for row in rows] for n in range(8)}
        batch = EventBatch.from_bodies([b""] * len(rows), None, columns)
        template = PathTemplate("-".join(f"%{{h{n}}}" for n in range(8)))

        expected = ["-".join(columns[f"h{n}"][row] for n in range(8)) for row in rows]

        assert each(template.expand(batch, 0), batch) == expected

    def test_a_part_of_a_batch_has_the_paths_of_that_part(self) -> None:
        batch = EventBatch.from_bodies([b""] * 9, None, {"a": list("abcabcabc"), "timestamp": list("123456789")})
        part = batch.slice(4, 3)

        assert each(PathTemplate("%{a}-%t").expand(part, 0), part) == ["b-5", "c-6", "a-7"]

    def test_an_empty_batch_has_a_path_too(self) -> None:
        assert PathTemplate("%{a}/%Y").expand(EventBatch.empty(), ARRIVAL).paths == ("none/2020",)

    def test_a_template_tells_which_headers_it_inserts(self) -> None:
        assert PathTemplate("%{b}/%{a}-%{b}/%Y").header_names == ("b", "a")


class TestSplit:
    def test_each_event_is_in_the_part_of_its_path_and_order_is_kept(self) -> None:
        batch = EventBatch.from_bodies([b"%d" % n for n in range(7)], {"s": "1"}, {"a": list("xyzxyzx")})

        parts = dict(PathTemplate("%{a}").expand(batch, 0).split(batch))

        assert {path: part.bodies.to_pylist() for path, part in parts.items()} == {
            "x": [b"0", b"3", b"6"], "y": [b"1", b"4"], "z": [b"2", b"5"],
        }  # fmt: skip
        assert all(part.shared == {"s": "1"} for part in parts.values())

    def test_one_path_takes_the_batch_as_it_is(self) -> None:
        batch = EventBatch.from_bodies([b"a", b"b"])

        (only,) = PathTemplate("all").expand(batch, 0).split(batch)

        assert only[1] is batch


class TestSafety:
    @pytest.mark.failure("header with `/` or `..` in a path")
    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            ("../../etc", "%2E.%2F..%2Fetc"), ("..", "%2E."), (".", "%2E"), ("/", "%2F"), (".hidden", "%2Ehidden"),
            ("_temporary", "%5Ftemporary"), ("a:b", "a%3Ab"), ("#LATEST", "%23LATEST"), ("a\nb\x00", "a%0Ab%00"),
            ("\x85", "%C2%85"), ("50%", "50%25"), ("", "none"), ("ü €", "ü €"), ("a_b.c", "a_b.c"),
            ("{1,2}*", "%7B1,2}%2A"),
        ],
    )  # fmt: skip
    def test_a_header_stays_in_its_place(self, value: str, expected: str) -> None:
        assert one("a/%{h}/b", h=value) == f"a/{expected}/b"

    def test_a_missing_partition_value_is_a_null_to_hive(self) -> None:
        assert one("host=%{h}/%{h}") == "host=__HIVE_DEFAULT_PARTITION__/none"

    def test_only_the_beginning_of_a_name_can_hide_it(self) -> None:
        assert one("a%{h}", h="_x") == "a_x"

    @given(st.text(max_size=600))
    def test_no_header_makes_a_name_that_a_path_cannot_hold(self, value: str) -> None:
        first, name, last = one("a/%{h}/b", h=value).split("/")

        assert (first, last) == ("a", "b")
        assert name
        assert name[0] not in "._"
        assert len(name.encode()) <= 255
        assert not set(name) & set(":#\x00\n\r\t")

    @given(st.text(min_size=1), st.text(min_size=1))
    def test_different_values_give_different_texts(self, one: str, other: str) -> None:
        assert (safe_text(one) == safe_text(other)) == (one == other)

    def test_long_values_are_cut_and_still_told_apart(self) -> None:
        names = {one("%{h}", h="ü" * 400 + end) for end in ("a", "b")}

        assert len(names) == 2
        assert all(name.startswith("üüü") and 250 < len(name.encode()) <= 255 for name in names)

    def test_slashes_at_the_ends_and_doubled_ones_mean_nothing(self) -> None:
        assert one("/a//b/") == "a/b"
        assert one("") == one("/") == ""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("logs/%Q", "position 6, '%Q'"), ("%{host", "position 1"), ("a%", "position 2"), ("a/%{}", "position 3"),
        ("%{a b}", "position 1"), ("%[where]", "position 1, '%.where.'"), ("a/../b", "'..'"), ("./a", "'.'"),
        ("a:b", "':' at position 2"), ("a/#LATEST", "'#' at position 3"), ("a\nb", "position 2"),
        ("_tmp/%Y", "begins with '_'"), ("a/.x%Y", "begins with '.'"), ("..%Y", "begins with '.'"),
    ],
)  # fmt: skip
def test_a_template_that_cannot_work_is_refused_with_its_position(text: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        PathTemplate(text)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"time_zone": "Mars/Olympus"}, "IANA"), ({"time_zone": "../etc/passwd"}, "IANA"),
        ({"round_unit": "day"}, "second, minute or hour"), ({"round_unit": "hour", "round_value": 25}, "1 to 24"),
        ({"round_unit": "minute", "round_value": 0}, "1 to 60"),
    ],
)  # fmt: skip
def test_options_that_cannot_work_are_refused(options: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        PathOptions(**options)  # type: ignore[arg-type]


def test_the_start_of_file_names_takes_the_same_escapes_and_is_the_last_name() -> None:
    template = PathTemplate("%{host}/%Y", prefix="web.%{host}.%H")
    batch = EventBatch.from_bodies([b"a", b"b"], {"timestamp": str(ms(2024, 1, 1, 7))}, {"host": ["a/b", "c"]})

    paths = template.expand(batch, ARRIVAL)

    assert sorted(paths.paths) == ["a%2Fb/2024/web.a%2Fb.07", "c/2024/web.c.07"]


@pytest.mark.parametrize(
    ("header", "start"), [("_x", "%5Fx"), (".x", "%2Ex"), ("../../etc", "%2E.%2F..%2Fetc"), ("", "none")]
)
def test_a_header_cannot_hide_a_file_by_the_start_of_its_name(header: str, start: str) -> None:
    batch = EventBatch.from_bodies([b"x"], {"h": header})

    assert PathTemplate("", prefix="%{h}").expand(batch, ARRIVAL).paths == (start,)


def test_the_start_of_file_names_leaves_room_for_the_rest() -> None:
    batch = EventBatch.from_bodies([b"x"], {"h": "x" * 1_000})

    (path,) = PathTemplate("%{h}", prefix="%{h}").expand(batch, ARRIVAL).paths

    assert [len(name) for name in path.split("/")] == [255, 150]


@pytest.mark.parametrize("prefix", ["a/b", "a/", "%D"])
def test_the_start_of_file_names_is_no_directory(prefix: str) -> None:
    with pytest.raises(ConfigurationError, match="directories belong to the path"):
        PathTemplate("", prefix=prefix)


def test_a_template_can_be_sent_to_a_worker() -> None:
    template = PathTemplate("%{h}/%Y", PathOptions(time_zone="Asia/Tokyo"))

    sent = pickle.loads(pickle.dumps(template))  # noqa: S301

    assert (sent.text, sent.options) == (template.text, template.options)


def test_the_machine_has_names() -> None:
    assert all(one(f"%[{word}]") for word in ("localhost", "IP", "FQDN"))


def test_no_headers_make_a_path_that_a_file_system_refuses() -> None:
    names = [f"h{number}" for number in range(40)]
    template = PathTemplate("/".join(f"%{{{name}}}" for name in names))
    long = {name: "x" * 1_000 + name for name in names}

    [path] = template.expand(EventBatch.from_bodies([b""], long), 0).paths

    assert len(path) < 3_100
    parts = path.split("/")
    assert len(set(parts)) == len(parts) == 40
