"""What a slice of torture did, and what came of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields

__all__ = ["Sums"]


@dataclass
class Sums:
    """Counts; those of slices are added."""

    events: int = 0
    kills_at_points: int = 0
    kills_at_instants: int = 0
    freezes: int = 0
    cuts: int = 0
    fail_overs: int = 0
    hung_datanodes: int = 0
    dropped_answers: int = 0
    lost: int = 0
    repeated: int = 0
    invented: int = 0
    left_over: int = 0
    partitions: int = 0
    premature: int = 0
    untold: int = 0

    @property
    def kills(self) -> int:
        return self.kills_at_points + self.kills_at_instants

    @property
    def clean(self) -> bool:
        faults = (self.lost, self.repeated, self.invented, self.left_over, self.premature, self.untold)
        return not any(faults)

    def __iadd__(self, other: Sums) -> Sums:
        for each in fields(self):
            setattr(self, each.name, getattr(self, each.name) + getattr(other, each.name))
        return self

    def __str__(self) -> str:
        return ", ".join(f"{value} {name.replace('_', ' ')}" for name, value in asdict(self).items())
