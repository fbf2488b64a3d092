"""Topic endpoints, managed."""

from __future__ import annotations

from typing import Any

from flumebeam.smf.assuredctrl import AssuredControl, AssuredKind
from tests.unit.broker.semp.paths import ACTION, CONFIG, MONITOR

ENDPOINTS = f"{CONFIG}/topicEndpoints"


def test_created_topic_endpoint_has_the_vendors_defaults(manage: Any) -> None:
    made = manage("POST", ENDPOINTS, {"topicEndpointName": "e"})["data"]

    assert (made["ingressEnabled"], made["egressEnabled"], made["permission"]) == (False, False, "no-access")
    assert (made["accessType"], made["owner"], made["maxBindCount"]) == ("exclusive", "", 1)
    assert made["rejectMsgToSenderOnDiscardBehavior"] == "never"
    assert not {"partitionCount", "maxMsgSpoolUsage"} & made.keys()
    assert manage("GET", f"{ENDPOINTS}/e")["data"] == made


def test_everything_that_is_set_is_kept_and_put_sets_the_rest_to_its_default(manage: Any) -> None:
    given = {
        "topicEndpointName": "e",
        "accessType": "non-exclusive",
        "owner": "ann",
        "permission": "consume",
        "ingressEnabled": True,
        "maxSpoolUsage": 7,
        "maxTtl": 5,
        "rejectMsgToSenderOnDiscardBehavior": "when-topic-endpoint-enabled",
    }
    assert given.items() <= manage("POST", ENDPOINTS, given)["data"].items()
    settings = manage.world.engine.vpn.queues["#P2P/DTE/e"].settings
    assert (settings.max_bytes, settings.reject_on_discard) == (7_000_000, "when-queue-enabled")
    changed = manage("PATCH", f"{ENDPOINTS}/e", {"maxBindCount": 2})["data"]
    assert (given | {"maxBindCount": 2}).items() <= changed.items()
    put = manage("PUT", f"{ENDPOINTS}/e", {"owner": "bob"})["data"]
    assert (put["owner"], put["maxTtl"], put["maxBindCount"]) == ("bob", 0, 1)


def test_topic_endpoint_that_cannot_be_is_refused_with_the_vendors_code(make_world: Any, manage: Any) -> None:
    manage("POST", ENDPOINTS, {"topicEndpointName": "e"})
    client = manage.world.client()
    bound = client.bind(None, endpoint="", topic="t", durability=2)

    assert manage.refused("POST", ENDPOINTS, {"topicEndpointName": "e"}) == (10, "ALREADY_EXISTS", 400)
    assert manage.refused("POST", ENDPOINTS, {"topicEndpointName": bound.endpoint}) == (10, "ALREADY_EXISTS", 400)
    assert manage.refused("POST", ENDPOINTS, {"topicEndpointName": "e" * 201}) == (11, "INVALID_PARAMETER", 400)
    manage.world = make_world(max_queues=1)
    manage("POST", ENDPOINTS, {"topicEndpointName": "e"})
    assert manage.refused("POST", ENDPOINTS, {"topicEndpointName": "f"}) == (2, "FAIL", 400)


def test_topic_endpoints_are_no_queues(manage: Any) -> None:
    manage.world.engine.create_topic_endpoint("e", "exclusive", "t/>")

    for api in (CONFIG, MONITOR):
        assert [item["queueName"] for item in manage("GET", f"{api}/queues")["data"]] == ["q"]
        assert [item["topicEndpointName"] for item in manage("GET", f"{api}/topicEndpoints")["data"]] == ["e"]


def test_topic_endpoint_shows_its_topic_what_it_holds_and_who_is_bound(manage: Any) -> None:
    manage.world.engine.create_topic_endpoint("e", "exclusive", "t/>")
    writer = manage.world.client("writer")
    writer.publish(writer.publisher().flow_id, b"22")
    reader = manage.world.client("reader")
    flow = reader.ask(AssuredControl(kind=AssuredKind.BIND, endpoint="e", durability=1, window=0)).flow_id
    shown = manage("GET", f"{MONITOR}/topicEndpoints/e")

    assert shown["collections"] == {"msgs": {"count": 1}, "txFlows": {"count": 1}}
    assert (shown["data"]["destinationTopic"], shown["data"]["msgSpoolUsage"]) == ("t/>", 2)
    flows = manage("GET", f"{MONITOR}/topicEndpoints/e/txFlows")["data"]
    assert [one["flowId"] for one in flows] == [flow]
    manage("PUT", f"{ACTION}/topicEndpoints/e/deleteMsgs", {})
    assert manage("GET", f"{MONITOR}/topicEndpoints/e")["data"]["deletedMsgCount"] == 1
    manage("DELETE", f"{ENDPOINTS}/e")
    assert manage.refused("GET", f"{ENDPOINTS}/e")[1] == "NOT_FOUND"
