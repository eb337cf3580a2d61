"""Ends a replica that makes no progress when a new process would: its supervisor starts that one."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import structlog

from runtime.clock import Clock
from runtime.kafka.connection import connected_admin
from runtime.kafka.retry import UNAVAILABLE

log = structlog.get_logger(__name__)

_ASK_SECONDS = 10.0
_ASKED_FROM = 0.5
"""After which part of its patience the watchdog asks at each look. An outage may end just before patience does."""
_STACKS_LOGGED = 30
_FRAMES_LOGGED = 20


class WatchdogBarked(Exception):
    """Polling or membership makes no progress: the process ends, and its supervisor starts a new one."""


class Watchdog:
    """
    Barks when nothing moves for too long although Kafka answered in the later part of that time.

    While Kafka does not answer a new client either, a new process would make no progress. It would also have forgotten
    which e-mails were sent whose record is not durable yet, and would send them again after the outage.
    """

    def __init__(self, clock: Clock, *, patience_seconds: float, kafka_answers: Callable[[], Awaitable[bool]]) -> None:
        self._clock = clock
        self._patience = patience_seconds
        self._kafka_answers = kafka_answers
        self._silent_at = -math.inf

    async def look(self, *, polled_at: float, heartbeat_at: float) -> None:
        """Check once, given the monotonic times at which polling and membership last moved; raise WatchdogBarked."""
        what = "polling stands still" if polled_at < heartbeat_at else "no heartbeat was taken"
        moved_at = min(polled_at, heartbeat_at)
        if self._lasts(moved_at) > self._patience * _ASKED_FROM and not await self._kafka_answers():
            self._silent_at = self._clock.monotonic()
            log.warning("watchdog.kafka_silent", what=what)
        if self._lasts(max(moved_at, self._silent_at)) > self._patience:
            log.error("watchdog.barked", what=what, stacks=task_stacks())
            raise WatchdogBarked(f"{what}, though Kafka answers")

    def _lasts(self, since: float) -> float:
        return self._clock.monotonic() - since


def task_stacks() -> list[str]:
    """
    Return where all tasks wait, outermost frame first: names of functions and line numbers, no values.

    Tasks that wait at the same place are counted together, since thousands of lanes may wait at the gate. If there are
    too many places, the rarest are returned: they tell most.
    """
    counted = Counter(_stack(task) for task in asyncio.all_tasks())
    rarest_first = sorted(counted.items(), key=lambda item: (item[1], item[0]))
    return [f"{count} x {stack}" for stack, count in rarest_first[:_STACKS_LOGGED]]


def _stack(task: asyncio.Task[Any]) -> str:
    frames: list[str] = []
    waiting: Any = task.get_coro()
    while waiting is not None and len(frames) < _FRAMES_LOGGED:
        frame = getattr(waiting, "cr_frame", None) or getattr(waiting, "gi_frame", None)
        if frame is not None:
            frames.append(f"{frame.f_globals.get('__name__')}:{frame.f_lineno} {frame.f_code.co_qualname}")
        waiting = getattr(waiting, "cr_await", None) or getattr(waiting, "gi_yieldfrom", None)
    return " > ".join(frames)


async def group_answers(client_arguments: dict[str, Any], group_id: str) -> bool:
    """Return whether a new client can read the group's offsets: whether its coordinator answers."""
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
    """Return true, when there is no Kafka to ask."""
    return True
