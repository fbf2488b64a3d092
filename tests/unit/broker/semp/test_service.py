"""Credentials, paths, paging, selection: what all resources have in common."""

from __future__ import annotations

from typing import Any

import pytest

from flumebeam.broker.semp.replies import Request
from tests.unit.broker.semp.paths import ACTION, CONFIG, MONITOR

QUEUES = f"{CONFIG}/queues"


@pytest.fixture
def many(manage: Any) -> Any:
    """Return the manager of a broker with queues ``q`` and ``q00`` to ``q24``."""
    for number in range(25):
        manage.world.engine.create_queue(f"q{number:02}", "non-exclusive" if number % 2 else "exclusive", [])
    return manage


@pytest.mark.parametrize("credentials", [None, "admin:wrong", "admin", "", "other:admin"])
def test_nobody_but_the_administrator_is_answered(manage: Any, credentials: str | None) -> None:
    reply = manage.ask("GET", QUEUES, credentials=credentials)

    assert reply.status == 401
    assert reply.body["meta"]["error"]["code"] == 72
    assert "data" not in reply.body


@pytest.mark.parametrize("header", ["Bearer YWRtaW46YWRtaW4=", "Basic ???", "Basic", "Basic \xfc"])
def test_other_credentials_than_basic_are_none(manage: Any, header: str) -> None:
    request = Request(method="GET", target=QUEUES, authorization=header)

    assert manage.service.answer(request, manage.world.engine.host).status == 401


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/SEMP",
        "//[x",
        "/SEMP/v2/other/msgVpns",
        "/SEMP/v2/action",
        "/SEMP/v2/config/other",
        f"{CONFIG}/other",
        f"{QUEUES}/q/other",
        f"{QUEUES}/q/subscriptions/t/more",
        f"{ACTION}/queues/q/explode",
    ],
)
def test_unknown_path_is_named(manage: Any, path: str) -> None:
    assert manage.refused("GET", path) == (535, "INVALID_PATH", 400)


@pytest.mark.parametrize(
    "path",
    ["/SEMP/v2/config/msgVpns/other", f"{QUEUES}/other", f"{QUEUES}/other/subscriptions", f"{MONITOR}/clients/x"],
)
def test_object_that_is_not_there_is_not_found_nor_what_it_would_have(manage: Any, path: str) -> None:
    assert manage.refused("GET", path) == (6, "NOT_FOUND", 400)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("DELETE", QUEUES),
        ("POST", f"{QUEUES}/q"),
        ("POST", f"{MONITOR}/queues"),
        ("PATCH", f"{MONITOR}/queues/q"),
        ("DELETE", f"{MONITOR}/queues/q"),
        ("GET", f"{ACTION}/queues/q"),
        ("GET", f"{ACTION}/queues/q/deleteMsgs"),
    ],
)
def test_method_that_a_resource_does_not_have_is_named(manage: Any, method: str, path: str) -> None:
    assert manage.refused(method, path, {}) == (14, "NOT_SUPPORTED", 405)


def test_names_are_percent_encoded_in_paths(manage: Any) -> None:
    manage("POST", QUEUES, {"queueName": "a/b#c d%"})
    found = manage("GET", f"{QUEUES}/a%2Fb%23c%20d%25")

    assert found["data"]["queueName"] == "a/b#c d%"
    assert found["links"]["uri"] == f"http://b:1{QUEUES}/a%2Fb%23c%20d%25"


def test_tools_may_ask_which_api_this_is(manage: Any) -> None:
    about = manage("GET", "/SEMP/v2/monitor/about")

    assert about["data"] == {}
    assert about["links"]["apiUri"] == "http://b:1/SEMP/v2/monitor/about/api"
    assert manage("GET", "/SEMP/v2/config/about/api")["data"].keys() == {"platform", "sempVersion"}


def test_blanks_around_selected_names_are_no_part_of_them(manage: Any) -> None:
    assert manage("GET", f"{QUEUES}/q?select=queueName,%20owner")["data"] == {"queueName": "q", "owner": ""}


# Paging


def test_pages_follow_each_other_until_all_is_shown(many: Any) -> None:
    names, target, pages = [], QUEUES, 0
    while target:
        page = many("GET", target)
        names += [one["queueName"] for one in page["data"]]
        assert page["meta"]["count"] == 26
        assert len(page["links"]) == len(page["data"])
        target = page["meta"].get("paging", {}).get("nextPageUri", "").removeprefix("http://b:1")
        pages += 1

    assert names == sorted(many.world.engine.vpn.queues)
    assert pages == 3


def test_page_goes_on_behind_an_object_that_has_gone(many: Any) -> None:
    paging = many("GET", f"{QUEUES}?count=2")["meta"]["paging"]
    many("DELETE", f"{QUEUES}/q00")

    page = many("GET", f"{QUEUES}?count=1&cursor={paging['cursorQuery']}")
    assert [one["queueName"] for one in page["data"]] == ["q01"]


def test_next_page_keeps_selection_and_conditions(many: Any) -> None:
    first = many("GET", f"{QUEUES}?count=5&select=queueName&where=accessType==non-exclusive")
    second = many("GET", first["meta"]["paging"]["nextPageUri"].removeprefix("http://b:1"))

    assert first["meta"]["count"] == 12
    assert second["data"] == [{"queueName": f"q{number}"} for number in (11, 13, 15, 17, 19)]


def test_a_page_has_a_hundred_objects_at_most(manage: Any) -> None:
    for number in range(120):
        manage.world.engine.create_queue(f"n{number}", "exclusive", [])

    assert len(manage("GET", f"{QUEUES}?count=1000")["data"]) == 100


# Selection


@pytest.mark.parametrize(
    ("select", "shown"),
    [
        ("queueName", {"queueName"}),
        ("queueName,owner", {"queueName", "owner"}),
        ("*Enabled", None),
        ("-*", set()),
        ("queueName,maxBindCount,-max*", {"queueName"}),
        ("queueName,subscriptions.count", {"queueName"}),
    ],
)
def test_selected_attributes_are_shown(manage: Any, select: str, shown: set[str] | None) -> None:
    data = manage("GET", f"{QUEUES}/q?select={select}")["data"]

    assert data.keys() == shown if shown is not None else all(name.endswith("Enabled") for name in data)


@pytest.mark.parametrize(
    ("where", "names"),
    [
        ("queueName==q1*", [f"q{number}" for number in range(10, 20)]),
        ("queueName==q1*,accessType!=exclusive", ["q11", "q13", "q15", "q17", "q19"]),
        ("queueName>=q23", ["q23", "q24"]),
        ("queueName<q00", ["q"]),
        ("maxBindCount>1000", []),
        ("maxBindCount<=1000,queueName>q23", ["q24"]),
        ("ingressEnabled==false", []),
        ("ingressEnabled==true,queueName==q", ["q"]),
        ("queueName==[q]*", []),
        ("queueName==%3F", []),
    ],
)
def test_conditions_choose_objects(many: Any, where: str, names: list[str]) -> None:
    page = many("GET", f"{QUEUES}?where={where}&count=100")

    assert [one["queueName"] for one in page["data"]] == names
    assert page["meta"]["count"] == len(names)


@pytest.mark.parametrize(
    "query",
    [
        "other=1",
        "count=0",
        "count=-1",
        "count=x",
        "cursor=%FF",
        "cursor=abc",
        "select=nonsense",
        "where=nonsense==1",
        "where=queueName",
        "where=maxBindCount>many",
    ],
)
def test_query_that_cannot_be_understood_is_refused(manage: Any, query: str) -> None:
    assert manage.refused("GET", f"{QUEUES}?{query}") == (11, "INVALID_PARAMETER", 400)
