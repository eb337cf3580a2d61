"""Faults that plain peers meet, too, with the same load and checker: what the design is worth, in e-mails."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from tests.chaos.cluster import Peer, World
from tests.chaos.scenario import Figure, Scenario, load_driver, until_quiet
from tests.load import Load, of_two_recipients
from tests.processes import Process

_HARMS = 6
_EVENTS = 4500
_PER_SECOND = 150
_REFUSED_SHARE = 0.04
_REFUSED_SECONDS = 5
_STILL_SECONDS = 30.0
"""Longer than the session of any peer."""

PEERS = (
    Peer("FastStream at its defaults", "tests.chaos.peers.faststream_peer", {}),
    Peer("aiokafka, gather, commit per batch", "tests.chaos.peers.gather_peer", {"PEER_IN_FLIGHT": "64"}),
)


async def six_kills(stage: World) -> Sequence[Figure]:
    """Kill six replicas, each replaced at once, after SES has refused some sends for a moment."""
    return await _work(stage, kill=True)


async def six_stops(stage: World) -> Sequence[Figure]:
    """Stop six replicas in the same way."""
    return await _work(stage, kill=False)


async def _work(stage: World, *, kill: bool) -> Sequence[Figure]:
    load = Load(stage.size(short=300, full=_EVENTS), name=stage.namespace, kinds=of_two_recipients())
    async with load_driver(stage, load) as driver:
        await driver.contacts()
        async with asyncio.TaskGroup() as starting:
            for _ in range(3):
                starting.create_task(stage.replica())
        async with asyncio.TaskGroup() as together:
            together.create_task(driver.run(range(load.events), per_second=_PER_SECOND, rest_share=0))
            together.create_task(_harm(stage, kill=kill))
        if stage.peer is None:
            await until_quiet(stage)
        else:
            await _until_still(stage)
    return [Figure("replicas left of three", sum(replica.running for replica in stage.replicas))]


async def _harm(stage: World, *, kill: bool) -> None:
    await asyncio.sleep(2)
    stage.mark("fault", f"SES answers 500 to {_REFUSED_SHARE:.0%} for {_REFUSED_SECONDS} s")
    await stage.ses.set(error_share=_REFUSED_SHARE)
    await asyncio.sleep(_REFUSED_SECONDS)
    await stage.ses.set(error_share=0)
    stage.mark("well", "SES is well again")
    for _ in range(stage.size(short=1, full=_HARMS)):
        await asyncio.sleep(stage.random.uniform(2, 4))
        victim = stage.random.choice(stage.replicas)
        await (stage.kill(victim) if kill else _stop(stage, victim))
        await stage.replica(wait=False)


async def _stop(stage: World, replica: Process) -> None:
    """Stop a replica as a supervisor does: SIGTERM, and SIGKILL if it still runs after its grace period."""
    try:
        await stage.stop(replica)
    except TimeoutError:
        stage.mark("kill", f"{replica.name} did not stop in time and was killed")
        await asyncio.to_thread(replica.kill)


async def _until_still(stage: World) -> None:
    """Wait until all due e-mails are sent, or none has come for longer than a session."""
    due = {(event.dispatch_id, who) for event in stage.evidence.acknowledged.values() for who in event.due}
    still_since, before = time.monotonic(), -1
    while time.monotonic() - still_since < _STILL_SECONDS:
        seen = {(mail.dispatch_id, mail.recipient) for mail in stage.evidence.mails}
        if due <= seen:
            break
        if len(stage.evidence.mails) != before:
            before, still_since = len(stage.evidence.mails), time.monotonic()
        stage.shared.tell(f"{stage.namespace}: {len(due & seen)} of {len(due)} mails")
        await asyncio.sleep(0.5)
    await stage.watcher.settle(within=6)


SCENARIOS = (
    Scenario("19", "six-kills", "six SIGKILLs, as peers met them", six_kills, doubled_allowed=True, variant=True),
    Scenario("20", "six-stops", "six SIGTERMs, as peers met them", six_stops, variant=True),
)
