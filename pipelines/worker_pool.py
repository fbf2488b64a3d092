"""A pool beside each machine's runner: starts a worker whenever it is asked to (``--environment_type=EXTERNAL``).

Beam's own pool starts workers by the bare name ``python`` and answers before it knows whether they live: without the
right environment first on the path the job hangs without an error. This one starts the worker of its own installation,
waits until that has reached its runner, and else answers with what it said.
"""

from __future__ import annotations

import logging
import subprocess
import threading
from collections import deque
from concurrent import futures
from pathlib import Path
from typing import IO, Any, Final

import grpc
from apache_beam.portability.api import beam_fn_api_pb2, beam_fn_api_pb2_grpc

from flumebeam.errors import ConfigurationError
from flumebeam.pipelines.worker import READY

__all__ = ["WorkerPool"]

_LOGGER: Final = logging.getLogger(__name__)
_START_SECONDS: Final = 60.0
_STOP_SECONDS: Final = 10.0
_LAST_LINES: Final = 5


class WorkerPool:
    """Serves on one port; a context manager that ends its workers with it.

    Args:
        command: Program that is started for each worker.
        port: Port to listen on; 0 for a free one.
        host: Address to listen on. Whoever reaches it can start workers and run code in them.

    Raises:
        ConfigurationError: The port is taken.
    """

    def __init__(self, command: Path, port: int = 0, host: str = "127.0.0.1") -> None:
        self._service = _Service(command)
        alone = [("grpc.so_reuseport", 0)]  # else two pools share a port, and take turns
        self._server = grpc.server(futures.ThreadPoolExecutor(max_workers=16), options=alone)
        beam_fn_api_pb2_grpc.add_BeamFnExternalWorkerPoolServicer_to_server(self._service, self._server)
        try:
            bound = self._server.add_insecure_port(f"{host}:{port}")
        except RuntimeError as error:
            raise ConfigurationError(f"Nothing can listen on {host}:{port}: give another --port.") from error
        self.endpoint = f"{host}:{bound}"
        """What ``--environment_config`` wants."""

    def __enter__(self) -> WorkerPool:
        self._server.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.stop(grace=None)
        self._service.stop_all()

    @property
    def pids(self) -> tuple[int, ...]:
        """Process ids of the workers that run."""
        return self._service.pids


class _Service(beam_fn_api_pb2_grpc.BeamFnExternalWorkerPoolServicer):
    """Answers a runner's calls, each in a thread of its own."""

    def __init__(self, command: Path) -> None:
        self._command = command
        self._lock = threading.Lock()
        self._workers: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def pids(self) -> tuple[int, ...]:
        with self._lock:
            return tuple(worker.pid for worker in self._workers.values() if worker.poll() is None)

    def StartWorker(self, request: Any, context: Any) -> beam_fn_api_pb2.StartWorkerResponse:
        arguments = [f"--id={request.worker_id}", f"--provision_endpoint={request.provision_endpoint.url}"]
        try:
            worker = subprocess.Popen(  # noqa: S603 - our own program
                [str(self._command), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            return self._failed(request.worker_id, f"{self._command} cannot be run: {error.strerror}")
        with self._lock:
            self._workers[request.worker_id] = worker
        voice = _Voice(worker.stdout)
        if voice.is_ready(_START_SECONDS):
            _LOGGER.info("Worker %s runs as process %d.", request.worker_id, worker.pid)
            return beam_fn_api_pb2.StartWorkerResponse()
        self._stop(request.worker_id)
        return self._failed(request.worker_id, voice.last_words())

    def StopWorker(self, request: Any, context: Any) -> beam_fn_api_pb2.StopWorkerResponse:
        self._stop(request.worker_id)
        return beam_fn_api_pb2.StopWorkerResponse()

    def stop_all(self) -> None:
        for name in list(self._workers):
            self._stop(name)

    def _stop(self, name: str) -> None:
        with self._lock:
            worker = self._workers.pop(name, None)
        if worker is None:
            return
        worker.terminate()
        try:
            worker.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            worker.kill()
            worker.wait()

    def _failed(self, name: str, why: str) -> beam_fn_api_pb2.StartWorkerResponse:
        _LOGGER.error("Worker %s did not start: %s", name, why)
        return beam_fn_api_pb2.StartWorkerResponse(error=f"The worker did not start: {why}")


class _Voice:
    """What a worker prints: passed on, and waited for."""

    def __init__(self, stream: IO[bytes] | None) -> None:
        self._said: deque[str] = deque(maxlen=_LAST_LINES)
        self._ready = False
        self._heard = threading.Event()
        threading.Thread(target=self._listen, args=(stream,), daemon=True).start()

    def is_ready(self, seconds: float) -> bool:
        """Wait for its first sign of life, or its end."""
        self._heard.wait(seconds)
        return self._ready

    def last_words(self) -> str:
        return " | ".join(self._said) or "it said nothing"

    def _listen(self, stream: IO[bytes]) -> None:
        with stream:
            for line in stream:
                text = line.decode(errors="replace").rstrip()
                if text == READY:
                    self._ready = True
                    self._heard.set()
                    continue
                self._said.append(text)
                _LOGGER.info("%s", text)
        self._heard.set()
