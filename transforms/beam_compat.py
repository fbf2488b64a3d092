"""What flumebeam must know about Beam 2.77's own insides, in one place.

Metrics: the in-process runner keeps the metrics of a stage as a chain of generators that grows by one with every bundle
and is evaluated only at the end: about 25 KB stay behind per bundle, and after some hundred bundles
``result.metrics()`` exceeds Python's recursion limit. A streaming source makes one bundle a second or more, for weeks.
Evaluating each step at once keeps memory flat (measured with Beam 2.77.0: 172 to 174 MB over 8,416 bundles, instead of
395 MB). Of a gauge, of a set of texts and of a bounded trie, which lineage is told by, it keeps the value of every
bundle, each with all that the bundle reported, 30 KB, and looks at all of them after the next bundle. Of a gauge only
the latest counts; of the others what all of them hold together.
"""

from __future__ import annotations

import itertools
import platform
import threading
import time
from collections.abc import Callable, Iterable
from functools import lru_cache, reduce
from pathlib import Path
from typing import Any, Final

import apache_beam
import grpc
from apache_beam.metrics import monitoring_infos
from apache_beam.metrics.cells import BoundedTrieData
from apache_beam.options.pipeline_options import PipelineOptions, PrismRunnerOptions
from apache_beam.portability.api import beam_job_api_pb2, beam_job_api_pb2_grpc
from apache_beam.runners.portability import portable_runner
from apache_beam.runners.portability.fn_api_runner import fn_runner
from apache_beam.runners.portability.prism_runner import PrismJobServer
from apache_beam.runners.runner import PipelineState
from apache_beam.runners.worker import data_plane, statesampler
from apache_beam.runners.worker.sdk_worker import BundleProcessorCache, SdkWorker

__all__ = [
    "beams_prism",
    "before_run",
    "bundle_shall_end",
    "end_bundles_before_teardown",
    "end_bundles_promptly",
    "finds_prism",
    "join_readers",
    "keep_metrics_flat",
    "options_of_job_server",
    "tear_down_always",
    "watch_without_deadline",
]

_KNOWN_VERSION: Final = "2.77."
_MARK: Final = "_flumebeam_flat"
_USER_METRIC: Final = (monitoring_infos.NAMESPACE_LABEL, monitoring_infos.NAME_LABEL)
_ANSWER_SECONDS: Final = 5.0
_SAMPLING_MS: Final = 20
_SAMPLING_RATIO: Final = 1.02
_READING: Final = ("run_worker", "read_grpc_client_inputs", "wait_until_finish_read", "read_state")
_END_SECONDS: Final = 10.0
_AT_WORK: Final = "_flumebeam_at_work"
_here: Final = threading.local()
_ENDED_WELL: Final = (PipelineState.DONE, PipelineState.CANCELLED, PipelineState.DRAINED)


def keep_metrics_flat() -> bool:
    """Have the in-process runner evaluate its metrics after each bundle. Idempotent.

    Returns:
        Whether it does now; false for a Beam version whose insides were not looked at.
    """
    if not apache_beam.__version__.startswith(_KNOWN_VERSION):
        return False
    original: Callable[..., Iterable[Any]] = fn_runner.consolidate_monitoring_infos
    if getattr(original, _MARK, False):
        return True

    def consolidate_now(*args: Any, **kwargs: Any) -> list[Any]:
        found: dict[Any, list[Any]] = {}
        for info in original(*args, **kwargs):
            of_one_metric = found.setdefault(monitoring_infos.to_key(info), [])
            if not of_one_metric:
                of_one_metric.append(info)
            elif (joined := _joined(of_one_metric[0], info)) is not None:
                of_one_metric[0] = joined
            else:
                of_one_metric.append(info)
        return list(itertools.chain(*found.values()))

    setattr(consolidate_now, _MARK, True)
    fn_runner.consolidate_monitoring_infos = consolidate_now
    return True


def _joined(one: Any, other: Any) -> Any:
    """Return what two bundles have told of one metric as one, or ``None`` if that is of a kind not known here."""
    if monitoring_infos.is_gauge(one):
        return max(one, other, key=monitoring_infos.extract_gauge_value)
    if not (monitoring_infos.is_bounded_trie(one) or monitoring_infos.is_string_set(one)):
        return None
    if one.payload == other.payload:  # as that of lineage nearly always is
        return one
    name = [one.labels[label] for label in _USER_METRIC]
    step = one.labels[monitoring_infos.PTRANSFORM_LABEL]
    if monitoring_infos.is_bounded_trie(one):
        tries = map(monitoring_infos.extract_bounded_trie_value, (one, other))
        return monitoring_infos.user_bounded_trie(*name, reduce(BoundedTrieData.combine, tries), step)
    texts = map(monitoring_infos.extract_string_set_value, (one, other))
    return monitoring_infos.user_set_string(*name, set().union(*texts), step)


class _Seldom(statesampler.statesampler_impl.StateSampler):
    """Samples first after a millisecond, and each time a fiftieth later, whatever Beam wants."""

    def __init__(self, period_ms: int) -> None:
        super().__init__(min(period_ms, _SAMPLING_MS), 1, _SAMPLING_RATIO)


class _PromptSampler(statesampler.StateSampler, _Seldom):
    """Beam's sampler, which begins its base as :class:`_Seldom` does."""


def end_bundles_promptly() -> None:
    """Have workers of this process wait little at a bundle's end for the thread that samples its times. Idempotent.

    Beam joins that thread, which sleeps for a millisecond at first and then each time a fifth longer, up to 200 ms: a
    sixth of the time of a source with bundles of 0.15 s, and the tail of its latency (measured with Beam 2.77.0). Here
    it is 2 ms of a bundle of 50 ms and 10 ms of one of a second. Always 2 ms would be 500 times a second that each
    program is woken, a twentieth of the CPU of a whole chain.
    """
    if statesampler.FAST_SAMPLER and apache_beam.__version__.startswith(_KNOWN_VERSION):
        statesampler.StateSampler = _PromptSampler


def tear_down_always() -> None:
    """Have workers of this process tear their steps down also when their runner hung up first. Idempotent.

    A worker of Beam 2.77 closes its data channels before it tears down, and stops if one has been cut; Flink cuts them
    when a job is over. What a step has open, a flow or a commit log, would then end with the process.
    """
    original = data_plane.GrpcClientDataChannelFactory.close
    if getattr(original, _MARK, False):
        return

    def close(factory: Any) -> None:
        try:
            original(factory)
        except grpc.RpcError:
            # Nothing is left to be said to a runner that is gone.
            return

    setattr(close, _MARK, True)
    data_plane.GrpcClientDataChannelFactory.close = close


class _Bundle:
    """One bundle at work in this process."""

    def __init__(self) -> None:
        self.shall_end = threading.Event()
        self.has_ended = threading.Event()


def end_bundles_before_teardown() -> None:
    """Have workers of this process end the bundle they are at before they tear its steps down. Idempotent.

    A worker of Beam 2.77 whose job was cancelled tears down while its threads work on: a source would find what it
    reads from closed under its hands, and Beam prints the traceback. Sources ask :func:`bundle_shall_end`.
    """
    process, shutdown = SdkWorker.process_bundle, BundleProcessorCache.shutdown
    if getattr(process, _MARK, False):
        return

    def process_bundle(worker: Any, *args: Any, **kwargs: Any) -> Any:
        bundle = _here.bundle = _Bundle()
        of_its_worker: set[_Bundle] = worker.bundle_processor_cache.__dict__.setdefault(_AT_WORK, set())
        of_its_worker.add(bundle)
        try:
            return process(worker, *args, **kwargs)
        finally:
            _here.bundle = None
            of_its_worker.discard(bundle)
            bundle.has_ended.set()

    def shut_down(cache: Any) -> None:
        at_work = tuple(getattr(cache, _AT_WORK, ()))
        for bundle in at_work:
            bundle.shall_end.set()
        deadline = time.monotonic() + _END_SECONDS
        for bundle in at_work:
            bundle.has_ended.wait(max(0.0, deadline - time.monotonic()))
        shutdown(cache)

    setattr(process_bundle, _MARK, True)
    SdkWorker.process_bundle, BundleProcessorCache.shutdown = process_bundle, shut_down


def bundle_shall_end() -> bool:
    """Tell whether the worker whose bundle this thread is at waits for its end, because the job is over."""
    bundle: _Bundle | None = getattr(_here, "bundle", None)
    return bundle is not None and bundle.shall_end.is_set()


def watch_without_deadline(result: Any) -> None:
    """Have the driver of a job behind Prism watch it for as long as it runs.

    Beam 2.77 gives the stream of states that it watches the time that a job server has to answer a call, five minutes:
    the driver fails then, and the job with it. Only Prism takes that stream, of which Beam has then read the first
    state. Others refuse it, and get one without an end, which is left alone: a job server of Flink or Spark that finds
    one of its streams cancelled tells no other one of the end.

    Args:
        result: Of a pipeline that was just started, on any runner.
    """
    if not isinstance(result, portable_runner.PipelineResult) or not isinstance(result._state_stream, itertools.chain):
        return
    job, service = result._job_id, result._job_service
    result._state_stream = service.GetStateStream(beam_job_api_pb2.GetJobStateRequest(job_id=job))
    result._message_stream = service.GetMessageStream(beam_job_api_pb2.JobMessagesRequest(job_id=job))


def join_readers(seconds: float) -> None:
    """Wait until the threads that read from a runner have noticed that its program has ended.

    Args:
        seconds: How long, in all.
    """
    deadline = time.monotonic() + seconds
    for thread in threading.enumerate():
        if thread.name.startswith(_READING) and thread is not threading.current_thread():
            thread.join(max(0.0, deadline - time.monotonic()))


class _AtRun:
    """What Beam asks before it runs a pipeline: that handlers of errors have been closed."""

    def __init__(self, check: Callable[[], None]) -> None:
        self._check = check

    def verify_closed(self) -> None:
        self._check()


def before_run(pipeline: apache_beam.Pipeline, check: Callable[[], None]) -> None:
    """Have ``check`` called when a pipeline is complete, before anything of it runs; what it raises stops the run.

    Beam offers no such call for sources; it has one for error handlers, which must be closed by then.
    """
    pipeline._register_error_handler(_AtRun(check))


def after_run(pipeline: apache_beam.Pipeline, ended: Callable[[bool], None]) -> None:
    """Have ``ended`` called when a pipeline has come to its end, by whoever waits for it in this process.

    Args:
        pipeline: To be run once.
        ended: Called once, with whether it ended as done or was ended from outside, and not by a failure.
    """
    run = pipeline.run

    def run_and_tell(*args: Any, **kwargs: Any) -> Any:
        result = _told(lambda: run(*args, **kwargs), ended)
        if PipelineState.is_terminal(result.state):
            ended(result.state in _ENDED_WELL)
            return result
        wait = result.wait_until_finish

        def wait_and_tell(*args: Any, **kwargs: Any) -> Any:
            state = _told(lambda: wait(*args, **kwargs), ended)
            if PipelineState.is_terminal(result.state):
                ended(result.state in _ENDED_WELL)
            return state

        result.wait_until_finish = wait_and_tell
        return result

    pipeline.run = run_and_tell


def _told(step: Callable[[], Any], ended: Callable[[bool], None]) -> Any:
    try:
        return step()
    except BaseException as error:  # an interrupt is told, too, and goes on
        ended(isinstance(error, KeyboardInterrupt))
        raise


def beams_prism() -> Path:
    """Return where Beam looks for Prism of its own version before it tries to download it: a zip file."""
    tag = f"v{apache_beam.__version__}"
    url = PrismJobServer._construct_download_url(tag, tag, platform.system(), platform.machine())
    return Path(PrismJobServer.BIN_CACHE, url.rpartition("/")[2])


def finds_prism(options: PipelineOptions) -> bool:
    """Tell whether Beam has Prism at hand with these options, without a download."""
    location = options.view_as(PrismRunnerOptions).prism_location
    return Path(location).is_file() if location else beams_prism().is_file()


@lru_cache(maxsize=8)
def options_of_job_server(endpoint: str) -> frozenset[str]:
    """Return the names of the options that a job server knows, which tell what it is; empty if it does not answer."""
    with grpc.insecure_channel(endpoint) as channel:
        service = beam_job_api_pb2_grpc.JobServiceStub(channel)
        request = beam_job_api_pb2.DescribePipelineOptionsRequest()
        try:
            answer = service.DescribePipelineOptions(request, timeout=_ANSWER_SECONDS)
        except grpc.RpcError:
            return frozenset()
    return frozenset(option.name for option in answer.options)
