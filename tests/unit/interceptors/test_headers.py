from __future__ import annotations

import pickle
import socket

import pytest

from flumebeam.batch import EventBatch
from flumebeam.clock import ManualClock
from flumebeam.errors import ConfigurationError
from flumebeam.interceptors import (
    Chain,
    HostInterceptor,
    Interceptor,
    StaticInterceptor,
    TimestampInterceptor,
)


def batch() -> EventBatch:
    return EventBatch.from_bodies([b"a", b"b"])


def test_the_clock_is_the_timestamp_of_a_whole_batch() -> None:
    found = TimestampInterceptor(clock=ManualClock(epoch_ms=1234))(batch())

    assert found.shared == {"timestamp": "1234"}


def test_the_machine_is_the_host_unless_another_one_is_named() -> None:
    assert HostInterceptor()(batch()).shared == {"host": socket.gethostname()}
    assert HostInterceptor(host="web-1", header="origin")(batch()).shared == {"origin": "web-1"}


def test_a_static_header_has_one_value() -> None:
    assert StaticInterceptor(header="dc", value="eu")(batch()).shared == {"dc": "eu"}


@pytest.mark.parametrize("name", ["", "solace.topic"])
def test_names_that_cannot_be_headers_are_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot be the name of a header"):
        StaticInterceptor(header=name, value="x")


@pytest.mark.parametrize(
    ("keeping", "replacing"),
    [
        (HostInterceptor(host="new", header="h", preserve_existing=True), HostInterceptor(host="new", header="h")),
        (
            StaticInterceptor(header="h", value="new"),
            StaticInterceptor(header="h", value="new", preserve_existing=False),
        ),
        (
            TimestampInterceptor(header="h", preserve_existing=True, clock=ManualClock(5)),
            TimestampInterceptor(header="h", clock=ManualClock(5)),
        ),
    ],
)
def test_existing_headers_are_preserved_or_replaced_as_told(keeping: Interceptor, replacing: Interceptor) -> None:
    mixed = EventBatch.from_bodies([b"a", b"b"], columns={"h": ["old", None]})
    same = EventBatch.from_bodies([b"a", b"b"], shared={"h": "old"})
    [new] = set(replacing(batch()).header("h").to_pylist())

    assert keeping(mixed).header("h").to_pylist() == ["old", new]
    assert keeping(same).header("h").to_pylist() == ["old", "old"]
    assert keeping(batch()).header("h").to_pylist() == [new, new]
    assert replacing(mixed).header("h").to_pylist() == [new, new]
    assert replacing(same).header("h").to_pylist() == [new, new]


def test_a_chain_goes_from_first_to_last() -> None:
    chain = Chain((HostInterceptor(host="one"), HostInterceptor(host="two"), StaticInterceptor(header="x", value="y")))

    assert chain(batch()).shared == {"host": "two", "x": "y"}
    assert Chain()(batch()) == batch()


def test_a_chain_can_be_pickled() -> None:
    chain = Chain((HostInterceptor(), TimestampInterceptor(), StaticInterceptor(header="x", value="y")))
    copy = pickle.loads(pickle.dumps(chain))  # noqa: S301

    assert copy(batch()).header_names == ("host", "timestamp", "x")
