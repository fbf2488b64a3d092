"""Replay logs and replays, by management."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.broker.semp.paths import ACTION, CONFIG, MONITOR

LOGS = f"{CONFIG}/replayLogs"
START = f"{ACTION}/queues/q/startReplay"
EPOCH = 1_700_000_000


def publish(manage: Any, *bodies: bytes) -> None:
    client = manage.world.client("writer")
    client.publish(client.publisher().flow_id, *bodies)
    client.leave()


@pytest.fixture
def logged(manage: Any) -> Any:
    """An administrator of a broker with a replay log."""
    given = {"replayLogName": "log", "ingressEnabled": True, "egressEnabled": True, "maxSpoolUsage": 5}
    manage("POST", LOGS, given)
    return manage


def test_log_has_the_vendors_names_and_defaults(manage: Any) -> None:
    made = manage("POST", LOGS, {"replayLogName": "log"})["data"]

    assert made == {
        "egressEnabled": False,
        "ingressEnabled": False,
        "maxSpoolUsage": 0,
        "msgVpnName": "default",
        "replayLogName": "log",
        "topicFilterEnabled": False,
    }


def test_log_is_changed_and_deleted(logged: Any) -> None:
    changed = logged("PATCH", f"{LOGS}/log", {"egressEnabled": False})["data"]
    assert (changed["egressEnabled"], changed["ingressEnabled"], changed["maxSpoolUsage"]) == (False, True, 5)
    assert logged("PATCH", f"{LOGS}/log", {"maxSpoolUsage": 7})["data"]["maxSpoolUsage"] == 7
    logged("DELETE", f"{LOGS}/log")

    assert logged("GET", LOGS)["data"] == []


def test_message_vpn_has_one_log(logged: Any) -> None:
    assert logged.refused("POST", LOGS, {"replayLogName": "second"})[1] == "FAIL"
    assert logged.refused("POST", LOGS, {"replayLogName": "log"})[1] == "ALREADY_EXISTS"


def test_log_needs_a_name_of_bearable_length(manage: Any) -> None:
    assert manage.refused("POST", LOGS, {"replayLogName": "x" * 186})[1] == "INVALID_PARAMETER"


def test_log_shows_what_it_holds_and_can_be_trimmed(logged: Any) -> None:
    publish(logged, b"1", b"22")
    data = logged("GET", f"{MONITOR}/replayLogs/log")["data"]
    assert (data["msgSpoolMsgCount"], data["msgSpoolUsage"]) == (2, 3)
    logged.world.tick(10)
    publish(logged, b"333")
    logged("PUT", f"{ACTION}/replayLogs/log/trimLoggedMsgs", {"olderThanTime": EPOCH + 5})
    assert logged("GET", f"{MONITOR}/replayLogs/log")["data"]["msgSpoolMsgCount"] == 1
    logged.world.tick(10)
    logged("PUT", f"{ACTION}/replayLogs/log/trimLoggedMsgs", {})

    assert logged("GET", f"{MONITOR}/replayLogs/log")["data"]["msgSpoolMsgCount"] == 0


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        ({}, 3),
        ({"replayLogName": "log", "fromTime": 0}, 3),
        ({"fromTime": EPOCH + 5}, 2),
        ({"afterMsg": "second"}, 1),
    ],
)
def test_replay_is_started_and_its_progress_shown(logged: Any, start: dict[str, Any], expected: int) -> None:
    publish(logged, b"1")
    logged.world.tick(10)
    publish(logged, b"2", b"3")
    names = ("replayStartCount", "replayState", "replaySuccessCount", "replayFailureCount")

    def shown() -> tuple[Any, ...]:
        data = logged("GET", f"{MONITOR}/queues/q")["data"]
        return tuple(data[name] for name in names)

    assert shown() == (0, "n/a", 0, 0)
    logged("PUT", f"{ACTION}/queues/q/deleteMsgs", {})
    if "afterMsg" in start:
        number = f"{logged.world.engine.vpn.log.ready[1].message.id:016x}"
        start = {"afterMsg": f"rmid1:10000-00000000000-{number[:8]}-{number[8:]}"}
    logged("PUT", START, start)
    assert logged.world.engine.queue("q").messages == expected
    assert shown() == (1, "active", 0, 0)
    logged("PUT", f"{ACTION}/queues/q/deleteMsgs", {})
    assert shown() == (1, "complete", 1, 0)
    logged("PUT", START, start)
    logged("PUT", f"{ACTION}/queues/q/cancelReplay", {"forceComplete": True})

    assert shown() == (2, "complete", 1, 1)
    assert logged.refused("PUT", f"{ACTION}/queues/q/cancelReplay", {})[1] == "FAIL"


@pytest.mark.parametrize(
    ("start", "status"),
    [
        ({"replayLogName": "other"}, "NOT_FOUND"),
        ({"fromTime": EPOCH + 1_000}, "FAIL"),
        ({"afterMsg": "x"}, "INVALID_PARAMETER"),
        ({"afterMsg": "rmid1:10000-00000000000-00000000-00000001"}, "FAIL"),
        ({"afterMsg": "rmid1:10000-00000000000-00000000-00000001", "fromTime": 1}, "INVALID_PARAMETER"),
        ({"from": 1}, "INVALID_PARAMETER"),
    ],
)
def test_replay_that_cannot_be_is_refused(logged: Any, start: dict[str, Any], status: str) -> None:
    assert logged.refused("PUT", START, start)[1] == status


def test_replay_needs_a_log(manage: Any) -> None:
    assert manage.refused("PUT", START, {})[1] == "NOT_FOUND"
