"""Ask Kafka until it answers: the one loop that waits for brokers, and the reason it waits."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog
from aiokafka.errors import KafkaError

from runtime.clock import Clock
from runtime.kafka.connection import client_arguments
from runtime.kafka.diagnosis import diagnose
from runtime.settings import Settings

T = TypeVar("T")

UNAVAILABLE = (KafkaError, TimeoutError, OSError)
"""What a call to Kafka raises when no broker answers it, or a broker refuses it."""

log = structlog.get_logger(__name__)


async def _no_diagnosis() -> str:
    return ""


class Trouble:
    """Why a program still waits for Kafka, as its readiness shows it."""

    def __init__(self, find_cause: Callable[[], Awaitable[str]] = _no_diagnosis) -> None:
        self._find_cause = find_cause
        self.cause = ""
        """Empty while Kafka answers, or while nobody knows the cause."""

    async def diagnose(self) -> None:
        """Find the cause anew."""
        self.cause = await self._find_cause()


def trouble_with(settings: Settings) -> Trouble:
    """Return a Trouble that tries the brokers which the settings name."""
    return Trouble(lambda: diagnose(client_arguments(settings)))


def half_a_second(_failures: int) -> float:
    """Return the usual pause between two attempts."""
    return 0.5


async def until_kafka_answers(
    ask: Callable[[], Awaitable[T]],
    clock: Clock,
    event: str = "kafka.unreachable",
    *,
    pause: Callable[[int], float] = half_a_second,
    reraise: tuple[type[KafkaError], ...] = (),
    trouble: Trouble | None = None,
    **logged: object,
) -> T:
    """
    Return what *ask* returns, trying again after each of the errors in UNAVAILABLE.

    Log each failure as *event* with the fields *logged*. *pause* returns the seconds to wait after so many failures.
    If *trouble* is given, keep its cause up to date.

    Raises:
        KafkaError: One of the kinds in *reraise*.
    """
    failures = 0
    while True:
        try:
            answer = await ask()
        except reraise:
            raise
        except UNAVAILABLE as error:
            failures += 1
            if trouble is not None:
                await trouble.diagnose()
                logged |= {"detail": trouble.cause or None, "attempts": failures}
            log.warning(event, error=type(error).__name__, **logged)
        else:
            if trouble is not None:
                trouble.cause = ""
            return answer
        await clock.sleep(pause(failures))
