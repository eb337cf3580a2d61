"""Waiting for Kafka: what is tried again, what is not, and what is said of it meanwhile."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

import pytest
import structlog
from aiokafka.errors import KafkaConnectionError

from runtime.kafka.retry import Trouble, until_kafka_answers
from runtime.kafka.topic_watch import GONE, TopicRecreated
from tests.fakes.clock import FakeClock
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


def answers_after(*errors: Exception) -> Callable[[], Awaitable[str]]:
    """Return a question that meets these errors first."""
    left = deque(errors)

    async def ask() -> str:
        if left:
            raise left.popleft()
        return "answer"

    return ask


async def test_failures_are_logged_and_tried_again() -> None:
    """Each kind of silence is logged with the caller's fields, and the pause may grow."""
    clock, pauses = FakeClock(), []
    ask = answers_after(KafkaConnectionError("no"), OSError("no"), TimeoutError())

    def pause(failures: int) -> float:
        pauses.append(failures)
        return float(failures)

    with structlog.testing.capture_logs() as logged:
        asking = asyncio.create_task(until_kafka_answers(ask, clock, "ledger.unreachable", pause=pause, partition=3))
        await clock.advance(6)
        assert "answer" == await asking

    assert [1, 2, 3] == pauses
    assert ["KafkaConnectionError", "OSError", "TimeoutError"] == [line["error"] for line in logged]
    assert {("ledger.unreachable", 3)} == {(line["event"], line["partition"]) for line in logged}


async def test_the_cause_is_known_while_kafka_is_silent() -> None:
    """It stands in the log and for readiness, and is forgotten with the answer."""

    async def find_cause() -> str:
        return "nothing listens there"

    clock, trouble = FakeClock(), Trouble(find_cause)
    with structlog.testing.capture_logs() as logged:
        asking = asyncio.create_task(until_kafka_answers(answers_after(OSError()), clock, trouble=trouble))
        await until(lambda: trouble.cause, what="the cause")
        assert "nothing listens there" == trouble.cause
        await clock.advance(1)
        await asking

    assert "" == trouble.cause
    assert [("nothing listens there", 1)] == [(line["detail"], line["attempts"]) for line in logged]


@pytest.mark.parametrize("error", [TopicRecreated("contacts", GONE), ValueError("a mistake of ours")])
async def test_other_errors_end_the_wait(error: Exception) -> None:
    """An error that no waiting mends is raised: another kind, or one that the caller names."""
    with pytest.raises(type(error)):
        await until_kafka_answers(answers_after(error), FakeClock(), reraise=(TopicRecreated,))
