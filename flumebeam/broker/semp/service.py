"""From request to answer: credentials, paths, paging, and the envelope that all answers have."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Final
from urllib.parse import quote, unquote

from flumebeam.broker.core.host import Host
from flumebeam.broker.core.vpn import Vpn
from flumebeam.broker.semp.acting import ACTION
from flumebeam.broker.semp.attributes import parse_body
from flumebeam.broker.semp.authorizing import authenticate, permit
from flumebeam.broker.semp.broker_settings import BROKER_ATTRIBUTES, BROKER_RESOURCES, change_broker, show_config
from flumebeam.broker.semp.configuring import CONFIG
from flumebeam.broker.semp.monitoring import MONITOR, show_broker
from flumebeam.broker.semp.query import Query, parse_query
from flumebeam.broker.semp.rates import Rates
from flumebeam.broker.semp.replies import Item, Problem, Reply, Request, Status
from flumebeam.broker.semp.resources import Ordered, Resource, World, read_only

__all__ = ["SempService"]

_PREFIX: Final = "/SEMP/v2/"
_CONFIG: Final = (CONFIG, *BROKER_RESOURCES)
_MONITOR: Final = (MONITOR, *map(read_only, BROKER_RESOURCES))
_APIS: Final[Mapping[str, tuple[Resource, ...]]] = {
    "config": _CONFIG,
    "monitor": _MONITOR,
    "action": (ACTION,),
    "__private_monitor__": _MONITOR,
}
"""The last one is what the vendor's own manager asks, and so do its samples: it shows the same here."""
_LOOKED_THROUGH: Final = 10_000
"""Objects of a large collection that conditions are put to at once: some 0.1 s."""
_ABOUT: Final = {"platform": "VMR", "sempVersion": "2.36"}
"""What tools look at before they begin: the vendor's name for its software broker, and a version with all this."""


def _show_user(world: World) -> dict[str, Any]:
    return {"globalAccessLevel": world.user.access, "sessionActive": False}


_SINGLETONS: Final[Mapping[tuple[str, str], Callable[[World], dict[str, Any]]]] = {
    **{(api, "about/api"): lambda world: dict(_ABOUT) for api in _APIS},
    **{(api, "about"): lambda world: {} for api in _APIS},
    **{
        (api, "about/user"): lambda world: {"globalAccessLevel": world.user.access, "sessionActive": False}
        for api in _APIS
    },
    ("config", ""): show_config,
    ("config", "systemInformation"): lambda world: dict(_ABOUT),
    ("monitor", ""): show_broker,
}
"""Objects that there is one of, by API and path."""


@dataclass(frozen=True, slots=True)
class _Target:
    """Where a path leads.

    Attributes:
        world: The broker, and the message VPN on the way.
        resource: The collection.
        parent: Object that has it.
        names: Names of the objects on the way, by their attributes.
        uri: The path up to the collection.
        name: Name of one object in it, or None.
        action: What to do with that object, or None.
    """

    world: World
    resource: Resource
    parent: Any
    names: dict[str, str]
    uri: str
    name: str | None
    action: str | None


class SempService:
    """Answers requests. It changes the broker in place; whoever calls it settles and flushes then."""

    def __init__(self) -> None:
        self.rates = Rates()
        """Whoever has a clock samples them."""

    def answer(self, request: Request, host: Host) -> Reply:
        """Answer a request about a broker."""
        meta: dict[str, Any] = {"request": {"method": request.method, "uri": request.base + request.target}}
        try:
            user = authenticate(request, host)
            body = _handle(request, World(host, host.vpns[host.config.vpn], self.rates, user))
        except Problem as problem:
            error = {
                "code": problem.status.value,
                "description": problem.description,
                "status": problem.status.name,
            }
            return Reply(problem.http, {"meta": meta | {"error": error, "responseCode": problem.http}})
        return Reply(200, body | {"meta": body.get("meta", {}) | meta | {"responseCode": 200}})


def _handle(request: Request, world: World) -> dict[str, Any]:
    path, _, query = request.target.partition("?")
    if not path.startswith(_PREFIX):
        raise _no_such_path(path)
    api, _, rest = path.removeprefix(_PREFIX).partition("/")
    roots = _APIS.get(api)
    if roots is None:
        raise _no_such_path(path)
    permit(world.user, request.method, rest.rstrip("/"))
    singleton = _SINGLETONS.get((api, rest.rstrip("/")))
    if singleton is not None and request.method == "GET":
        return _singleton(api, rest.rstrip("/"), f"{request.base}{path.rstrip('/')}", singleton(world), query)
    if (api, rest) == ("config", "") and request.method in ("PUT", "PATCH"):
        # It can be done to the certificate only, so that a PUT has no defaults to go back to.
        change_broker(world, parse_body(request.body, BROKER_ATTRIBUTES, {}, creating=False))
        return _singleton(api, "", f"{request.base}{path.rstrip('/')}", show_config(world), query)
    target = _resolve(roots, rest.rstrip("/").split("/"), f"{request.base}{_PREFIX}{api}", world, path)
    if target.action is not None:
        return _act(request, target)
    if api != "action":
        if request.method == "GET":
            wanted = parse_query(query)
            return _list(target, wanted) if target.name is None else _get(target, target.name, wanted)
        if target.name is None and request.method == "POST":
            return _create(request, target, parse_query(query))
        if target.name is not None and request.method in ("PUT", "PATCH"):
            return _change(request, target, target.name, parse_query(query))
        if target.name is not None and request.method == "DELETE":
            return _delete(target, target.name)
    raise _not_supported(request.method, target)


def _singleton(api: str, path: str, uri: str, data: dict[str, Any], query: str) -> dict[str, Any]:
    below = (
        name.removeprefix(f"{path}/") for known, name in _SINGLETONS if known == api and name.startswith(f"{path}/")
    )
    links = {f"{name}Uri": f"{uri}/{name}" for name in below} | {"uri": uri}
    return {"data": parse_query(query).choose(data, {}), "links": links}


# Paths


def _resolve(roots: Iterable[Resource], segments: list[str], uri: str, world: World, path: str) -> _Target:
    resource = next((root for root in roots if root.name == segments[0]), None)
    parent: Any = None
    names: dict[str, str] = {}
    rest = list(segments)
    while resource is not None:
        uri += f"/{rest.pop(0)}"
        if not rest:
            return _Target(world, resource, parent, names, uri, None, None)
        name = unquote(rest.pop(0))
        if not rest:
            return _Target(world, resource, parent, names, uri, name, None)
        if len(rest) == 1 and rest[0] in resource.actions:
            return _Target(world, resource, parent, names, uri, name, rest[0])
        child = resource.child(rest[0])
        if child is None:
            break
        member = _find(resource, parent, name, world)
        if isinstance(member, Vpn):
            world = replace(world, vpn=member)
        names = names | resource.names(name)
        uri += f"/{_quoted(name)}"
        resource, parent = child, member
    raise _no_such_path(path)


def _find(resource: Resource, parent: Any, name: str, world: World) -> Any:
    member = resource.members(world, parent).get(name)
    if member is None:
        raise Problem(Status.NOT_FOUND, f"There is no {resource.noun} {name}.")
    return member


def _quoted(name: str) -> str:
    return quote(name, safe="")


def _no_such_path(path: str) -> Problem:
    return Problem(Status.INVALID_PATH, f"{path} is not a resource that this broker has.")


def _not_supported(method: str, target: _Target) -> Problem:
    whole = f"{target.resource.name} as a collection" if target.name is None else f"a {target.resource.noun}"
    return Problem(Status.NOT_SUPPORTED, f"{method} is not supported for {whole} here.", 405)


# Reading


def _item(target: _Target, name: str, member: Any) -> Item:
    resource = target.resource
    data = target.names | resource.names(name) | resource.show(target.world, member)
    uri = f"{target.uri}/{_quoted(name)}"
    links = {f"{child.name}Uri": f"{uri}/{child.name}" for child in resource.children} | {"uri": uri}
    counts = resource.counts(target.world, member) if resource.counts else {}
    return Item(dict(sorted(data.items())), links, {key: {"count": count} for key, count in counts.items()})


def _shown(target: _Target, name: str, member: Any, query: Query) -> dict[str, Any]:
    item = _item(target, name, member)
    collections = {"collections": item.collections} if target.resource.counts else {}
    known = item.collections.keys() | {child.name for child in target.resource.children}
    return collections | {"data": query.choose(item.data, dict.fromkeys(known)), "links": item.links}


def _get(target: _Target, name: str, query: Query) -> dict[str, Any]:
    return _shown(target, name, _find(target.resource, target.parent, name, target.world), query)


def _list(target: _Target, query: Query) -> dict[str, Any]:
    members = target.resource.members(target.world, target.parent)
    if isinstance(members, Ordered):
        found, total, last = _look_through(target, members, query)
    else:
        matching = sorted(members)
        if query.conditions:
            matching = [name for name in matching if query.matches(_item(target, name, members[name]).data)]
        following = [name for name in matching if query.after is None or name > query.after]
        found, total = [(name, members[name]) for name in following[: query.count]], len(matching)
        last = found[-1][0] if len(following) > len(found) else None
    page = [_shown(target, name, member, query) for name, member in found]
    meta: dict[str, Any] = {"count": total}
    if last is not None:
        cursor = query.cursor(last)
        kept = {"count": str(query.count), "cursor": cursor}
        if query.selected:
            kept["select"] = ",".join(query.selected)
        if query.conditions:
            kept["where"] = ",".join(f"{one.name}{one.comparison}{one.text}" for one in query.conditions)
        parameters = "&".join(f"{key}={_quoted(value)}" for key, value in kept.items())
        meta["paging"] = {"cursorQuery": cursor, "nextPageUri": f"{target.uri}?{parameters}"}
    keys = ("collections", "data", "links") if target.resource.counts else ("data", "links")
    return {key: [shown[key] for shown in page] for key in keys} | {"meta": meta}


def _look_through(target: _Target, members: Ordered, query: Query) -> tuple[list[tuple[str, Any]], int, str | None]:
    """Return a page of a large collection, how many objects it has, and where the next page begins, if there is one.

    With conditions only so many objects are looked at, and those that met them are counted: a page may have less than
    was asked for, as the vendor's may.
    """
    following = members.following(query.after)
    found: list[tuple[str, Any]] = []
    looked_at = None
    for name, member in islice(following, _LOOKED_THROUGH if query.conditions else query.count):
        looked_at = name
        if not query.conditions or query.matches(_item(target, name, member).data):
            found.append((name, member))
            if len(found) == query.count:
                break
    total = len(found) if query.conditions else len(members)
    return found, total, None if next(following, None) is None else looked_at


# Writing


def _create(request: Request, target: _Target, query: Query) -> dict[str, Any]:
    resource = target.resource
    if resource.put is None:
        raise _not_supported(request.method, target)
    given = parse_body(request.body, resource.attributes, target.names, creating=True)
    name = ",".join(given[key] for key in resource.compound or (resource.key,))
    if resource.members(target.world, target.parent).get(name) is not None:
        raise Problem(Status.ALREADY_EXISTS, f"There is a {resource.noun} {name} already.")
    return _put(target, name, None, _complete(target, given), query)


def _change(request: Request, target: _Target, name: str, query: Query) -> dict[str, Any]:
    resource = target.resource
    if resource.put is None or all(attribute.identifying for attribute in resource.attributes.values()):
        # An object that is nothing but its name can only be there or not.
        raise _not_supported(request.method, target)
    given = parse_body(request.body, resource.attributes, target.names | resource.names(name), creating=False)
    if request.method == "PATCH":
        return _put(target, name, _find(resource, target.parent, name, target.world), given, query)
    existing = resource.members(target.world, target.parent).get(name)
    return _put(target, name, existing, _complete(target, given), query)


def _complete(target: _Target, given: dict[str, Any]) -> dict[str, Any]:
    resource = target.resource
    defaults = {name: one.default for name, one in resource.attributes.items() if not one.identifying}
    return defaults | resource.defaults(target.world) | given


def _put(target: _Target, name: str, existing: Any | None, values: dict[str, Any], query: Query) -> dict[str, Any]:
    resource = target.resource
    assert resource.put is not None  # noqa: S101 - both callers have looked
    shown = (name for name, attribute in resource.attributes.items() if not attribute.secret)
    # Before anything changes: a request that is refused has done nothing.
    query.choose(dict.fromkeys((*target.names, *resource.names(name), *shown)), {})
    member = resource.put(target.world, target.parent, name, existing, values)
    item = _item(target, name, member)
    return {"data": query.choose(item.data, {}), "links": item.links}


def _delete(target: _Target, name: str) -> dict[str, Any]:
    if target.resource.delete is None:
        raise _not_supported("DELETE", target)
    target.resource.delete(target.world, target.parent, _find(target.resource, target.parent, name, target.world))
    return {}


def _act(request: Request, target: _Target) -> dict[str, Any]:
    if request.method != "PUT":
        raise _not_supported(request.method, target)
    member = _find(target.resource, target.parent, target.name or "", target.world)
    action = target.resource.actions[target.action or ""]
    given = parse_body(request.body, action.attributes, {}, creating=False)
    action.carry_out(target.world, member, given)
    return {}
