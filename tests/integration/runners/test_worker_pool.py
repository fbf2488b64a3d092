"""The pool of workers, asked as a runner asks it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from apache_beam.portability.api import beam_fn_api_pb2, beam_fn_api_pb2_grpc

from flumebeam.errors import ConfigurationError
from flumebeam.pipelines.worker import READY
from flumebeam.pipelines.worker_pool import WorkerPool
from tests.programs import until


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A worker of two lines, to be written by the test."""
    path = tmp_path / "worker"
    path.touch(mode=0o755)
    return path


@pytest.fixture
def pool(program: Path) -> Iterator[WorkerPool]:
    with WorkerPool(program) as made:
        yield made


def ask(pool: WorkerPool, call: str, name: str = "w-1") -> str:
    kinds = {"StartWorker": beam_fn_api_pb2.StartWorkerRequest, "StopWorker": beam_fn_api_pb2.StopWorkerRequest}
    request = kinds[call](worker_id=name)
    if call == "StartWorker":
        request.provision_endpoint.url = "127.0.0.1:1"
    with grpc.insecure_channel(pool.endpoint) as channel:
        stub = beam_fn_api_pb2_grpc.BeamFnExternalWorkerPoolStub(channel)
        return str(getattr(stub, call)(request, timeout=200).error)


def test_a_worker_that_is_ready_is_started_and_stopped(pool: WorkerPool, program: Path) -> None:
    program.write_text(f'#!/bin/sh\necho "{READY}"\nexec sleep 600\n')

    assert ask(pool, "StartWorker") == ""
    assert len(pool.pids) == 1
    assert ask(pool, "StopWorker") == ""

    until(lambda: not pool.pids, "the worker has ended")


def test_a_worker_that_ends_before_it_is_ready_is_an_error_with_its_last_words(pool: WorkerPool, program: Path) -> None:
    program.write_text("#!/bin/sh\necho 'ModuleNotFoundError: flumebeam' >&2\nexit 1\n")

    assert ask(pool, "StartWorker") == "The worker did not start: ModuleNotFoundError: flumebeam"
    assert not pool.pids


def test_a_program_that_is_not_there_is_an_error(pool: WorkerPool, program: Path) -> None:
    program.unlink()

    assert "cannot be run: No such file" in ask(pool, "StartWorker")


def test_workers_end_with_their_pool(program: Path) -> None:
    program.write_text(f'#!/bin/sh\necho "{READY}"\nexec sleep 600\n')
    with WorkerPool(program) as pool:
        ask(pool, "StartWorker")
        assert pool.pids

    assert not pool.pids


def test_a_worker_whose_runner_does_not_answer_says_so(tmp_path: Path) -> None:
    from flumebeam.pipelines.launching import worker_command

    with WorkerPool(worker_command()) as pool:
        assert "no runner answers at 127.0.0.1:1" in ask(pool, "StartWorker")


def test_a_port_that_is_taken_is_one_sentence(pool: WorkerPool, program: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"Nothing can listen on .*: give another --port\."):
        WorkerPool(program, int(pool.endpoint.rpartition(":")[2]))
