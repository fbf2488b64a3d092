"""Templates of queues and topic endpoints."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.broker.semp.paths import CONFIG, MONITOR

QUEUES = f"{CONFIG}/queueTemplates"
ENDPOINTS = f"{CONFIG}/topicEndpointTemplates"


def test_template_is_kept_shown_changed_and_removed(manage: Any) -> None:
    given = {
        "queueTemplateName": "t",
        "queueNameFilter": "app/>",
        "accessType": "non-exclusive",
        "permission": "consume",
        "maxTtl": 60,
        "respectTtlEnabled": True,
        "respectMsgPriorityEnabled": True,
        "deliveryDelay": 3,
        "maxMsgSpoolUsage": 15,
        "rejectMsgToSenderOnDiscardBehavior": "never",
        "eventBindCountThreshold": {"clearValue": 1, "setValue": 3},
    }
    made = manage("POST", QUEUES, given)["data"]

    assert given.items() <= made.items()
    assert {"msgVpnName": "default", "durabilityOverride": "none", "maxBindCount": 1000}.items() <= made.items()
    assert not {"ingressEnabled", "partitionCount", "owner"} & made.keys()
    assert manage("GET", f"{MONITOR}/queueTemplates/t")["data"] == made
    assert manage("PATCH", f"{QUEUES}/t", {"maxTtl": 5})["data"] == made | {"maxTtl": 5}
    assert manage("PUT", f"{QUEUES}/t", {})["data"]["queueNameFilter"] == ""
    manage("DELETE", f"{QUEUES}/t")
    assert manage("GET", QUEUES)["data"] == []


def test_template_of_topic_endpoints_has_the_vendors_own_defaults(manage: Any) -> None:
    made = manage("POST", ENDPOINTS, {"topicEndpointTemplateName": "t", "topicEndpointNameFilter": "e*"})["data"]
    behavior = "rejectMsgToSenderOnDiscardBehavior"

    assert (made["maxBindCount"], made[behavior], made["topicEndpointNameFilter"]) == (1, "never", "e*")
    told = manage("PATCH", f"{ENDPOINTS}/t", {behavior: "when-topic-endpoint-enabled"})["data"]
    assert told == made | {behavior: "when-topic-endpoint-enabled"}
    assert manage("PATCH", f"{ENDPOINTS}/t", {behavior: "always"})["data"][behavior] == "always"
    assert manage.world.engine.vpn.endpoint_templates["t"].settings.max_consumers == 1


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, "MISSING_PARAMETER"),
        ({"queueTemplateName": ""}, "INVALID_PARAMETER"),
        ({"queueTemplateName": "x" * 256}, "INVALID_PARAMETER"),
        ({"queueTemplateName": "t", "queueNameFilter": "x" * 251}, "INVALID_PARAMETER"),
        ({"queueTemplateName": "t", "ingressEnabled": True}, "INVALID_PARAMETER"),
        ({"queueTemplateName": "t", "durabilityOverride": "non-durable"}, "NOT_SUPPORTED"),
    ],
)
def test_template_that_cannot_be_made_is_refused(manage: Any, body: Any, status: str) -> None:
    assert manage.refused("POST", QUEUES, body)[1] == status
    assert not manage.world.engine.vpn.queue_templates
