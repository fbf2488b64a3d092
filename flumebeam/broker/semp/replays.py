"""Replay logs, and replays into queues, in the management protocol."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from flumebeam.broker.core.queues import Queue
from flumebeam.broker.core.replay_ids import parse_message_id
from flumebeam.broker.core.replay_log import ReplayLog
from flumebeam.broker.core.replaying import cancel_replay, replay_active, start_replay
from flumebeam.broker.core.responses import OK
from flumebeam.broker.core.vpn import Vpn
from flumebeam.broker.semp.attributes import Attribute
from flumebeam.broker.semp.endpoint_settings import MEGABYTE
from flumebeam.broker.semp.replies import Problem, Status
from flumebeam.broker.semp.resources import Action, Resource, World
from flumebeam.smf.assuredctrl import ReplayFrom, ReplayStart

__all__ = ["CONFIG_LOGS", "LOG_ACTIONS", "MONITOR_LOGS", "QUEUE_ACTIONS", "show_replays"]

_MAX_NAME: Final = 185
_NANOSECONDS: Final = 1_000_000_000
_LOG: Final = {
    "replayLogName": Attribute(default="", required=True, identifying=True),
    "egressEnabled": Attribute(default=False),
    "ingressEnabled": Attribute(default=False),
    "maxSpoolUsage": Attribute(default=0, high=6_000_000),
    "topicFilterEnabled": Attribute(default=False, fixed=True),
}


def _logs(world: World, vpn: Vpn) -> Mapping[str, ReplayLog]:
    return {} if vpn.log is None else {vpn.log.log_name: vpn.log}


def _show_log(world: World, log: ReplayLog) -> dict[str, Any]:
    return {
        "egressEnabled": log.settings.egress_enabled,
        "ingressEnabled": log.settings.ingress_enabled,
        "maxSpoolUsage": log.settings.max_bytes // MEGABYTE,
        "topicFilterEnabled": False,
    }


def _put_log(world: World, vpn: Vpn, name: str, log: ReplayLog | None, values: dict[str, Any]) -> ReplayLog:
    if log is not None:
        values = _show_log(world, log) | values
    elif vpn.log is not None:
        raise Problem(Status.FAIL, f"The message VPN has the replay log {vpn.log.log_name}, and can have only one.")
    elif not name or len(name.encode()) > _MAX_NAME:
        raise Problem(Status.INVALID_PARAMETER, f"replayLogName must have 1 to {_MAX_NAME} bytes.")
    settings = vpn.default_settings() if log is None else log.settings
    quota = values["maxSpoolUsage"]
    return vpn.put_log(
        name,
        replace(
            settings,
            egress_enabled=values["egressEnabled"],
            ingress_enabled=values["ingressEnabled"],
            # A limit that is not changed stays as it is to the byte.
            max_bytes=settings.max_bytes if log and quota == settings.max_bytes // MEGABYTE else quota * MEGABYTE,
        ),
    )


def _monitor_log(world: World, log: ReplayLog) -> dict[str, Any]:
    return _show_log(world, log) | {"msgSpoolMsgCount": log.messages, "msgSpoolUsage": log.bytes}


def _trim(world: World, log: ReplayLog, given: dict[str, Any]) -> None:
    log.trim(given.get("olderThanTime", world.vpn.time))


def show_replays(queue: Queue) -> dict[str, Any]:
    """Return what monitoring shows of the replays into a queue."""
    replays, active = queue.replays, replay_active(queue)
    state = "active" if active else "complete" if replays.started else "n/a"
    return {
        "replayFailureCount": replays.cancelled,
        "replayStartCount": replays.started,
        "replayState": state,
        "replaySuccessCount": replays.started - replays.cancelled - active,
    }


def _start(world: World, queue: Queue, given: dict[str, Any]) -> None:
    log, named = world.vpn.log, given.get("replayLogName")
    if log is None or (named is not None and named != log.log_name):
        raise Problem(Status.NOT_FOUND, f"There is no replay log {named or ''}".rstrip() + ".")
    if "fromTime" in given and "afterMsg" in given:
        raise Problem(Status.INVALID_PARAMETER, "A replay starts at fromTime or behind afterMsg, not at both.")
    start = ReplayStart(ReplayFrom.BEGINNING)
    if given.get("fromTime"):
        start = ReplayStart(ReplayFrom.TIME, time_ns=given["fromTime"] * _NANOSECONDS)
    elif "afterMsg" in given:
        try:
            start = parse_message_id(given["afterMsg"])
        except ValueError as error:
            raise Problem(Status.INVALID_PARAMETER, f"afterMsg: {error}") from error
    response = start_replay(world.vpn, queue, start)
    if response is not OK:
        raise Problem(Status.FAIL, f"Queue {queue.name} cannot be given a replay: {response.text}.")


def _cancel(world: World, queue: Queue, given: dict[str, Any]) -> None:
    if not cancel_replay(world.vpn, queue):
        raise Problem(Status.FAIL, f"Queue {queue.name} has no replay to be cancelled.")


CONFIG_LOGS: Final = Resource(
    name="replayLogs",
    key="replayLogName",
    noun="replay log",
    members=_logs,
    show=_show_log,
    attributes=_LOG,
    put=_put_log,
    delete=lambda world, vpn, log: vpn.remove_log(log),
)
MONITOR_LOGS: Final = Resource(
    name="replayLogs", key="replayLogName", noun="replay log", members=_logs, show=_monitor_log
)
LOG_ACTIONS: Final = Resource(
    name="replayLogs",
    key="replayLogName",
    noun="replay log",
    members=_logs,
    show=lambda world, log: {},
    actions={"trimLoggedMsgs": Action(_trim, {"olderThanTime": Attribute(default=0)})},
)
QUEUE_ACTIONS: Final = {
    "startReplay": Action(
        _start,
        {
            "afterMsg": Attribute(default=""),
            "fromTime": Attribute(default=0),
            "replayLogName": Attribute(default=""),
        },
    ),
    "cancelReplay": Action(_cancel, {"forceComplete": Attribute(default=False)}),
}
