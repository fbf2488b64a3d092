from __future__ import annotations

import pickle

import pytest

from flumebeam.batch import EventBatch
from flumebeam.interceptors.severity import SeverityInterceptor


def severity(*lines: bytes) -> list[str | None]:
    batch = SeverityInterceptor()(EventBatch.from_bodies(lines))
    return batch.header("severity").to_pylist()


@pytest.mark.parametrize(
    ("line", "level"),
    [
        (b"2015-07-29 17:41:44,747 - WARN  [worker] - gone", "warn"),
        (b"081109 203615 148 INFO dfs.DataNode: done", "info"),
        (b"ERROR:root:failed", "error"),
        (b"FATAL out of memory", "fatal"),
        (b"12:00 DEBUG x", "debug"),
        (b"12:00 TRACE x", "trace"),
        (b"CRITICAL:app:x", "fatal"),
        (b"SEVERE: x", "error"),
        (b"WARNING: x", "warn"),
        (b"[Sun Dec 04 04:47:44 2005] [notice] init() ok", "info"),
        (b"[Sun Dec 04 04:47:44 2005] [error] child in info state", "error"),
        (b"[Fri Sep 09 10:42:29 2011] [core:error] [pid 35708] denied", "error"),
        (b"2024/01/01 [crit] 7#7: open() failed", "fatal"),
        (b"ts=1 level=warn msg=slow", "warn"),
        (b'{"ts": 1, "level": "info", "msg": "x"}', "info"),
        (b'{"Severity":"Error"}', "error"),
        (b"<34>Oct 11 22:14:15 host su: failed", "fatal"),
        (b"<3>x", "error"),
        (b"<132>x", "warn"),
        (b"<13>x", "info"),
        (b"<14>x", "info"),
        (b"<191>x", "debug"),
        (b"Dec 10 06:55:46 LabSZ sshd[24200]: error: session closed", None),
        (b"no error found, for your information", None),
        (b"INFORMATION is no level", None),
        (b"MYERROR", None),
        (b"a <34> elsewhere", None),
        (b"", None),
        (b"\xff\xfe WARN \x00\x80", "warn"),
        (b"x" * 600 + b" ERROR", None),
    ],
)
def test_the_first_level_in_a_line_is_found(line: bytes, level: str | None) -> None:
    assert severity(line) == [level]


def test_each_event_gets_its_own_level() -> None:
    assert severity(b"INFO a", b"b", b"ERROR c", b"INFO d") == ["info", None, "error", "info"]


def test_a_batch_without_any_level_has_no_severity() -> None:
    assert severity(b"a", b"b") == [None, None]


def test_an_empty_batch_stays_empty() -> None:
    assert len(SeverityInterceptor()(EventBatch.empty())) == 0


def test_a_slice_is_searched_as_what_it_is() -> None:
    batch = EventBatch.from_bodies([b"INFO", b"WARN", b"ERROR"]).slice(1)

    assert SeverityInterceptor()(batch).header("severity").to_pylist() == ["warn", "error"]


def test_an_older_severity_is_replaced() -> None:
    batch = EventBatch.from_bodies([b"INFO", b"x"], shared={"severity": "error", "host": "h"})

    found = SeverityInterceptor()(batch)

    assert [dict(event.headers) for event in found.events()] == [{"host": "h", "severity": "info"}, {"host": "h"}]


def test_it_can_be_pickled() -> None:
    interceptor = SeverityInterceptor(header="level")

    assert pickle.loads(pickle.dumps(interceptor)) == interceptor  # noqa: S301
