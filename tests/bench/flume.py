"""Suites ``flume`` and ``flume-hdfs``: Apache Flume 1.11 from Maven Central as the peer of our chain, in the same run.

A spooled file -> spooldir source -> memory or file channel -> HDFS sink with text, on a local path or in a real HDFS.
Its settings are those of its guide for speed: batches of 1,000, channels with room for 100,000 and 1,000,000 events, a
checkpoint every 30 s, one sink. Only one local disk is there, so several data directories would not help it.
"""

from __future__ import annotations

import json
import time
import urllib.request
from functools import partial
from pathlib import Path
from typing import Any, Final

from flumebeam.daemons import free_ports
from flumebeam.downloads import find_java
from tests.bench.chain import FILE_BYTES, ChainRun, Lane, chain_lanes, until, watch, wrapper_lane
from tests.bench.programs import Command
from tests.bench.targets import LocalTarget, TargetOf
from tests.flume import fetch_flume

__all__ = ["agent_properties", "flume_hdfs_lanes", "flume_lanes"]

_HEAP: Final = "2g"
_OPENED: Final = ("java.lang", "java.nio", "java.util", "sun.nio.ch", "java.net")
_LOGGING: Final = (
    '<Configuration status="WARN"><Appenders><Console name="C" target="SYSTEM_ERR"><PatternLayout '
    'pattern="%d{HH:mm:ss.SSS} %p %c{1} %m%n"/></Console></Appenders>'
    '<Loggers><Root level="WARN"><AppenderRef ref="C"/></Root></Loggers></Configuration>'
)
_CHANNELS: Final = {
    "memory": {"capacity": "100000", "transactionCapacity": "10000"},
    "file": {"capacity": "1000000", "transactionCapacity": "10000", "checkpointInterval": "30000"},
}
_NEARLY: Final = 0.98
"""What Hadoop's local file system has written of what a sink has; it keeps the last of it in memory."""
_ASK_SECONDS: Final = 1.0
_ANSWER_SECONDS: Final = 10.0
_Metrics = dict[str, dict[str, str]]


def agent_properties(place: Path, channel: str, url: str) -> str:
    """Return the configuration of an agent with a channel of this kind, ``memory`` or ``file``, that writes there."""
    settings = {
        "sources": "s",
        "channels": "c",
        "sinks": "k",
        "sources.s.type": "spooldir",
        "sources.s.spoolDir": f"{place}/spool",
        "sources.s.batchSize": "1000",
        "sources.s.deserializer.maxLineLength": "1000000",
        "sources.s.channels": "c",
        "channels.c.type": channel,
        **{f"channels.c.{name}": value for name, value in _CHANNELS[channel].items()},
        "sinks.k.type": "hdfs",
        "sinks.k.channel": "c",
        "sinks.k.hdfs.path": url,
        "sinks.k.hdfs.fileType": "DataStream",
        "sinks.k.hdfs.writeFormat": "Text",
        "sinks.k.hdfs.batchSize": "1000",
        "sinks.k.hdfs.rollSize": str(FILE_BYTES),
        "sinks.k.hdfs.rollCount": "0",
        "sinks.k.hdfs.rollInterval": "0",
        # Asked for when a batch is flushed. An agent that is stopped may lose the end of an open file.
        "sinks.k.hdfs.idleTimeout": "5",
    }
    if channel == "file":
        settings["channels.c.checkpointDir"] = f"{place}/checkpoint"
        settings["channels.c.dataDirs"] = f"{place}/data"
    return "".join(f"a1.{name} = {value}\n" for name, value in settings.items())


def _run(channel: str, target_of: TargetOf, place: Path, source: Path, events: int) -> ChainRun:
    target = target_of(place)
    (place / "spool").mkdir()
    (place / "agent.properties").write_text(agent_properties(place, channel, target.java_url), encoding="utf-8")
    (place / "log4j2.xml").write_text(_LOGGING, encoding="utf-8")
    [port] = free_ports(1)
    command = [
        find_java("Flume"),
        f"-Xms{_HEAP}",
        f"-Xmx{_HEAP}",
        f"-Dlog4j.configurationFile={place}/log4j2.xml",
        "-Dflume.monitoring.type=http",
        f"-Dflume.monitoring.port={port}",
        *(f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in _OPENED),
        *("-cp", f"{fetch_flume()}/*", "org.apache.flume.node.Application"),
        *("--conf-file", f"{place}/agent.properties", "--name", "a1", "--no-reload-conf"),
    ]

    def count(component: str, name: str) -> int:
        return int(_metrics(port).get(component, {}).get(name, 0))

    asked = time.monotonic()

    def worth_asking() -> bool:
        # Each answer costs the agent CPU, which counts: until its files are nearly there, one a second is enough.
        nonlocal asked
        if target.nbytes() < _NEARLY * source.stat().st_size and time.monotonic() < asked + _ASK_SECONDS:
            return False
        asked = time.monotonic()
        return True

    with Command(command, place / "flume.log") as agent:
        until("Flume had started", lambda: "SOURCE.s" in _metrics(port), [agent])
        arriving = place / "input.log"
        arriving.hardlink_to(source)
        arriving.rename(place / "spool" / "input.log")  # a spool directory wants files whole
        found = watch(
            events,
            {"flume": agent.usage, **target.usages()},
            begun=lambda: count("SOURCE.s", "EventAcceptedCount") > 0,
            over=lambda: worth_asking() and count("SINK.k", "EventDrainSuccessCount") >= events,
            programs=[agent],
        )
        until("Flume had closed its files", lambda: not target.has_open_files(), [agent])
    target.bring()
    return found


def _metrics(port: int) -> _Metrics:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=_ANSWER_SECONDS) as answer:
            found: Any = json.load(answer)
    except OSError:
        return {}
    return dict(found)


def flume_lanes() -> dict[str, Lane]:
    """Return our chains and Flume's, all on the local disk."""
    return {**chain_lanes(), "wrapper": wrapper_lane(), **_of_flume(LocalTarget)}


def flume_hdfs_lanes(target_of: TargetOf) -> dict[str, Lane]:
    """Return the same but for the client's Python layer, with files elsewhere."""
    return {**chain_lanes(target_of), **_of_flume(target_of)}


def _of_flume(target_of: TargetOf) -> dict[str, Lane]:
    # Its memory channel loses what it holds when the process dies.
    return {
        "flume-file": Lane("Flume, file channel", partial(_run, "file", target_of)),
        "flume-memory": Lane("Flume, memory channel", partial(_run, "memory", target_of)),
    }
