"""One replica whose network is cut: to the brokers beyond its session, and to SES."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.chaos.checker import examine
from tests.chaos.cluster import SES_TIMEOUT_SECONDS, SESSION_SECONDS, SETTINGS, World
from tests.chaos.load_driver import LoadDriver
from tests.chaos.network import Mode, Network, Proxy, listening, to_brokers
from tests.chaos.scenario import Figure, Scenario, under_load, until_back
from tests.chaos.scenarios.brokers import back, kafka_admin
from tests.chaos.scenarios.replicas import standstill
from tests.chaos.supervisor import Supervisor, supervised

_REPLICAS = 3
_IN_FLIGHT = int(str(SETTINGS["consumers"]["max_sends_in_flight"]))
_WATCHDOG_SECONDS = 10
_COME_BACK_SECONDS = 30.0
_TAKE_OVER_SECONDS = 10.0  # to settle the former owner's sends, and for a rebalance
_SEND = b"POST "
_MENTORS_BEFORE_A_HALT = 3


@dataclass
class _Cut:
    """One replica that reaches Kafka and SES through proxies of its own."""

    stage: World
    kafka: Network
    ses: Proxy
    sends: list[float]
    """The times of its calls to SES."""
    cuts: list[tuple[Mode, float, float]] = field(default_factory=list)
    came_back: list[float] = field(default_factory=list)

    async def start(self, supervisor: Supervisor, **settings: Any) -> None:
        """Start it beside others."""
        async with asyncio.TaskGroup() as starting:
            starting.create_task(supervisor.programs(replicas=_REPLICAS - 1, facades=1, **settings))
            starting.create_task(
                supervisor.replica(
                    kafka_bootstrap_servers=self.kafka.bootstrap_servers,
                    ses_address=f"http://{self.ses.address}",
                    **settings,
                )
            )

    async def from_kafka(self, mode: Mode, seconds: float) -> None:
        """Cut it off from all brokers, and wait until it or its successor works again."""
        began = self.stage.mark("cut", f"one replica's way to Kafka: {mode.name.lower()}")
        await self.kafka.set(mode)
        try:
            await asyncio.sleep(seconds)
        finally:
            await self.kafka.set(Mode.OPEN)
            healed = self.stage.mark("well", "all passes to Kafka again")
        self.cuts.append((mode, began, healed))
        self.came_back.append(await self._until_member(healed))
        await until_back(self.stage, healed)

    async def _until_member(self, healed: float) -> float:
        admin = kafka_admin(self.stage)
        while (waited := time.time() - healed) < _COME_BACK_SECONDS:
            if await admin.working_members(self.stage.watcher.group) == _REPLICAS:
                break
            await asyncio.sleep(0.2)
        return waited

    async def from_ses(self, mode: Mode, seconds: float) -> None:
        """Cut it off from SES."""
        began = self.stage.mark("cut", f"one replica's way to SES: {mode.name.lower()}")
        await self.ses.set(mode)
        try:
            await asyncio.sleep(seconds)
        finally:
            await self.ses.set(Mode.OPEN)
            self.cuts.append((mode, began, self.stage.mark("well", "all passes to SES again")))

    def as_zombie(self) -> list[float]:
        """Return the sends that it began after its session must have ended."""
        silences = [(began, healed) for mode, began, healed in self.cuts if mode is not Mode.STALE]
        return [at for at in self.sends for began, healed in silences if began + SESSION_SECONDS < at < healed]


@asynccontextmanager
async def _cut(stage: World) -> AsyncIterator[_Cut]:
    sends: list[float] = []

    def note(chunk: bytes) -> None:
        if chunk.startswith(_SEND):
            sends.append(time.time())

    ses = Proxy(stage.ses.address.removeprefix("http://"), on_request=note)
    async with listening([ses]), to_brokers(stage.shared.cluster) as kafka:
        yield _Cut(stage, kafka, ses, sends)


async def _without_kafka(
    stage: World, rounds: Sequence[tuple[Mode, float]], *, events: int, **settings: Any
) -> Sequence[Figure]:
    async with _cut(stage) as one, supervised(stage) as supervisor:

        async def act(_stage: World, _driver: LoadDriver) -> None:
            for mode, seconds in rounds:
                await asyncio.sleep(2)
                await one.from_kafka(mode, seconds)

        await one.start(supervisor, **settings)
        await under_load(stage, act, events=events, per_second=stage.size(short=40, full=80))
    doubled = len(examine(stage.evidence).doubled)
    return [
        Figure("cuts", len(one.cuts)),
        Figure("sends by the replica that was cut", len(one.sends), 1, at_least=True),
        Figure("of these when its session was over", len(one.as_zombie()), 0),
        Figure("all replicas at work again", round(max(one.came_back), 1), _COME_BACK_SECONDS, "s"),
        Figure("sent twice, at most in flight at each cut", doubled, len(one.cuts) * _IN_FLIGHT),
        standstill(stage, SESSION_SECONDS + _TAKE_OVER_SECONDS),
        *supervisor.figures(),
    ]


async def network_kafka(stage: World) -> Sequence[Figure]:
    """Cut one replica off from all brokers, for longer than its session; then for longer than its watchdog waits."""
    beyond, long = SESSION_SECONDS + 3, SESSION_SECONDS + 24
    short = [(Mode.SWALLOWED, beyond)]
    full = [*short, *((mode, beyond) for mode in (Mode.HELD, Mode.REFUSED, Mode.UNANSWERED)), (Mode.SWALLOWED, long)]
    rounds = full if stage.full else short
    return await _without_kafka(stage, rounds, events=stage.size(short=400, full=8000))


async def network_stale(stage: World) -> Sequence[Figure]:
    """Drop all data on existing connections, while new ones pass: the watchdog ends a replica that this stops."""
    rounds = [(Mode.STALE, _WATCHDOG_SECONDS + 3.0)] * stage.size(short=1, full=2)
    events = stage.size(short=400, full=5000)
    return await _without_kafka(stage, rounds, events=events, watchdog_seconds=_WATCHDOG_SECONDS)


async def network_ses(stage: World) -> Sequence[Figure]:
    """Cut one replica off from SES: requests vanish, then only answers, then connections are refused."""
    modes = stage.size(short=1, full=3)
    seconds = stage.size(short=6, full=15)
    async with _cut(stage) as one, supervised(stage) as supervisor:

        async def act(_stage: World, _driver: LoadDriver) -> None:
            for mode in (Mode.UNANSWERED, Mode.SWALLOWED, Mode.REFUSED)[:modes]:
                await asyncio.sleep(2)
                await one.from_ses(mode, seconds)
                await asyncio.sleep(stage.size(short=1, full=10))

        await one.start(supervisor)
        await under_load(stage, act, events=stage.size(short=300, full=5000), per_second=stage.size(short=40, full=60))
    found = examine(stage.evidence)
    # Each cut meets what is in flight, answers that are on their way included; then each probe tells up to two
    # recipients, and as much may begin before lost answers are known to be an outage.
    lost = len(one.cuts) * _IN_FLIGHT + 2 * (int(seconds / SES_TIMEOUT_SECONDS) + 1) + 2 * _MENTORS_BEFORE_A_HALT
    return [
        *(back(stage, healed, f"after cut {number} from SES") for number, (*_, healed) in enumerate(one.cuts, start=1)),
        Figure("sent twice, at most in flight and probes while answers were lost", len(found.doubled), lost),
        Figure("answers lost for good", found.statuses["unknown"]),
        *supervisor.figures(),
    ]


SCENARIOS = (
    Scenario(
        "18",
        "network",
        "a replica cut off from Kafka beyond its session",
        network_kafka,
        doubled_allowed=True,
        long=True,
        second_way=True,
    ),
    Scenario(
        "18a",
        "network-stale",
        "a replica whose connections to Kafka go dead",
        network_stale,
        doubled_allowed=True,
        second_way=True,
        variant=True,
    ),
    Scenario("18b", "network-ses", "a replica cut off from SES", network_ses, doubled_allowed=True, second_way=True),
)
