"""Callers who hang up, over real connections to the whole facade."""

from __future__ import annotations

import asyncio
from functools import partial

import httpx
import pytest

from schemas.cloudevents import decode
from schemas.dispatch import Status
from schemas.events import Role
from tests.fakes.facade import BASE, ends, never, recipient, served_facade, started
from tests.waiting import until

BODY = b'{"mentor_id":"mentor-042"}'
HEAD = (
    f"POST {BASE}/pause-lifted HTTP/1.1\r\nHost: facade\r\nContent-Type: application/json\r\n"
    f"Content-Length: {len(BODY)}\r\nPrefer: wait=30\r\n\r\n"
).encode()
CALLERS = 20

_served = partial(served_facade, never, drain_seconds=0.1)
"""A facade whose events no replica reads."""


async def _call(port: int) -> asyncio.StreamWriter:
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(HEAD + BODY)
    await writer.drain()
    return writer


@pytest.mark.parametrize("abort", [False, True], ids=["closed", "reset"])
async def test_a_place_is_free_when_its_caller_hangs_up(*, abort: bool) -> None:
    """Callers who hang up free their places at once, and their events stay published."""
    async with _served(max_waiting_callers=CALLERS, max_waiting_share=1) as (setup, port):
        writers = [await _call(port) for _ in range(CALLERS)]
        await until(lambda: setup.facade.waiting.count == CALLERS, what="all callers to wait")
        for writer in writers:
            writer.transport.abort() if abort else writer.close()

        await until(lambda: setup.facade.waiting.count == 0, within=5, what="their places to be free")

        assert CALLERS == len({decode(one.headers, one.value).id for one in setup.publisher.records})


async def test_the_other_callers_are_answered() -> None:
    """When some callers hang up, the others get their answer."""
    async with _served() as (setup, port), httpx.AsyncClient(trust_env=False) as client:
        gone = await _call(port)
        await until(lambda: setup.publisher.records, what="the first caller's event")
        address = f"http://127.0.0.1:{port}{BASE}/pause-lifted"
        staying = asyncio.create_task(
            client.post(address, json={"mentor_id": "mentor-042"}, headers={"Prefer": "wait=30"})
        )
        await until(lambda: len(setup.publisher.records) == 2, what="the second caller's event")
        gone.close()
        await until(lambda: setup.facade.waiting.count == 1, within=5, what="the first caller's place to be free")

        outcome = ends(recipient(Role.MENTOR, Status.SENT))
        setup.log.append_dispatch(outcome(started(setup.publisher.records[1])) or pytest.fail("no dispatch"))

        assert 200 == (await staying).status_code


async def test_hanging_up_is_counted() -> None:
    """A caller who hangs up while waiting is counted."""
    async with _served() as (setup, port):
        writer = await _call(port)
        await until(lambda: setup.facade.waiting.count == 1, what="the caller to wait")
        writer.close()
        await until(lambda: setup.facade.waiting.count == 0, within=5, what="the place to be free")

        count = setup.facade.metrics.registry.get_sample_value("pause_notifications_callers_gone_total")
        assert 1 == count
