"""What is counted and shown, and what may be done."""

from __future__ import annotations

from typing import Any

import pytest

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
    assert shown["collections"] == {"clients": {"count": 1}, "queues": {"count": 2}}


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
