"""What is counted and shown, and what may be done."""

from __future__ import annotations

from typing import Any

import pytest

from flumebeam.broker.semp import service
from flumebeam.smf.assuredctrl import FlowType
from tests.unit.broker.semp.paths import ACTION, CONFIG, MONITOR

QUEUE = f"{MONITOR}/queues/q"


def publish(manage: Any, *bodies: bytes) -> Any:
    client = manage.world.client("writer")
    client.publish(client.publisher().flow_id, *bodies)
    return client


def test_queue_shows_what_it_holds_and_held(manage: Any) -> None:
    publish(manage, b"1", b"22", b"333")
    reader = manage.world.client("reader")
    flow = reader.consume()
    reader.ack(flow, reader.deliveries()[0].parameters.message_id)
    reader.leave()
    shown = manage("GET", QUEUE)

    assert shown["collections"] == {"msgs": {"count": 3}, "subscriptions": {"count": 1}, "txFlows": {"count": 0}}
    data = shown["data"]
    assert (data["msgSpoolUsage"], data["msgSpoolPeakUsage"], data["spooledMsgCount"]) == (6, 6, 3)
    assert (data["spooledByteCount"], data["txUnackedMsgCount"], data["redeliveredMsgCount"]) == (6, 0, 0)
    assert shown["links"]["txFlowsUri"] == f"http://b:1{QUEUE}/txFlows"


def test_redeliveries_and_unacknowledged_messages_are_counted(manage: Any) -> None:
    publish(manage, b"1", b"2")
    reader = manage.world.client("reader")
    reader.consume()
    assert manage("GET", QUEUE)["data"]["txUnackedMsgCount"] == 2
    reader.leave()
    manage.world.client("reader").consume()

    assert manage("GET", QUEUE)["data"]["redeliveredMsgCount"] == 2


def test_discarded_messages_are_counted_by_their_cause(manage: Any) -> None:
    manage("PATCH", f"{CONFIG}/queues/q", {"maxMsgSize": 2, "redeliveryEnabled": False})
    publish(manage, b"1", b"22", b"333")
    reader = manage.world.client("reader")
    reader.consume()
    reader.leave()
    data = manage("GET", QUEUE)["data"]

    assert data["maxMsgSizeExceededDiscardedMsgCount"] == 1
    assert data["maxRedeliveryExceededDiscardedMsgCount"] == 2
    assert data["maxTtlExpiredDiscardedMsgCount"] == data["disabledDiscardedMsgCount"] == 0


def test_partitions_show_how_many_they_are_and_whether_they_move(manage: Any) -> None:
    manage.world.engine.create_queue("p", "non-exclusive", [], partitions=2)
    names = ("partitionOperationalCount", "partitionRebalanceStatus")

    def shown(queue: str) -> tuple[Any, ...]:
        data = manage("GET", f"{MONITOR}/queues/{queue}")["data"]
        return tuple(data[name] for name in names)

    assert (shown("q"), shown("p")) == ((0, "ready"), (2, "ready"))
    manage.world.client("one").consume("p")
    manage.world.client("two").consume("p")
    assert shown("p") == (2, "in-progress")


def test_collection_shows_counts_beside_the_objects(manage: Any) -> None:
    publish(manage, b"1")
    page = manage("GET", f"{MONITOR}/queues?select=queueName,msgs.count")

    assert page["data"] == [{"queueName": "q"}]
    assert page["collections"][0]["msgs"] == {"count": 1}


def test_flows_show_who_is_active_and_what_waits(manage: Any) -> None:
    publish(manage, b"1", b"2")
    active, standby = manage.world.client("active"), manage.world.client("standby")
    first, second = active.consume(), standby.consume()
    browsing = active.bind(flow_type=FlowType.BROWSER).flow_id
    shown = {one["flowId"]: one for one in manage("GET", f"{QUEUE}/txFlows")["data"]}

    assert (shown[first]["activityState"], shown[first]["unackedMsgCount"]) == ("active-consumer", 2)
    assert shown[first]["lowestAckPendingMsgId"] < shown[first]["highestAckPendingMsgId"]
    assert (shown[second]["activityState"], shown[second]["clientName"]) == ("inactive", "standby")
    assert shown[browsing]["activityState"] == "active-browser"
    assert manage("GET", f"{QUEUE}/txFlows/{first}")["data"] == shown[first]


def test_flow_of_a_transaction_names_its_session(manage: Any) -> None:
    client = manage.world.client()
    opened = client.session()
    flow = client.consume(session_id=opened.session_id)

    assert manage("GET", f"{QUEUE}/txFlows/{flow}")["data"]["sessionName"] == opened.session_name


def test_clients_show_who_is_there(manage: Any) -> None:
    client = manage.world.client("app")
    client.subscribe("x/>")
    client.consume()
    manage.world.tick(5)
    shown = manage("GET", f"{MONITOR}/clients/app")

    assert shown["data"]["clientUsername"] == "default"
    assert (shown["data"]["uptime"], shown["data"]["slowSubscriber"]) == (5, False)
    assert shown["collections"]["subscriptions"] == {"count": 1}
    assert shown["collections"]["txFlows"] == {"count": 1}
    assert manage("GET", f"{MONITOR}/clients/app/subscriptions")["data"][0]["subscriptionTopic"] == "x/>"


def test_vpn_adds_up_its_queues(manage: Any) -> None:
    manage.world.engine.create_queue("r", "exclusive", ["t/>"])
    publish(manage, b"12345")
    shown = manage("GET", MONITOR)

    assert (shown["data"]["msgSpoolMsgCount"], shown["data"]["msgSpoolUsage"]) == (2, 5)
    assert (shown["data"]["state"], shown["data"]["msgVpnConnections"]) == ("up", 1)
    counts = {"clients": {"count": 1}, "queues": {"count": 2}, "topicEndpoints": {"count": 0}}
    assert shown["collections"] == counts


# Rates


def test_rates_are_of_the_last_second_and_of_the_last_minute(manage: Any) -> None:
    queues, rates = manage.world.engine.vpn.queues.values(), manage.service.rates
    rates.sample(0.0, queues)
    assert manage("GET", QUEUE)["data"]["rxMsgRate"] == 0
    client = publish(manage, *[b"x" * 10] * 30)
    rates.sample(1.0, queues)
    rates.sample(2.0, queues)
    calm = manage("GET", QUEUE)["data"]
    flow = client.consume()
    rates.sample(3.0, queues)
    busy = manage("GET", QUEUE)["data"]

    assert flow
    assert (calm["rxMsgRate"], calm["averageRxMsgRate"], calm["averageRxByteRate"]) == (0, 15, 150)
    assert (busy["txMsgRate"], busy["txByteRate"], busy["averageTxMsgRate"]) == (30, 300, 10)
    for second in range(4, 70):
        rates.sample(float(second), queues)
    assert manage("GET", QUEUE)["data"]["averageRxMsgRate"] == 0
    assert manage("GET", MONITOR)["data"]["averageTxMsgRate"] == 0


def test_queue_that_is_gone_is_not_remembered(manage: Any) -> None:
    vpn, rates = manage.world.engine.vpn, manage.service.rates
    rates.sample(0.0, vpn.queues.values())
    publish(manage, b"x")
    rates.sample(1.0, vpn.queues.values())
    former = vpn.queues["q"]
    manage.world.engine.delete_queue("q")
    rates.sample(2.0, vpn.queues.values())

    assert set(rates.of((former,)).values()) == {0}


# Actions


def test_deleting_messages_takes_the_delivered_ones_too(manage: Any) -> None:
    publish(manage, b"1", b"2", b"3")
    reader = manage.world.client("reader")
    flow = reader.bind().flow_id
    reader.ack(flow, window=1)
    assert len(reader.deliveries()) == 1
    manage("PUT", f"{ACTION}/queues/q/deleteMsgs", {})
    shown = manage("GET", QUEUE)

    assert shown["collections"]["msgs"]["count"] == 0
    assert (shown["data"]["msgSpoolUsage"], shown["data"]["deletedMsgCount"]) == (0, 3)
    assert shown["data"]["txUnackedMsgCount"] == 0


def test_disconnected_client_is_gone(manage: Any) -> None:
    client = manage.world.client("app")
    manage("PUT", f"{ACTION}/clients/app/disconnect", {})

    assert client.connection in manage.world.engine.take_pending()


@pytest.mark.parametrize("path", [f"{ACTION}/queues/other/deleteMsgs", f"{ACTION}/clients/other/disconnect"])
def test_action_on_nothing_is_not_found(manage: Any, path: str) -> None:
    assert manage.refused("PUT", path, {}) == (6, "NOT_FOUND", 400)


def test_action_takes_no_attributes(manage: Any) -> None:
    assert manage.refused("PUT", f"{ACTION}/queues/q/deleteMsgs", {"x": 1}) == (11, "INVALID_PARAMETER", 400)


# Messages


def test_messages_of_a_queue_are_listed_in_their_order_and_deleted_one_by_one(manage: Any) -> None:
    publish(manage, b"1", b"22", b"333")
    reader = manage.world.client("reader")
    bound = reader.bind()
    reader.ack(bound.flow_id, window=1)
    taken = reader.deliveries()[0].parameters.message_id
    listed = manage("GET", f"{QUEUE}/msgs")["data"]

    assert [(one["attachmentSize"], one["undelivered"], one["redeliveryCount"]) for one in listed] == [
        (1, False, 0),
        (2, True, 0),
        (3, True, 0),
    ]
    assert listed[0]["msgId"] == taken
    assert listed[0]["replicationGroupMsgId"].startswith("rmid1:10000-00000000000-")
    assert [one["msgId"] for one in manage("GET", f"{QUEUE}/msgs?where=priority==4&count=2")["data"]] == [
        one["msgId"] for one in listed[:2]
    ]
    manage("PUT", f"{ACTION}/queues/q/msgs/{listed[1]['msgId']}/delete", {})
    assert manage.refused("PUT", f"{ACTION}/queues/q/msgs/{taken}/delete", {}) == (6, "NOT_FOUND", 400)
    assert [one["attachmentSize"] for one in manage("GET", f"{QUEUE}/msgs")["data"]] == [1, 3]
    assert manage("GET", QUEUE)["data"]["deletedMsgCount"] == 1


# Clients


def test_client_shows_what_it_is_and_what_passed_through_it(manage: Any) -> None:
    writer = publish(manage, b"1", b"2")
    reader = manage.world.client("reader", description="reads", software_version="9", platform="p")
    reader.subscribe("d/>")
    reader.consume()
    writer.direct(b"3", topic="d/1")
    reader.received()
    shown = manage("GET", f"{MONITOR}/clients/reader")["data"]

    assert (shown["description"], shown["softwareVersion"], shown["platform"]) == ("reads", "9", "p")
    assert (shown["dataTxMsgCount"], shown["dataRxMsgCount"]) == (3, 0)
    assert shown["dataTxByteCount"] > shown["dataRxByteCount"] > 0
    assert manage("GET", f"{MONITOR}/clients/writer")["data"]["dataRxMsgCount"] == 3
    writer.leave()
    assert manage("GET", MONITOR)["data"]["dataRxMsgCount"] == 3
    assert manage("GET", "/SEMP/v2/monitor")["data"]["rxMsgCount"] == 3
    manage("PUT", f"{ACTION}/clients/reader/clearStats", {})
    assert manage("GET", f"{MONITOR}/clients/reader")["data"]["dataTxMsgCount"] == 0
    manage("PUT", f"{ACTION}/clearStats", {})
    assert manage("GET", MONITOR)["data"]["dataRxMsgCount"] == 0


def test_flows_and_sessions_of_a_client_are_shown(manage: Any) -> None:
    peer = manage.world.client("app")
    session = peer.session()
    inside = peer.publisher(session_id=session.session_id)
    peer.publish(inside.flow_id, b"1", b"2")
    plain = peer.publisher()
    consumer = peer.consume(session_id=session.session_id)
    base = f"{MONITOR}/clients/app"

    shown = {flow["flowId"]: flow for flow in manage("GET", f"{base}/rxFlows")["data"]}
    assert shown[inside.flow_id]["sessionName"] == session.session_name
    assert (shown[plain.flow_id]["flowName"], shown[plain.flow_id]["lastRxMsgId"]) == (plain.flow_name, 0)
    (sessions,) = manage("GET", f"{base}/transactedSessions")["data"]
    assert (sessions["sessionName"], sessions["pendingPublishedMsgCount"]) == (session.session_name, 2)
    (flow,) = manage("GET", f"{base}/txFlows")["data"]
    assert (flow["queueName"], flow["sessionName"], flow["flowId"]) == ("q", session.session_name, consumer)


def test_counters_of_a_queue_begin_at_zero_again(manage: Any) -> None:
    rates = manage.service.rates
    queue = manage.world.engine.vpn.queues["q"]
    publish(manage, b"1", b"2")
    rates.sample(0.0, (queue,))
    manage("PUT", f"{ACTION}/queues/q/clearStats", {})
    rates.sample(1.0, (queue,))
    data = manage("GET", QUEUE)["data"]

    assert (data["spooledMsgCount"], data["msgSpoolUsage"], data["msgSpoolPeakUsage"]) == (0, 2, 2)
    assert data["rxMsgRate"] == 0


# The broker


def test_broker_shows_its_spool_and_what_it_is(manage: Any) -> None:
    publish(manage, b"12345")
    whole = manage("GET", "/SEMP/v2/monitor?select=msgSpool*,guaranteedMsgingMaxMsgSpoolUsage")["data"]

    assert whole == {"guaranteedMsgingMaxMsgSpoolUsage": 1500, "msgSpoolMsgCount": 1, "msgSpoolUsage": 5}
    assert manage("GET", "/SEMP/v2/config")["data"]["serviceSmfPlainTextListenPort"] == 0
    assert manage("GET", "/SEMP/v2/config/systemInformation")["data"]["platform"] == "VMR"
    for api in ("config", "monitor", "action"):
        assert manage("GET", f"/SEMP/v2/{api}/about/api")["data"]["sempVersion"]
        assert manage("GET", f"/SEMP/v2/{api}/about/user")["data"]["globalAccessLevel"] == "admin"


def test_what_is_set_up_is_monitored_and_not_changed_there(manage: Any) -> None:
    for path in ("aclProfiles/default/publishTopicExceptions", "clientProfiles", "clientUsernames", "aclProfiles"):
        assert "data" in manage("GET", f"{MONITOR}/{path}")
        assert manage.refused("POST", f"{MONITOR}/{path}", {})[1] == "NOT_SUPPORTED"


# What the vendor's samples and its manager look at


def test_subscriptions_of_a_queue_tell_who_made_them(manage: Any) -> None:
    manage("PATCH", f"{CONFIG}/queues/q", {"permission": "modify-topic"})
    manage("POST", f"{CONFIG}/queues/q/subscriptions", {"subscriptionTopic": "of/management"})
    manage.world.client("app").subscribe("of/client", queue="q")
    listed = manage("GET", f"{QUEUE}/subscriptions?select=subscriptionTopic,createdByManagement")["data"]

    assert {one["subscriptionTopic"]: one["createdByManagement"] for one in listed} == {
        "t/>": True,
        "of/management": True,
        "of/client": False,
    }
    assert manage("GET", f"{QUEUE}/subscriptions/of%2Fclient")["data"]["createdByManagement"] is False
    assert manage("GET", f"{QUEUE}?select=topicSubscriptionCount")["data"] == {"topicSubscriptionCount": 3}


def test_client_shows_its_connection_and_how_many_subscriptions_it_has(manage: Any) -> None:
    manage.world.client("app").subscribe("x/>")
    manage.world.tick(5)
    client = manage("GET", f"{MONITOR}/clients/app")["data"]
    [connection] = manage("GET", f"{MONITOR}/clients/app/connections")["data"]

    assert client["subscriptionCount"] == 1
    assert (connection["clientAddress"], connection["uptime"]) == (client["clientAddress"], 5)


def test_messages_that_nobody_has_subscribed_to_are_counted(manage: Any) -> None:
    client = manage.world.client("app")
    client.publish(client.publisher().flow_id, b"1", b"2", topic="nobody/wants")
    client.direct(b"3", "nobody/wants")
    client.direct(b"4")
    shown = manage("GET", f"{MONITOR}/clients/app")["data"]

    assert (shown["noSubscriptionMatchRxDiscardedMsgCount"], shown["rxDiscardedMsgCount"]) == (3, 3)


def test_private_monitoring_api_of_the_vendors_manager_shows_the_same(manage: Any) -> None:
    manage.world.client("app")
    private = MONITOR.replace("monitor", "__private_monitor__")

    assert manage("GET", f"{private}/clients")["data"] == manage("GET", f"{MONITOR}/clients")["data"]


def test_usernames_are_not_dynamic(manage: Any) -> None:
    assert manage("GET", f"{MONITOR}/clientUsernames?select=dynamic")["data"] == [{"dynamic": False}]


def test_messages_are_listed_page_by_page_in_the_order_of_their_age_wherever_they_are(manage: Any) -> None:
    client = manage.world.client()
    flow = client.publisher().flow_id
    client.publish(flow, *(b"%d" % number for number in range(7)))
    consumer = client.bind("q").flow_id
    client.ack(consumer, window=2)
    client.received()

    seen: list[int] = []
    query = "count=3"
    while query:
        answer = manage("GET", f"{MONITOR}/queues/q/msgs?{query}")
        assert answer["meta"]["count"] == 7
        seen += (one["msgId"] for one in answer["data"])
        paging = answer["meta"].get("paging")
        query = paging and f"count=3&cursor={paging['cursorQuery']}"
    waiting = [entry.message.id for entry in manage.world.engine.vpn.queues["q"].waiting()]
    assert (len(seen), seen[2:], seen) == (7, waiting, sorted(seen))
    for number in seen:
        assert manage("GET", f"{MONITOR}/queues/q/msgs/{number}")["data"]["msgId"] == number
    for name in ("0", "x", f"0{seen[0]}", "9" * 30):
        assert manage.refused("GET", f"{MONITOR}/queues/q/msgs/{name}")[1] == "NOT_FOUND"
    delete = f"{ACTION}/queues/q/msgs"
    assert manage.refused("PUT", f"{delete}/{seen[0]}/delete", {})[1] == "NOT_FOUND"
    manage("PUT", f"{delete}/{seen[2]}/delete", {})
    assert manage.refused("GET", f"{MONITOR}/queues/q/msgs/{seen[2]}")[1] == "NOT_FOUND"


def test_conditions_on_messages_look_at_so_many_at_once(manage: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "_LOOKED_THROUGH", 4)
    client = manage.world.client()
    flow = client.publisher().flow_id
    client.publish(flow, *(b"x" * (number % 3) for number in range(9)))
    found: list[int] = []
    pages = 0
    query = ""
    while query is not None:
        answer = manage("GET", f"{MONITOR}/queues/q/msgs?where=attachmentSize==2{query}")
        pages += 1
        assert answer["meta"]["count"] == len(answer["data"])
        found += (one["msgId"] for one in answer["data"])
        paging = answer["meta"].get("paging")
        query = paging and f"&cursor={paging['cursorQuery']}"

    ids = [entry.message.id for entry in manage.world.engine.vpn.queues["q"].waiting()]
    assert (found, pages) == ([ids[2], ids[5], ids[8]], 3)
    (first,) = manage("GET", f"{MONITOR}/queues/q/msgs?count=1&where=attachmentSize==1")["data"]
    assert first["msgId"] == ids[1]
