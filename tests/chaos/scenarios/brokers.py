"""Brokers that are killed one by one and all at once, that refuse produces, and that run out of disk."""

from __future__ import annotations

import asyncio
import resource
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from deploy.local.kafka.cluster import Broker
from runtime.kafka.topics import Topics
from schemas.events import Event
from tests.chaos.checker import back_at_work, standstills
from tests.chaos.cluster import ChaosFailed, World
from tests.chaos.kafka_admin import KafkaAdmin
from tests.chaos.load_driver import LoadDriver
from tests.chaos.scenario import Figure, Scenario, under_load
from tests.chaos.supervisor import supervised

_BACK_SECONDS = 30.0
_NEVER = 9999.0
_IN_SYNC_SECONDS = 90.0
_SHRINK_SECONDS = 30.0
_ALTER_SECONDS = 30.0
_DISK_SECONDS = 60.0
_TRUE_NO = frozenset({"/problems/not-published", "/problems/publish-unknown"})
_ANSWER_SECONDS = 4.0  # the contract's 3, and one more for a machine that runs all of this
_LAST_SENDS_SECONDS = 3.0


def back(stage: World, at: float, what: str) -> Figure:
    """Return how long after *at* all partitions with e-mails due sent again."""
    found = back_at_work(stage.evidence, at)
    return Figure(f"back at work {what}", _NEVER if found is None else round(found, 1), _BACK_SECONDS, "s")


def loaded_after(stage: World, at: float) -> Figure:
    """Return how many events were acknowledged after *at*: without load nothing would be proved."""
    after = sum(event.at > at for event in stage.evidence.acknowledged.values())
    return Figure("events acknowledged after the last return", after, 1, at_least=True)


def kafka_admin(stage: World) -> KafkaAdmin:
    """Return an admin client of the cluster."""
    return KafkaAdmin(stage.servers, brokers=len(stage.shared.cluster.brokers))


@asynccontextmanager
async def killed(stage: World, brokers: Sequence[Broker]) -> AsyncIterator[None]:
    """Kill brokers; at the end they are back and in sync."""
    names = ", ".join(str(broker.node_id) for broker in brokers)
    stage.mark("broker", f"broker {names} killed")
    for broker in brokers:
        await broker.kill()
    try:
        yield
    finally:
        await returned(stage, brokers)


async def returned(stage: World, brokers: Sequence[Broker]) -> float:
    """Start the stopped brokers in parallel, and return when all of them answered; they are in sync at the end."""
    everyone = {broker.node_id for broker in stage.shared.cluster.brokers}
    for broker in brokers:
        broker.launch()
    for broker in brokers:
        await broker.ready(everyone)
    at = stage.mark("well", f"broker {', '.join(str(broker.node_id) for broker in brokers)} back")
    await kafka_admin(stage).until_in_sync(within=_IN_SYNC_SECONDS)
    return at


async def _all_killed(stage: World, seconds: float) -> float:
    """Kill all brokers for *seconds*, and return when all answered again."""
    brokers = stage.shared.cluster.brokers
    async with killed(stage, brokers):
        await asyncio.sleep(seconds)
    return max(mark.at for mark in stage.evidence.marks if mark.kind == "well")


async def brokers(stage: World) -> Sequence[Figure]:
    """Kill each broker in turn, then all at once."""
    returns: list[float] = []

    async def act(stage: World, _driver: LoadDriver) -> None:
        victims = stage.random.sample(stage.shared.cluster.brokers, stage.size(short=1, full=3))
        for victim in victims:
            await asyncio.sleep(1)
            async with killed(stage, [victim]):
                await asyncio.sleep(1)
        await asyncio.sleep(1)
        returns.append(await _all_killed(stage, stage.size(short=4, full=15)))

    async with supervised(stage) as supervisor:
        await supervisor.programs(facades=stage.size(short=1, full=2))
        await under_load(
            stage, act, events=stage.size(short=400, full=20_000), per_second=stage.size(short=40, full=200)
        )
    return [
        back(stage, returns[-1], "after all brokers returned"),
        loaded_after(stage, returns[-1]),
        *supervisor.figures(),
    ]


async def brokers_dead(stage: World) -> Sequence[Figure]:
    """Keep all brokers down for longer than the watchdog waits: a replica that ended would forget what it has sent."""
    patience = 10
    returns: list[float] = []

    async def act(stage: World, _driver: LoadDriver) -> None:
        await asyncio.sleep(1)
        returns.append(await _all_killed(stage, patience + stage.size(short=3, full=20)))

    async with supervised(stage) as supervisor:
        await supervisor.programs(facades=1, watchdog_seconds=patience)
        await under_load(stage, act, events=stage.size(short=300, full=5000), per_second=stage.size(short=40, full=100))
    return [
        back(stage, returns[-1], "after all brokers returned"),
        loaded_after(stage, returns[-1]),
        Figure("replicas whose watchdog barked", len(supervisor.ended), 0),
        *supervisor.figures(),
    ]


# -- under-replicated ----------------------------------------------------------------------------------------------


@dataclass
class _Refusals:
    """The answers to callers while no event could become durable."""

    begun: float = 0.0
    healed: float = 0.0
    answers: list[tuple[int, str | None, float]] = field(default_factory=list)
    """Status, problem and seconds, of the calls that began and ended in that time."""
    gone: int = 0
    again: list[tuple[Event, str]] = field(default_factory=list)
    """Events to repeat with the key of their answer."""

    async def ask(self, stage: World, driver: LoadDriver, facade: str, event: Event) -> None:
        """Make one keyless call."""
        began = time.time()
        answer = await driver.call(facade, event, key=None, wait=1)
        ended = time.time()
        if answer is None:
            self.gone += 1
            return
        problem, within = answer.json().get("type"), self.healed == 0.0
        if within:
            self.answers.append((answer.status_code, problem, ended - began))
        if answer.status_code != 503:
            driver.note(event, answer)
        elif problem == "/problems/publish-unknown":
            self.again.append((event, answer.headers["idempotency-key"]))
        else:  # certainly not durable, and not repeated: nothing may come of it
            stage.evidence.refused.append(answer.headers["dispatch-id"])

    def figures(self, stage: World) -> list[Figure]:
        """Return the figures of the answers, and of what was sent meanwhile."""
        untrue = [f"{status} {problem}" for status, problem, _ in self.answers if problem not in _TRUE_NO]
        slowest = max((seconds for *_, seconds in self.answers), default=0.0)
        still = [m for m in stage.evidence.mails if self.begun + _LAST_SENDS_SECONDS < m.at < self.healed]
        return [
            Figure("calls while nothing could be durable", len(self.answers), 1, at_least=True),
            Figure("of these answered other than a true 503", len(untrue), 0, why=", ".join(untrue[:5])),
            Figure("callers left without an answer", self.gone, 0),
            Figure("slowest of these answers", round(slowest, 1), _ANSWER_SECONDS, "s"),
            Figure("told not-published", len(stage.evidence.refused)),
            Figure("told publish-unknown", len(self.again)),
            Figure("mails sent while no intent could be durable", len(still), 0),
        ]


async def under_replicated(stage: World) -> Sequence[Figure]:
    """Require three replicas in sync while a broker is down, so that every produce is refused."""
    refusals = _Refusals()
    events, seconds = stage.size(short=300, full=5000), stage.size(short=5, full=25)
    named = Topics(stage.namespace)
    topics = [*named.events, named.dispatches, named.dead_letters]

    async def act(stage: World, driver: LoadDriver) -> None:
        admin = kafka_admin(stage)
        await asyncio.sleep(2)
        await admin.set_least_in_sync(topics, 3, within=_ALTER_SECONDS)
        async with killed(stage, [stage.random.choice(stage.shared.cluster.brokers)]):
            try:
                await admin.until_fewer_in_sync(topics, within=_SHRINK_SECONDS)
                refusals.begun = stage.mark("fault", "every produce is refused")
                await _ask_meanwhile(stage, driver, refusals, first=driver.load.events, seconds=seconds)
            finally:
                refusals.healed = stage.mark("well", "two replicas in sync are enough again")
                await admin.set_least_in_sync(topics, 2, within=_ALTER_SECONDS)
        await asyncio.gather(*(driver.post(event, key=key) for event, key in refusals.again))

    async with supervised(stage) as supervisor:
        await supervisor.programs(facades=stage.size(short=1, full=2))
        await under_load(stage, act, events=events, per_second=stage.size(short=40, full=80))
    return [
        back(stage, refusals.healed, "once produces are taken again"),
        *refusals.figures(stage),
        *supervisor.figures(),
    ]


async def _ask_meanwhile(stage: World, driver: LoadDriver, refusals: _Refusals, *, first: int, seconds: float) -> None:
    """Call each facade repeatedly, each time about another mentor, and wait for the answers."""
    until = time.monotonic() + seconds
    async with asyncio.TaskGroup() as calls:
        number = first
        while time.monotonic() < until:
            for facade in stage.facades:
                calls.create_task(refusals.ask(stage, driver, facade.address, driver.load.event(number)))
                number += 1
            await asyncio.sleep(0.3)


# -- a full disk -----------------------------------------------------------------------------------------------------


async def full_disk(stage: World) -> Sequence[Figure]:
    """
    Let a broker write not one byte more, as on a full disk, until it gives up; then give it its disk back.

    A limit on file sizes stands in for the disk: it needs no rights over another's process of one's own, and every
    write to every file fails.
    """
    moments: list[float] = []

    async def act(stage: World, _driver: LoadDriver) -> None:
        await asyncio.sleep(2)
        victim = stage.random.choice(stage.shared.cluster.brokers)
        moments.append(stage.mark("broker", f"the disk of broker {victim.node_id} is full"))
        _fill(victim)
        try:
            await _until_ended(victim)
            stage.mark("broker", f"broker {victim.node_id} gave up")
            await asyncio.sleep(stage.size(short=2, full=20))
        finally:
            await victim.kill()
            moments.append(await returned(stage, [victim]))

    async with supervised(stage) as supervisor:
        await supervisor.programs(facades=1)
        await under_load(stage, act, events=stage.size(short=300, full=6000), per_second=stage.size(short=40, full=80))
    return [
        back(stage, moments[0], "after the disk was full"),
        back(stage, moments[1], "after the broker returned"),
        Figure("longest standstill", round(max(standstills(stage.evidence).values()), 1), _BACK_SECONDS, "s"),
        *supervisor.figures(),
    ]


def _fill(broker: Broker) -> None:
    limits: Any = getattr(resource, "prlimit", None)  # only on Linux
    if limits is None or broker.pid is None:
        raise ChaosFailed("a full disk needs Linux and a running broker")
    limits(broker.pid, resource.RLIMIT_FSIZE, (0, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


async def _until_ended(broker: Broker) -> None:
    async with asyncio.timeout(_DISK_SECONDS):
        while broker.pid is not None:  # noqa: ASYNC110 - nothing tells of a process's end
            await asyncio.sleep(0.1)


SCENARIOS = (
    Scenario("4", "brokers", "SIGKILL of each broker in turn, then of all at once", brokers, alone=True),
    Scenario(
        "4a", "brokers-dead", "all brokers down beyond the watchdog's patience", brokers_dead, alone=True, variant=True
    ),
    Scenario("17", "under-replicated", "NotEnoughReplicas: every produce is refused", under_replicated, alone=True),
    Scenario("17a", "full-disk", "a broker whose disk is full", full_disk, alone=True, variant=True),
)
