"""Measure how much of the account's rate is used while replicas come and go."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

from runtime.kafka.reader import Reader
from runtime.kafka.topics import Topics
from schemas.dispatch import Recipient, Status, parse_dispatch
from tests.bench.cluster import Environment
from tests.bench.figures import Figure, Show
from tests.bench.replicas import Replicas
from tests.bench.sizes import Sizes
from tests.load import Load, of_two_recipients

_BETWEEN_SECONDS = 30.0
"""The longest change from one number of replicas to the next; the backlog is larger by it."""

ABOUT = """\
One group drains a backlog: one replica, then three, then two (one stops gracefully), for the same time each. SES
throttles what exceeds the account's rate. The share is of that rate, in each phase and over all, rebalances included.
An attempt is lost if a failure was counted for a recipient, or if the recipient was not sent in the end."""


@dataclass
class _Stretch:
    """A number of e-mails in a number of seconds."""

    mails: int
    seconds: float

    def share(self, rate: float) -> float:
        return self.mails / self.seconds / rate * 100


async def measure(env: Environment, sizes: Sizes, _number: int, show: Show) -> list[Figure]:
    """Change the number of replicas while the account enforces a rate."""
    rate = sizes.account_rate
    seconds = len(sizes.phases) * (sizes.phase_seconds + _BETWEEN_SECONDS)
    load = Load(int(rate * seconds / 2), kinds=of_two_recipients())
    async with env.topics("rate", load) as topics, AsyncExitStack() as stack:
        await env.ses_as_at_start(max_send_rate=rate)
        await env.publish_events(topics, load, range(load.events), show)
        stretches = await _stretches(env, Replicas(env, topics, stack, stop=True), sizes, show)
        counters = await env.stats()
        await stack.aclose()  # all stop gracefully: what they sent is recorded
        lost = await _attempts_lost(env, topics)
    await env.ses_as_at_start()
    return list(_figures(stretches, counters, lost, rate))


def _figures(stretches: dict[str, _Stretch], counters: dict[str, Any], lost: int, rate: float) -> Iterator[Figure]:
    for name, stretch in stretches.items():
        yield Figure(f"share of {rate:.0f}/s: {name}", "%", stretch.share(rate), more_is_better=True)
    yield Figure("calls throttled", "", counters["throttled"])
    yield Figure("calls throttled, of all", "%", counters["throttled"] / max(counters["calls"], 1) * 100)
    yield Figure("attempts lost", "", lost)


async def _stretches(env: Environment, replicas: Replicas, sizes: Sizes, show: Show) -> dict[str, _Stretch]:
    found: dict[str, _Stretch] = {}

    async def stretch(name: str) -> None:
        show(name, len(found) / len(sizes.phases))
        before, began = (await env.stats())["accepted"], time.monotonic()
        await asyncio.sleep(sizes.phase_seconds)
        found[name] = _Stretch((await env.stats())["accepted"] - before, time.monotonic() - began)

    await replicas.start(sizes.phases[0])
    await env.sends(1, replicas.all, lambda _: None)
    began, before = time.monotonic(), (await env.stats())["accepted"]
    for number, count in enumerate(sizes.phases, start=1):
        await replicas.change_to(count)
        await stretch(f"{number}. {count} replica{'s' if count > 1 else ''}")
    found["over all"] = _Stretch((await env.stats())["accepted"] - before, time.monotonic() - began)
    return found


async def _attempts_lost(env: Environment, topics: Topics) -> int:
    """Return how many attempts the dispatches have lost, with recipients that were not sent."""
    last: dict[tuple[str, str], Recipient] = {}
    async with Reader({"bootstrap_servers": env.servers}) as reader:
        places = await reader.partitions(topics.dispatches)
        ends = await reader.end_offsets(places)
        reader.follow(dict.fromkeys(places, 0))
        while any((reader.position(place) or 0) < end for place, end in ends.items()):
            for records in (await reader.poll(timeout_ms=100)).records.values():
                for dispatch in filter(None, (parse_dispatch(record.value) for record in records)):
                    last |= {(dispatch.dispatch_id, one.contact_id): one for one in dispatch.recipients}
    return sum(one.attempts + (one.status.final and one.status is not Status.SENT) for one in last.values())
