"""Any bytes that a log may hold come out as they went in."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.faults.pipelines.scene import Scene, numbered

ODD = [
    b"",
    b"",
    b"\xff\xfe\x00\x80 no UTF-8",
    b"a carriage return belongs to the body\r",
    b"\r",
    b"\x00",
    b"x" * 1_000_000,
    "žluťoučký kůň \U0001f40e".encode(),
    b" spaces and \ttabs ",
    b"\x1b[31mcolours\x1b[0m",
    b"%{host} %Y \\n",
    b"\x0b\x0c\x1c\x85 what some take for line ends",
]


@pytest.mark.parametrize("end", [b"", b"\n"], ids=["last line open", "last line ended"])
def test_every_body_arrives_byte_for_byte_and_in_order(scene: Scene, tmp_path: Path, end: bytes) -> None:
    lines = numbered(1_000)
    random.Random(7).shuffle(lines)
    for place, line in enumerate(ODD):
        lines.insert(83 * place, line)
    lines.append(bytes(range(256)).replace(b"\n", b""))
    log = tmp_path / "app.log"
    log.write_bytes(b"\n".join(lines) + end)

    scene.ingest(log).ends_well()
    assert scene.left == len(lines)
    scene.drain_all()

    # Names sort by time within a life, and one life drained it all.
    assert b"".join(path.read_bytes() for path in scene.files()) == b"\n".join(lines) + b"\n"
    assert scene.left == 0


@pytest.mark.parametrize(
    ("content", "lines"), [(b"", []), (b"\n", [b""]), (b"\n\n", [b"", b""]), (b"no end", [b"no end"])]
)
def test_small_logs_are_counted_right(scene: Scene, tmp_path: Path, content: bytes, lines: list[bytes]) -> None:
    log = tmp_path / "app.log"
    log.write_bytes(content)

    scene.ingest(log).ends_well()
    scene.drain_all()

    scene.holds_exactly(lines)
