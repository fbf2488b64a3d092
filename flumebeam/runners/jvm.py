"""How Java programs of the runners are started: with bounded memory, and with what Flink and Spark need on Java 17."""

from __future__ import annotations

from typing import Final

from flumebeam.downloads import find_java

__all__ = ["java"]

_OPENED: Final = (
    "java.lang java.lang.invoke java.lang.reflect java.net java.io java.nio java.text java.time java.util "
    "java.util.concurrent java.util.concurrent.atomic java.util.concurrent.locks sun.nio.ch sun.nio.cs "
    "sun.security.action sun.util.calendar"
)
_OPTIONS: Final = (
    "-XX:+UseSerialGC",
    "-XX:+IgnoreUnrecognizedVMOptions",
    "-Djava.net.preferIPv4Stack=true",
    # Where no configuration of log4j is found, as in job servers: what is ready is said at this level.
    "-Dorg.apache.logging.log4j.level=INFO",
    "-Djdk.reflect.useDirectMethodHandle=false",
    "--add-exports=java.base/sun.net.util=ALL-UNNAMED",
    "--add-exports=java.rmi/sun.rmi.registry=ALL-UNNAMED",
    *(f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in _OPENED.split()),
)


def java(whose: str, heap_mb: int) -> list[str]:
    """Return the start of a command line: Java and its options, up to the class path.

    Args:
        whose: What needs it, for the message if there is none.
        heap_mb: Largest heap, MiB.

    Raises:
        ConfigurationError: There is no Java.
    """
    return [find_java(whose), f"-Xmx{heap_mb}m", *_OPTIONS]
