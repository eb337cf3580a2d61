"""Log at the level that operators have put in force for all programs, or else at that of the settings."""

from __future__ import annotations

import asyncio

from runtime.clock import Clock
from runtime.controls import ControlledLogLevel, Controls
from runtime.kafka.connection import client_arguments
from runtime.kafka.reader import Reader
from runtime.kafka.retry import until_kafka_answers
from runtime.kafka.table_follower import TableFollower
from runtime.kafka.topics import Topics
from runtime.logs import set_log_level
from runtime.settings import ServiceSettings
from schemas.signatures import SigningKeys

_LOOK_SECONDS = 1.0
_FETCH_MAX_WAIT_MS = 1000  # a lever may take a second; four fetches a second for nothing would cost more


async def follow_log_level(settings: ServiceSettings, keys: SigningKeys, clock: Clock) -> None:
    """Follow the controls until cancelled. Of them, a facade heeds the log level alone."""
    controls = Controls()
    level = ControlledLogLevel(controls, lambda wanted: set_log_level(wanted or settings.log_level))
    reader = Reader(client_arguments(settings), fetch_max_wait_ms=_FETCH_MAX_WAIT_MS)
    follower = TableFollower(
        controls,
        reader,
        Topics(settings.namespace).controls,
        clock,
        name="controls",
        on_change=lambda: level.apply(clock.now()),
        counts=lambda record: controls.believes(record, keys),
    )
    try:
        await until_kafka_answers(reader.start, clock, "controls.unreachable")
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(follower.run(), name="follow-controls")
            tasks.create_task(_reset_in_time(level, clock), name="reset-log-level")
    finally:
        await reader.stop()


async def _reset_in_time(level: ControlledLogLevel, clock: Clock) -> None:
    """Notice that a level has ended by itself."""
    while True:
        await clock.sleep(_LOOK_SECONDS)
        level.apply(clock.now())
