"""The parts between the local SES and its queue: bounded timers, and the outbox."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from deploy.local.ses.outbox import Outbox
from deploy.local.ses.timers import Timers
from tests.unit.deploy.local.event_queues import FakeQueue
from tests.waiting import until


@asynccontextmanager
async def sending(outbox: Outbox) -> AsyncIterator[None]:
    """Send what is in the outbox."""
    task = asyncio.create_task(outbox.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


class TestOutbox:
    """What is sent, and what is dropped."""

    async def test_sends_in_order_and_in_batches(self) -> None:
        """Messages keep their order, at most ten in a call and never more than a call may have."""
        queue = FakeQueue()
        outbox = Outbox(queue)
        messages = [str(number) for number in range(25)]
        for message in messages:
            outbox.put(message)
        for message in ("a" * 150_000, "b" * 150_000):
            outbox.put(message)

        async with sending(outbox):
            await until(lambda: outbox.counters() == (27, 0, 0), what="all messages")

        assert messages == queue.messages[:25]
        assert [10, 10, 6, 1] == [len(batch) for batch in queue.batches]

    async def test_tries_again_what_the_queue_did_not_take(self) -> None:
        """What was not taken is sent first when the queue is back."""
        queue = FakeQueue()
        queue.away = True
        outbox = Outbox(queue, retry_seconds=0)
        for message in ("first", "second"):
            outbox.put(message)

        async with sending(outbox):
            await until(lambda: outbox.counters() == (0, 2, 0), what="messages that came back")
            queue.away = False
            outbox.put("third")
            await until(lambda: outbox.counters() == (3, 0, 0), what="all messages")

        assert ["first", "second", "third"] == queue.messages

    async def test_is_bounded(self) -> None:
        """What finds no place is dropped and counted."""
        outbox = Outbox(FakeQueue(), most=2)

        for message in ("first", "second", "third"):
            outbox.put(message)

        assert (0, 2, 1) == outbox.counters()


class TestTimers:
    """Calls that wait for their time."""

    async def test_calls_in_the_order_of_time(self) -> None:
        """Each call comes at its time; of equal times the first comes first."""
        timers, called = Timers(), list[str]()
        for seconds, name in ((1.0, "late"), (0, "first"), (0, "second")):
            timers.after(seconds, partial(called.append, name))

        await until(lambda: len(called) == 3, what="all calls")

        assert ["first", "second", "late"] == called
        assert 0 == len(timers)

    async def test_is_bounded(self) -> None:
        """A call that finds no place is refused."""
        timers = Timers(most=1)

        taken = [timers.after(60, list[str]().clear) for _ in range(2)]
        timers.cancel()

        assert [True, False] == taken
        assert timers.after(0, list[str]().clear)
