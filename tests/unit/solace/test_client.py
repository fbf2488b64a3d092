from __future__ import annotations

import time
from threading import Event

import pytest
import solace
from solace.messaging.config.sub_code import SolClientSubCode
from solace.messaging.core._solace_session import _SolaceSession
from solace.messaging.core._solace_transport import _SolaceTransportEvent
from solace.messaging.errors.pubsubplus_client_error import (
    AuthenticationError,
    PubSubPlusClientError,
    PubSubPlusCoreClientError,
)
from solace.messaging.messaging_service import _BasicMessagingService, _TransactionalMessagingService
from solace.messaging.receiver._impl._persistent_message_receiver import _PersistentMessageReceiver

from flumebeam.errors import ConnectionFailedError, LoginRefusedError, QueueError
from flumebeam.solace._client import (
    bounded,
    connect_error,
    operation_deadline,
    queue_error,
    subcode,
)
from flumebeam.solace._properties import transaction_properties
from flumebeam.solace.config import ReconnectPolicy, SolaceOptions

OPTIONS = SolaceOptions(host="broker", vpn="v1", username="me", password="geheim")


def core_error(name: str) -> PubSubPlusCoreClientError:
    return PubSubPlusCoreClientError("detail", SolClientSubCode[f"SOLCLIENT_SUBCODE_{name}"].value)


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (_BasicMessagingService, "session"),
        (_BasicMessagingService, "session_pointer"),
        (_SolaceSession, "register_transport_event_handler"),
        (_TransactionalMessagingService, "_run_later"),
        (_PersistentMessageReceiver, "_flow_message_receive_callback_routine"),
        (_PersistentMessageReceiver, "_event_callback_routine"),
        (_SolaceTransportEvent, "TRANSPORT_RECONNECTING"),
        (solace.CORE_LIB, "_handle"),
        (solace.CORE_LIB, "solClient_flow_sendAck"),
        (solace.CORE_LIB, "solClient_msg_getSMFPtr"),
        (solace, "SOLACE_LOGGING_CONFIG"),
    ],
)
def test_the_vendors_client_still_has_what_we_use_beyond_its_documented_interface(owner: object, name: str) -> None:
    assert hasattr(owner, name)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (AuthenticationError("x"), "refused the password of client username 'me'"),
        (core_error("LOGIN_FAILURE"), "refused the password of client username 'me'"),
        (core_error("MSG_VPN_NOT_ALLOWED"), "message VPN 'v1'"),
        (core_error("MSG_VPN_UNAVAILABLE"), "'v1' switched off"),
        (core_error("CLIENT_USERNAME_IS_SHUTDOWN"), "'me' switched off"),
        (core_error("CLIENT_NAME_ALREADY_IN_USE"), r"leave \{unique\} in"),
        (core_error("CLIENT_ACL_DENIED"), "ACL profile"),
    ],
)
def test_a_refused_login_is_one_sentence_with_names_and_without_the_password(
    error: PubSubPlusClientError, told: str
) -> None:
    with pytest.raises(LoginRefusedError, match=told) as refused:
        raise connect_error(OPTIONS, error)

    assert "tcp://broker:55555" in str(refused.value)
    assert "geheim" not in str(refused.value)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (
            core_error("COMMUNICATION_ERROR"),
            r"No broker answers at tcp://broker:55555 \(communication error\): start it",
        ),
        (PubSubPlusClientError("?"), "No broker answers at tcp://broker:55555: start it"),
        (PubSubPlusClientError("?", 10**6), "No broker answers at tcp://broker:55555: start it"),
        (core_error("TOO_MANY_CLIENTS"), "too many clients"),
    ],
)
def test_a_broker_that_cannot_be_reached_is_retriable(error: PubSubPlusClientError, told: str) -> None:
    answer = connect_error(OPTIONS, error)

    assert type(answer) is ConnectionFailedError
    with pytest.raises(ConnectionFailedError, match=told):
        raise answer


@pytest.mark.parametrize(
    ("name", "kind", "told"),
    [
        ("UNKNOWN_QUEUE_NAME", QueueError, "Queue 'q1' in message VPN 'v1' at tcp://broker:55555 does not exist"),
        ("PERMISSION_NOT_ALLOWED", QueueError, "may not be used by client username 'me'"),
        ("QUEUE_SHUTDOWN", QueueError, "is shut down"),
        ("MAX_TRANSACTIONS_EXCEEDED", QueueError, "the broker says detail"),
        ("TIMEOUT", ConnectionFailedError, "Queue 'q1' cannot be bound"),
    ],
)
def test_a_queue_that_cannot_be_used_is_named(name: str, kind: type[Exception], told: str) -> None:
    with pytest.raises(kind, match=told):
        raise queue_error(OPTIONS, "q1", core_error(name))


def test_a_cause_is_read_from_numbers_and_from_names() -> None:
    assert subcode(core_error("TIMEOUT")) == "TIMEOUT"
    assert subcode(PubSubPlusClientError("x", "SOLCLIENT_SUBCODE_OK")) == "OK"
    assert subcode(ValueError("x")) == ""


def test_the_deadline_of_an_operation_is_behind_everything_the_client_may_try() -> None:
    policy = ReconnectPolicy(attempts=3, wait_seconds=2, connect_timeout_seconds=4, keepalive_seconds=1)

    assert operation_deadline(policy) > 3 * (2 + 4) + 3 * 1 + 2 * 10 * 3
    assert transaction_properties(policy)["TRANSACTEDSESSION_REQUESTREPLY_TIMEOUT_MS"] == "10000"


def test_a_job_that_takes_too_long_is_left_behind() -> None:
    release = Event()
    begun = time.monotonic()

    assert not bounded(lambda: release.wait(100), 0.05)
    assert time.monotonic() - begun < 60
    release.set()


def test_what_a_closing_job_raises_is_dropped() -> None:
    assert bounded(lambda: 1 // 0, 10)
