from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from tests.bench.broker import BrokerFigures, cases
from tests.bench.hdfs import HdfsFigures, HdfsRun
from tests.bench.latencies import LatencyNotes, read_latencies, stamped
from tests.bench.memory import Memory, MemoryRun, Residence
from tests.bench.programs import ProgramFailedError
from tests.bench.stall import Mark, phase_of
from tests.bench.workload import line, lines_in, severity_of, write_lines
from tests.unit.bench.helpers import MEGA, passage, throughput


def test_a_passage_gives_rate_and_cpu_of_the_measured_stretch() -> None:
    measured = passage(5_000.0)

    assert measured.rate == pytest.approx(5_000)
    assert measured.program_cpu == pytest.approx(50)
    assert measured.broker_cpu == pytest.approx(10)


def test_ratios_are_those_of_medians_to_the_loops() -> None:
    found = throughput({"beam": [8_000, 9_000, 1_000], "channel": [20_000, 20_000, 20_000], "vendor": [4_000] * 3})

    facts = found.to_json()

    assert facts["beam"]["drain"]["ratio_to_vendor"] == pytest.approx(2.0)
    assert facts["channel"]["ingest"]["ratio_to_vendor"] == pytest.approx(5.0)
    assert facts["beam"]["drain"]["ratio_to_loop"] == pytest.approx(0.4)
    assert facts["beam"]["ingest"]["events_per_second"] == pytest.approx({"median": 8_000, "low": 1_000, "high": 9_000})


def test_a_drain_to_hdfs_is_told_beside_the_java_client() -> None:
    runs = [HdfsRun(passage(rate), (1_000_000, 500_000), 0.5) for rate in (5_000.0, 2_500.0, 5_000.0)]
    found = HdfsFigures(200, {"beam": runs, "packed": runs})

    facts = found.to_json()["beam"]

    assert facts["java_megabytes_per_second"] == pytest.approx(3.0)
    assert facts["megabytes_per_second"] == pytest.approx(1.5 / runs[0].passage.seconds)
    assert facts["ratio_to_java"] == pytest.approx(0.5 / runs[0].passage.seconds)
    assert facts["files"] == 2


def mark(time_ns: int, batch_queue: int = 0, cpu: float = 0.0) -> Mark:
    return Mark(time_ns, batch_queue, {"speed": cpu})


def test_events_belong_to_the_phase_they_were_put_in() -> None:
    latencies = [(put, float(put)) for put in range(100)]

    phase = phase_of("stalled", mark(10), mark(20, batch_queue=7), latencies)

    assert (phase.events, phase.p50_ms, phase.p99_ms, phase.worst_ms, phase.batch_queue) == (10, 14.0, 19.0, 19.0, 7)


def test_cpu_is_given_as_a_share_of_the_phase() -> None:
    phase = phase_of("normal", mark(10**9, cpu=3.0), mark(3 * 10**9, cpu=3.5), [(2 * 10**9, 1.0)])

    assert (phase.seconds, phase.cpu_shares) == (2.0, {"speed": 0.25})


def test_a_phase_without_events_gives_no_figures() -> None:
    with pytest.raises(ProgramFailedError, match="while the batch layer was stalled"):
        phase_of("stalled", mark(10), mark(20), [(9, 1.0), (20, 1.0)])


def test_latency_runs_from_the_stamp_to_the_note(tmp_path: Path) -> None:
    notes = LatencyNotes(tmp_path / "notes")
    body = stamped(b"text")

    notes.take(body)
    notes.take(b"1000000000000000000 long ago")
    notes.close()

    (first, second) = read_latencies(tmp_path / "notes")
    assert first[0] == int(body.split()[0])
    assert first[1] >= 0
    assert second[0] == 1_000_000_000_000_000_000
    assert second[1] > first[1]


def residence(peak: int, final: int) -> Residence:
    return Residence(peak * MEGA, final * MEGA, [final * MEGA])


@pytest.mark.parametrize(
    ("large", "flat"), [((205, 190), True), ((230, 190), False), ((205, 230), False)], ids=["flat", "peak", "final"]
)
def test_memory_that_grows_at_its_peak_or_its_end_is_not_flat(large: tuple[int, int], flat: bool) -> None:
    found = Memory(
        200,
        MemoryRun(10, 1.0, {"drain": residence(200, 190)}),
        MemoryRun(100, 1.0, {"drain": residence(*large)}),
    )

    assert found.flat("drain") is flat
    assert found.to_json()["flat"] == {"drain": flat}


def test_the_figures_of_a_run_are_its_peak_and_its_last_sample() -> None:
    seen = Residence.of([10, 90, 30])

    assert (seen.peak, seen.final, seen.samples) == (90, 30, [10, 90, 30])


def test_lines_are_numbered_have_one_length_and_a_level(tmp_path: Path) -> None:
    lines = write_lines(tmp_path / "lines", 1_000, 200).read_bytes().split(b"\n")

    assert lines.pop() == b""
    assert {len(text) for text in lines} == {200}
    assert len(set(lines)) == 1_000
    assert {severity_of(text) for text in lines} == {"info", "warn", "error"}
    assert len(line(5, 64)) == 64


def test_lines_are_counted_in_files_that_readers_see(tmp_path: Path) -> None:
    for name in ("a/part.txt", "b.txt", ".log/part.txt", "_part.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"one\ntwo\n")

    assert lines_in(tmp_path) == 4


def test_the_brokers_memory_is_flat_if_its_end_is_as_its_beginning() -> None:
    steady = BrokerFigures(resident=[50 * MEGA] * 20)
    grown = BrokerFigures(resident=[50 * MEGA + number * 2 * MEGA for number in range(20)])

    assert steady.flat
    assert not grown.flat


def test_every_case_that_fills_a_queue_is_followed_by_one_that_empties_it_or_deletes_it() -> None:
    found = list(cases())

    for filling, emptying in pairwise(found):
        if filling.side == "publish" and filling.queues == 1:
            assert emptying == filling._replace(what=emptying.what, side="consume")
