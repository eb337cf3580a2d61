"""Sees when a replica stands still though a new process would do better; its supervisor starts that one."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Any

import structlog

from runtime.clock import Clock
from runtime.kafka.connection import connected_admin
from runtime.kafka.retry import UNAVAILABLE

log = structlog.get_logger(__name__)

_ASK_SECONDS = 10.0


class WatchdogBarked(Exception):
    """Polling or membership stands still: the process ends, for its supervisor to start a sound one."""


class Watchdog:
    """
    Barks where nothing moves for too long although Kafka answered all that time.

    While Kafka is silent to a client made anew, a new process would stand still as well, and would have forgotten which
    e-mails were sent whose record is not durable yet: after the outage they would be sent twice.
    """

    def __init__(self, clock: Clock, *, patience_seconds: float, kafka_answers: Callable[[], Awaitable[bool]]) -> None:
        self._clock = clock
        self._patience = patience_seconds
        self._kafka_answers = kafka_answers
        self._silent_at = -math.inf

    async def look(self, *, polled_at: float, heartbeat_at: float) -> None:
        """Look once, given when polling and membership last moved (monotonic); raises WatchdogBarked."""
        what = "polling stands still" if polled_at < heartbeat_at else "no heartbeat was taken"
        moved_at = min(polled_at, heartbeat_at)
        if self._lasts_too_long(moved_at) and not await self._kafka_answers():
            self._silent_at = self._clock.monotonic()
            log.warning("watchdog.kafka_silent", what=what)
        if self._lasts_too_long(max(moved_at, self._silent_at)):
            raise WatchdogBarked(f"{what}, though Kafka answers")

    def _lasts_too_long(self, since: float) -> bool:
        return self._clock.monotonic() - since > self._patience


async def group_answers(client_arguments: dict[str, Any], group_id: str) -> bool:
    """Return whether a client made anew is told the group's offsets: its coordinator answers."""
    try:
        async with (
            connected_admin(client_arguments, deadline_seconds=_ASK_SECONDS) as admin,
            asyncio.timeout(_ASK_SECONDS),
        ):
            await admin.list_consumer_group_offsets(group_id)
    except UNAVAILABLE:
        return False
    return True


async def always_answers() -> bool:
    """Say yes, where there is no Kafka to ask."""
    return True
