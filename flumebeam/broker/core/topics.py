"""Topics, subscriptions with wildcards, and who gets a message."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Final, Generic, TypeVar

__all__ = ["MAX_TOPIC_BYTES", "TopicTree", "invalid_topic"]

MAX_TOPIC_BYTES: Final = 250
_MAX_LEVELS: Final = 128

T = TypeVar("T", bound=Hashable)


def invalid_topic(topic: str) -> bool:
    """Return whether ``topic`` is empty, longer than 250 bytes, or deeper than 128 levels."""
    return not topic or len(topic.encode()) > MAX_TOPIC_BYTES or topic.count("/") >= _MAX_LEVELS


class _Node(Generic[T]):
    __slots__ = ("below", "exact", "prefixes", "rest")

    def __init__(self) -> None:
        self.exact: dict[str, _Node[T]] = {}
        """Children by level text."""
        self.prefixes: dict[str, _Node[T]] = {}
        """Children by the text before a ``*`` that ends their level."""
        self.rest: set[T] = set()
        """Subscribers whose last level here is ``>``."""
        self.below: set[T] = set()
        """Subscribers whose subscription ends with this node."""

    def empty(self) -> bool:
        return not (self.exact or self.prefixes or self.rest or self.below)


class TopicTree(Generic[T]):
    """Subscriptions of any kind of subscriber, found by topic.

    ``*`` at the end of a level matches any rest of that level, ``>`` as the whole last level matches one or more
    levels. Elsewhere both are ordinary characters.
    """

    def __init__(self) -> None:
        self._root: _Node[T] = _Node()
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def add(self, subscription: str, subscriber: T) -> None:
        """Add a subscription; adding it again changes nothing."""
        node = self._root
        levels = subscription.split("/")
        rest = levels[-1] == ">"
        for level in levels[:-1] if rest else levels:
            children, key = _branch(node, level)
            node = children.setdefault(key, _Node())
        target = node.rest if rest else node.below
        self._size += subscriber not in target
        target.add(subscriber)

    def remove(self, subscription: str, subscriber: T) -> None:
        """Remove a subscription and the branches that only it needed; one that does not exist is ignored."""
        levels = subscription.split("/")
        rest = levels[-1] == ">"
        path: list[tuple[dict[str, _Node[T]], str]] = []
        node = self._root
        for level in levels[:-1] if rest else levels:
            children, key = _branch(node, level)
            if key not in children:
                return
            path.append((children, key))
            node = children[key]
        target = node.rest if rest else node.below
        self._size -= subscriber in target
        target.discard(subscriber)
        for children, key in reversed(path):
            if children[key].empty():
                del children[key]

    def match(self, topic: str) -> set[T]:
        """Return the subscribers that get a message on ``topic``, each once."""
        found: set[T] = set()
        levels = topic.split("/")
        nodes = [self._root]
        for level in levels:
            following: list[_Node[T]] = []
            for node in nodes:
                found |= node.rest
                following.extend(_children(node, level))
            nodes = following
            if not nodes:
                break
        for node in nodes:
            found |= node.below
        return found


def _branch(node: _Node[T], level: str) -> tuple[dict[str, _Node[T]], str]:
    if level.endswith("*"):
        return node.prefixes, level[:-1]
    return node.exact, level


def _children(node: _Node[T], level: str) -> Iterator[_Node[T]]:
    child = node.exact.get(level)
    if child is not None:
        yield child
    if node.prefixes:
        for end in range(len(level) + 1):
            child = node.prefixes.get(level[:end])
            if child is not None:
                yield child
