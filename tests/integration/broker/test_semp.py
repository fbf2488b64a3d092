"""Management over HTTP, with the vendor's client as the one that feels it."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from solace.messaging.errors.pubsubplus_client_error import AuthenticationError, PubSubPlusClientError
from solace.messaging.resources.queue import Queue
from solace.messaging.resources.topic import Topic

from flumebeam.broker import BrokerConfig, DevelopmentBroker, running_broker
from flumebeam.errors import ConfigurationError
from tests.integration.broker.certificates import Authority

QUEUES = "config/msgVpns/default/queues"


class Manager:
    """An administrator over HTTP."""

    def __init__(self, broker: DevelopmentBroker, session: requests.Session) -> None:
        self.url = broker.semp_url
        self.session = session
        session.auth = ("admin", "admin")

    def __call__(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        reply = self.session.request(method, f"{self.url}/SEMP/v2/{path}", json=body, timeout=60)
        answer: dict[str, Any] = reply.json()
        assert reply.status_code == answer["meta"]["responseCode"]
        assert answer["meta"].get("error") is None, answer
        return answer


@pytest.fixture
def managed() -> Iterator[DevelopmentBroker]:
    """Run a broker with management."""
    with running_broker(semp_port=0) as running:
        yield running


@pytest.fixture
def manage(managed: DevelopmentBroker) -> Iterator[Manager]:
    with requests.Session() as session:
        yield Manager(managed, session)


def publish(service: Any, *bodies: bytes) -> None:
    publisher = service.create_persistent_message_publisher_builder().build()
    publisher.start()
    for body in bodies:
        publisher.publish_await_acknowledgement(bytearray(body), Topic.of("t/1"), 60_000)
    publisher.terminate(1_000)


def receiver_of(service: Any, queue: str) -> Any:
    receiver = service.create_persistent_message_receiver_builder().build(Queue.durable_exclusive_queue(queue))
    receiver.start()
    return receiver


def test_queue_is_set_up_used_watched_and_removed(
    managed: DevelopmentBroker, manage: Manager, connect: Callable[..., Any]
) -> None:
    enabled = {"ingressEnabled": True, "egressEnabled": True, "permission": "consume"}
    manage("POST", QUEUES, {"queueName": "app/in", **enabled})
    manage("POST", f"{QUEUES}/app%2Fin/subscriptions", {"subscriptionTopic": "t/>"})
    service = connect(managed)
    publish(service, b"one", b"three")
    receiver = receiver_of(service, "app/in")
    message = receiver.receive_message(60_000)
    shown = manage("GET", "monitor/msgVpns/default/queues/app%2Fin")

    assert message.get_payload_as_bytes() == b"one"
    assert shown["collections"]["msgs"]["count"] == 2
    assert shown["collections"]["txFlows"]["count"] == 1
    assert (shown["data"]["msgSpoolUsage"], shown["data"]["spooledMsgCount"]) == (8, 2)
    (flow,) = manage("GET", "monitor/msgVpns/default/queues/app%2Fin/txFlows")["data"]
    assert (flow["clientName"], flow["activityState"]) == ("app", "active-consumer")
    receiver.receive_message(60_000)
    receiver.terminate(1_000)
    manage("PUT", "action/msgVpns/default/queues/app%2Fin/deleteMsgs", {})
    assert managed.queue("app/in").messages == 0
    manage("DELETE", f"{QUEUES}/app%2Fin")
    assert managed.queues() == ()


def test_queue_that_is_not_opened_refuses_consumers(
    managed: DevelopmentBroker, manage: Manager, connect: Callable[..., Any]
) -> None:
    manage("POST", QUEUES, {"queueName": "q", "permission": "consume", "egressEnabled": False})
    service = connect(managed)
    with pytest.raises(PubSubPlusClientError, match="Shutdown"):
        receiver_of(service, "q")
    manage("PATCH", f"{QUEUES}/q", {"egressEnabled": True})

    receiver_of(service, "q").terminate(1_000)


def test_username_made_over_http_logs_in(
    managed: DevelopmentBroker, manage: Manager, connect: Callable[..., Any]
) -> None:
    users = "config/msgVpns/default/clientUsernames"
    manage("POST", users, {"clientUsername": "ann", "password": "pw", "enabled": True})
    login = {"authentication__scheme__basic__username": "ann", "authentication__scheme__basic__password": "pw"}
    assert connect(managed, **login).is_connected
    manage("DELETE", f"{users}/ann")

    with pytest.raises(AuthenticationError):
        connect(managed, "other", **login)


def test_disconnected_client_comes_back(
    managed: DevelopmentBroker, manage: Manager, connect: Callable[..., Any], eventually: Callable[..., None]
) -> None:
    connect(managed, "app")
    (before,) = manage("GET", "monitor/msgVpns/default/clients?select=clientAddress")["data"]
    manage("PUT", "action/msgVpns/default/clients/app/disconnect", {})

    def came_back() -> bool:
        shown = manage("GET", "monitor/msgVpns/default/clients?select=clientAddress")["data"]
        return shown not in ([], [before])

    eventually(came_back)


def test_without_credentials_the_browser_is_asked_for_some(managed: DevelopmentBroker) -> None:
    reply = requests.get(f"{managed.semp_url}/SEMP/v2/{QUEUES}", timeout=60)

    assert reply.status_code == 401
    assert reply.headers["WWW-Authenticate"].startswith("Basic")
    assert reply.json()["meta"]["error"]["status"] == "UNAUTHORIZED"


def test_health_needs_no_credentials_and_tells_whether_clients_are_served(managed: DevelopmentBroker) -> None:
    def health() -> int:
        return requests.get(f"{managed.semp_url}/health-check/guaranteed-active", timeout=60).status_code

    assert health() == 200
    managed.refuse_connections()
    assert health() == 503
    managed.accept_connections()
    managed.freeze()
    assert health() == 503
    managed.thaw()
    assert health() == 200


def test_management_goes_on_over_a_restart(managed: DevelopmentBroker, manage: Manager) -> None:
    manage("POST", QUEUES, {"queueName": "q", "maxMsgSpoolUsage": 3})
    managed.restart(keep_state=False)

    assert manage("GET", f"{QUEUES}/q")["data"]["maxMsgSpoolUsage"] == 3


def test_what_was_answered_is_durable_on_a_broker_that_keeps_data(tmp_path: Path, connect: Callable[..., Any]) -> None:
    with running_broker(semp_port=0, data=str(tmp_path)) as broker, requests.Session() as session:
        manage = Manager(broker, session)
        given = {"ingressEnabled": True, "egressEnabled": False, "maxMsgSpoolUsage": 3, "owner": "ann"}
        manage("POST", QUEUES, {"queueName": "q", **given})
        manage("POST", f"{QUEUES}/q/subscriptions", {"subscriptionTopic": "t/>"})
        manage("POST", QUEUES, {"queueName": "gone"})
        publish(connect(broker), b"x")
        manage("PUT", "action/msgVpns/default/queues/q/deleteMsgs", {})
        manage("PATCH", f"{QUEUES}/q", {"egressEnabled": True})
        manage("DELETE", f"{QUEUES}/gone")
        broker.restart(keep_state=True)
        kept = manage("GET", QUEUES)["data"]

        assert [one["queueName"] for one in kept] == ["q"]
        assert (given | {"egressEnabled": True}).items() <= kept[0].items()
        assert broker.queue("q").subscriptions == ("t/>",)
        assert broker.queue("q").messages == 0


def test_bytes_that_are_no_http_are_no_harm(managed: DevelopmentBroker, manage: Manager) -> None:
    port = int(managed.semp_url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), 60) as peer:
        peer.sendall(b"\xff\x00 nonsense\r\n\r\n")
        assert b"400" in peer.recv(1_000)
    oversized = requests.post(
        f"{managed.semp_url}/SEMP/v2/{QUEUES}", data=bytes(2_000_000), auth=("admin", "admin"), timeout=60
    )

    assert oversized.status_code == 413
    assert manage("GET", QUEUES)["data"] == []


def test_broker_stops_while_somebody_keeps_a_connection_to_management() -> None:
    with requests.Session() as session, running_broker(semp_port=0) as broker:
        assert session.get(f"{broker.semp_url}/health-check/guaranteed-active", timeout=60).status_code == 200


def test_port_of_management_in_use_is_a_mistake_that_says_what_to_do(managed: DevelopmentBroker) -> None:
    taken = int(managed.semp_url.rpartition(":")[2])
    with pytest.raises(ConfigurationError, match=f"Management cannot listen on 127.0.0.1:{taken}.*--no-semp"):
        DevelopmentBroker(BrokerConfig(port=0, semp_port=taken)).start()


def test_broker_without_management_says_so() -> None:
    with running_broker() as broker, pytest.raises(ConfigurationError, match="semp_port"):
        _ = broker.semp_url


def test_management_over_https_shows_the_brokers_certificate_and_links_to_itself(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.issue("server")
    with running_broker(semp_tls_port=0, tls_certificate=certificate, tls_key=key) as broker:
        reply = requests.get(
            f"{broker.semp_tls_url}/SEMP/v2/config/msgVpns",
            auth=("admin", "admin"),
            verify=authority.certificate,
            timeout=60,
        )

        assert reply.json()["links"][0]["uri"] == f"{broker.semp_tls_url}/SEMP/v2/config/msgVpns/default"
        with pytest.raises(ConfigurationError, match="semp_port"):
            _ = broker.semp_url


def test_management_over_https_needs_a_certificate(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing.pem")
    with (
        pytest.raises(ConfigurationError, match=r"missing\.pem"),
        running_broker(semp_tls_port=0, tls_certificate=missing),
    ):
        pass
    with pytest.raises(ConfigurationError, match="TLS needs a certificate"):
        BrokerConfig(semp_tls_port=0)


def test_message_vpn_is_provisioned_as_scripts_do_it_and_its_traffic_is_seen(
    managed: DevelopmentBroker, manage: Manager, connect: Callable[..., Any]
) -> None:
    base = "config/msgVpns/app"
    vpn = {"msgVpnName": "app", "enabled": True, "authenticationBasicType": "internal", "maxMsgSpoolUsage": 100}
    manage("POST", "config/msgVpns", vpn)
    actions = ("clientConnectDefaultAction", "publishTopicDefaultAction", "subscribeTopicDefaultAction")
    manage("POST", f"{base}/aclProfiles", {"aclProfileName": "rules", **dict.fromkeys(actions, "allow")})
    exception = {"publishTopicExceptionSyntax": "smf", "publishTopicException": "t/no/>"}
    manage("POST", f"{base}/aclProfiles/rules/publishTopicExceptions", exception)
    allowed = ("allowGuaranteedMsgSendEnabled", "allowGuaranteedMsgReceiveEnabled", "allowBridgeConnectionsEnabled")
    manage("POST", f"{base}/clientProfiles", {"clientProfileName": "limits", **dict.fromkeys(allowed, True)})
    user = {"clientUsername": "u", "password": "pw", "aclProfileName": "rules", "clientProfileName": "limits"}
    manage("POST", f"{base}/clientUsernames", {**user, "enabled": True, "msgVpnName": "app"})
    manage("POST", f"{base}/queues", {"queueName": "in", "ingressEnabled": True, "egressEnabled": True, "owner": "u"})
    manage("POST", f"{base}/queues/in/subscriptions", {"subscriptionTopic": "t/>"})
    service = connect(
        managed,
        service__vpn_name="app",
        authentication__scheme__basic__username="u",
        authentication__scheme__basic__password="pw",
    )
    publish(service, b"1", b"22")
    messages = manage("GET", "monitor/msgVpns/app/queues/in/msgs")["data"]
    client = manage("GET", "monitor/msgVpns/app/clients/app")["data"]

    assert [message["attachmentSize"] for message in messages] == [1, 2]
    assert (client["aclProfileName"], client["clientProfileName"], client["dataRxMsgCount"]) == ("rules", "limits", 2)
    assert client["softwareVersion"].startswith("pubsubplus-python-client")
    manage("PUT", f"action/msgVpns/app/queues/in/msgs/{messages[0]['msgId']}/delete", {})
    assert managed.queue("in", vpn="app").messages == 1
    manage("DELETE", base)
    assert managed.vpns() == ("default",)
