"""Interrupt a try to send a dispatch."""

from __future__ import annotations

import asyncio

from tests.unit.consumers.stage import a_stage, event_of


async def test_the_end_of_a_drain_cancels_no_call() -> None:
    """The lane ends with its intent in the log; both calls to SES go on without it."""
    async with a_stage() as stage:
        held = stage.sender.hold()
        await stage.process(stage.append(event_of()))
        closing = asyncio.create_task(stage.assignment.close(0))
        await stage.clock.advance(1)
        await closing
        assert stage.assignment.gone
        assert 2 == stage.sender.in_flight

        held.set()
        await stage.clock.advance(1)
        assert 0 == stage.sender.in_flight
        assert ["sending sending"] == stage.journal
