"""The dispatch follower."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest
from aiokafka.errors import KafkaConnectionError

from runtime.kafka.fetching import Fetched, Unreadable
from runtime.kafka.records import Place
from runtime.kafka.topic_watch import ANEW, TopicRecreated
from schemas.dispatch import DISPATCHES_TOPIC, MAX_DISPATCH_BYTES, Dispatch, Origin, dispatch_json
from service.dispatch_follower import DispatchFollower
from service.metrics import Metrics, make_metrics
from service.recent_dispatches import RecentDispatches
from service.waiting_callers import WaitingCallers
from tests.fakes.clock import FakeClock
from tests.fakes.kafka_log import FakeLog
from tests.waiting import until

NOW = datetime(2026, 3, 26, 8, 30, tzinfo=UTC)
PLACE = Place(DISPATCHES_TOPIC, 3)


def _dispatch(dispatch_id: str) -> Dispatch:
    return Dispatch(
        dispatch_id=dispatch_id,
        event_type="mentor.pause.lifted.v1",
        mentor_id="mentor-042",
        digest="d",
        origin=Origin(topic="mentor.pauses.v1", partition=3, offset=0, appended_at=NOW),
    )


class _Recorder(RecentDispatches):
    """Records the ids that it is handed, and raises an error at one of them."""

    def __init__(self) -> None:
        super().__init__(limit=10)
        self.added: list[str] = []
        self.breaks_on = ""

    def add_record(self, dispatch_id: str, value: bytes) -> None:
        super().add_record(dispatch_id, value)
        self.added.append(dispatch_id)
        if dispatch_id == self.breaks_on:
            raise RuntimeError


class RunningFollower:
    """A follower that runs over a log in memory, and what it handed over."""

    def __init__(self, log: FakeLog) -> None:
        self.log = log
        self.clock = FakeClock()
        self.metrics: Metrics = make_metrics()
        self.recent = _Recorder()
        self.waiting = WaitingCallers(limit=1)
        self.follower = DispatchFollower(
            DISPATCHES_TOPIC,
            log.open_feed,
            self.waiting,
            self.recent,
            clock=self.clock,
            random=lambda: 0.5,
            metrics=self.metrics,
        )

    async def has_handed_over(self, *dispatch_ids: str) -> None:
        """Wait until exactly these were handed over."""
        await until(lambda: self.recent.added == list(dispatch_ids), what=f"{dispatch_ids} to be taken")

    async def positioned(self, *, positioned: bool = True) -> None:
        """Wait until it is, or is not, positioned."""
        await until(lambda: self.follower.positioned is positioned, what=f"positioned to be {positioned}")


@asynccontextmanager
async def _running(log: FakeLog) -> AsyncIterator[RunningFollower]:
    following = RunningFollower(log)
    running = asyncio.create_task(following.follower.run())
    try:
        yield following
    finally:
        running.cancel()
        await asyncio.wait([running])


async def test_from_the_ends() -> None:
    """Earlier records are not handed over; those that come after it is positioned are."""
    log = FakeLog()
    log.append_dispatch(_dispatch("old"))
    async with _running(log) as following:
        await following.positioned()
        log.append_dispatch(_dispatch("new"))

        await following.has_handed_over("new")


@pytest.mark.parametrize("error", [TimeoutError(), KafkaConnectionError("gone"), RuntimeError("a bug")])
async def test_continues_where_it_was(error: Exception) -> None:
    """After any error, no record that was written meanwhile is missed, and none is handed over twice."""
    log = FakeLog()
    async with _running(log) as following:
        await following.positioned()
        log.append_dispatch(_dispatch("before"))
        await following.has_handed_over("before")
        log.fail(error)
        await following.positioned(positioned=False)
        log.append_dispatch(_dispatch("meanwhile"))
        log.fail(None)
        await following.clock.advance(60)

        await following.has_handed_over("before", "meanwhile")
        assert following.follower.positioned


async def test_broken_by_a_record() -> None:
    """A record that raises an error is not read again."""
    log = FakeLog()
    async with _running(log) as following:
        await following.positioned()
        following.recent.breaks_on = "bad"
        for dispatch_id in ("bad", "good"):
            log.append_dispatch(_dispatch(dispatch_id))
        await following.positioned(positioned=False)
        await following.clock.advance(60)

        await following.has_handed_over("bad", "good")


async def test_no_dispatch() -> None:
    """A record that is not a dispatch is counted and skipped."""
    log = FakeLog()
    async with _running(log) as following:
        await following.positioned()
        log.append(PLACE, key=b"k", value=b"junk")
        log.append_dispatch(_dispatch("good"))

        await following.has_handed_over("good")
        count = following.metrics.registry.get_sample_value(
            "pause_notifications_dispatch_records_total", {"result": "no_dispatch"}
        )
        assert 1.0 == count


async def test_recreated_topic() -> None:
    """A topic that is shorter than before is followed from its new end."""
    log = FakeLog()
    log.append_dispatch(_dispatch("old"))
    async with _running(log) as following:
        await following.positioned()
        log.fail(TimeoutError())
        await following.positioned(positioned=False)
        log.records.clear()
        log.fail(None)
        await following.clock.advance(60)
        await following.positioned()
        log.append_dispatch(_dispatch("new"))

        await following.has_handed_over("new")


async def test_recreated_topic_and_longer() -> None:
    """The whole new topic is handed over: the outcome that somebody waits for may be anywhere in it."""
    log = FakeLog()
    for dispatch_id in ("old", "older"):
        log.append_dispatch(_dispatch(dispatch_id))
    async with _running(log) as following:
        await following.positioned()
        log.fail(TopicRecreated(DISPATCHES_TOPIC, ANEW))
        await following.positioned(positioned=False)
        log.records.clear()
        log.topic_id = "second"
        new = [f"new-{number}" for number in range(4)]
        for dispatch_id in new:
            log.append_dispatch(_dispatch(dispatch_id))
        log.fail(None)
        await following.clock.advance(60)

        await following.has_handed_over(*new)
        counted = "pause_notifications_topic_changes_total"
        assert 1 == following.metrics.registry.get_sample_value(counted, {"topic": DISPATCHES_TOPIC})


async def test_unreadable_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch that was skipped is counted as an alarm."""
    log = FakeLog()
    fetched = [Fetched(unreadable=[Unreadable(PLACE, 3, 5, "CorruptRecordException")])]

    async def poll_once(_feed: object) -> Fetched:
        if fetched:
            return fetched.pop()
        await asyncio.Event().wait()
        return Fetched()

    monkeypatch.setattr("tests.fakes.kafka_log.FakeFeed.poll", poll_once)
    async with _running(log) as following:
        registry = following.metrics.registry
        counted = "pause_notifications_unreadable_batches_total"

        assert await until(lambda: registry.get_sample_value(counted) == 1.0, what="the batch to be counted")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        pytest.param(None, b"{}", id="no key"),
        pytest.param("schlüssel".encode("latin-1"), b"{}", id="a key that is no id"),
        pytest.param(b"waited-for", None, id="no value"),
        pytest.param(b"waited-for", b"{" * (MAX_DISPATCH_BYTES + 1), id="too large"),
        pytest.param(b"waited-for", b"{junk", id="waited for, not a dispatch"),
        pytest.param(b"waited-for", dispatch_json(_dispatch("other")), id="waited for, of another id"),
    ],
)
async def test_unfit_record(key: bytes | None, value: bytes | None) -> None:
    """A record that cannot be the dispatch that its key names is counted, and handed to nobody."""
    log = FakeLog()
    async with _running(log) as following:
        await following.positioned()
        with following.waiting.register("waited-for", caller="c") as waiter:
            log.append(PLACE, key=key, value=value)
            log.append_dispatch(_dispatch("good"))
            await following.has_handed_over("good")

            assert waiter.since is None
        counted = "pause_notifications_dispatch_records_total"
        assert 1.0 == following.metrics.registry.get_sample_value(counted, {"result": "no_dispatch"})


async def test_waited_for() -> None:
    """A caller who waits is handed the record of its dispatch."""
    log = FakeLog()
    async with _running(log) as following:
        await following.positioned()
        with following.waiting.register("mine", caller="c") as waiter:
            log.append_dispatch(_dispatch("mine"))
            await following.has_handed_over("mine")

            assert _dispatch("mine") == waiter.since
