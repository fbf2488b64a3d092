"""Faults and their plan."""

from __future__ import annotations

from typing import Any

import pytest

from flumebeam.broker.fault_plan import FaultPlan
from flumebeam.broker.fault_texts import parse_fault
from flumebeam.broker.faults import (
    KINDS,
    AcceptUnknownSession,
    Crash,
    CutAfterPublishes,
    CutConnections,
    CutInFrame,
    DelayAnswer,
    DuplicateAnswer,
    FailCommit,
    Fault,
    FreezeConnections,
    LoseCommitResponse,
    LosePublishAck,
    NackPublishes,
    RefuseLogins,
    Restart,
    SlowConnections,
)
from flumebeam.errors import ConfigurationError
from flumebeam.smf.header import Frame, Header, Protocol, encode_frame


def frame(protocol: Protocol) -> Frame:
    return encode_frame(Header(protocol), b"", b""), b""


def test_faults_strike_in_order_and_each_once() -> None:
    plan = FaultPlan()
    plan.add(FailCommit(reason="x"), LosePublishAck())
    plan.add(LoseCommitResponse(applied=True))

    assert plan.strike(LosePublishAck) is None
    assert plan.strike(FailCommit) == FailCommit(reason="x")
    assert plan.strike(LoseCommitResponse) is None
    assert plan.strike(LosePublishAck) == LosePublishAck()
    assert plan.strike(LoseCommitResponse) == LoseCommitResponse(applied=True)
    assert plan.strike(FailCommit) is None
    assert not plan


def test_several_refusals_count_as_several_faults() -> None:
    plan = FaultPlan()
    plan.add(NackPublishes(count=2, reason="r"), RefuseLogins(count=2, code=401), FailCommit())

    assert len(plan) == 5
    assert plan.strike(NackPublishes) == NackPublishes(count=1, reason="r")
    assert plan.strike(NackPublishes) is not None
    assert plan.strike(RefuseLogins) == RefuseLogins(count=1, code=401)


def test_fault_with_attributes_waits_for_its_own_occasion() -> None:
    plan = FaultPlan()
    plan.add(DuplicateAnswer(answer="bind"))

    assert plan.strike(DuplicateAnswer, answer="commit") is None
    assert plan.strike(DuplicateAnswer, answer="bind") is not None


def test_only_faults_without_an_occasion_strike_at_once() -> None:
    plan = FaultPlan()
    assert plan.at_once() is None
    plan.add(CutConnections(), Restart(keep_state=True), FailCommit(), FreezeConnections())

    assert plan.at_once() == CutConnections()
    assert plan.at_once() == Restart(keep_state=True)
    assert plan.at_once() is None
    plan.clear()
    assert not plan


def test_cut_comes_after_its_bytes_in_its_direction() -> None:
    plan = FaultPlan()
    assert plan.cut_after(1, sent=False) is None
    plan.add(CutInFrame(after_bytes=10), CutInFrame(after_bytes=3, sent=True))

    assert plan.cut_after(100, sent=True) is None
    assert plan.cut_after(6, sent=False) is None
    assert plan.cut_after(6, sent=False) == 4
    assert plan.cut_after(3, sent=True) == 3
    assert not plan


def test_cut_comes_after_its_message_and_counts_no_other_frames() -> None:
    plan = FaultPlan()
    plan.add(CutAfterPublishes(count=2))
    cuts: list[int] = []
    frames = [frame(Protocol.MESSAGE), frame(Protocol.KEEPALIVE), frame(Protocol.MESSAGE), frame(Protocol.MESSAGE)]
    for number, _ in enumerate(plan.watch(frames, lambda: cuts.append(len(cuts)))):
        assert len(cuts) == (number > 2)

    assert cuts == [0]
    assert not plan


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("lose-commit-response applied=true", LoseCommitResponse(applied=True)),
        ("lose-commit-response applied=no cut=False", LoseCommitResponse(applied=False, cut=False)),
        ("nack-publishes count=3 reason='Queue Shutdown'", NackPublishes(count=3, reason="Queue Shutdown")),
        ("cut-connections client=app", CutConnections(client="app")),
        ("slow-connections bytes-per-second=100", SlowConnections(bytes_per_second=100)),
        ("freeze-connections seconds=2.5", FreezeConnections(seconds=2.5)),
        ("delay-answer answer=publish-ack seconds=1", DelayAnswer(answer="publish-ack", seconds=1.0)),
        ("accept-unknown-session", AcceptUnknownSession()),
        ("crash point=after-store", Crash(point="after-store")),
    ],
)
def test_fault_has_a_text_form(text: str, fault: Fault) -> None:
    assert parse_fault(text) == fault


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "such as 'lose-commit-response applied=true'"),
        ("fail-commit reason='x", "cannot be read"),
        ("lose-everything", "There is no fault 'lose-everything'; choose one of accept-unknown-session, activate"),
        ("fail-commit text=x", "has no attribute 'text=x'; it has reason"),
        ("fail-commit reason", "has no attribute 'reason'; it has reason"),
        ("lose-publish-ack count=1", "it has none"),
        ("lose-commit-response", "needs applied, such as lose-commit-response applied="),
        ("lose-commit-response applied=maybe", "applied of the fault lose-commit-response is 'maybe'.*true or false"),
        ("nack-publishes count=few", "must be a whole number"),
        ("restart keep-state=true down-seconds=x", "must be a number"),
        ("nack-publishes count=0", "count of NackPublishes is 0; it must be above 0"),
        ("crash point=tomorrow", "must be one of before-store, after-store, after-answers"),
    ],
)
def test_mistake_in_a_fault_is_one_clear_error(text: str, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        parse_fault(text)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_fault_is_a_frozen_value_that_can_be_told(kind: type[Any]) -> None:
    needed = {"applied": True, "answer": "bind", "seconds": 1.0, "after_bytes": 1, "bytes_per_second": 1}
    needed |= {"keep_state": True, "point": "after-store"}
    values = {name: value for name, value in needed.items() if name in kind.__dataclass_fields__}
    fault = kind(**values)

    assert hash(fault) == hash(kind(**values))
    assert kind.__name__ in repr(fault)
