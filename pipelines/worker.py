"""``flumebeam-worker``: what a runner starts on a machine of its own to have our steps run there.

It is to be installed wherever workers run, in an environment of the same versions, and takes the place of the program
``boot`` of Beam's container: for ``--environment_type=PROCESS``, for :mod:`~flumebeam.pipelines.worker_pool`, and as a
container's entry point. Nothing is downloaded or installed; everything must be there.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
from collections.abc import Sequence
from types import FrameType
from typing import Final

import grpc
from apache_beam.portability.api import beam_provision_api_pb2, beam_provision_api_pb2_grpc
from apache_beam.runners.worker import sdk_worker_main
from apache_beam.runners.worker.worker_id_interceptor import WorkerIdInterceptor
from google.protobuf import json_format, text_format

from flumebeam.exits import Exit
from flumebeam.garbage import collecting_seldom
from flumebeam.transforms import beam_compat

__all__ = ["READY", "serve"]

READY: Final = "flumebeam-worker is ready"
"""Printed once this program has reached the runner that wants it; its pool waits for it."""

_ANSWER_SECONDS: Final = 30.0
_TEARDOWN_SECONDS: Final = 8.0


def serve(argv: Sequence[str] | None = None) -> int:
    """Serve one runner until it lets go.

    Args:
        argv: As runners give them: ``--id`` and ``--provision_endpoint``; others are for other programs.

    Returns:
        :attr:`Exit.OK`, or :attr:`Exit.FAILED` if the runner does not answer.
    """
    parser = argparse.ArgumentParser(prog="flumebeam-worker", allow_abbrev=False)
    parser.add_argument("--id", required=True, help="name that the runner gave this worker")
    parser.add_argument("--provision_endpoint", required=True, help="where the runner says what is to be done")
    known, _ = parser.parse_known_args(argv)
    try:
        told = _ask(known.provision_endpoint, known.id)
    except grpc.RpcError as error:
        sys.stderr.write(f"flumebeam-worker: no runner answers at {known.provision_endpoint}: {error.details()}\n")
        return Exit.FAILED
    os.environ |= {
        "WORKER_ID": known.id,
        "PIPELINE_OPTIONS": json.dumps(json_format.MessageToDict(told.pipeline_options)),
        "CONTROL_API_SERVICE_DESCRIPTOR": text_format.MessageToString(told.control_endpoint),
        "LOGGING_API_SERVICE_DESCRIPTOR": text_format.MessageToString(told.logging_endpoint),
        "RUNNER_CAPABILITIES": " ".join(told.runner_capabilities),
    }
    sys.stdout.write(f"{READY}\n")
    sys.stdout.flush()
    # Nobody may read a worker's standard output: a full pipe would stop it.
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    beam_compat.tear_down_always()
    beam_compat.end_bundles_before_teardown()
    beam_compat.end_bundles_promptly()
    signal.signal(signal.SIGTERM, _leave_in_order)
    with collecting_seldom():
        sdk_worker_main.main([])
    return Exit.OK


def _leave_in_order(number: int, frame: FrameType | None) -> None:
    """Have time to tear down: a runner lets go of a worker first, and tells its pool to stop it in the next moment."""
    patience = threading.Timer(_TEARDOWN_SECONDS, os._exit, args=(128 + number,))
    patience.daemon = True
    patience.start()


def _ask(endpoint: str, worker: str) -> beam_provision_api_pb2.ProvisionInfo:
    with grpc.insecure_channel(endpoint) as plain:
        channel = grpc.intercept_channel(plain, WorkerIdInterceptor(worker))
        service = beam_provision_api_pb2_grpc.ProvisionServiceStub(channel)
        request = beam_provision_api_pb2.GetProvisionInfoRequest()
        return service.GetProvisionInfo(request, timeout=_ANSWER_SECONDS).info


if __name__ == "__main__":
    sys.exit(serve())
