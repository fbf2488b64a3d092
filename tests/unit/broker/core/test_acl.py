"""What ACL profiles allow."""

from __future__ import annotations

import pytest

from flumebeam.broker.core.acl import AclProfile, Rule, TopicAccess, TopicException, compile_rule, may_connect


@pytest.mark.parametrize(
    ("allowed", "networks", "peer", "may"),
    [
        (True, (), "10.0.0.1:5", True),
        (False, (), "10.0.0.1:5", False),
        (False, ("10.0.0.0/8",), "10.0.0.1:5", True),
        (True, ("10.0.0.0/8",), "10.0.0.1:5", False),
        (True, ("10.0.0.1",), "10.0.0.2:5", True),
        (False, ("192.168.0.0/16", "10.0.0.1/32"), "10.0.0.1:5", True),
        (False, ("::/0",), "10.0.0.1:5", False),
        (False, ("::1/128",), "::1:5", True),
    ],
)
def test_client_may_connect_unless_its_address_is_an_exception(
    allowed: bool, networks: tuple[str, ...], peer: str, may: bool
) -> None:
    assert may_connect(Rule(allowed, networks), peer) is may


@pytest.mark.parametrize(
    ("exceptions", "topic", "excepted"),
    [
        (("a/b",), "a/b", True),
        (("a/b",), "a/c", False),
        (("a/>",), "a/b/c", True),
        (("a/>",), "a", False),
        (("a/*",), "a/b", True),
        (("x", "a/b*"), "a/bc", True),
        ((), "a", False),
    ],
)
def test_topic_is_excepted_if_an_exception_matches(exceptions: tuple[str, ...], topic: str, excepted: bool) -> None:
    for allowed in (True, False):
        access = TopicAccess(allowed, exceptions)
        assert access.allows(topic) is access.allows(topic) is (allowed is not excepted)


@pytest.mark.parametrize(
    ("exception", "subscription", "excepted"),
    [
        ("a/>", "a/b/>", True),
        ("a/>", "a/>", True),
        ("a/>", "a/*", True),
        ("a/>", "a", False),
        ("a/>", ">", False),
        ("a/*", "a/>", False),
        ("a/*", "a/b*", True),
        ("a/b*", "a/*", False),
        ("a/b*", "a/bc*", True),
        ("a/b", "a/b", True),
        ("a/b", "a/*", False),
        ("a/b", "a/b/c", False),
        ("a/b/c", "a/b", False),
        (">", "a", True),
        ("a/>/b", "a/>/b", True),
    ],
)
def test_subscription_is_excepted_if_an_exception_matches_all_that_it_does(
    exception: str, subscription: str, excepted: bool
) -> None:
    assert TopicAccess(False, (exception,)).covers(subscription) is excepted
    assert TopicAccess(True, (exception,)).covers(subscription) is not excepted


@pytest.mark.parametrize(
    ("mqtt", "smf"),
    [("a/b", ("a/b",)), ("a/+/c", ("a/*/c",)), ("a/#", ("a/>", "a")), ("$client-id/#", ("app/>", "app"))],
)
def test_exception_in_the_syntax_of_mqtt_means_the_same(mqtt: str, smf: tuple[str, ...]) -> None:
    assert TopicException("mqtt", mqtt).subscriptions("ann", "app") == smf


def test_username_and_client_name_are_put_into_exceptions() -> None:
    rule = Rule(False, (TopicException("smf", "of/$client-username/>"), TopicException("smf", "at/$client-id")))
    access = compile_rule(rule, "ann", "app")

    assert access is not None
    assert [access.allows(topic) for topic in ("of/ann/x", "of/bob/x", "at/app", "at/ann")] == [
        True,
        False,
        True,
        False,
    ]


def test_rule_that_allows_everything_costs_nothing() -> None:
    assert compile_rule(Rule(True), "ann", "app") is None
    assert compile_rule(AclProfile(name="p").share, "ann", "app") is None
    assert compile_rule(AclProfile(name="p").publish, "ann", "app") is not None


def test_remembered_answers_are_bounded() -> None:
    access = TopicAccess(True, ("a/>",))
    for number in range(10_050):
        assert access.allows(f"b/{number}")

    assert len(access._remembered) <= 10_000
