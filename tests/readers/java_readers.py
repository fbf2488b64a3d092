"""Readers of files that others wrote in Java, in one process for a whole test session."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from pathlib import Path
from typing import Any, Final

from flumebeam.downloads import cache_directory
from flumebeam.runners.artifacts import SPARK_VERSION, spark_home
from flumebeam.runners.jvm import java
from tests.java import Artifact, compile_java, fetch_jars

__all__ = ["AVRO_TOOLS_VERSION", "JavaReaders", "ReaderError"]

AVRO_TOOLS_VERSION: Final = "1.11.4"
_ARTIFACTS: Final[tuple[Artifact, ...]] = (
    ("org.apache.spark", "spark-avro_2.12", SPARK_VERSION),
    ("org.apache.avro", "avro-tools", AVRO_TOOLS_VERSION),
)
_SOURCE: Final = Path(__file__).with_name("programs") / "Readers.java"
_HEAP_MB: Final = 1024
_ANSWER_SECS: Final = 240.0


class ReaderError(Exception):
    """What a reader says about a file that it cannot read."""


class JavaReaders:
    """Hadoop's shell, input formats and sequence files, Spark with Hive's tables, avro-tools: asked by name.

    Args:
        directory: Gets compiled classes, a log and what Spark may forget.
        filesystem: What paths without an address belong to, ``hdfs://namenode:8020``.

    Raises:
        ConfigurationError: Java is missing, or something cannot be fetched.
        RuntimeError: The program does not compile.
    """

    def __init__(self, directory: Path, filesystem: str) -> None:
        self.filesystem = filesystem
        place = cache_directory() / f"readers-{SPARK_VERSION}-{AVRO_TOOLS_VERSION}"
        jars = fetch_jars(f"readers (avro-tools {AVRO_TOOLS_VERSION})", place, _ARTIFACTS, alone=True)
        (avro_tools,) = jars.glob("avro-tools-*.jar")
        (spark_avro,) = jars.glob("spark-avro_*.jar")
        classes = directory / "classes"
        classes.mkdir(parents=True)
        spark = spark_home() / "jars"
        compile_java([_SOURCE], classes, [spark_avro, *sorted(spark.glob("*.jar"))])
        classpath = os.pathsep.join([str(classes), str(spark_avro), f"{spark}/*"])
        program = [*java("Spark", _HEAP_MB), "-XX:TieredStopAtLevel=1", "-cp", classpath, "Readers"]
        self.log = directory / "readers.log"
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [*program, filesystem, str(directory), str(avro_tools)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=directory,
                env={**os.environ, "SPARK_LOCAL_IP": "127.0.0.1"},
            )

    def ask(self, what: str, argument: str) -> Any:
        """Return what a reader gives for a path, a pattern or a statement.

        Args:
            what: Its name, as ``Readers.java`` lists them.
            argument: What it is given.

        Raises:
            ReaderError: It cannot.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        # Ends the wait for an answer that never comes.
        guard = threading.Timer(_ANSWER_SECS, self._process.kill)
        guard.start()
        try:
            self._process.stdin.write(json.dumps([what, argument]).encode() + b"\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        finally:
            guard.cancel()
        assert line, f"the readers have ended; their log ends: {self.log.read_text(errors='replace')[-2000:]}"
        answer = json.loads(line)
        if "failed" in answer:
            raise ReaderError(answer["failed"])
        return answer["ok"]

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()
