"""Templates of endpoints that clients make."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from flumebeam.broker.core.access import drop_setup, put_setup
from flumebeam.broker.core.administration import QueueSetup
from flumebeam.broker.core.queue_settings import Permission
from flumebeam.broker.core.templates import QueueTemplate, TopicEndpointTemplate, find_template
from flumebeam.smf.assuredctrl import AccessType, AssuredControl, AssuredKind, EndpointBehavior


def put(world: Any, name_filter: str, name: str = "t", kind: Any = QueueTemplate, **settings: Any) -> QueueTemplate:
    vpn = world.engine.vpn
    chosen = replace(vpn.default_settings(kind is TopicEndpointTemplate), **settings)
    template: QueueTemplate = kind(
        name=name, name_filter=name_filter, exclusive=False, permission=Permission.CONSUME, settings=chosen
    )
    put_setup(vpn, template)
    return template


def create(client: Any, name: str = "app/in", **options: Any) -> QueueSetup:
    request = AssuredControl(kind=AssuredKind.CREATE, **({"queue": name, "durability": 1} | options))
    assert client.ask(request).response.code == 200
    return QueueSetup.of(client.world.engine.vpn.queues[name if "endpoint" not in options else f"#P2P/DTE/{name}"])


def test_queue_that_a_client_makes_begins_with_the_template_of_its_name(world: Any) -> None:
    template = put(world, "app/>", max_ttl_seconds=7, respect_ttl=True, last_value=True, reject_on_discard="always")
    client = world.client()

    made = create(client)
    assert (made.access, made.permission, made.settings) == (
        AccessType.NON_EXCLUSIVE,
        Permission.CONSUME,
        template.settings,
    )
    other = create(client, "other")
    assert (other.access, other.permission) == (AccessType.EXCLUSIVE, Permission.NO_ACCESS)
    assert other.settings == world.engine.vpn.default_settings()


def test_what_the_client_asks_for_comes_first(world: Any) -> None:
    put(world, "app/>", max_ttl_seconds=7, respect_ttl=True, last_value=True, max_redeliveries=3)
    made = create(
        world.client(),
        access=AccessType.EXCLUSIVE,
        other_permissions=bytes(4),
        quota_mb=5,
        respect_ttl=0,
        max_redeliveries=1,
        behavior=EndpointBehavior.DO_NOT_NOTIFY_SENDER,
    )

    assert (made.access, made.permission) == (AccessType.EXCLUSIVE, Permission.NO_ACCESS)
    settings = made.settings
    assert (settings.max_bytes, settings.last_value, settings.respect_ttl) == (5_000_000, False, False)
    assert (settings.max_redeliveries, settings.reject_on_discard, settings.max_ttl_seconds) == (1, "never", 7)


def test_topic_endpoints_have_templates_of_their_own(world: Any) -> None:
    put(world, "app/>", max_ttl_seconds=7)
    put(world, "app/>", kind=TopicEndpointTemplate, max_ttl_seconds=9)

    assert create(world.client(), "app/e", queue=None, endpoint="app/e").settings.max_ttl_seconds == 9


def test_temporary_queue_gets_the_settings_of_a_template_too(world: Any) -> None:
    put(world, "#P2P/QTMP/>", max_redeliveries=3)
    client = world.client()
    client.bind("#P2P/QTMP/v:x/mine", durability=2)

    assert world.engine.vpn.queues["#P2P/QTMP/v:x/mine"].settings.max_redeliveries == 3


@pytest.mark.parametrize(
    ("name", "chosen"),
    [("app/in", "exact"), ("app/out", "level"), ("app/out/more", "rest"), ("other", None), ("", None)],
)
def test_of_several_templates_the_one_that_says_most_counts(world: Any, name: str, chosen: str | None) -> None:
    for label, name_filter in (
        ("rest", "app/>"),
        ("level", "app/ou*"),
        ("exact", "app/in"),
        ("long", "app/in*"),
        ("none", ""),
    ):
        put(world, name_filter, label)
    found = find_template(world.engine.vpn.queue_templates, name)

    assert (found and found.name) == chosen


def test_client_profile_names_a_template_for_names_that_none_is_for(world: Any) -> None:
    vpn = world.engine.vpn
    put(world, "app/>", max_ttl_seconds=7)
    put(world, "", "mine", max_ttl_seconds=8)
    put(world, "", "mine", kind=TopicEndpointTemplate, max_ttl_seconds=9)
    put_setup(vpn, replace(vpn.client_profiles["default"], queue_template="mine", endpoint_template="mine"))
    client = world.client()

    assert create(client).settings.max_ttl_seconds == 7
    assert create(client, "other").settings.max_ttl_seconds == 8
    assert create(client, "e", queue=None, endpoint="e").settings.max_ttl_seconds == 9


def test_template_that_is_gone_is_for_no_queue_and_queues_stay_as_they_are(world: Any) -> None:
    template = put(world, "app/>", max_ttl_seconds=7)
    client = world.client()
    before = create(client)
    drop_setup(world.engine.vpn, template)

    assert QueueSetup.of(world.engine.vpn.queues["app/in"]) == before
    assert create(client, "app/other").settings.max_ttl_seconds == 0
