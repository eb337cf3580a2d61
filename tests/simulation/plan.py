"""The plan that a seed makes: how many replicas run, what is published, and which incidents happen when."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from random import Random

from consumers.steps import Step
from runtime.kafka.records import Place
from runtime.settings import LostAnswerPolicy
from schemas.events import EVENT_TOPICS
from tests.simulation.controls import controls_of
from tests.simulation.coordinator import SESSION_SECONDS
from tests.simulation.faults import FaultRates, random_rates, with_prompt_reads
from tests.simulation.kafka import PARTITIONS
from tests.simulation.producers import (
    KINDS,
    KNOWN,
    LATE,
    MENTORS,
    Written,
    contact_record,
    event_record,
    keyless,
    poison,
)

_IN_DOUBT = (Step.INTENT_RECORDED, Step.ANSWERED)
"""After these steps it is not certain whether an e-mail was sent."""
FAULT_SECONDS = 6.0
"""How long faults last; then they cease, and all work must be finished."""

_FEEDBACK_SHARE = 0.15
"""The share of plans with feedback among those that do not wait for it."""
_LATE_FEEDBACK_SHARE = 0.2
"""The share of plans, of those with feedback, in which it comes late or never."""
_UNLUCKY_SHARE = 0.2
_FLOOD_SHARE = 0.25
"""The share of plans with a flood of invalid records: more than get a dead letter each."""
_REPEATED_CALL = 100
"""A repeated call without a key is another event: its number is higher by this."""


class Action(StrEnum):
    """What happens to a program, or to all of them."""

    KILL = "kill"
    STOP = "stop"
    PAUSE = "pause"
    REBALANCE = "rebalance"
    START = "start"


@dataclass(frozen=True)
class Incident:
    """An action, and how long until it is undone: a program that ended is restarted, a frozen one resumes."""

    action: Action
    seconds: float


class Fate(StrEnum):
    """What becomes of the e-mails to a contact, if they are not delivered, or not welcome."""

    BOUNCES = "bounces"
    BOUNCES_FOR_NOW = "bounces for now"
    COMPLAINS = "complains"
    REJECTED = "rejected"


@dataclass(frozen=True)
class FeedbackPlan:
    """What SES reports."""

    within_seconds: float
    """How late an event may reach the queue."""
    lost: float
    """The probability that nothing is ever reported of an e-mail."""
    fates: tuple[tuple[str, Fate], ...]
    """By contact; all others get their e-mails."""
    junk: int


@dataclass(frozen=True)
class Plan:
    """All that is decided before a run begins; chances during the run are drawn from the same seed."""

    replicas: int
    policy: LostAnswerPolicy
    records_held: int
    rates: FaultRates
    published: tuple[tuple[float, Written], ...]
    timed: tuple[tuple[float, Incident], ...]
    triggered: dict[tuple[Step, int], Incident]
    """By step, and how many times any program has reached it."""
    feedback: FeedbackPlan | None = None
    """None if the replicas have no queue."""
    controls: tuple[tuple[float, Written], ...] = ()
    slow_share: float = 0.0
    """The share of the first source's events; 0 if it is not slow."""


def plan_of(random: Random) -> Plan:
    """Draw a plan. In every third one, an owner is frozen during a send and resumes when another replica owns."""
    with_zombies = random.random() < 0.33
    plan = Plan(
        replicas=random.choice((2, 2, 3) if with_zombies else (1, 2, 2, 3)),
        policy=random.choice(tuple(LostAnswerPolicy)),
        records_held=random.choice((2, 4, 100)),
        rates=with_prompt_reads(random_rates(random)) if with_zombies else random_rates(random),
        published=tuple(sorted(_published(random, 0.4 if with_zombies else 0.1), key=lambda pair: pair[0])),
        timed=tuple((random.random() * FAULT_SECONDS, _incident(random)) for _ in range(random.randint(0, 2))),
        triggered={**_triggered(random), **(_zombies(random) if with_zombies else {})},
    )
    plan = replace(plan, feedback=_feedback(plan, Random(f"feedback of {plan}")))
    plan = replace(plan, controls=controls_of(Random(f"controls of {plan}")))
    plan = replace(plan, slow_share=Random(f"slow share of {plan}").choice((0.0, 0.1, 0.5)))
    of_floods = Random(str(plan))  # so that floods do not change what is drawn later
    if of_floods.random() >= _FLOOD_SHARE:
        return plan
    return replace(plan, published=tuple(sorted((*plan.published, *_flood(of_floods)), key=lambda pair: pair[0])))


def _feedback(plan: Plan, random: Random) -> FeedbackPlan | None:
    """Draw what is reported: always if lost answers are reconciled, and sometimes else."""
    if plan.policy is not LostAnswerPolicy.RECONCILE and random.random() >= _FEEDBACK_SHARE:
        return None
    late = random.random() < _LATE_FEEDBACK_SHARE
    unlucky = [contact for contact in KNOWN if random.random() < _UNLUCKY_SHARE]
    return FeedbackPlan(
        within_seconds=random.choice((1.5, 5.0, 8.0)) if late else random.choice((0.1, 0.5, 1.5)),
        lost=0.6 if late and random.random() < 0.6 else 0.0,
        fates=tuple((contact, random.choice((Fate.BOUNCES, *Fate))) for contact in unlucky),
        junk=random.choice((0, 0, 1, 3)),
    )


def _flood(random: Random) -> Iterator[tuple[float, Written]]:
    """Yield invalid records for one partition in quick succession: most of them become a range."""
    at, mentor, kind = random.random() * FAULT_SECONDS, random.choice(MENTORS), random.choice(KINDS)
    for number in range(random.randint(3, 9)):
        yield at + 0.01 * number, poison(event_record(mentor, kind, number))


def _triggered(random: Random) -> dict[tuple[Step, int], Incident]:
    steps = [*Step, *_IN_DOUBT]
    return {
        (random.choice(steps), random.choice((1, 1, 2, 2, 3, 4, 6))): _incident(random)
        for _ in range(random.randint(1, 3))
    }


def _zombies(random: Random) -> dict[tuple[Step, int], Incident]:
    """Freeze owners for about as long as others need to own and finish what they left."""
    return {
        (random.choice(_IN_DOUBT), nth): Incident(Action.PAUSE, SESSION_SECONDS * (1 + random.random() * 0.8))
        for nth in (1, random.randint(2, 4))
    }


def _incident(random: Random) -> Incident:
    action = random.choice(
        (Action.KILL, Action.KILL, Action.STOP, Action.PAUSE, Action.PAUSE, Action.REBALANCE, Action.START)
    )
    return Incident(action, random.choice((0.1, 0.5, 2.0, 4.0, 5.0)))


def _published(random: Random, twice: float) -> Iterator[tuple[float, Written]]:
    mentors = [random.choice(MENTORS) for _ in range(random.randint(1, 4))]
    spread = random.choice((0.0, 0.5, 4.0))
    for number in range(random.randint(3, 8)):
        at = 0.1 + random.random() * spread
        yield from _event(random, number, random.choice(mentors), twice, at)
    if LATE.id in mentors:
        yield random.random() * 4, contact_record(LATE.id)


def _event(random: Random, number: int, mentor: str, twice: float, at: float) -> Iterator[tuple[float, Written]]:
    """Yield an event's record, sometimes as another kind of producer writes it, and what follows it."""
    kind, later = random.choice(KINDS), at + random.random() * FAULT_SECONDS
    written = event_record(mentor, kind, number)
    match random.choices(("producer", "elsewhere", "caller", "invalid"), (80, 8, 8, 4))[0]:
        case "producer":
            yield at, written
        case "elsewhere":
            yield at, written.at(Place(random.choice(EVENT_TOPICS), random.randrange(PARTITIONS)), "misplaced")
        case "caller":
            again = _REPEATED_CALL + number
            yield at, keyless(written, number)
            yield later, keyless(event_record(mentor, kind, again), again)
        case _:
            yield at, poison(written)
    if random.random() < twice:
        yield later, written
    elif random.random() < 0.1:
        yield later, event_record(mentor, random.choice(KINDS), number)  # usually another content with the same id
