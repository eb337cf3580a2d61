"""Events and calls that come twice, and callers whose facade dies."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import httpx

from schemas.events import Event
from schemas.placement import partition_for
from tests.chaos.checker import named
from tests.chaos.cluster import Facade, World
from tests.chaos.load_driver import LoadDriver
from tests.chaos.scenario import Figure, Scenario, load_driver, until_quiet
from tests.chaos.watcher import PARTITIONS
from tests.load import Load
from tests.waiting import until

_WAIT_SECONDS = 20
_SOON_SECONDS = 60.0
_AGAIN_SECONDS = 0.2
_OK = 200


# -- the same event twice, the same call twice -------------------------------------------------------------------


async def _twice(driver: LoadDriver, events: Sequence[Event]) -> None:
    """Publish each event twice at once; every other one also in the partition of another partitioner."""
    async with asyncio.TaskGroup() as together:
        for n, event in enumerate(events):
            elsewhere = (partition_for(event.mentor_id, PARTITIONS) + 1) % PARTITIONS
            together.create_task(driver.publish(event))
            together.create_task(driver.publish(event, partition=elsewhere if n % 2 else None))


@dataclass
class _Repeated:
    """One call that a caller makes several times, with the same key or each time without one."""

    event: Event
    key: str | None
    answers: list[httpx.Response] = field(default_factory=list)

    async def call(self, driver: LoadDriver, facade: Facade) -> None:
        """Make the call at a facade."""
        answer = await driver.call(facade.address, self.event, key=self.key, wait=_WAIT_SECONDS)
        if answer is not None:
            driver.note(self.event, answer)
            self.answers.append(answer)

    def wrong(self, times: int) -> str | None:
        """Return what is wrong, unless all answers have the same e-mails and all but one are marked as replayed."""
        statuses = {answer.status_code for answer in self.answers}
        told = {str(answer.json().get("notifications_dispatched")) for answer in self.answers}
        marked = sum(answer.headers.get("idempotent-replayed") == "true" for answer in self.answers)
        if (len(self.answers), statuses, len(told), marked) == (times, {_OK}, 1, times - 1):
            return None
        return (
            f"{self.event.mentor_id}, key {self.key}: {len(self.answers)} answers, {statuses}, {marked} marked, {told}"
        )


async def _all_call(driver: LoadDriver, calls: Sequence[_Repeated], facades: Sequence[Facade]) -> None:
    """Have every caller call each of *facades* once, all at the same time."""
    async with asyncio.TaskGroup() as together:
        for call in calls:
            for facade in facades:
                together.create_task(call.call(driver, facade))


async def duplicates(stage: World) -> Sequence[Figure]:
    """Publish and call everything twice at once, and again after all replicas are replaced."""
    count, callers = stage.size(short=80, full=300), stage.size(short=15, full=100)
    load = Load(count + 2 * callers, name=stage.namespace)
    events = [load.event(n) for n in range(count)]
    with_key = [_Repeated(load.event(count + n), str(uuid.uuid4())) for n in range(callers)]
    without = [_Repeated(load.event(count + callers + n), None) for n in range(callers)]
    await stage.programs(replicas=2, facades=2)
    async with load_driver(stage, load) as driver:
        await driver.contacts()
        await asyncio.gather(_twice(driver, events), _all_call(driver, [*with_key, *without], stage.facades))
        await _all_call(driver, [*with_key, *without], stage.facades[:1])
        await until_quiet(stage)
        for replica in list(stage.replicas):
            await stage.stop(replica)
        await asyncio.gather(stage.replica(), stage.replica())
        await asyncio.gather(_twice(driver, events), _all_call(driver, with_key, stage.facades[:1]))
        await until_quiet(stage)
    wrong = [told for calls, times in ((with_key, 4), (without, 3)) for one in calls if (told := one.wrong(times))]
    return [
        Figure("copies of events published", 4 * count),
        Figure("calls made", 7 * callers),
        Figure("callers not told the same each time", len(wrong), 0, why=named([*wrong, *driver.cut_off])),
        Figure("dead letters", len(stage.evidence.letters), 0),
    ]


# -- a facade that dies ------------------------------------------------------------------------------------------


@dataclass
class _Caller:
    """A caller who repeats a call with its key until there is an answer."""

    event: Event
    key: str = field(default_factory=lambda: str(uuid.uuid4()))
    cut_off: int = 0
    answer: httpx.Response | None = None

    async def persist(self, stage: World, driver: LoadDriver, facade: Facade) -> None:
        """Call *facade*, or another one if it is gone."""
        while self.answer is None:
            self.answer = await driver.call(facade.address, self.event, key=self.key, wait=_WAIT_SECONDS)
            if self.answer is None:
                self.cut_off += 1
                await asyncio.sleep(_AGAIN_SECONDS)
                facade = stage.random.choice([one for one in stage.facades if one.process.running])
        driver.note(self.event, self.answer)

    @property
    def told(self) -> Mapping[str, str]:
        """Return the status of each recipient in the answer."""
        listed = self.answer.json().get("notifications_dispatched", ()) if self.answer is not None else ()
        return {one["recipient"]: one["status"] for one in listed}


async def facade_killed(stage: World) -> Sequence[Figure]:
    """Kill a facade while all its callers wait; each repeats the call elsewhere, and once more at the new facade."""
    rounds, callers = stage.size(short=1, full=6), stage.size(short=60, full=120)
    load = Load(rounds * callers, name=stage.namespace)
    everybody = [_Caller(load.event(n)) for n in range(load.events)]
    wrong = []
    await stage.programs(replicas=2, facades=2)
    async with load_driver(stage, load) as driver:
        await driver.contacts()
        for number in range(rounds):
            now = everybody[number * callers : (number + 1) * callers]
            await _one_dies(stage, driver, now)
            fresh = await stage.facade()
            repeated = [_Repeated(one.event, one.key, [one.answer]) for one in now if one.answer is not None]
            await _all_call(driver, repeated, [fresh])
            wrong += [told for one in repeated if (told := _answered_otherwise(one))]
        await until_quiet(stage)
    untold = [one.event.mentor_id for one in everybody if set(one.told.values()) != {"sent"}]
    return [
        Figure("callers", len(everybody)),
        Figure("of these cut off while they waited", sum(one.cut_off > 0 for one in everybody), rounds, at_least=True),
        Figure("not told in the end that all was sent", len(untold), 0, why=named(untold)),
        Figure("told otherwise when they asked once more", len(wrong), 0, why=named(wrong)),
    ]


async def _one_dies(stage: World, driver: LoadDriver, callers: Sequence[_Caller]) -> None:
    """Pause SES until the events of all callers are durable and one of two facades is dead."""
    await stage.ses.set(paused=True)
    doomed, other = stage.facades[-2:]
    before = await _published(doomed)
    async with asyncio.TaskGroup() as together:
        for n, caller in enumerate(callers):
            together.create_task(caller.persist(stage, driver, (doomed, other)[n % 2]))
        await until(lambda: _all_published(doomed, before + len(callers) / 2), within=_SOON_SECONDS, what="all calls")
        stage.mark("kill", f"{doomed.process.name} killed")
        await asyncio.to_thread(doomed.process.kill)
        await stage.ses.set(paused=False)
    stage.facades.remove(doomed)


async def _published(facade: Facade) -> float:
    return await facade.process.metric("pause_notifications_publishes_total")


async def _all_published(facade: Facade, count: float) -> bool:
    return await _published(facade) >= count


def _answered_otherwise(repeated: _Repeated) -> str | None:
    first, again = repeated.answers[0], repeated.answers[-1]
    same = first.json() == again.json() and again.headers.get("idempotent-replayed") == "true"
    if len(repeated.answers) > 1 and same and first.headers["dispatch-id"] == again.headers["dispatch-id"]:
        return None
    return f"{repeated.event.mentor_id}: {first.text}, then {again.status_code} {again.text}"


SCENARIOS = (
    Scenario("12", "duplicates", "events and calls twice at once, and again later", duplicates),
    Scenario("14", "facade-killed", "a facade killed between publish and answer", facade_killed),
)
