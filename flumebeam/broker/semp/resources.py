"""What an entry of the routing tables is: a collection of objects, and what may be done with them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from flumebeam.broker.core.broker_settings import Administrator
from flumebeam.broker.core.host import Host
from flumebeam.broker.core.vpn import Vpn
from flumebeam.broker.semp.attributes import Attribute
from flumebeam.broker.semp.rates import Rates

__all__ = ["Action", "Ordered", "Resource", "World", "read_only"]


@dataclass(frozen=True, slots=True)
class World:
    """What a request is about.

    Attributes:
        host: The broker.
        vpn: The message VPN that the path names, or the first one where it names none.
        rates: Rates of queues.
        user: Who asks.
    """

    host: Host
    vpn: Vpn
    rates: Rates
    user: Administrator


class Ordered(Mapping[str, Any]):
    """A collection that is too large to be sorted for each page, and stands in an order of its own already."""

    @abstractmethod
    def following(self, name: str | None) -> Iterator[tuple[str, Any]]:
        """Yield the names behind one, from the first one on if that is None, each with its object."""


@dataclass(frozen=True, slots=True)
class Action:
    """What may be done with an object.

    Attributes:
        carry_out: Does it, and is given what the request says.
        attributes: What a request may say.
    """

    carry_out: Callable[[World, Any, dict[str, Any]], object]
    attributes: Mapping[str, Attribute] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """A collection of objects.

    Attributes:
        name: Its part of the path.
        key: Attribute that names an object in it.
        compound: Attributes whose values, with commas between, name an object, where it takes several.
        noun: What an object is called in sentences.
        members: The objects by name, of a parent object.
        show: The attributes of an object, without the names that the path gives.
        children: Collections that each object has.
        counts: Sizes of collections of an object, shown beside its attributes.
        attributes: What may be written.
        defaults: Values that depend on the broker, in place of those in ``attributes``.
        put: Creates an object of a name, or changes the one that is given; is given attribute values, all of them
            unless the object is there and only some change.
        delete: Removes an object.
        actions: What may be done with an object, by name.
    """

    name: str
    key: str
    noun: str
    members: Callable[[World, Any], Mapping[str, Any]]
    show: Callable[[World, Any], dict[str, Any]]
    compound: tuple[str, ...] = ()
    children: tuple[Resource, ...] = ()
    counts: Callable[[World, Any], dict[str, int]] | None = None
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    defaults: Callable[[World], dict[str, Any]] = lambda world: {}
    put: Callable[[World, Any, str, Any | None, dict[str, Any]], Any] | None = None
    delete: Callable[[World, Any, Any], None] | None = None
    actions: Mapping[str, Action] = field(default_factory=dict)

    def names(self, name: str) -> dict[str, str]:
        """Return the attributes that name an object."""
        if not self.compound:
            return {self.key: name}
        return dict(zip(self.compound, name.split(",", len(self.compound) - 1), strict=False))

    def child(self, name: str) -> Resource | None:
        """Return the collection of this name that each object has."""
        return next((child for child in self.children if child.name == name), None)


def read_only(resource: Resource) -> Resource:
    """Return a resource as monitoring shows it."""
    return replace(resource, put=None, delete=None, children=tuple(map(read_only, resource.children)))
