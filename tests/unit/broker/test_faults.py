"""The fault plan."""

from __future__ import annotations

from flumebeam.broker.faults import FailCommit, FaultPlan, LoseCommitResponse, LosePublishAck, NackPublishes


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
    assert len(plan) == 0


def test_several_refusals_count_as_several_faults() -> None:
    plan = FaultPlan()
    plan.add(NackPublishes(count=2, reason="r"), FailCommit())

    assert len(plan) == 3
    assert plan.strike(NackPublishes) == NackPublishes(count=1, reason="r")
