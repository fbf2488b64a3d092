"""What was set up at a broker is set up in its next life, and how that meets the configuration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from flumebeam.broker.core.access import all_setup, drop_setup, put_setup
from flumebeam.broker.core.acl import AclProfile, Rule, TopicException
from flumebeam.broker.core.administration import QueueSetup, configure_queue
from flumebeam.broker.core.broker_settings import Administrator, ClientAuthority, DomainAuthority, ServerCertificate
from flumebeam.broker.core.journal import Configured, VpnSet
from flumebeam.broker.core.profiles import ClientProfile, ClientUsername
from flumebeam.broker.core.queue_settings import Permission
from flumebeam.broker.core.templates import QueueTemplate, TopicEndpointTemplate
from flumebeam.broker.core.vpn import VpnSettings
from flumebeam.broker.core.vpns import configure_vpn
from flumebeam.broker.store import Store
from tests.unit.broker.durable import durable_state, whole_state
from tests.unit.broker.lives import reborn


def test_changed_set_up_survives(make_world: Callable[..., Any], keeper: Any, store: Store) -> None:
    vpn = keeper.engine.vpn
    queue = vpn.queues["q"]
    former = QueueSetup.of(queue)
    configure_queue(
        vpn, queue, QueueSetup(access=former.access, owner="x", permission=former.permission, settings=former.settings)
    )
    peer = keeper.client()
    peer.publish(peer.publisher().flow_id, b"a")

    after = reborn(make_world, keeper, store)

    assert after.engine.vpn.queues["q"].owner == "x"
    assert durable_state(after.engine) == durable_state(keeper.engine)


def test_who_made_a_subscription_survives(make_world: Callable[..., Any], keeper: Any, store: Store) -> None:
    keeper.engine.create_queue("made", "exclusive", ["of/management"])
    keeper.client().subscribe("of/client", queue="made")

    after = reborn(make_world, keeper, store)

    assert after.engine.vpn.queues["made"].subscriptions == {"of/management": True, "of/client": False}


def test_message_vpns_survive_each_with_its_own(make_world: Callable[..., Any], keeper: Any, store: Store) -> None:
    engine = keeper.engine
    engine.create_vpn("more", {"default": None})
    engine.create_vpn("gone", {"default": None})
    for name in ("more", "gone"):
        engine.create_queue("q", "exclusive", ["t/>"], vpn=name)
        peer, flow = keeper.transacted(vpn=name)
        peer.publish(flow, name.encode())
        peer.commit(flow)
        peer.consume("q")
    store.commit(engine.take_journal())
    engine.delete_vpn("gone")
    configure_vpn(engine.host.vpns["more"], replace(engine.vpn.settings, max_queues=1))
    before = whole_state(engine)

    after = reborn(make_world, keeper, store)

    assert whole_state(after.engine) == before
    assert list(after.engine.host.vpns) == ["default", "more"]
    assert after.engine.host.vpns["more"].settings.max_queues == 1
    assert store._connection.execute("SELECT count(*) FROM sessions").fetchone() == (1,)


def test_usernames_and_profiles_survive(make_world: Callable[..., Any], keeper: Any, store: Store) -> None:
    vpn = keeper.engine.vpn
    rules = AclProfile(
        name="p", connect=Rule(True, ("10.0.0.0/8",)), publish=Rule(False, (TopicException("mqtt", "a/#"),))
    )
    limits = replace(ClientProfile.limited("p", keeper.config), transact=True, kept={"tcpKeepaliveCount": 3})
    for value in (rules, limits, ClientUsername("ann", "pw", acl_profile="p", client_profile="p")):
        put_setup(vpn, value)
    put_setup(vpn, ClientUsername("gone", None))
    put_setup(vpn, replace(vpn.users["default"], password="pw"))
    store.commit(keeper.engine.take_journal())
    drop_setup(vpn, vpn.users["gone"])

    after = reborn(make_world, keeper, store).engine.vpn

    assert list(all_setup(after)) == list(all_setup(vpn))
    assert after.acl_profiles["p"] == rules
    assert after.client_profiles["p"] == limits
    assert list(after.users) == ["default", "ann"]


def test_templates_survive(make_world: Callable[..., Any], keeper: Any, store: Store) -> None:
    vpn = keeper.engine.vpn
    settings = replace(vpn.default_settings(), max_ttl_seconds=3, kept={"a": 1})
    for kind in (QueueTemplate, TopicEndpointTemplate):
        put_setup(vpn, kind(name="t", name_filter="a/>", permission=Permission.CONSUME, settings=settings))
    again = reborn(make_world, keeper, store).engine.vpn

    assert again.queue_templates == vpn.queue_templates
    assert again.endpoint_templates == vpn.endpoint_templates
    assert again.queue_templates["t"].permission is Permission.CONSUME


def test_what_the_broker_as_a_whole_is_set_up_with_survives(
    make_world: Callable[..., Any], keeper: Any, store: Store
) -> None:
    host = keeper.engine.host
    ann = Administrator(name="ann", password="a", vpn_access="read-only", exceptions={"v": "none"})
    gone = ClientAuthority(name="gone")
    for value in (
        ann,
        gone,
        ClientAuthority(name="ca", content="c", kept={"crlUrl": "u"}),
        DomainAuthority(name="ca", content="d"),
        ServerCertificate(content="pem", password="p"),
        replace(host.settings.administrators["admin"], password="other"),
    ):
        host.put_setting(value)
    host.drop_setting(gone)

    again = reborn(make_world, keeper, store).engine.host
    wanted = {(type(value), value.name): value for value in host.settings.all()}
    # The configuration's password is that after each start.
    wanted[Administrator, "admin"] = Administrator(name="admin", password="admin", access="admin")
    assert {(type(value), value.name): value for value in again.settings.all()} == wanted


def test_broker_that_forgets_its_state_goes_on_with_its_administrators(
    make_world: Callable[..., Any], keeper: Any
) -> None:
    keeper.engine.host.put_setting(Administrator(name="ann", password="a"))
    keeper.engine.host.put_setting(DomainAuthority(name="ca"))
    fresh = make_world()
    fresh.engine.copy_setup(keeper.engine)
    fresh.engine.host.drop_setting(DomainAuthority(name="ca"))

    assert set(fresh.engine.host.settings.administrators) == {"admin", "ann"}
    assert not fresh.engine.host.settings.domain_authorities


def test_password_of_the_configuration_is_that_after_each_start_and_the_rest_is_kept(
    make_world: Callable[..., Any], keeper: Any, store: Store
) -> None:
    vpn = keeper.engine.vpn
    put_setup(vpn, ClientUsername("ann", "old", enabled=False))
    put_setup(vpn, ClientUsername("default", "kept"))
    store.commit(keeper.engine.take_journal())
    world = make_world(users={"default": None, "ann": "new"})
    world.engine.restore(list(store.records()), world.now)

    assert world.engine.vpn.users["ann"] == ClientUsername("ann", "new", enabled=False)
    assert world.engine.vpn.users["default"].password == "kept"
    store.commit(world.engine.take_journal())
    assert Configured(ClientUsername("ann", "new", enabled=False)) in list(store.records())


def test_message_vpns_of_the_configuration_are_kept_once(make_world: Callable[..., Any], store: Store) -> None:
    for settings_kept in (VpnSettings.of(make_world().config), None):
        world = make_world(more_vpns={"more": {"ann": "pw"}})
        world.engine.restore(list(store.records()), world.now)
        vpn = world.engine.host.vpns["more"]
        assert list(vpn.users) == ["ann"]
        if settings_kept is None:
            assert vpn.settings.max_queues == 7
            assert not any(isinstance(record, VpnSet) for record in world.engine.take_journal())
        else:
            configure_vpn(vpn, replace(settings_kept, max_queues=7))
            store.commit(world.engine.take_journal())
