"""What may be set up."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.broker.semp.paths import CONFIG

QUEUES = f"{CONFIG}/queues"
USERS = f"{CONFIG}/clientUsernames"


def test_created_queue_is_shut_and_its_owners_alone_as_the_vendors_is(manage: Any) -> None:
    made = manage("POST", QUEUES, {"queueName": "n"})["data"]

    assert (made["ingressEnabled"], made["egressEnabled"], made["permission"]) == (False, False, "no-access")
    assert (made["accessType"], made["owner"], made["maxBindCount"]) == ("exclusive", "", 1000)
    assert (made["msgVpnName"], made["queueName"]) == ("default", "n")
    assert manage("GET", f"{QUEUES}/n")["data"] == made


def test_everything_that_is_set_is_kept(manage: Any) -> None:
    given = {
        "queueName": "n",
        "accessType": "non-exclusive",
        "owner": "ann",
        "permission": "consume",
        "ingressEnabled": True,
        "egressEnabled": True,
        "maxMsgSpoolUsage": 7,
        "maxDeliveredUnackedMsgsPerFlow": 3,
        "maxBindCount": 2,
        "maxMsgSize": 1_000,
        "maxRedeliveryCount": 4,
        "redeliveryEnabled": True,
        "deadMsgQueue": "dead",
        "rejectMsgToSenderOnDiscardBehavior": "always",
        "rejectLowPriorityMsgEnabled": True,
        "rejectLowPriorityMsgLimit": 9,
        "respectTtlEnabled": True,
        "maxTtl": 60,
    }
    assert given.items() <= manage("POST", QUEUES, given)["data"].items()

    queue = manage.world.engine.vpn.queues["n"]
    assert queue.settings.max_bytes == 7_000_000
    assert given.items() <= manage("GET", f"{QUEUES}/n")["data"].items()


def test_patch_changes_what_it_names_and_put_all_the_rest_to_its_default(manage: Any) -> None:
    manage("PATCH", f"{QUEUES}/q", {"owner": "ann"})
    patched = manage("GET", f"{QUEUES}/q")["data"]
    put = manage("PUT", f"{QUEUES}/q", {"maxBindCount": 5})["data"]

    assert (patched["owner"], patched["ingressEnabled"], patched["permission"]) == ("ann", True, "delete")
    assert (put["owner"], put["ingressEnabled"], put["permission"], put["maxBindCount"]) == ("", False, "no-access", 5)


def test_limit_below_a_megabyte_survives_a_change_of_something_else(make_world: Any, manage: Any) -> None:
    manage.world = make_world(max_queue_bytes=1_234)
    manage.world.engine.create_queue("q", "exclusive", [])
    manage("PATCH", f"{QUEUES}/q", {"owner": "ann"})

    assert manage.world.engine.vpn.queues["q"].settings.max_bytes == 1_234


def test_partitions_have_the_vendors_names_and_defaults(manage: Any) -> None:
    made = manage("POST", QUEUES, {"queueName": "n", "accessType": "non-exclusive", "partitionCount": 3})["data"]
    assert (made["partitionCount"], made["partitionRebalanceDelay"]) == (3, 5)
    assert made["partitionRebalanceMaxHandoffTime"] == 3
    manage("PATCH", f"{QUEUES}/n", {"partitionRebalanceDelay": 1, "partitionRebalanceMaxHandoffTime": 0})

    settings = manage.world.engine.vpn.queues["n"].settings
    assert (settings.partitions, settings.rebalance_delay_seconds, settings.max_handoff_seconds) == (3, 1, 0)
    assert manage.refused("PATCH", f"{QUEUES}/n", {"partitionCount": 1_001})[1] == "INVALID_PARAMETER"


def test_quota_of_nothing_makes_a_last_value_queue_and_another_one_ends_it(manage: Any) -> None:
    assert manage("PATCH", f"{QUEUES}/q", {"maxMsgSpoolUsage": 0})["data"]["maxMsgSpoolUsage"] == 0
    queue = manage.world.engine.vpn.queues["q"]
    assert queue.settings.last_value
    manage("PATCH", f"{QUEUES}/q", {"owner": "ann"})
    assert queue.settings.last_value
    manage("PATCH", f"{QUEUES}/q", {"maxMsgSpoolUsage": 2})

    assert (queue.settings.last_value, queue.settings.max_bytes) == (False, 2_000_000)


def test_put_creates_what_is_not_there(manage: Any) -> None:
    assert manage("PUT", f"{QUEUES}/n", {"ingressEnabled": True})["data"]["ingressEnabled"]
    assert "n" in manage.world.engine.vpn.queues


def test_deleted_queue_is_gone(manage: Any) -> None:
    assert "data" not in manage("DELETE", f"{QUEUES}/q")
    assert manage.refused("GET", f"{QUEUES}/q") == (6, "NOT_FOUND", 400)
    assert manage.refused("DELETE", f"{QUEUES}/q") == (6, "NOT_FOUND", 400)


@pytest.mark.parametrize(
    ("body", "code", "status"),
    [
        ({"queueName": "q"}, 10, "ALREADY_EXISTS"),
        ({}, 228, "MISSING_PARAMETER"),
        ({"queueName": "n", "nonsense": 1}, 11, "INVALID_PARAMETER"),
        ({"queueName": "n", "owner": 1}, 11, "INVALID_PARAMETER"),
        ({"queueName": "n", "maxBindCount": True}, 11, "INVALID_PARAMETER"),
        ({"queueName": "n", "maxBindCount": -1}, 11, "INVALID_PARAMETER"),
        ({"queueName": "n", "permission": "some"}, 11, "INVALID_PARAMETER"),
        ({"queueName": "n", "msgVpnName": "other"}, 11, "INVALID_PARAMETER"),
        ({"queueName": "n", "maxMsgSpoolUsage": 10**30}, 11, "INVALID_PARAMETER"),
        ({"queueName": "n", "maxMsgSpoolUsage": 1e3}, 11, "INVALID_PARAMETER"),
        ({"queueName": "n\0"}, 11, "INVALID_PARAMETER"),
        (b'{"queueName": "\\ud800"}', 11, "INVALID_PARAMETER"),
        ({"queueName": ""}, 11, "INVALID_PARAMETER"),
        ({"queueName": "n" * 201}, 11, "INVALID_PARAMETER"),
        ({"queueName": "n", "redeliveryDelayEnabled": True}, 14, "NOT_SUPPORTED"),
        ([], 27, "PARSE_ERROR"),
        (b"{", 27, "PARSE_ERROR"),
        (b"\xff", 27, "PARSE_ERROR"),
        (b"[" * 100_000, 27, "PARSE_ERROR"),
    ],
)
def test_queue_that_cannot_be_made_is_refused_with_the_vendors_code(
    manage: Any, body: Any, code: int, status: str
) -> None:
    assert manage.refused("POST", QUEUES, body) == (code, status, 400)
    assert list(manage.world.engine.vpn.queues) == ["q"]


def test_attribute_that_only_has_its_default_here_may_say_so(manage: Any) -> None:
    manage("POST", QUEUES, {"queueName": "n", "maxTtl": 0, "respectTtlEnabled": False, "msgVpnName": "default"})


def test_number_of_queues_is_limited(make_world: Any, manage: Any) -> None:
    manage.world = make_world(max_queues=1)
    manage("POST", QUEUES, {"queueName": "a"})

    assert manage.refused("POST", QUEUES, {"queueName": "b"}) == (2, "FAIL", 400)


def test_temporary_queues_are_not_configured_and_not_replaced(manage: Any) -> None:
    name = "#P2P/QTMP/v:x/t"
    manage.world.client().bind(name, durability=2)

    assert [one["queueName"] for one in manage("GET", QUEUES)["data"]] == ["q"]
    assert manage.refused("POST", QUEUES, {"queueName": name}) == (10, "ALREADY_EXISTS", 400)


# Subscriptions


def test_subscription_is_added_shown_and_removed(manage: Any) -> None:
    base = f"{QUEUES}/q/subscriptions"
    made = manage("POST", base, {"subscriptionTopic": "a/*/>"})

    assert made["data"] == {"msgVpnName": "default", "queueName": "q", "subscriptionTopic": "a/*/>"}
    assert made["links"] == {"uri": f"http://b:1{base}/a%2F%2A%2F%3E"}
    assert manage("GET", f"{base}/a%2F%2A%2F%3E")["data"] == made["data"]
    assert manage.refused("POST", base, {"subscriptionTopic": "a/*/>"}) == (10, "ALREADY_EXISTS", 400)
    assert manage.refused("PATCH", f"{base}/a%2F%2A%2F%3E", {}) == (14, "NOT_SUPPORTED", 405)
    manage("DELETE", f"{base}/a%2F%2A%2F%3E")
    assert [one["subscriptionTopic"] for one in manage("GET", base)["data"]] == ["t/>"]
    assert list(manage.world.engine.vpn.queues["q"].subscriptions) == ["t/>"]


def test_topic_that_is_none_is_no_subscription(manage: Any) -> None:
    assert manage.refused("POST", f"{QUEUES}/q/subscriptions", {"subscriptionTopic": ""}) == (2, "FAIL", 400)


# Client usernames


def test_username_is_made_changed_and_removed(manage: Any) -> None:
    made = manage("POST", USERS, {"clientUsername": "ann", "password": "pw", "enabled": True})["data"]

    assert "password" not in made
    assert made["enabled"]
    world = manage.world
    assert world.stranger().login("a", username="ann", password="wrong").response.code == 401
    assert world.stranger().login("a", username="ann", password="pw").response.code == 200
    manage("PATCH", f"{USERS}/ann", {"password": "new"})
    assert world.stranger().login("b", username="ann", password="new").response.code == 200
    manage("DELETE", f"{USERS}/ann")
    assert world.stranger().login("c", username="ann", password="new").response.code == 401
    assert manage.refused("GET", f"{USERS}/ann") == (6, "NOT_FOUND", 400)


def test_username_is_disabled_until_it_is_enabled_and_then_as_it_was(manage: Any) -> None:
    manage("POST", USERS, {"clientUsername": "ann", "password": "pw"})
    world = manage.world

    refusal = world.stranger().login("a", username="ann", password="pw").response
    assert (refusal.code, refusal.text) == (403, "Client Username Is Shutdown")
    manage("PATCH", f"{USERS}/ann", {"enabled": True})
    assert world.stranger().login("a", username="ann", password="pw").response.code == 200


@pytest.mark.parametrize("name", ["", "n" * 190])
def test_username_of_no_length_or_too_much_is_refused(manage: Any, name: str) -> None:
    assert manage.refused("POST", USERS, {"clientUsername": name}) == (11, "INVALID_PARAMETER", 400)


def test_username_needs_profiles_that_are_there(manage: Any) -> None:
    for attribute in ("aclProfileName", "clientProfileName"):
        assert manage.refused("POST", USERS, {"clientUsername": "ann", attribute: "x"}) == (6, "NOT_FOUND", 400)


# ACL profiles

ACLS = f"{CONFIG}/aclProfiles"


def test_acl_profile_is_made_as_the_vendors_and_applies_at_once(manage: Any) -> None:
    made = manage("POST", ACLS, {"aclProfileName": "p"})["data"]
    world = manage.world

    assert made == {
        "aclProfileName": "p",
        "clientConnectDefaultAction": "disallow",
        "msgVpnName": "default",
        "publishTopicDefaultAction": "disallow",
        "subscribeShareNameDefaultAction": "allow",
        "subscribeTopicDefaultAction": "disallow",
    }
    manage("POST", USERS, {"clientUsername": "ann", "enabled": True, "aclProfileName": "p"})
    login = {"username": "ann", "password": ""}
    assert world.stranger().login("a", **login).response.text == "Forbidden"
    manage("PATCH", f"{ACLS}/p", {"clientConnectDefaultAction": "allow"})
    peer = world.client("a", **login)
    assert peer.subscribe("a/b").response.text == "Subscription ACL Denied"
    exceptions = f"{ACLS}/p/subscribeTopicExceptions"
    manage("POST", exceptions, {"subscribeTopicExceptionSyntax": "smf", "subscribeTopicException": "a/>"})
    assert peer.subscribe("a/b").response.code == 200
    assert manage("GET", "/SEMP/v2/monitor/msgVpns/default/clients/a")["data"]["aclProfileName"] == "p"


@pytest.mark.parametrize(
    ("collection", "syntax", "name"),
    [
        ("publishTopicExceptions", "publishTopicExceptionSyntax", "publishTopicException"),
        ("subscribeTopicExceptions", "subscribeTopicExceptionSyntax", "subscribeTopicException"),
        ("subscribeShareNameExceptions", "subscribeShareNameExceptionSyntax", "subscribeShareNameException"),
        ("publishExceptions", "topicSyntax", "publishExceptionTopic"),
        ("subscribeExceptions", "topicSyntax", "subscribeExceptionTopic"),
    ],
)
def test_exception_is_named_by_syntax_and_topic(manage: Any, collection: str, syntax: str, name: str) -> None:
    base = f"{ACLS}/default/{collection}"
    made = manage("POST", base, {syntax: "smf", name: "a,b/>"})

    assert made["data"] == {"aclProfileName": "default", "msgVpnName": "default", syntax: "smf", name: "a,b/>"}
    assert made["links"]["uri"] == f"http://b:1{base}/smf%2Ca%2Cb%2F%3E"
    assert manage("GET", f"{base}/smf,a%2Cb%2F%3E")["data"] == made["data"]
    assert manage("GET", f"{base}?where={name}==a*")["meta"]["count"] == 1
    assert manage.refused("POST", base, {syntax: "smf", name: "a,b/>"}) == (10, "ALREADY_EXISTS", 400)
    assert manage.refused("POST", base, {syntax: "smf", name: ""}) == (11, "INVALID_PARAMETER", 400)
    assert manage.refused("POST", base, {syntax: "x", name: "a"}) == (11, "INVALID_PARAMETER", 400)
    assert manage.refused("POST", base, {name: "a"}) == (228, "MISSING_PARAMETER", 400)
    assert manage.refused("PATCH", f"{base}/smf,a%2Cb%2F%3E", {}) == (14, "NOT_SUPPORTED", 405)
    manage("DELETE", f"{base}/smf,a%2Cb%2F%3E")
    assert manage("GET", base)["data"] == []


def test_addresses_from_which_clients_may_connect_are_networks(manage: Any) -> None:
    base = f"{ACLS}/default/clientConnectExceptions"
    manage("POST", base, {"clientConnectExceptionAddress": "10.0.0.0/24"})

    assert manage.world.stranger().login("a").response.text == "Forbidden"
    assert manage.refused("POST", base, {"clientConnectExceptionAddress": "x"}) == (11, "INVALID_PARAMETER", 400)
    manage("DELETE", f"{base}/10.0.0.0%2F24")
    assert manage.world.stranger().login("a").response.code == 200


@pytest.mark.parametrize("kind", ["aclProfile", "clientProfile"])
def test_profile_that_is_used_or_the_default_is_not_deleted(manage: Any, kind: str) -> None:
    base = f"{CONFIG}/{kind}s"
    manage("POST", base, {f"{kind}Name": "p"})
    manage("POST", USERS, {"clientUsername": "ann", f"{kind}Name": "p"})

    assert manage.refused("DELETE", f"{base}/p") == (89, "NOT_ALLOWED", 400)
    assert manage.refused("DELETE", f"{base}/default") == (89, "NOT_ALLOWED", 400)
    manage("DELETE", f"{USERS}/ann")
    manage("DELETE", f"{base}/p")
    assert manage.refused("GET", f"{base}/p") == (6, "NOT_FOUND", 400)
    assert manage.refused("POST", base, {f"{kind}Name": "p" * 33}) == (11, "INVALID_PARAMETER", 400)


# Client profiles

PROFILES = f"{CONFIG}/clientProfiles"


def test_client_profile_is_made_as_the_vendors_and_is_that_of_new_and_old_clients(manage: Any) -> None:
    made = manage("POST", PROFILES, {"clientProfileName": "p"})["data"]
    old = manage.world.client("old")

    assert not made["allowGuaranteedMsgSendEnabled"]
    assert (made["maxMsgsPerTransaction"], made["maxTransactedSessionCount"], made["tcpKeepaliveCount"]) == (256, 10, 5)
    assert manage("GET", f"{PROFILES}/default")["data"]["allowTransactedSessionsEnabled"]
    manage("PATCH", f"{USERS}/default", {"clientProfileName": "p"})
    assert old.publisher().response.text == "Permission Not Allowed"
    manage("PATCH", f"{PROFILES}/p", {"allowGuaranteedMsgSendEnabled": True})
    assert old.publisher().response.code == 200


def test_object_as_it_is_shown_can_be_sent_back(manage: Any) -> None:
    for path in (CONFIG, f"{PROFILES}/default", f"{ACLS}/default", f"{USERS}/default", f"{CONFIG}/queues/q"):
        shown = manage("GET", path)["data"]
        assert manage("PUT", path, shown)["data"] == shown
        assert manage("PATCH", path, shown)["data"] == shown


@pytest.mark.parametrize(
    ("path", "attribute", "value", "wrong"),
    [
        (CONFIG, "eventLargeMsgThreshold", 7, "x"),
        (CONFIG, "eventConnectionCountThreshold", {"clearValue": 1, "setValue": 2}, {"clearValue": "x"}),
        (CONFIG, "alias", "a", 1),
        (f"{QUEUES}/q", "eventBindCountThreshold", {"clearPercent": 1, "setPercent": 2}, 1),
        (f"{PROFILES}/default", "tcpMaxSegmentSize", 500, -2),
        (f"{PROFILES}/default", "allowBridgeConnectionsEnabled", True, 1),
    ],
)
def test_what_has_no_effect_here_is_kept_and_shown(
    manage: Any, path: str, attribute: str, value: Any, wrong: Any
) -> None:
    assert manage("PATCH", path, {attribute: value})["data"][attribute] == value
    assert manage("PATCH", path, {})["data"][attribute] == value
    assert manage.refused("PATCH", path, {attribute: wrong}) == (11, "INVALID_PARAMETER", 400)
    assert manage("PUT", path, {})["data"][attribute] != value


def test_secrets_are_written_and_never_shown(manage: Any) -> None:
    given = {"replicationBridgeAuthenticationBasicPassword": "geheim"}

    assert "geheim" not in str(manage("PATCH", CONFIG, given))
    assert not given.keys() & manage("GET", CONFIG)["data"].keys()


# Message VPNs

VPNS = "/SEMP/v2/config/msgVpns"


def open_profiles(manage: Any, vpn: str) -> None:
    """Allow everything that the default profiles do not."""
    allowed = ("clientConnectDefaultAction", "publishTopicDefaultAction", "subscribeTopicDefaultAction")
    manage("PATCH", f"{vpn}/aclProfiles/default", dict.fromkeys(allowed, "allow"))
    allowed = ("allowGuaranteedMsgReceiveEnabled", "allowGuaranteedMsgSendEnabled")
    manage("PATCH", f"{vpn}/clientProfiles/default", dict.fromkeys(allowed, True))


def test_vpn_is_made_shut_without_room_opened_and_removed_with_all_in_it(manage: Any) -> None:
    made = manage("POST", VPNS, {"msgVpnName": "more"})["data"]
    world = manage.world

    assert (made["enabled"], made["maxMsgSpoolUsage"], made["maxConnectionCount"]) == (False, 0, 1000)
    assert world.stranger().login("a", vpn="more").response.text == "Message VPN Unavailable"
    manage("POST", f"{VPNS}/more/queues", {"queueName": "q", "ingressEnabled": True, "permission": "delete"})
    manage("POST", f"{VPNS}/more/queues/q/subscriptions", {"subscriptionTopic": "t/>"})
    manage("POST", f"{VPNS}/more/clientUsernames", {"clientUsername": "ann", "enabled": True})
    open_profiles(manage, f"{VPNS}/more")
    manage("PATCH", f"{VPNS}/more", {"enabled": True, "maxMsgSpoolUsage": 1})
    peer = world.client("a", username="ann", vpn="more")
    peer.publish(peer.publisher().flow_id, b"x")
    assert manage("GET", "/SEMP/v2/monitor/msgVpns/more/queues/q")["data"]["spooledMsgCount"] == 1
    assert manage("GET", "/SEMP/v2/monitor/msgVpns/more/clients")["data"][0]["clientUsername"] == "ann"
    assert manage("GET", f"{CONFIG}/queues/q")["data"]["permission"] == "delete"
    assert manage("GET", VPNS)["meta"]["count"] == 2
    manage("DELETE", f"{VPNS}/more")
    assert manage.refused("GET", f"{VPNS}/more/queues") == (6, "NOT_FOUND", 400)


def test_patched_vpn_keeps_its_other_limits_to_the_byte(make_world: Any, manage: Any) -> None:
    manage.world = make_world(max_spool_bytes=1_234)
    manage("PATCH", CONFIG, {"maxSubscriptionCount": 3})

    settings = manage.world.engine.vpn.settings
    assert (settings.max_spool_bytes, settings.max_subscriptions) == (1_234, 3)


def test_vpn_that_cannot_be_made_or_removed_is_refused(make_world: Any, manage: Any) -> None:
    assert manage.refused("POST", VPNS, {"msgVpnName": "a*"}) == (11, "INVALID_PARAMETER", 400)
    assert manage.refused("POST", VPNS, {"msgVpnName": "default"}) == (10, "ALREADY_EXISTS", 400)
    assert manage.refused("DELETE", CONFIG) == (89, "NOT_ALLOWED", 400)
    manage.world = make_world(max_vpns=1)
    assert manage.refused("POST", VPNS, {"msgVpnName": "more"}) == (2, "FAIL", 400)


def test_vpn_authenticates_as_it_is_told(manage: Any) -> None:
    world = manage.world
    manage("PATCH", f"{USERS}/default", {"password": "pw"})
    assert world.stranger().login("a", password="wrong").response.code == 401
    manage("PATCH", CONFIG, {"authenticationBasicType": "none"})
    stranger = world.client("a", username="nobody", password="wrong")
    assert stranger.connection.username == "default"
    manage("PATCH", CONFIG, {"authenticationBasicEnabled": False, "authenticationClientCertEnabled": False})
    refused = world.stranger().login("b").response
    assert (refused.code, refused.text) == (403, "Basic Authentication Is Shutdown")
    refused = world.stranger().login("b", authentication=1).response
    assert (refused.code, refused.text) == (403, "Client Certificate Authentication Is Shutdown")


# What generated clients and provisioning tools do


COLLECTIONS = {
    "queues": "queueName",
    "topicEndpoints": "topicEndpointName",
    "clientUsernames": "clientUsername",
    "aclProfiles": "aclProfileName",
    "clientProfiles": "clientProfileName",
    "replayLogs": "replayLogName",
}


@pytest.mark.parametrize("collection", COLLECTIONS)
def test_what_is_shown_can_be_sent_back_whole(manage: Any, collection: str) -> None:
    path = f"{CONFIG}/{collection}"
    manage("POST", path, {COLLECTIONS[collection]: "whole"})
    shown = manage("GET", f"{path}/whole")["data"]

    assert manage("PUT", f"{path}/whole", shown)["data"] == shown
    assert manage("PATCH", f"{path}/whole", shown)["data"] == shown
    manage("DELETE", f"{path}/whole")
    assert manage("POST", path, shown)["data"] == shown


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_answer_to_a_change_shows_what_was_selected(manage: Any, method: str) -> None:
    target = f"{CONFIG}/queues" if method == "POST" else f"{CONFIG}/queues/q"
    body = {"queueName": "new"} if method == "POST" else {"owner": "somebody"}
    expected = {"queueName": "new", "owner": ""} if method == "POST" else {"queueName": "q", "owner": "somebody"}

    assert manage(method, f"{target}?select=queueName,owner", body)["data"] == expected


@pytest.mark.parametrize("query", ["select=none", "count=none"])
def test_change_with_a_wrong_query_changes_nothing(manage: Any, query: str) -> None:
    assert manage.refused("POST", f"{CONFIG}/queues?{query}", {"queueName": "new"}) == (11, "INVALID_PARAMETER", 400)
    assert manage.refused("GET", f"{CONFIG}/queues/new")[1] == "NOT_FOUND"


def test_threshold_of_another_shape_is_refused(manage: Any) -> None:
    threshold = {"eventBindCountThreshold": {"percent": 5}}

    assert manage.refused("PATCH", f"{CONFIG}/queues/q", threshold) == (11, "INVALID_PARAMETER", 400)


def test_topic_endpoint_has_the_threshold_of_its_spool_under_its_own_name(manage: Any) -> None:
    path, threshold = f"{CONFIG}/topicEndpoints", {"clearPercent": 1, "setPercent": 2}
    manage("POST", path, {"topicEndpointName": "e", "eventSpoolUsageThreshold": threshold})
    shown = manage("GET", f"{path}/e")["data"]

    assert shown["eventSpoolUsageThreshold"] == threshold
    assert "eventMsgSpoolUsageThreshold" not in shown
