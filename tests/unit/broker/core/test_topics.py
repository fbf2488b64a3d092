"""Who gets a message."""

from __future__ import annotations

import pytest

from flumebeam.broker.core.topics import TopicTree, invalid_topic


@pytest.mark.parametrize(
    ("subscription", "topic", "matches"),
    [
        ("a/b", "a/b", True),
        ("a/b", "a/c", False),
        ("a/b", "a", False),
        ("a/b", "a/b/c", False),
        ("a/*", "a/b", True),
        ("a/*", "a/", True),
        ("a/*", "a/b/c", False),
        ("*/b", "a/b", True),
        ("a/b*", "a/bcd", True),
        ("a/b*", "a/b", True),
        ("a/b*/d", "a/bc/d", True),
        ("a/b*/d", "a/cb/d", False),
        ("a/*b", "a/xb", False),
        ("a/*b", "a/*b", True),
        (">", "a", True),
        (">", "a/b/c", True),
        ("p/>", "p", False),
        ("p/>", "p/q", True),
        ("p/>", "p/q/r", True),
        ("p/>", "pp/q", False),
        ("a/>b", "a/>b", True),
        ("a/>b", "a/xb", False),
        (">/b", ">/b", True),
        (">/b", "a/b", False),
        ("", "", True),
    ],
)
def test_subscription_matches(subscription: str, topic: str, matches: bool) -> None:
    tree: TopicTree[str] = TopicTree()
    tree.add(subscription, "s")

    assert tree.match(topic) == ({"s"} if matches else set())


def test_subscriber_with_several_matches_is_found_once() -> None:
    tree: TopicTree[str] = TopicTree()
    for subscription in ("a/b", "a/*", "a/b*", "a/>", ">", "*/b"):
        tree.add(subscription, "s")
    tree.add("a/b", "other")

    assert tree.match("a/b") == {"s", "other"}
    assert len(tree) == 7


def test_removing_leaves_the_others_and_no_empty_branches() -> None:
    tree: TopicTree[str] = TopicTree()
    tree.add("a/b/c", "s")
    tree.add("a/b", "s")
    tree.add("a/b", "s")
    tree.add("a/>", "s")
    tree.remove("a/b/c", "s")
    tree.remove("a/b/c", "s")
    tree.remove("x/y", "s")
    tree.remove("a/>", "other")

    assert tree.match("a/b/c") == {"s"}
    assert len(tree) == 2
    tree.remove("a/>", "s")
    assert tree.match("a/b/c") == set()
    tree.remove("a/b", "s")
    assert len(tree) == 0
    assert tree._root.empty()


@pytest.mark.parametrize("topic", ["", "t" * 251, "ä" * 126, "/" * 128])
def test_topics_beyond_the_limits_are_invalid(topic: str) -> None:
    assert invalid_topic(topic)
    assert not invalid_topic(topic[: len(topic) // 2] + "x")
