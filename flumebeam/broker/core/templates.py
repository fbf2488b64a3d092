"""Templates: what endpoints begin with that clients make, by the pattern of their name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from flumebeam.broker.core.queue_settings import Permission, QueueSettings
from flumebeam.broker.core.topics import TopicTree

__all__ = ["QueueTemplate", "TopicEndpointTemplate", "find_template"]


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueTemplate:
    """What queues begin with that clients make.

    Attributes:
        name: Its name.
        name_filter: Names of the queues that it is for, with wildcards as in subscriptions; nothing matches no queue.
        exclusive: Whether one flow receives at a time, or all in turn.
        permission: What others than the maker may do.
        settings: Limits, kinds, and what becomes of messages that nobody consumes.
    """

    name: str
    name_filter: str = ""
    exclusive: bool = True
    permission: Permission = Permission.NO_ACCESS
    settings: QueueSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicEndpointTemplate(QueueTemplate):
    """What topic endpoints begin with that clients make."""


T = TypeVar("T", bound=QueueTemplate)


def find_template(templates: Mapping[str, T], name: str) -> T | None:
    """Return the template for an endpoint of this name: of several the one that says most, which is the longest.

    A name without wildcards says more than any with them.
    """
    filters: TopicTree[str] = TopicTree()
    for template in templates.values():
        if template.name_filter:
            filters.add(template.name_filter, template.name)
    matching = [templates[found] for found in filters.match(name)]
    return max(
        matching,
        key=lambda one: (one.name_filter == name, len(one.name_filter), one.name),
        default=None,
    )
