"""ACL profiles: from where clients may connect, on what topics they may publish, what they may subscribe to.

Each rule is an action by default and the exceptions to it. Rules are compiled for a client when it logs in and when a
profile changes, and answers about topics are remembered, so that a message costs a look into a dictionary, and nothing
at all where everything is allowed.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

from flumebeam.broker.core.topics import TopicTree

__all__ = [
    "AclProfile",
    "Rule",
    "TopicAccess",
    "TopicException",
    "compile_rule",
    "everything_but",
    "may_connect",
    "nothing_but",
]

_MAX_REMEMBERED: Final = 10_000
_USERNAME: Final = "$client-username"
_CLIENT: Final = "$client-id"


class TopicException(NamedTuple):
    """A topic with wildcards to which the default does not apply.

    ``$client-username`` and ``$client-id``, the client's name, stand for those of the client.
    """

    syntax: str
    """``"smf"`` or ``"mqtt"``."""
    topic: str

    def subscriptions(self, username: str, client_name: str) -> tuple[str, ...]:
        """Return what it is for this client in SMF syntax."""
        topic = self.topic.replace(_USERNAME, username).replace(_CLIENT, client_name)
        if self.syntax == "smf":
            return (topic,)
        levels = ["*" if level == "+" else level for level in topic.split("/")]
        if levels[-1] != "#":
            return ("/".join(levels),)
        # In MQTT this matches the level above, too.
        return "/".join((*levels[:-1], ">")), "/".join(levels[:-1])


@dataclass(frozen=True, slots=True)
class Rule:
    """What is allowed.

    Attributes:
        allowed: Whether it is, where no exception says otherwise.
        exceptions: What is not, or the other way round: addresses in CIDR form, or topics.
    """

    allowed: bool
    exceptions: tuple[Any, ...] = ()


def everything_but(*topics: str) -> Rule:
    """Return a rule that allows all topics but those that match one of these, which may have wildcards."""
    return Rule(True, tuple(TopicException("smf", topic) for topic in topics))


def nothing_but(*topics: str) -> Rule:
    """Return a rule that allows no topics but those that match one of these, which may have wildcards."""
    return replace(everything_but(*topics), allowed=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class AclProfile:
    """One ACL profile. By default it allows what the vendor's does: nothing but any name of a shared subscription.

    Attributes:
        name: Its name.
        connect: Addresses from which clients may connect.
        publish: Topics that they may publish on.
        subscribe: Topics that they may subscribe to.
        share: Names that their shared subscriptions may have.
    """

    name: str
    connect: Rule = Rule(False)
    publish: Rule = Rule(False)
    subscribe: Rule = Rule(False)
    share: Rule = Rule(True)

    @classmethod
    def permissive(cls, name: str) -> AclProfile:
        """Return a profile that allows everything."""
        return cls(name=name, connect=Rule(True), publish=Rule(True), subscribe=Rule(True))

    def change(self, kind: str, rule: Rule) -> AclProfile:
        """Return it with another rule of this kind: one of its attributes."""
        changes: dict[str, Any] = {kind: rule}
        return replace(self, **changes)


def may_connect(rule: Rule, peer: str) -> bool:
    """Return whether a client may connect from ``peer``, an address and a port with a colon between."""
    address = ipaddress.ip_address(peer.rpartition(":")[0])
    found = any(address in ipaddress.ip_network(network, strict=False) for network in rule.exceptions)
    return rule.allowed is not found


class TopicAccess:
    """A rule about topics for one client, or for all that it is the same for.

    Args:
        allowed: Whether a topic is, where no exception matches.
        exceptions: In SMF syntax.
    """

    def __init__(self, allowed: bool, exceptions: tuple[str, ...]) -> None:
        self._allowed = allowed
        self._exceptions = tuple(topic.split("/") for topic in exceptions)
        self._tree: TopicTree[bool] = TopicTree()
        for topic in exceptions:
            self._tree.add(topic, True)
        self._remembered: dict[str, bool] = {}

    def allows(self, topic: str) -> bool:
        """Return whether a message may be published on ``topic``."""
        answer = self._remembered.get(topic)
        if answer is None:
            if len(self._remembered) >= _MAX_REMEMBERED:
                self._remembered.clear()
            answer = self._remembered[topic] = self._allowed is not bool(self._tree.match(topic))
        return answer

    def covers(self, subscription: str) -> bool:
        """Return whether ``subscription``, or the name of a shared one, is allowed.

        An exception applies to a subscription if it matches all that the subscription matches. So with all allowed but
        ``a/b``, ``a/>`` is allowed and gets ``a/b``, as the vendor has it.
        """
        levels = subscription.split("/")
        return self._allowed is not any(_includes(exception, levels) for exception in self._exceptions)


def _includes(wide: list[str], narrow: list[str]) -> bool:
    for position, level in enumerate(wide):
        if level == ">" and position == len(wide) - 1:
            return len(narrow) > position
        if position >= len(narrow):
            return False
        other = narrow[position]
        if other == ">" and position == len(narrow) - 1:
            return False
        if not (other.startswith(level[:-1]) if level.endswith("*") else other == level):
            return False
    return len(narrow) == len(wide)


def compile_rule(rule: Rule, username: str, client_name: str) -> TopicAccess | None:
    """Return a rule about topics made ready for a client, or None if it allows everything."""
    if rule.allowed and not rule.exceptions:
        return None
    found = [topic for one in rule.exceptions for topic in one.subscriptions(username, client_name)]
    return TopicAccess(rule.allowed, tuple(found))
