"""The limit of log lines a cause and minute."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.log_limit import LEFT_OUT, LINES_A_MINUTE, MINUTE, OUTAGE, Cause, LogLimit


class _Clock:
    """Seconds that a test sets."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("event", sorted(OUTAGE))
def test_an_outage_has_one_line_a_minute_and_cause(event: str) -> None:
    """All partitions share one line of the same error; another error has its own."""
    limit = LogLimit(_Clock())
    errors = [*["TimeoutError"] * 9, "NotPublished"]

    passed = [
        limit.passes("warning", {"event": event, "error": error, "partition": number})
        for number, error in enumerate(errors)
    ]

    assert [True, *[False] * 8, True] == passed


def test_lines_about_single_records_have_a_larger_limit() -> None:
    """The first 20 lines of a minute name their records; the next is counted."""
    limit = LogLimit(_Clock())
    passed = [limit.passes("warning", {"event": "dead_letter.written", "reason": "failed"}) for _ in range(21)]

    assert [True] * LINES_A_MINUTE + [False] == passed


@pytest.mark.parametrize("level", ["debug", "info"])
def test_lines_below_warnings_always_pass(level: str) -> None:
    """Only warnings and errors are limited."""
    limit = LogLimit(_Clock())

    assert all(limit.passes(level, {"event": "record.not_durable"}) for _ in range(50))


@pytest.mark.parametrize("event", ["controls.changed", LEFT_OUT])
def test_audit_and_counts_are_never_left_out(event: str) -> None:
    """What operators did, and how much was left out, is logged each time."""
    limit = LogLimit(_Clock())

    assert all(limit.passes("warning", {"event": event, "reason": "test"}) for _ in range(50))


def test_a_minute_begins_with_the_first_line() -> None:
    """When a minute is over, the same cause passes again."""
    clock = _Clock()
    limit = LogLimit(clock)
    line = {"event": "group.poll.failed", "error": "TimeoutError"}
    limit.passes("warning", line)
    clock.now = MINUTE
    limit.ended()

    assert limit.passes("warning", line)


def test_a_cause_is_told_without_its_numbers() -> None:
    """Ports and nodes make no other cause."""
    clock = _Clock()
    limit = LogLimit(clock)
    for port in (9092, 9093, 9094):
        limit.passes("error", {"event": f"Connection at 127.0.0.1:{port} closed", "logger": "aiokafka"})
    clock.now = MINUTE

    assert [(Cause("aiokafka", "Connection at #.#.#.#:# closed"), 2)] == limit.ended()


def test_memory_is_bounded() -> None:
    """A thousand causes are told apart; all others share one limit."""
    limit = LogLimit(_Clock())
    for number in range(5000):
        limit.passes("warning", {"event": "x", "reason": "".join(chr(97 + int(digit)) for digit in str(number))})

    assert 1001 == len(limit._minutes)


@given(st.lists(st.tuples(st.floats(0, 50), st.sampled_from(["group.poll.failed", "dead_letter.written"]))))
def test_each_line_passes_or_is_counted(lines: list[tuple[float, str]]) -> None:
    """Whatever comes when, the lines that passed and those that were counted are all lines."""
    clock = _Clock()
    limit = LogLimit(clock)
    passed = counted = 0
    for seconds, event in lines:
        clock.now += seconds
        counted += sum(number for _, number in limit.ended())
        passed += limit.passes("warning", {"event": event, "error": "TimeoutError"})
    clock.now += MINUTE
    counted += sum(number for _, number in limit.ended())

    assert len(lines) == passed + counted
