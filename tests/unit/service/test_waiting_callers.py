"""Callers who wait."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from contextlib import ExitStack, suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.dispatch import Dispatch, Status
from service.waiting_callers import TooManyOfOneCaller, TooManyWaiting, WaitingCallers
from tests.unit.service.dispatches import dispatch_of


def _final(dispatch: Dispatch) -> bool:
    return dispatch.final


class TestWaiting:
    """Callers who wait."""

    async def test_notified(self) -> None:
        """All who wait for a dispatch get its record, and nobody else does."""
        waiting = WaitingCallers(limit=3)
        with (
            waiting.register("a", caller="c") as first,
            waiting.register("a", caller="c") as second,
            waiting.register("b", caller="c") as other,
        ):
            outcomes = asyncio.gather(*(one.until(_final, deadline_seconds=5) for one in (first, second)))
            waiting.take(dispatch_of("a"))

            expected = dispatch_of("a")
            assert [expected, expected] == await outcomes
            assert other.since is None

    async def test_notified_before_waiting(self) -> None:
        """A record that comes between registering and waiting is not missed, even without time to wait."""
        waiting = WaitingCallers(limit=1)
        with waiting.register("a", caller="c") as waiter:
            waiting.take(dispatch_of("a"))

            assert dispatch_of("a") == await waiter.until(_final, deadline_seconds=0)

    async def test_not_settled(self) -> None:
        """At the deadline there is no outcome, but what is known is kept."""
        waiting = WaitingCallers(limit=1)
        with waiting.register("a", caller="c") as waiter:
            waiting.take(dispatch_of("a", Status.SENDING))

            assert await waiter.until(_final, deadline_seconds=0.01) is None
            assert dispatch_of("a", Status.SENDING) == waiter.since

    async def test_folded(self) -> None:
        """A late write of a former owner does not undo the outcome."""
        waiting = WaitingCallers(limit=1)
        with waiting.register("a", caller="c") as waiter:
            waiting.take(dispatch_of("a"))
            waiting.take(dispatch_of("a", Status.PENDING))

            assert dispatch_of("a") == await waiter.until(_final, deadline_seconds=0)

    def test_limit(self) -> None:
        """A caller beyond the limit is refused; a place becomes free when its caller leaves."""
        waiting = WaitingCallers(limit=1)
        with waiting.register("a", caller="c"), pytest.raises(TooManyWaiting), waiting.register("b", caller="c"):
            pass

        with waiting.register("b", caller="c"):
            assert 1 == waiting.count
        assert 0 == waiting.count

    def test_limit_of_one(self) -> None:
        """One caller has at most its share, whatever others do; a place becomes free when its call ends."""
        waiting = WaitingCallers(limit=3, limit_of_one=1)
        with waiting.register("a", caller="c"), waiting.register("a", caller="d"):
            with pytest.raises(TooManyOfOneCaller), waiting.register("b", caller="c"):
                pass
            assert 2 == waiting.count

        with waiting.register("b", caller="c"):
            assert 1 == waiting.count

    @given(st.lists(st.tuples(st.sampled_from("abcde"), st.booleans()), max_size=60))
    def test_counts_are_true(self, steps: list[tuple[str, bool]]) -> None:
        """Whoever comes and goes, no caller has more than its share, and all have no more than all places."""
        waiting, places = WaitingCallers(limit=5, limit_of_one=2), defaultdict[str, list[ExitStack]](list)
        for caller, comes in steps:
            if not comes and places[caller]:
                places[caller].pop().close()
            elif comes:
                entered = ExitStack()
                with suppress(TooManyWaiting, TooManyOfOneCaller):
                    entered.enter_context(waiting.register("a", caller=caller))
                    places[caller].append(entered)
            held = {caller: len(stacks) for caller, stacks in places.items() if stacks}
            assert sum(held.values()) == waiting.count <= 5
            assert max(held.values(), default=0) <= 2

    async def test_until_anybody(self) -> None:
        """A pause while nobody waits ends when a caller comes."""
        waiting = WaitingCallers(limit=1)
        with waiting.register("gone", caller="c"):
            pass
        pause = asyncio.create_task(waiting.until_anybody(deadline_seconds=30))
        await asyncio.sleep(0)
        begun = not pause.done()

        with waiting.register("a", caller="c"):
            async with asyncio.timeout(5):
                await pause

        assert begun

    async def test_until_nobody_came(self) -> None:
        """Without a caller the pause ends at its deadline."""
        async with asyncio.timeout(5):
            await WaitingCallers(limit=1).until_anybody(deadline_seconds=0.01)

    async def test_drain(self) -> None:
        """A drain ends when the last caller leaves, or at its deadline ends the remaining waits."""
        waiting = WaitingCallers(limit=1)
        await waiting.drain(deadline_seconds=0.01)
        with waiting.register("a", caller="c") as waiter:
            outcomes = asyncio.create_task(waiter.until(_final, deadline_seconds=30))
            await waiting.drain(deadline_seconds=0.01)

            assert await outcomes is None
