"""SES throttles, fails, loses answers, is slow, is paused or suspended, or the daily quota is used up."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from tests.chaos.checker import back_at_work, examine
from tests.chaos.cluster import World
from tests.chaos.load_driver import LoadDriver
from tests.chaos.scenario import Figure, Scenario, under_load, until_back

_BACK_SECONDS = 10.0
_HEALTHY: dict[str, object] = {
    "throttle_share": 0,
    "error_share": 0,
    "accept_then_drop_share": 0,
    "accept_then_hang_share": 0,
    "hang_seconds": None,
    "paused": False,
    "suspended": False,
    "max_24_hour_send": -1,
}


async def _during(stage: World, what: str, seconds: float, **faults: object) -> float:
    """Set faults of SES for some seconds, and return when they ended."""
    stage.mark("fault", what)
    await stage.ses.set(**faults)
    await asyncio.sleep(seconds)
    await stage.ses.set(**_HEALTHY)
    return stage.mark("well", "SES is well again")


def _judged(stage: World, well: Sequence[float]) -> list[Figure]:
    found = examine(stage.evidence)
    back = [back_at_work(stage.evidence, at) for at in well]
    never = sum(seconds is None for seconds in back)
    others = sum(count for reason, count in found.letters.items() if reason != "unknown")
    return [
        Figure("outages", len(well)),
        Figure("dead letters, of answers lost twice", found.letters["unknown"]),
        Figure("dead letters, of any other reason", others, 0),
        Figure("outages after which a partition never came back", never, 0),
        Figure("back at work", round(max((s for s in back if s is not None), default=0.0), 1), _BACK_SECONDS, "s"),
    ]


async def ses_faults(stage: World) -> Sequence[Figure]:
    """Have SES throttle a fifth, lose answers, fail for long, and be slower than our time-out."""
    well: list[float] = []
    phase = stage.size(short=3, full=12)

    async def act(stage: World, _driver: LoadDriver) -> None:
        await asyncio.sleep(2)
        await _during(stage, "SES throttles 20 %", phase, throttle_share=0.2)
        await _during(stage, "SES loses 5 % of its answers", phase, accept_then_drop_share=0.05)
        outage = stage.size(short=4, full=30)
        well.append(await _during(stage, f"SES answers 500 for {outage} s", outage, error_share=1))
        await until_back(stage, well[-1])
        slow = {"accept_then_hang_share": 1, "hang_seconds": 45}
        well.append(await _during(stage, "SES takes 45 s for an answer", phase, **slow))

    await stage.programs(facades=1, replicas=stage.size(short=2, full=3))
    await under_load(stage, act, events=stage.size(short=300, full=6000), per_second=stage.size(short=30, full=60))
    return _judged(stage, well)


async def ses_outage(stage: World) -> Sequence[Figure]:
    """Have SES answer only 500 for ten minutes."""
    well: list[float] = []

    async def act(stage: World, _driver: LoadDriver) -> None:
        await asyncio.sleep(2)
        outage = stage.size(short=8, full=600)
        well.append(await _during(stage, f"SES answers 500 for {outage} s", outage, error_share=1))

    await stage.programs(facades=1, replicas=stage.size(short=2, full=3))
    await under_load(stage, act, events=stage.size(short=100, full=6000), per_second=10)
    return _judged(stage, well)


async def ses_halted(stage: World) -> Sequence[Figure]:
    """Pause the account, suspend it, use up the daily quota: nothing is sent, and nothing is lost."""
    well: list[float] = []
    outage = stage.size(short=4, full=30)

    async def act(stage: World, _driver: LoadDriver) -> None:
        await asyncio.sleep(2)
        well.append(await _during(stage, f"sending is paused for {outage} s", outage, paused=True))
        await until_back(stage, well[-1])
        well.append(await _during(stage, f"the account is suspended for {outage} s", outage, suspended=True))
        await until_back(stage, well[-1])
        well.append(await _during(stage, f"the day's quota is spent for {outage} s", outage, max_24_hour_send=10))

    await stage.programs(facades=1, replicas=stage.size(short=2, full=3))
    await under_load(stage, act, events=stage.size(short=300, full=6000), per_second=stage.size(short=30, full=50))
    return _judged(stage, well)


SCENARIOS = (
    Scenario("6", "ses-faults", "SES throttles, loses answers, errs, is slow", ses_faults, doubled_allowed=True),
    Scenario("6a", "ses-outage", "SES answers 500 for ten minutes", ses_outage, variant=True, long=True),
    Scenario("7", "ses-halted", "the account paused, suspended, its quota spent", ses_halted),
)
