"""Plain peers under the very load and the very judge that ours meets: what the design is worth, in mails."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from tests.chaos.checker import examine
from tests.chaos.evidence import Evidence
from tests.chaos.ground import Ground, World, world
from tests.chaos.loading import Loading
from tests.chaos.playing import STILL_SECONDS, Figure, loading, quiet
from tests.load import Load, of_two_recipients

_HARMS = 6
_EVENTS = 4500
_PER_SECOND = 150
_REFUSED_SHARE = 0.04
_REFUSED_SECONDS = 5
_STILL_SECONDS = 30.0
_STOP_SECONDS = 40.0


@dataclass(frozen=True)
class Peer:
    """A program that does the same work, and what it is told beside what all are told."""

    name: str
    program: str
    environ: dict[str, str]


OURS = Peer("this service", "consumers", {})
PEERS = (
    Peer("FastStream at its defaults", "tests.chaos.peers.faststream_peer", {}),
    Peer("aiokafka, gather, a commit per batch", "tests.chaos.peers.gather_peer", {"PEER_IN_FLIGHT": "64"}),
)


@dataclass
class Compared:
    """What one of them made of one harm."""

    peer: str
    harm: str
    seed: int
    seconds: float
    due: int
    figures: list[Figure]
    evidence: Evidence

    @property
    def values(self) -> dict[str, float]:
        """Give the figures by name."""
        return {figure.name: figure.value for figure in self.figures}


async def compare(ground: Ground, peer: Peer, harm: str, seed: int, *, full: bool = True) -> Compared:
    """Let a peer work through a load of two-recipient events while its replicas meet *harm*: kill or stop."""
    began = time.monotonic()
    namespace = f"{harm}-{peer.program.rpartition('.')[2].replace('_', '-')}-{seed}-{time.time_ns() % 10**9:x}"
    async with world(ground, namespace, seed, full=full, program=peer.program) as stage:
        await _work(stage, peer, harm)
    found = examine(stage.evidence, peer=peer is not OURS)
    figures = [
        Figure("events acknowledged", found.acknowledged),
        Figure("mails accepted", found.mails),
        Figure("lost", len(found.lost)),
        Figure("sent twice", len(found.doubled)),
        Figure("mentors out of order", len(found.out_of_order)),
        Figure("replicas left", sum(replica.running for replica in stage.replicas)),
    ]
    due = sum(len(event.due) for event in stage.evidence.acknowledged.values())
    return Compared(peer.name, harm, seed, time.monotonic() - began, due, figures, stage.evidence)


async def _work(stage: World, peer: Peer, harm: str) -> None:
    load = Load(stage.size(short=300, full=_EVENTS), name=stage.namespace, kinds=of_two_recipients())
    async with loading(stage, load) as doors:
        await doors.contacts()
        async with asyncio.TaskGroup() as starting:
            for _ in range(3):
                starting.create_task(stage.replica(environ=peer.environ))
        async with asyncio.TaskGroup() as together:
            together.create_task(doors.run(range(load.events), per_second=_PER_SECOND, rest_share=0))
            together.create_task(_harm(stage, peer, harm))
        if peer is OURS:
            await quiet(stage)
        else:
            await _until_still(stage, doors)


async def _harm(stage: World, peer: Peer, harm: str) -> None:
    """Refuse some sends for a moment, and take replicas away six times, each replaced at once."""
    await asyncio.sleep(2)
    stage.mark("fault", f"SES answers 503 to {_REFUSED_SHARE:.0%} for {_REFUSED_SECONDS} s")
    await stage.ses.set(error_share=_REFUSED_SHARE)
    await asyncio.sleep(_REFUSED_SECONDS)
    await stage.ses.set(error_share=0)
    for _ in range(stage.size(short=1, full=_HARMS)):
        await asyncio.sleep(stage.random.uniform(2, 4))
        victim = stage.random.choice(stage.replicas)
        if harm == "kill":
            await stage.kill(victim)
        else:
            await _stop(stage, victim)
        await stage.replica(wait=False, environ=peer.environ)


async def _stop(stage: World, victim: object) -> None:
    """Stop one as a supervisor does: SIGTERM, and SIGKILL where it is still there after its grace."""
    replica = next(one for one in stage.replicas if one is victim)
    try:
        await stage.stop(replica)
    except TimeoutError:
        stage.mark("kill", f"{replica.name} did not stop in time and was killed")
        await asyncio.to_thread(replica.kill)


async def _until_still(stage: World, _doors: Loading) -> None:
    """Wait until all due mails are there, or none has come for as long as any session lasts."""
    due = {(event.dispatch_id, who) for event in stage.evidence.acknowledged.values() for who in event.due}
    still_since, before = time.monotonic(), -1
    while time.monotonic() - still_since < min(_STILL_SECONDS, STILL_SECONDS):
        seen = {(mail.dispatch_id, mail.recipient) for mail in stage.evidence.mails}
        if due <= seen:
            break
        if len(stage.evidence.mails) != before:
            before, still_since = len(stage.evidence.mails), time.monotonic()
        stage.ground.tell(f"{stage.namespace}: {len(due & seen)} of {len(due)} mails")
        await asyncio.sleep(0.5)
    await stage.watcher.settle(within=3)


def everybody() -> Sequence[Peer]:
    """Give ours first, then the peers."""
    return (OURS, *PEERS)
