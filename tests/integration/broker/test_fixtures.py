"""The pytest fixtures, as a project that uses them has them."""

from __future__ import annotations

import pytest

pytest_plugins = ["pytester"]

_TESTS = """
    def test_queue_is_fed(flumebeam_broker, flumebeam_queue):
        status = flumebeam_broker.queue(flumebeam_queue)
        assert status.subscriptions == ("flumebeam_queue/>",)
        assert flumebeam_broker.url.startswith("tcp://127.0.0.1:")

    def test_data_is_kept(flumebeam_data_broker, tmp_path):
        flumebeam_data_broker.create_queue("kept")
        flumebeam_data_broker.restart(keep_state=True)
        assert flumebeam_data_broker.queue("kept").messages == 0
        assert (tmp_path / "broker-data").is_dir()
"""


def test_fixtures_give_a_broker_per_test(pytester: pytest.Pytester) -> None:
    pytester.makeconftest('pytest_plugins = ["flumebeam.testing.fixtures"]')
    pytester.makepyfile(_TESTS)

    pytester.runpytest_subprocess("-q").assert_outcomes(passed=2)
