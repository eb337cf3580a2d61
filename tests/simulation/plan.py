"""What one seed stands for: who works, what is published when, and what befalls whom at which step."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from random import Random

from consumers.steps import Step
from runtime.kafka.records import Place
from runtime.settings import LostAnswerPolicy
from schemas.events import EVENT_TOPICS
from tests.simulation.coordinator import SESSION_SECONDS
from tests.simulation.faults import Climate, prompt, stormy
from tests.simulation.kafka import PARTITIONS
from tests.simulation.operators import KINDS, LATE, MENTORS, Written, contact_record, event_record, keyless, poison

_IN_DOUBT = (Step.INTENT_RECORDED, Step.ANSWERED)
"""Between these and the next a mail is neither sent for sure nor not."""
STORM_SECONDS = 6.0
"""How long things go wrong; then faults cease, and all must come to its end."""

_FLOODED = 0.25
"""Of so many plans junk is a part, more than is told one by one."""
_CALLED_AGAIN = 100
"""A call without a key that is repeated is another event: of the number that is so much higher."""


class Deed(StrEnum):
    """What befalls a program, or all of them."""

    KILL = "kill"
    STOP = "stop"
    PAUSE = "pause"
    REBALANCE = "rebalance"
    START = "start"


@dataclass(frozen=True)
class Fate:
    """A deed, and how long until it is undone: a program that ended is started again, one that stands still goes on."""

    deed: Deed
    seconds: float


@dataclass(frozen=True)
class Plan:
    """All that is decided before a run begins; what is left to chance meanwhile comes from the same seed."""

    replicas: int
    policy: LostAnswerPolicy
    records_held: int
    climate: Climate
    published: tuple[tuple[float, Written], ...]
    timed: tuple[tuple[float, Fate], ...]
    triggered: dict[tuple[Step, int], Fate]
    """By the how-many-eth time that anybody reaches a step."""


def plan_of(random: Random) -> Plan:
    """Draw a plan; of every three one is about an owner that stands still in doubt, and goes on when others own."""
    haunted = random.random() < 0.33
    plan = Plan(
        replicas=random.choice((2, 2, 3) if haunted else (1, 2, 2, 3)),
        policy=random.choice((LostAnswerPolicy.RESEND, LostAnswerPolicy.RESEND, LostAnswerPolicy.HOLD)),
        records_held=random.choice((2, 4, 100)),
        climate=prompt(stormy(random)) if haunted else stormy(random),
        published=tuple(sorted(_published(random, 0.4 if haunted else 0.1), key=lambda pair: pair[0])),
        timed=tuple((random.random() * STORM_SECONDS, _fate(random)) for _ in range(random.randint(0, 2))),
        triggered={**_triggered(random), **(_haunting(random) if haunted else {})},
    )
    of_floods = Random(str(plan))  # so that chance goes on as if there were none
    if of_floods.random() >= _FLOODED:
        return plan
    return replace(plan, published=tuple(sorted((*plan.published, *_flood(of_floods)), key=lambda pair: pair[0])))


def _flood(random: Random) -> Iterator[tuple[float, Written]]:
    """Write records that are no events to one partition in quick succession: most of them become a range."""
    at, mentor, kind = random.random() * STORM_SECONDS, random.choice(MENTORS), random.choice(KINDS)
    for number in range(random.randint(3, 9)):
        yield at + 0.01 * number, poison(event_record(mentor, kind, number))


def _triggered(random: Random) -> dict[tuple[Step, int], Fate]:
    steps = [*Step, *_IN_DOUBT]
    return {
        (random.choice(steps), random.choice((1, 1, 2, 2, 3, 4, 6))): _fate(random) for _ in range(random.randint(1, 3))
    }


def _haunting(random: Random) -> dict[tuple[Step, int], Fate]:
    """Have owners stand still about as long as it takes others to own, and to be done with what they left."""
    return {
        (random.choice(_IN_DOUBT), nth): Fate(Deed.PAUSE, SESSION_SECONDS * (1 + random.random() * 0.8))
        for nth in (1, random.randint(2, 4))
    }


def _fate(random: Random) -> Fate:
    deed = random.choice((Deed.KILL, Deed.KILL, Deed.STOP, Deed.PAUSE, Deed.PAUSE, Deed.REBALANCE, Deed.START))
    return Fate(deed, random.choice((0.1, 0.5, 2.0, 4.0, 5.0)))


def _published(random: Random, twice: float) -> Iterator[tuple[float, Written]]:
    mentors = [random.choice(MENTORS) for _ in range(random.randint(1, 4))]
    spread = random.choice((0.0, 0.5, 4.0))
    for number in range(random.randint(3, 8)):
        at = 0.1 + random.random() * spread
        yield from _event(random, number, random.choice(mentors), twice, at)
    if LATE.id in mentors:
        yield random.random() * 4, contact_record(LATE.id)


def _event(random: Random, number: int, mentor: str, twice: float, at: float) -> Iterator[tuple[float, Written]]:
    """Yield an event's record, now and then as another kind of producer writes it, and what comes after it."""
    kind, later = random.choice(KINDS), at + random.random() * STORM_SECONDS
    written = event_record(mentor, kind, number)
    match random.choices(("producer", "elsewhere", "caller", "nonsense"), (80, 8, 8, 4))[0]:
        case "producer":
            yield at, written
        case "elsewhere":
            yield at, written.at(Place(random.choice(EVENT_TOPICS), random.randrange(PARTITIONS)), "misplaced")
        case "caller":
            again = _CALLED_AGAIN + number
            yield at, keyless(written, number)
            yield later, keyless(event_record(mentor, kind, again), again)
        case _:
            yield at, poison(written)
    if random.random() < twice:
        yield later, written
    elif random.random() < 0.1:
        yield later, event_record(mentor, random.choice(KINDS), number)  # mostly another content under the same id
