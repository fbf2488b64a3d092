from __future__ import annotations

from pathlib import Path

from flumebeam.demo.proof import LayerProof, files_below, prove_ids, prove_lines


def file(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def test_the_same_lines_in_other_files_and_order_close(tmp_path: Path) -> None:
    one = file(tmp_path / "in", b"a\nb\r\n\n\xff\nlast")
    out = [file(tmp_path / "1", b"last\n\xff\n"), file(tmp_path / "2", b"\nb\r\na\n")]

    assert prove_lines([(one, 100)], out) == LayerProof(5, 5, 0, 0)


def test_a_lost_line_is_not_hidden_by_a_repeated_one(tmp_path: Path) -> None:
    proof = prove_lines([(file(tmp_path / "in", b"a\nb\n"), 4)], [file(tmp_path / "out", b"a\na\n")])

    assert proof == LayerProof(2, 2, 1, 1)
    assert not proof.closes


def test_a_missing_carriage_return_is_a_loss(tmp_path: Path) -> None:
    assert prove_lines([(file(tmp_path / "in", b"a\r\n"), 3)], [file(tmp_path / "out", b"a\n")]).lost == 1


def test_lines_that_were_not_ingested_yet_are_not_expected(tmp_path: Path) -> None:
    assert prove_lines([(file(tmp_path / "in", b"a\nb\nc"), 4)], [file(tmp_path / "out", b"a\nb\n")]).closes


def test_files_hidden_by_name_or_directory_are_not_read(tmp_path: Path) -> None:
    seen = file(tmp_path / "2026/03/part.txt", b"a\n")
    for name in (".flumebeam/x/part", "_log", "2026/.tmp", "2026/_tmp/part"):
        file(tmp_path / name, b"hidden\n")

    assert files_below(tmp_path) == [seen]


def test_ids_lost_repeated_and_foreign_are_counted() -> None:
    assert prove_ids(["1", "2", "3"], ["1", "2", "2", "9"]) == LayerProof(3, 4, 1, 2)
