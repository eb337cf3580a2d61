"""Measure feedback: what one replica takes in, what sound mail beside it notices, and how soon an address is spared."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

import aiohttp

from deploy.local.ports import free_ports
from deploy.local.sqs.names import CONFIGURATION_SET, endpoint, queue_url
from runtime.kafka.publisher import KafkaPublisher
from runtime.kafka.reader import Reader
from runtime.kafka.topics import Topics
from schemas.dispatch import Reason, parse_dispatch
from schemas.events import Event
from tests.bench.cluster import PARTITIONS, BenchFailed, Environment, Started
from tests.bench.cold_start import ended
from tests.bench.feedback_messages import Feeder, good_news, message
from tests.bench.figures import Figure, Show
from tests.bench.processes import cpu_seconds, memory_mb
from tests.bench.sizes import Sizes
from tests.load import Load, Producer, of_two_recipients

PER_SECOND = 1000
_MAILS_PER_SECOND = 20
_MENTORS = 200
_BEFORE = "past"
_TAKEN_SECONDS = 90.0
_SEEN_SECONDS = 30.0
_LOOK_EVERY_SECONDS = 0.05
_EVERY_SECONDS = 0.05
_MICROSECONDS = 1e6

ABOUT = f"""\
One replica sends mail of {_MAILS_PER_SECOND} events a second, at first alone, then while {PER_SECOND:,} reports of SES
a second come through its queue, about e-mails of earlier dispatches. A delay is from the publishing of an event to the
e-mail that SES accepts. Then as many reports wait on the queue at once. CPU is that of the replica, beyond what the
mail alone took. Last, an e-mail to a mentor bounces while the mentor's events come every
{_EVERY_SECONDS * 1000:.0f} ms."""


@dataclass
class _Ground:
    """A replica with a queue, and what feeds both."""

    env: Environment
    topics: Topics
    replica: Started
    feeder: Feeder
    producer: Producer
    past: Load

    async def taken(self) -> int:
        """Return how many records of feedback the replica has handled."""
        return int(await self.replica.metric("feedback_total"))

    async def until_taken(self, count: int) -> None:
        """Wait until the replica has handled this many records in all."""
        try:
            async with asyncio.timeout(_TAKEN_SECONDS):
                while await self.taken() < count:
                    self.replica.program.check_running()
                    await asyncio.sleep(_LOOK_EVERY_SECONDS)
        except TimeoutError:
            tail = self.replica.program.log_tail()
            raise BenchFailed(f"the replica has handled {await self.taken()} of {count} reports. {tail}") from None


async def measure(env: Environment, sizes: Sizes, _number: int, show: Show) -> list[Figure]:
    """Measure mail alone, mail beside feedback, feedback alone, and a bounce."""
    seconds, count = sizes.feedback_seconds, int(sizes.feedback_seconds * PER_SECOND)
    async with _ground(env, count) as ground:
        messages = good_news(ground.past, count)
        show("warming up", 0.1)
        await _delays(ground, "warm", min(seconds, 2.0))
        show("mail alone", 0.2)
        began = cpu_seconds(ground.replica.pid)
        alone = await _delays(ground, "alone", seconds)
        of_mail, memory = cpu_seconds(ground.replica.pid) - began, memory_mb(ground.replica.pid)
        show("mail beside feedback", 0.4)
        began, before = cpu_seconds(ground.replica.pid), time.monotonic()
        beside, _ = await asyncio.gather(
            _delays(ground, "beside", seconds), ground.feeder.put(messages, per_second=PER_SECOND)
        )
        await ground.until_taken(count)
        reached = count / (time.monotonic() - before)
        of_both, grown = cpu_seconds(ground.replica.pid) - began, memory_mb(ground.replica.pid) - memory
        show("a queue that is full", 0.6)
        most = await _backlog(ground, messages)
        show("a bounce", 0.8)
        seen = [await _until_spared(ground, number) for number in range(sizes.bounces)]
        return [
            Figure("reports taken, at 1,000/s", "/s", reached, more_is_better=True),
            Figure("reports taken, all waiting", "/s", most, more_is_better=True),
            Figure("CPU of a report", "µs", (of_both - of_mail) / count * _MICROSECONDS),
            Figure("memory gained beside 1,000/s", "MB", grown),
            Figure("p50 of mail alone", "ms", _percentile(alone, 50)),
            Figure("p99 of mail alone", "ms", _percentile(alone, 99)),
            Figure("p99 of mail beside 1,000/s", "ms", _percentile(beside, 99)),
            Figure("p99 of mail, gained", "ms", _percentile(beside, 99) - _percentile(alone, 99)),
            Figure("bounce to the first event that is spared", "s", max(seen)),
        ]


def _percentile(milliseconds: list[float], percent: float) -> float:
    ordered = sorted(milliseconds)
    return ordered[min(int(len(ordered) * percent / 100), len(ordered) - 1)]


@asynccontextmanager
async def _ground(env: Environment, count: int) -> AsyncIterator[_Ground]:
    past = Load(count // 2, mentors=_MENTORS, name=_BEFORE, kinds=of_two_recipients())
    async with AsyncExitStack() as stack:
        topics = await stack.enter_async_context(env.topics("feedback", past))
        await env.publish(ended(past, topics))
        (port,) = free_ports(1)
        probe = f"{endpoint(port)}/livez"
        await stack.enter_async_context(env.running(["deploy.local.sqs", "--port", str(port)], probe=probe))
        url = queue_url(port)
        settings = {
            "namespace": topics.namespace,
            "ses_events_queue_url": url,
            "ses_configuration_set": CONFIGURATION_SET,
        }
        environ = {"AWS_ENDPOINT_URL_SQS": endpoint(port)}
        running = env.running(["consumers"], settings=settings, environ=environ, probe="/readyz")
        replica = await stack.enter_async_context(running)
        session = await stack.enter_async_context(aiohttp.ClientSession())
        publisher = KafkaPublisher({"bootstrap_servers": env.servers}, deadline_seconds=10)
        stack.push_async_callback(publisher.stop)
        await publisher.start()
        producer = Producer(publisher, topics, PARTITIONS)
        yield _Ground(env, topics, replica, Feeder(session, url), producer, past)


async def _delays(ground: _Ground, name: str, seconds: float) -> list[float]:
    """Publish events at a fixed rate, and return the milliseconds until SES has accepted each of their e-mails."""
    events = max(int(seconds * _MAILS_PER_SECOND), 1)
    load = Load(events, mentors=_MENTORS, name=f"{name}-{time.time_ns():x}", kinds=of_two_recipients())
    began: dict[str, float] = {}

    def noted() -> Iterator[Event]:
        for event in map(load.event, range(events)):
            began[event.dispatch_id] = time.time()
            yield event

    before = (await ground.env.stats())["accepted"]
    await ground.producer.events(noted(), per_second=_MAILS_PER_SECOND)
    await ground.env.sends(before + 2 * events, [ground.replica], lambda _: None)
    mails = (await ground.env.ses.get("/admin/mails", params={"limit": 1000})).raise_for_status().json()["mails"]
    accepted = ((mail["tags"].get("dispatch_id"), datetime.fromisoformat(mail["accepted_at"])) for mail in mails)
    return [(at.timestamp() - began[of]) * 1000 for of, at in accepted if of in began]


async def _backlog(ground: _Ground, messages: list[str]) -> float:
    """Put all messages on the queue at once, and return how many of them a second are handled."""
    known, began = await ground.taken(), time.monotonic()
    await ground.feeder.put(messages)
    await ground.until_taken(known + len(messages))
    return len(messages) / (time.monotonic() - began)


async def _until_spared(ground: _Ground, number: int) -> float:
    """Let an e-mail bounce; return the seconds from the record of that to the first event that spares the address."""
    mentor = ground.past.mentor_id(number)
    load = Load(10_000, mentors=1, name=f"bounced-{time.time_ns():x}", kinds=of_two_recipients())
    async with Reader({"bootstrap_servers": ground.env.servers}) as reader:
        await _follow_from_now(reader, ground.topics)
        publishing = asyncio.create_task(_keep_publishing(ground, load, mentor))
        try:
            await ground.feeder.put([message(ground.past, number, "Bounce")])
            async with asyncio.timeout(_SEEN_SECONDS):
                return await _spared(reader, ground.topics, mentor)
        except TimeoutError:
            raise BenchFailed(f"an address is not suppressed. {ground.replica.program.log_tail()}") from None
        finally:
            publishing.cancel()
            await asyncio.wait([publishing])


async def _follow_from_now(reader: Reader, topics: Topics) -> None:
    places = [*await reader.partitions(topics.feedback), *await reader.partitions(topics.dispatches)]
    reader.follow(await reader.end_offsets(places))


async def _keep_publishing(ground: _Ground, load: Load, mentor: str) -> None:
    for n in itertools.count():
        like = load.event(n)
        data = like.data.model_copy(update={"mentor_id": mentor})
        await ground.producer.event(Event(like.kind, like.id, like.source, data, time=like.time))
        await asyncio.sleep(_EVERY_SECONDS)


async def _spared(reader: Reader, topics: Topics, mentor: str) -> float:
    """Return the seconds from the record of feedback to the first event whose mentor is not written to."""
    recorded: datetime | None = None
    while True:
        for records in (await reader.poll(timeout_ms=50)).records.values():
            for record in records:
                if record.topic == topics.feedback:
                    recorded = recorded or record.appended_at
                    continue
                dispatch = parse_dispatch(record.value)
                spared = (
                    dispatch is not None
                    and dispatch.mentor_id == mentor
                    and any(one.contact_id == mentor and one.reason is Reason.BOUNCED for one in dispatch.recipients)
                )
                if spared and dispatch is not None and recorded is not None:
                    return max((dispatch.origin.appended_at - recorded).total_seconds(), 0.0)
