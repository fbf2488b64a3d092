"""Whatever is asked, the answer is one of SEMP."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

NAMES = st.sampled_from(["default", "q", "app", "%00", "%FF", "a%2Fb", "\ud800", ""])
PARTS = st.sampled_from(
    ["msgVpns", "queues", "clients", "subscriptions", "txFlows", "clientUsernames", "aclProfiles", "deleteMsgs"]
)
TARGETS = st.builds(
    lambda api, path, query: f"/SEMP/v2/{api}/{'/'.join(path)}{query}",
    st.sampled_from(["config", "monitor", "action", "x"]),
    st.lists(st.one_of(PARTS, NAMES), max_size=7),
    st.one_of(
        st.just(""),
        st.builds(
            lambda name, value: f"?{name}={value}",
            st.sampled_from(["select", "where", "count", "cursor", "x"]),
            st.one_of(st.text(max_size=12), st.sampled_from(["queueName==*", "-*", "maxBindCount>nan", "owner<=x"])),
        ),
    ),
)
ATTRIBUTES = st.sampled_from(
    ["queueName", "owner", "accessType", "maxMsgSpoolUsage", "subscriptionTopic", "clientUsername", "password", "x"]
)
VALUES = st.one_of(st.text(max_size=9), st.integers(), st.booleans(), st.none(), st.floats(), st.lists(st.integers()))
BODIES = st.one_of(
    st.binary(max_size=40), st.dictionaries(ATTRIBUTES, VALUES).map(lambda one: json.dumps(one).encode())
)


@settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(method=st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"]), target=TARGETS, body=BODIES)
def test_any_request_is_answered(manage: Any, method: str, target: str, body: bytes) -> None:
    reply = manage.ask(method, target, body)

    assert reply.body["meta"]["responseCode"] == reply.status
    assert reply.status in (200, 400, 405)
    json.dumps(reply.body)
