"""Replicas that are killed, stopped, scaled, frozen, and that come and go."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from runtime.settings import ReplicaSettings
from tests.chaos.checker import examine, fleet_pause
from tests.chaos.cluster import RECORD_DEADLINE_SECONDS, SES_TIMEOUT_SECONDS, SESSION_SECONDS, SETTINGS, World
from tests.chaos.load_driver import LoadDriver
from tests.chaos.scenario import Figure, Scenario, under_load

_IN_FLIGHT = int(str(SETTINGS["consumers"]["max_sends_in_flight"]))
_DOUBT_SECONDS = SES_TIMEOUT_SECONDS + RECORD_DEADLINE_SECONDS
_SLACK_SECONDS = 5.0
_SHIPPED: dict[str, Any] = {
    name: ReplicaSettings.model_fields[name].default for name in ("session_timeout_seconds", "heartbeat_seconds")
}
_FLEET_PAUSE_SECONDS = 10.0
"""A crash may pause the crashed replica's partitions for longer, never all of them."""


def standstill(stage: World, limit: float) -> Figure:
    """Return the longest standstill of a partition, with its limit."""
    return Figure("back at work", round(examine(stage.evidence).standstill, 1), limit, "s")


async def _sigkill(stage: World, *, kills: int, events: int, **settings: Any) -> None:
    async def act(stage: World, _driver: LoadDriver) -> None:
        for _ in range(kills):
            await asyncio.sleep(stage.random.uniform(2, 4))
            await stage.kill(stage.random.choice(stage.replicas))
            await stage.replica(**settings)

    await stage.programs(replicas=stage.size(short=2, full=3), facades=stage.size(short=1, full=2), **settings)
    await under_load(stage, act, events=events, per_second=stage.size(short=60, full=80))


async def sigkill(stage: World) -> Sequence[Figure]:
    """Kill a random replica every few seconds."""
    kills = stage.size(short=2, full=30)
    await _sigkill(stage, kills=kills, events=stage.size(short=300, full=20_000))
    doubled = len(examine(stage.evidence).doubled)
    return [
        Figure("kills", kills),
        Figure("sent twice, at most in flight at each kill", doubled, kills * _IN_FLIGHT),
        standstill(stage, SESSION_SECONDS + _SLACK_SECONDS),
    ]


async def sigkill_hold(stage: World) -> Sequence[Figure]:
    """Do the same with lost answers that are held for a person instead of sent again."""
    kills = stage.size(short=1, full=12)
    await _sigkill(stage, kills=kills, events=stage.size(short=200, full=6000), lost_answer_policy="hold")
    return [Figure("kills", kills), standstill(stage, SESSION_SECONDS + _SLACK_SECONDS)]


async def sigterm(stage: World) -> Sequence[Figure]:
    """Stop and start replicas one after another, as a roll-out does."""
    stops = stage.size(short=2, full=10)
    codes: list[int] = []

    async def act(stage: World, _driver: LoadDriver) -> None:
        for number in range(stops):
            await asyncio.sleep(2)
            codes.append(await stage.stop(stage.replicas[0]))
            await stage.replica()
            stage.shared.tell(f"{stage.namespace}: {number + 1} of {stops} stopped and started")

    await stage.programs(replicas=stage.size(short=2, full=3), facades=stage.size(short=1, full=2))
    await under_load(stage, act, events=stage.size(short=300, full=20_000), per_second=stage.size(short=60, full=250))
    return [
        Figure("stops", stops),
        Figure("exit codes other than 0", sum(code != 0 for code in codes), 0),
        standstill(stage, _SLACK_SECONDS),
    ]


async def scaling(stage: World) -> Sequence[Figure]:
    """Scale from one replica to six and back."""
    most = stage.size(short=3, full=6)

    async def act(stage: World, _driver: LoadDriver) -> None:
        for _ in range(most - 1):
            await asyncio.sleep(2)
            await stage.replica()
        for _ in range(most - 1):
            await asyncio.sleep(2)
            await stage.stop(stage.random.choice(stage.replicas))

    await stage.programs(replicas=1, facades=stage.size(short=1, full=2))
    await under_load(stage, act, events=stage.size(short=300, full=20_000), per_second=stage.size(short=60, full=250))
    return [Figure("replicas at most", most), standstill(stage, _SLACK_SECONDS)]


async def zombie(stage: World) -> Sequence[Figure]:
    """Freeze a replica beyond its session, so that others take over, and let it wake up."""
    freezes = stage.size(short=1, full=5)

    async def act(stage: World, _driver: LoadDriver) -> None:
        for _ in range(freezes):
            await asyncio.sleep(3)
            victim = stage.random.choice(stage.replicas)
            stage.mark("freeze", f"{victim.name} frozen")
            os.kill(victim.pid, signal.SIGSTOP)
            await asyncio.sleep(SESSION_SECONDS + 3)
            stage.mark("well", f"{victim.name} wakes up")
            os.kill(victim.pid, signal.SIGCONT)

    await stage.programs(replicas=stage.size(short=2, full=3), facades=1)
    await under_load(stage, act, events=stage.size(short=400, full=7000), per_second=stage.size(short=60, full=100))
    doubled = len(examine(stage.evidence).doubled)
    ended = sum(not replica.running for replica in stage.replicas)
    return [
        Figure("freezes", freezes),
        Figure("sent twice, at most in flight at each freeze", doubled, freezes * _IN_FLIGHT),
        Figure("replicas that ended by themselves", ended),
        standstill(stage, SESSION_SECONDS + _SLACK_SECONDS),
    ]


async def crash_restart(stage: World) -> Sequence[Figure]:
    """Kill one replica and start it again at once, as a supervisor does, with the default session and heartbeat."""
    crashes = stage.size(short=1, full=6)

    async def act(stage: World, _driver: LoadDriver) -> None:
        for number in range(crashes):
            await asyncio.sleep(_SHIPPED["session_timeout_seconds"])
            await stage.kill(stage.random.choice(stage.replicas))
            stage.shared.tell(f"{stage.namespace}: {number + 1} of {crashes} crashed")
            await stage.replica(**_SHIPPED)

    await stage.programs(replicas=stage.size(short=2, full=3), facades=1, **_SHIPPED)
    await under_load(stage, act, events=stage.size(short=400, full=6000), per_second=stage.size(short=40, full=80))
    doubled = len(examine(stage.evidence).doubled)
    return [
        Figure("crashes", crashes),
        Figure("sent twice, at most in flight at each crash", doubled, crashes * _IN_FLIGHT),
        Figure("longest pause of the whole fleet", round(fleet_pause(stage.evidence), 1), _FLEET_PAUSE_SECONDS, "s"),
        standstill(stage, _SHIPPED["session_timeout_seconds"] + _SLACK_SECONDS),
    ]


async def flapping(stage: World) -> Sequence[Figure]:
    """Have members come and go faster than the session, and have two claim one static membership."""
    turns = stage.size(short=2, full=12)
    claimed: list[float] = []

    async def act(stage: World, _driver: LoadDriver) -> None:
        for _ in range(turns):
            passing = await stage.replica(wait=False)
            await asyncio.sleep(stage.random.uniform(0.5, 3))
            if stage.random.random() < 0.5:
                await stage.kill(passing)
            elif passing.running:
                await stage.stop(passing)
        claimed.append(stage.mark("fault", "two members claim one static membership"))
        twins = [await stage.replica(wait=False, group_instance_id="twin") for _ in range(2)]
        await asyncio.sleep(stage.size(short=4, full=15))
        for twin in twins:
            await stage.kill(twin)

    await stage.programs(replicas=2, facades=1)
    await under_load(stage, act, events=stage.size(short=300, full=5000), per_second=stage.size(short=40, full=80))
    ended = sum(not replica.running for replica in stage.replicas)
    before = replace(stage.evidence, mails=[mail for mail in stage.evidence.mails if mail.at < claimed[0]])
    return [
        Figure("members that came and went", turns + 2),
        Figure("steady replicas that ended", ended, 0),
        Figure("sent twice, no answer lost, before two claimed one membership", len(examine(before).unexplained), 0),
        Figure("the same in all, at most in flight", len(examine(stage.evidence).unexplained), 2 * _IN_FLIGHT),
    ]


SCENARIOS = (
    Scenario("1", "sigkill", "SIGKILL of a random replica every few seconds", sigkill, doubled_allowed=True, long=True),
    Scenario("1h", "sigkill-hold", "the same, lost answers held for a person", sigkill_hold),
    Scenario("2", "sigterm", "rolling SIGTERM", sigterm, heavy=True),
    Scenario("3", "scaling", "1 to 6 replicas and back", scaling, heavy=True),
    Scenario(
        "21",
        "crash-restart",
        "a replica killed and started again at once, at the shipped session",
        crash_restart,
        doubled_allowed=True,
    ),
    Scenario("5", "zombie", "a replica frozen beyond its lease, then woken", zombie, doubled_allowed=True),
    Scenario(
        "16",
        "flapping",
        "members that come and go; one static membership twice",
        flapping,
        doubled_allowed=True,
        owned_twice=True,
    ),
)
