"""Suite ``latency``: from the put to the user's function, and to a line in a file that readers see.

One topic feeds two queues of a broker with its data on disk: one is read by a speed layer in short bundles, the other
by ``drain_to_hdfs``, whose files end with each transaction; both take in transactions. Before that the speed layer has
the machine for itself, once on the client's wrapper lane and once on the native one, on which all else is. The
publisher commits a transaction every 5 ms. All of it runs on the in-process runner.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from tests.bench.broker_host import BrokerProcess
from tests.bench.chain import TRANSACTION, until
from tests.bench.figures import percentile
from tests.bench.latencies import read_latencies, read_lines
from tests.bench.programs import Program, ProgramFailedError
from tests.bench.workload import visible_files

__all__ = ["LAYERS", "Latencies", "LatencyFigure", "measure_latencies"]

LAYERS: Final = {
    "wrapper": "put to the user's function, alone, wrapper lane",
    "alone": "put to the user's function, no drain beside it",
    "speed": "put to the user's function",
    "chain": "put to a file that readers see",
}
_TOPIC: Final = "bench/latency"
_BUNDLE_SECONDS: Final = 0.05
_START_SECONDS: Final = 60.0
_WARM_UP_SECONDS: Final = 3.0


@dataclass(frozen=True, slots=True)
class LatencyFigure:
    """How late events were, in one place and at one rate.

    Attributes:
        layer: Of :data:`LAYERS`.
        rate: Events per second that were asked for.
        reached: Events per second that came.
        p50_ms: Half of them were there within so many milliseconds.
        p99_ms: 99 of 100 were.
        worst_ms: All were.
    """

    layer: str
    rate: int
    reached: float
    p50_ms: float
    p99_ms: float
    worst_ms: float


@dataclass(frozen=True, slots=True)
class Latencies:
    """All figures.

    Attributes:
        size: Bytes of a body.
        figures: By rate and layer.
    """

    size: int
    figures: list[LatencyFigure]

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain data, by layer and rate."""
        return {f"{one.layer} at {one.rate}": asdict(one) for one in self.figures} | {"line_bytes": self.size}


def measure_latencies(
    workspace: Path, rates: Sequence[int], *, size: int, seconds: float, tell: Callable[[str], None]
) -> Latencies:
    """Run the speed layer alone, and both layers, at each rate.

    Args:
        workspace: An empty directory.
        rates: Events per second.
        size: Bytes of a body.
        seconds: How long each rate is held, after a warm-up.
        tell: Called with what is done at the moment.
    """
    figures: list[LatencyFigure] = []
    for rate in rates:
        tell(f"{rate:,} events/s")
        for layers in (("wrapper",), ("alone",), ("speed", "chain")):
            place = workspace / f"{rate}-{layers[0]}"
            place.mkdir()
            figures += _at(place, layers, rate, size, seconds)
    return Latencies(size, figures)


def _at(place: Path, layers: Sequence[str], rate: int, size: int, seconds: float) -> list[LatencyFigure]:
    publishing, notes, target = place / "publishing", place / "latencies", place / "files"
    publishing.touch()
    with ExitStack() as stack:
        broker = stack.enter_context(BrokerProcess(place / "broker", {"max_transaction_messages": TRANSACTION}))
        for queue in layers:
            broker.create_queue(queue, _TOPIC)

        def start(name: str, module: str, *arguments: str) -> Program:
            return stack.enter_context(Program(module, arguments, place / f"{name}.log"))

        speed = ["--host", broker.url, "--queue", layers[0], "--notes", str(notes)]
        speed += ["--transaction-messages", str(TRANSACTION), "--lane", "wrapper" if "wrapper" in layers else "native"]
        drain = ["--solace_host", broker.url, "--queue", "chain", "--target", str(target), "--roll", "transaction"]
        drain += ["--transaction_messages", str(TRANSACTION)]
        programs = [start("speed", "tests.bench.layers", "speed", *speed, "--bundle-seconds", str(_BUNDLE_SECONDS))]
        if "chain" in layers:
            programs.append(start("chain", "flumebeam", "run", "drain_to_hdfs", *drain))
        until(
            "all layers had bound their queues",
            lambda: all(broker.depth(queue).consumers for queue in layers),
            programs,
        )
        put = ["--host", broker.url, "--topic", _TOPIC, "--rate", str(rate), "--size", str(size)]
        programs.append(start("publish", "tests.bench.layers", "publish", *put, "--run", str(publishing)))
        until("events came", lambda: notes.exists() and notes.stat().st_size > 0, programs)
        time.sleep(_WARM_UP_SECONDS)
        begin = time.time_ns()
        time.sleep(seconds)
        end = time.time_ns()
        publishing.unlink()
        programs[-1].wait(_START_SECONDS)
        until("all was taken", lambda: not any(broker.depth(queue).messages for queue in layers), programs[:-1])
    taken = {layers[0]: read_latencies(notes), "chain": read_lines(visible_files(target))}
    return [_figure(layer, rate, begin, end, taken[layer]) for layer in layers]


def _figure(layer: str, rate: int, begin: int, end: int, latencies: list[tuple[int, float]]) -> LatencyFigure:
    inside = sorted(latency for put, latency in latencies if begin <= put < end)
    if not inside:
        raise ProgramFailedError(f"No event of the measured time arrived: {LAYERS[layer]}, {rate} events/s.")
    p50, p99 = percentile(inside, 0.5), percentile(inside, 0.99)
    return LatencyFigure(layer, rate, len(inside) / ((end - begin) / 1e9), p50, p99, inside[-1])
