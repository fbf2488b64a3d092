"""What is wrong with a selector."""

from __future__ import annotations

__all__ = ["SelectorError"]


class SelectorError(ValueError):
    """A text is no selector; says where and why, for people."""
