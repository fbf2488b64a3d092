from __future__ import annotations

import signal

import pytest

from flumebeam.cli.put import Interrupts


def ended(interrupts: Interrupts, *, times: int) -> bool:
    """Tell whether a transaction during which Ctrl-C comes so often is done to its end."""
    done = False
    try:
        with interrupts.put_off():
            for _ in range(times):
                interrupts(signal.SIGINT, None)
            done = True
    except KeyboardInterrupt:
        return done
    raise AssertionError("it went on")


def test_while_lines_are_waited_for_ctrl_c_ends_it_at_once() -> None:
    interrupts = Interrupts()

    with pytest.raises(KeyboardInterrupt):
        interrupts(signal.SIGINT, None)

    assert not interrupts.cut_short


def test_a_transaction_in_progress_is_ended_first(capfd: pytest.CaptureFixture[str]) -> None:
    interrupts = Interrupts()

    assert ended(interrupts, times=1)
    assert not interrupts.cut_short
    assert "is ended first; Ctrl-C again leaves it" in capfd.readouterr().err


def test_a_second_ctrl_c_leaves_it_and_says_so() -> None:
    interrupts = Interrupts()

    assert not ended(interrupts, times=2)
    assert interrupts.cut_short


def test_what_comes_while_it_ends_changes_nothing() -> None:
    interrupts = Interrupts()
    with pytest.raises(KeyboardInterrupt), interrupts.put_off():
        interrupts(signal.SIGINT, None)

    interrupts(signal.SIGINT, None)


def test_without_ctrl_c_it_goes_on() -> None:
    with Interrupts().put_off():
        pass
