"""The proof: what went in and what came out, compared by reading both, not by believing counters.

Lines are compared as multisets, so that a lost and a repeated line cannot hide each other. What the speed layer saw is
compared by event ids (file identity and offset behind the line), which the input alone determines.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

__all__ = ["LayerProof", "files_below", "line_digests", "prove_ids", "prove_lines"]


@dataclass(frozen=True, slots=True)
class LayerProof:
    """What a layer made of the input.

    Attributes:
        expected: Events of the input.
        seen: Events found behind the layer.
        lost: Events of the input that are not there.
        repeated: Events that are there more often than in the input.
    """

    expected: int
    seen: int
    lost: int
    repeated: int

    @property
    def closes(self) -> bool:
        """Whether every event is there exactly once."""
        return self.lost == self.repeated == 0


def line_digests(path: Path, end: int | None = None) -> Iterator[bytes]:
    """Yield a 16-byte digest of each line of a file; a last line may lack its newline, an empty file has no line.

    Args:
        path: The file.
        end: Lines that go beyond this offset are left out.
    """
    offset = 0
    with path.open("rb") as lines:
        for line in lines:
            offset += len(line)
            if end is not None and offset > end:
                return
            yield blake2b(line.removesuffix(b"\n"), digest_size=16).digest()


def files_below(directory: Path) -> list[Path]:
    """Return the files that a reader of ``directory`` sees: no hidden file, nothing in a hidden directory."""
    return sorted(
        path
        for path in directory.rglob("*")
        if path.is_file() and not any(part[0] in "._" for part in path.relative_to(directory).parts)
    )


def prove_lines(inputs: Iterable[tuple[Path, int]], outputs: Iterable[Path]) -> LayerProof:
    """Compare the lines of two sets of files as multisets.

    Memory is one counter entry for each different line.

    Args:
        inputs: Files, each with the offset up to which it went in.
        outputs: Files that came out.
    """
    balance: Counter[bytes] = Counter()
    expected = seen = 0
    for path, end in inputs:
        for digest in line_digests(path, end):
            balance[digest] += 1
            expected += 1
    for path in outputs:
        for digest in line_digests(path):
            balance[digest] -= 1
            seen += 1
    lost = sum(count for count in balance.values() if count > 0)
    return LayerProof(expected, seen, lost, -sum(count for count in balance.values() if count < 0))


def prove_ids(expected: Iterable[str], seen: Iterable[str]) -> LayerProof:
    """Compare ids: each expected one must have been seen once."""
    wanted = set(expected)
    found = Counter(seen)
    return LayerProof(
        expected=len(wanted),
        seen=found.total(),
        lost=sum(1 for identity in wanted if identity not in found),
        repeated=found.total() - sum(1 for identity in found if identity in wanted),
    )
