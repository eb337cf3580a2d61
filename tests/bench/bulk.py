"""Measure how long pause notices wait behind the backlog of another source."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from runtime.kafka.publisher import KafkaPublisher
from runtime.kafka.reader import Reader
from runtime.kafka.topics import Topics
from schemas.dispatch import Dispatch, parse_dispatch
from schemas.events import EVENTS_BY_NAME, Event
from tests.bench.cluster import PARTITIONS, BenchFailed, Environment, Started
from tests.bench.figures import Figure, Show
from tests.bench.sizes import Sizes
from tests.load import Load, Producer

_PER_SECOND = 10
_WAIT_SECONDS = 400.0
_MAILS_BEFORE = 10
_BULK_SOURCE = "/load/bulk"

_WAYS: Mapping[str, Mapping[str, Any]] = {"no slow source": {}, "a slow source": {"slow_sources": _BULK_SOURCE}}

ABOUT = f"""\
One replica has a backlog of reminders, one for each mentor, from one source. SES allows the account's rate, so the
backlog lasts for minutes. Meanwhile another source publishes {_PER_SECOND} pause notices a second, about some of the
same mentors. First no source is slow, then the bulk's is. A wait is from the append of a notice to its last e-mail."""


async def measure(env: Environment, sizes: Sizes, _number: int, show: Show) -> list[Figure]:
    """Measure the waits, each way with a backlog of its own."""
    figures: list[Figure] = []
    for way, settings in _WAYS.items():
        show(way, len(figures) / len(_WAYS) / 2)
        waits = await _waits(env, sizes, settings, show)
        figures += [
            Figure(f"{way}: p50 of waits", "s", _percentile(waits, 50)),
            Figure(f"{way}: p99 of waits", "s", _percentile(waits, 99)),
        ]
    await env.ses_as_at_start()
    return figures


async def _waits(env: Environment, sizes: Sizes, settings: Mapping[str, Any], show: Show) -> list[float]:
    reminder = EVENTS_BY_NAME["cert-expiry-reminder"]
    bulk = Load(sizes.bulk, mentors=sizes.bulk, kinds=(reminder,), name="bulk", source=_BULK_SOURCE)
    async with env.topics("bulk", bulk) as topics:
        await env.ses_as_at_start(max_send_rate=sizes.account_rate)
        await env.publish_events(topics, bulk, range(bulk.events), show)
        async with env.replica(topics, **settings) as replica, Reader({"bootstrap_servers": env.servers}) as reader:
            reader.follow(dict.fromkeys(await reader.partitions(topics.dispatches), 0))
            await env.sends(min(_MAILS_BEFORE, bulk.events), [replica], lambda _: None)
            notices = list(_notices(bulk, sizes.notices))
            publishing = asyncio.create_task(_publish(env, topics, notices))
            ended = await _ended(reader, {event.dispatch_id for event in notices}, replica)
            await publishing
    return [_wait(dispatch) for dispatch in ended]


def _notices(bulk: Load, count: int) -> Iterator[Event]:
    """Yield pause notices about mentors from all over the backlog."""
    like = Load(count, kinds=(EVENTS_BY_NAME["pause-activated"],), name="pause")
    for n in range(count):
        event = like.event(n)
        mentor_id = bulk.mentor_id(n * bulk.mentors // count)
        yield replace(event, data=event.data.model_copy(update={"mentor_id": mentor_id}))


async def _publish(env: Environment, topics: Topics, events: list[Event]) -> None:
    publisher = KafkaPublisher({"bootstrap_servers": env.servers}, deadline_seconds=10)
    await publisher.start()
    try:
        await Producer(publisher, topics, PARTITIONS).events(events, per_second=_PER_SECOND)
    finally:
        await publisher.stop()


async def _ended(reader: Reader, wanted: set[str], replica: Started) -> list[Dispatch]:
    """Return these dispatches as they ended."""
    ended: dict[str, Dispatch] = {}
    try:
        async with asyncio.timeout(_WAIT_SECONDS):
            while len(ended) < len(wanted):
                for records in (await reader.poll(timeout_ms=100)).records.values():
                    for record in records:
                        if (record.key or b"").decode() not in wanted:
                            continue
                        dispatch = parse_dispatch(record.value)
                        if dispatch is not None and dispatch.final:
                            ended.setdefault(dispatch.dispatch_id, dispatch)
    except TimeoutError:
        tail = replica.program.log_tail()
        raise BenchFailed(f"only {len(ended)} of {len(wanted)} notices ended. {tail}") from None
    return list(ended.values())


def _wait(dispatch: Dispatch) -> float:
    last = max(recipient.at for recipient in dispatch.recipients if recipient.at is not None)
    return (last - dispatch.origin.appended_at).total_seconds()


def _percentile(values: list[float], percent: float) -> float:
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * percent / 100), len(ordered) - 1)]
