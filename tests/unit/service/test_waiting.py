"""Callers who wait."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from contextlib import ExitStack, suppress
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.dispatch import Dispatch, Origin, Recipient, Status
from schemas.events import Role
from service.waiting import TooManyOfOneCaller, TooManyWaiting, Waiting

NOW = datetime(2026, 3, 26, 8, 30, tzinfo=UTC)


def _dispatch(dispatch_id: str, status: Status = Status.SENT, *, send: int = 1) -> Dispatch:
    return Dispatch(
        dispatch_id=dispatch_id,
        event_type="mentor.pause.lifted.v1",
        mentor_id="mentor-042",
        digest="d",
        origin=Origin(topic="mentor.pauses.v1", partition=0, offset=0, appended_at=NOW),
        recipients=(Recipient(contact_id="mentor-042", role=Role.MENTOR, status=status, send=send),),
    )


def _final(dispatch: Dispatch) -> bool:
    return dispatch.final


class TestWaiting:
    """Those who wait."""

    async def test_told(self) -> None:
        """Everyone who waits for a dispatch is told, and nobody else."""
        waiting = Waiting(limit=3)
        with (
            waiting.register("a", caller="c") as first,
            waiting.register("a", caller="c") as second,
            waiting.register("b", caller="c") as other,
        ):
            told = asyncio.gather(*(one.until(_final, deadline_seconds=5) for one in (first, second)))
            waiting.take(_dispatch("a"))

            expected = _dispatch("a")
            assert [expected, expected] == await told
            assert other.since is None

    async def test_told_before_waiting(self) -> None:
        """What came between registering and waiting is not missed, even without time to wait."""
        waiting = Waiting(limit=1)
        with waiting.register("a", caller="c") as waiter:
            waiting.take(_dispatch("a"))

            assert _dispatch("a") == await waiter.until(_final, deadline_seconds=0)

    async def test_not_settled(self) -> None:
        """At the deadline there is nothing, but what is known stays known."""
        waiting = Waiting(limit=1)
        with waiting.register("a", caller="c") as waiter:
            waiting.take(_dispatch("a", Status.SENDING))

            assert await waiter.until(_final, deadline_seconds=0.01) is None
            assert _dispatch("a", Status.SENDING) == waiter.since

    async def test_folded(self) -> None:
        """A late write of a former owner does not undo the end."""
        waiting = Waiting(limit=1)
        with waiting.register("a", caller="c") as waiter:
            waiting.take(_dispatch("a"))
            waiting.take(_dispatch("a", Status.PENDING))

            assert _dispatch("a") == await waiter.until(_final, deadline_seconds=0)

    def test_limit(self) -> None:
        """One more than may wait is refused, and a place that is left is free again."""
        waiting = Waiting(limit=1)
        with waiting.register("a", caller="c"), pytest.raises(TooManyWaiting), waiting.register("b", caller="c"):
            pass

        with waiting.register("b", caller="c"):
            assert 1 == waiting.count
        assert 0 == waiting.count

    def test_limit_of_one(self) -> None:
        """One caller has no more than its share, which others do not use up, and which is free again when it leaves."""
        waiting = Waiting(limit=3, limit_of_one=1)
        with waiting.register("a", caller="c"), waiting.register("a", caller="d"):
            with pytest.raises(TooManyOfOneCaller), waiting.register("b", caller="c"):
                pass
            assert 2 == waiting.count

        with waiting.register("b", caller="c"):
            assert 1 == waiting.count

    @given(st.lists(st.tuples(st.sampled_from("abcde"), st.booleans()), max_size=60))
    def test_counts_are_true(self, steps: list[tuple[str, bool]]) -> None:
        """Whoever comes and goes, no caller has more than its share, all together no more than there are places."""
        waiting, places = Waiting(limit=5, limit_of_one=2), defaultdict[str, list[ExitStack]](list)
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

    async def test_drain(self) -> None:
        """A drain ends when the last one leaves, or has who is left give up."""
        waiting = Waiting(limit=1)
        await waiting.drain(deadline_seconds=0.01)
        with waiting.register("a", caller="c") as waiter:
            told = asyncio.create_task(waiter.until(_final, deadline_seconds=30))
            await waiting.drain(deadline_seconds=0.01)

            assert await told is None
