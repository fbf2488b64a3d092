from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench.chain import Chain, ChainRun, Lane, measure_chains, until
from tests.bench.comparing import compared
from tests.bench.flume import agent_properties
from tests.bench.growth import points
from tests.bench.page import page
from tests.bench.programs import ProgramFailedError
from tests.bench.workload import digest

MEGA = 1024 * 1024


def run(rate: float, **cpu: float) -> ChainRun:
    return ChainRun(1_000_000, 1_000_000 / rate, cpu, dict.fromkeys(cpu, 100 * MEGA))


def chain(packed: list[ChainRun], flume: list[ChainRun]) -> Chain:
    return Chain(200, {"packed": "ours", "flume-file": "Flume"}, {"packed": packed, "flume-file": flume})


def test_ratios_are_those_of_medians_in_rate_and_in_cpu_of_all_processes() -> None:
    ours = [run(rate, ingest=1.0, broker=0.5, drain=1.5) for rate in (200_000, 400_000, 500_000)]

    facts = chain(ours, [run(20_000, flume=60.0)] * 3).to_json()

    assert facts["packed"]["ratios"]["flume-file"] == pytest.approx({"rate": 20.0, "cpu": 0.05})
    assert facts["packed"]["events_per_second"] == pytest.approx({"median": 400_000, "low": 200_000, "high": 500_000})
    assert facts["packed"]["megabytes_per_second"] == pytest.approx(80)


def test_the_bottleneck_is_the_process_that_uses_most_of_a_core() -> None:
    facts = chain([run(1_000_000, ingest=0.5, broker=0.2, drain=0.9)], [run(20_000, flume=60.0)]).to_json()

    assert facts["packed"]["bottleneck"] == "drain"
    assert facts["packed"]["cpu_shares"]["drain"] == pytest.approx(0.9)


def test_a_chain_that_changes_an_event_gives_no_figures(tmp_path: Path) -> None:
    def spoil(place: Path, source: Path, events: int) -> ChainRun:
        (place / "files").mkdir()
        (place / "files" / "part").write_bytes(source.read_bytes().replace(b"INFO", b"info", 1))
        return run(1.0, spoil=1.0)

    with pytest.raises(ProgramFailedError, match="figures of it mean nothing"):
        measure_chains(tmp_path, {"spoil": Lane("Spoiling", spoil)}, events=10, size=80, runs=1, tell=lambda what: None)


def test_a_digest_knows_lines_whatever_their_order_and_file(tmp_path: Path) -> None:
    one, other, less = tmp_path / "one", tmp_path / "other", tmp_path / "less"
    one.write_bytes(b"a\nb\nc\n")
    other.write_bytes(b"c\na\n")
    less.write_bytes(b"b\n")

    assert digest([one]) == digest([less, other])
    assert digest([one]) != digest([other, other])


def test_waiting_in_vain_is_said() -> None:
    with pytest.raises(ProgramFailedError, match="until the sky fell"):
        until("the sky fell", lambda: False, [], patience=0.0)


def test_flumes_file_channel_has_directories_of_its_own(tmp_path: Path) -> None:
    memory, file = (agent_properties(tmp_path, channel, "file:///there") for channel in ("memory", "file"))

    assert f"a1.channels.c.dataDirs = {tmp_path}/data\n" in file
    assert "dataDirs" not in memory
    assert "a1.sinks.k.hdfs.batchSize = 1000\n" in memory
    assert "a1.sinks.k.hdfs.path = file:///there\n" in memory


def test_growth_never_asks_for_more_paths_than_events() -> None:
    wanted = points([1_000, 5_000], [1, 100, 10_000])

    assert [point.value for point in wanted if point.axis == "events"] == [1_000, 5_000]
    assert [point.value for point in wanted if point.axis == "paths"] == [1, 100]
    assert {point.events * point.size for point in wanted if point.axis == "size"} == {200_000}


def test_runs_are_compared_by_what_both_have() -> None:
    earlier = {"chain": {"packed": {"events_per_second": {"median": 100.0, "low": 1.0, "high": 200.0}}}}
    now = {
        "chain": {"packed": {"events_per_second": {"median": 150.0, "low": 2.0, "high": 300.0}}},
        "stall": {"phases": [{"name": "normal", "p99_ms": 7.0}]},
    }

    assert compared(now, earlier) == [("chain/packed/events_per_second", 100.0, 150.0)]
    assert ("stall/phases/normal/p99_ms", 7.0, 7.0) in compared(now, now)


def test_the_page_stands_alone_and_names_the_bottleneck() -> None:
    found = chain([run(400_000, ingest=1.0, drain=2.0)], [run(20_000, flume=60.0)]).to_json()
    growth = {
        "events": {
            str(count): {"events_per_second": 10.0, "megabytes_per_second": 1.0, "peak_rss_bytes": {"drain": MEGA}}
            for count in (1_000, 10_000)
        }
    }
    results = {"measured_at": "<now>", "machine": {"cpus": 2}, "flume": found, "growth": growth}

    text = page(results, results)

    assert "most of a core: drain" in text
    assert "events/s over events" in text
    assert "&lt;now&gt;" in text
    assert "http" not in text
