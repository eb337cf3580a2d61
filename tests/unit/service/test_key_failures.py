"""Failures with API keys."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.callers import KeyFailure
from service.key_failures import MAX_FAILURES, WINDOW_SECONDS, KeyFailures
from service.metrics import make_metrics


@pytest.mark.parametrize("reason", list(KeyFailure))
def test_counted_by_reason(reason: KeyFailure) -> None:
    """Every failure is counted by its reason, even of a client that is slowed down."""
    metrics = make_metrics()
    failures = KeyFailures(metrics.key_failures, lambda: 0.0)
    for _ in range(MAX_FAILURES + 2):
        failures.note("192.0.2.7", reason)

    name = "pause_notifications_api_key_failures_total"
    assert MAX_FAILURES + 2 == metrics.registry.get_sample_value(name, {"reason": reason.value})


def test_memory_is_bounded() -> None:
    """The number of remembered clients is limited; the oldest is forgotten."""
    failures = KeyFailures(make_metrics().key_failures, lambda: 0.0, max_clients=3)
    for _ in range(MAX_FAILURES + 1):
        slowed = failures.note("first", "unknown")
    for number in range(1000):
        failures.note(f"client-{number}", "unknown")

    assert slowed is not None
    assert 3 == len(failures)
    assert failures.note("first", "unknown") is None


@given(st.lists(st.tuples(st.floats(0, 30), st.sampled_from("abc")), max_size=200))
def test_the_wait_is_true(steps: list[tuple[float, str]]) -> None:
    """A client that waits as long as it is told may fail again, and never has to wait longer than a window."""
    now = 0.0
    failures = KeyFailures(make_metrics().key_failures, lambda: now)
    for seconds, client in steps:
        now += seconds
        wait = failures.note(client, "unknown")
        if wait is not None:
            assert 1 <= wait <= WINDOW_SECONDS
            now += wait
            assert failures.note(client, "unknown") is None
