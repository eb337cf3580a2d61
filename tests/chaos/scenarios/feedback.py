"""SES reports what became of its e-mails: lost answers are settled, and no report is lost while replicas die."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Iterator, Sequence
from functools import partial
from typing import Any

from deploy.local.sqs.names import CONFIGURATION_SET
from schemas.contacts import Contact
from schemas.events import Role
from schemas.placement import partition_for
from tests import ses_events
from tests.chaos.checker import examine, named
from tests.chaos.cluster import World
from tests.chaos.feedback_checker import Made, doubts, examine_feedback, suppressed
from tests.chaos.load_driver import LoadDriver
from tests.chaos.scenario import Figure, Scenario, load_driver, under_load, until_quiet
from tests.chaos.watcher import PARTITIONS
from tests.load import Load

_REPORTED_SECONDS = 90.0
_LOOK_SECONDS = 0.5
_MENTORS_IN_SHORT, _MENTORS_IN_FULL = 50, 200
_LOSES = {"accept_then_drop_share": 0.3}
_UNRELIABLE = {
    # Up to half of all reports come before the answer, so before the outcome of their dispatch.
    "latency_jitter_ms": 1200,
    "event_duplicate_share": 1 / 3,
    "event_disorder_share": 0.5,
    "event_disorder_seconds": 3,
}
_FATES = {1: "bounce", 2: "softbounce", 3: "complaint", 4: "ooto"}
"""What becomes of e-mails to a mentor, by the last digit of the number; those of the others are delivered."""
_EARLY_KINDS = {"Send": "send", "Delivery": "delivery", "Bounce": "bounce", "Complaint": "complaint"}
_EARLY_AT_ONCE = 40


async def lost_answers(stage: World, *, policy: str) -> Sequence[Figure]:
    """Have SES lose every third answer while replicas are killed."""
    kills, mentors = stage.size(short=1, full=10), _mentors(stage)

    async def act(stage: World, _driver: LoadDriver) -> None:
        stage.mark("fault", "SES loses 30 % of its answers")
        await stage.ses.set(**_LOSES)
        await _killing(stage, kills, lost_answer_policy=policy)
        await stage.ses.set(accept_then_drop_share=0)

    await stage.programs(replicas=stage.size(short=2, full=3), facades=1, lost_answer_policy=policy)
    await under_load(
        stage, act, events=stage.size(short=100, full=2000), per_second=stage.size(short=15, full=30), mentors=mentors
    )
    if stage.queue is not None:
        await _reported(stage)
    found, in_doubt = examine(stage.evidence), doubts(stage.evidence)
    return [
        Figure("kills", kills),
        Figure("recipients whose answer was lost", in_doubt.recipients),
        Figure("of these unknown in the end", found.statuses["unknown"], 0 if policy == "reconcile" else None),
        Figure("first e-mail to the end of these, median", round(in_doubt.median, 1), unit="s"),
        Figure("first e-mail to the end of these, longest", round(in_doubt.longest, 1), unit="s"),
        *(_feedback_figures(stage) if stage.queue is not None else ()),
    ]


async def under_fire(stage: World) -> Sequence[Figure]:
    """Kill replicas while reports come: doubled, shuffled, and before their dispatch exists."""
    kills = stage.size(short=2, full=30)
    events, mentors = stage.size(short=100, full=2500), _mentors(stage)
    early = _Early(stage, Load(events * 6 // 10, mentors=mentors, name=f"{stage.namespace}-early"))
    load = Load(events, mentors=mentors)

    async def act(stage: World, driver: LoadDriver) -> None:
        await stage.ses.set(**_UNRELIABLE)
        await driver.contacts(_unlucky(load))
        async with asyncio.TaskGroup() as together:
            together.create_task(early.publish(seconds=3 * kills))
            together.create_task(_killing(stage, kills))

    await stage.programs(replicas=stage.size(short=2, full=3), facades=1)
    await under_load(stage, act, events=events, per_second=stage.size(short=15, full=25), mentors=mentors)
    await _reported(stage, early.made)
    stage.mark("well", "the events follow whose reports came first")
    async with load_driver(stage, early.load) as driver:
        await driver.run(range(early.load.events), per_second=stage.size(short=30, full=60), rest_share=0)
    await until_quiet(stage)
    await _reported(stage, early.made)
    healthy = suppressed(stage.evidence, except_contacts={one.id for one in _unlucky(load)})
    return [
        Figure("kills", kills),
        *_feedback_figures(stage, early.made),
        Figure("reports made before their dispatch existed", len(early.made)),
        Figure("suppressed without a reason", len(healthy), 0, why=named(healthy)),
    ]


def _mentors(stage: World) -> int:
    return stage.size(short=_MENTORS_IN_SHORT, full=_MENTORS_IN_FULL)


async def _killing(stage: World, kills: int, **settings: Any) -> None:
    for _ in range(kills):
        await asyncio.sleep(stage.random.uniform(2, 4))
        await stage.kill(stage.random.choice(stage.replicas))
        await stage.replica(**settings)


def _unlucky(load: Load) -> Iterator[Contact]:
    """Yield the mentors whose e-mails are not just delivered."""
    for contact in load.contacts():
        fate = _FATES.get(int(contact.id[-1])) if contact.role is Role.MENTOR else None
        if fate is not None:
            yield contact.model_copy(update={"email": f"{fate}+{contact.id}@example.org"})


class _Early:
    """Reports of e-mails that do not exist, about events that are published only later."""

    def __init__(self, stage: World, load: Load) -> None:
        self._stage = stage
        self.load = load
        self.made: set[Made] = set()

    async def publish(self, *, seconds: float) -> None:
        """Publish them in this time: a third twice, all shuffled."""
        assert self._stage.queue is not None
        messages = list(self._messages())
        self._stage.random.shuffle(messages)
        pause = seconds * _EARLY_AT_ONCE / len(messages)
        for first in range(0, len(messages), _EARLY_AT_ONCE):
            await self._stage.queue.put(*messages[first : first + _EARLY_AT_ONCE])
            await asyncio.sleep(pause)

    def _messages(self) -> Iterator[str]:
        coordinators = {one.id: one.coordinator_id for one in self.load.contacts()}
        for event in map(self.load.event, range(self.load.events)):
            partition = partition_for(event.mentor_id, PARTITIONS)
            for recipient in filter(None, (event.mentor_id, coordinators[event.mentor_id])):
                message_id = f"early-{event.dispatch_id}-{recipient}"
                for kind, recorded in _EARLY_KINDS.items():
                    report = ses_events.event(
                        kind,
                        message_id=message_id,
                        dispatch_id=event.dispatch_id,
                        recipient=recipient,
                        partition=partition,
                        address=f"{recipient}@example.org",
                    )
                    report["mail"]["tags"]["ses:configuration-set"] = [CONFIGURATION_SET]
                    self.made.add((message_id, recorded))
                    yield from [ses_events.in_sns(report)] * (1 + (self._stage.random.random() < 1 / 3))


async def _reported(stage: World, early: Collection[Made] = ()) -> None:
    """Wait until SES has no report left, the queue is empty, and all reports are on the topic and handled."""
    assert stage.queue is not None
    until = time.monotonic() + _REPORTED_SECONDS
    while time.monotonic() < until:
        await asyncio.sleep(_LOOK_SECONDS)
        if (await stage.ses.stats())["events"]["waiting"] or await stage.queue.left():
            continue
        stage.watcher.read_ses_log()
        stage.evidence.fates = await stage.ses.fates()
        if not examine_feedback(stage.evidence, early=early).lost:
            break
    await stage.watcher.settle(within=30)


def _feedback_figures(stage: World, early: Collection[Made] = ()) -> list[Figure]:
    found = examine_feedback(stage.evidence, early=early)
    return [
        Figure("reports of SES", found.made),
        Figure("reports recorded again", found.copies),
        Figure("records before the outcome of their dispatch", found.before_outcome),
        Figure("reports lost", len(found.lost), 0, why=named(found.lost)),
        Figure("reports that nobody made", len(found.invented), 0, why=named(found.invented)),
        Figure("states that are not those of SES", len(found.lowered), 0, why=named(found.lowered)),
        Figure("bounces of which nobody is told", len(found.untold), 0, why=named(found.untold)),
    ]


SCENARIOS = (
    Scenario(
        "25",
        "lost-answers",
        "SES loses a third of its answers, replicas are killed: reconciled",
        partial(lost_answers, policy="reconcile"),
        feedback=True,
    ),
    Scenario(
        "25a",
        "lost-answers-resend",
        "the same without feedback, sent again",
        partial(lost_answers, policy="resend"),
        doubled_allowed=True,
        variant=True,
    ),
    Scenario(
        "25b",
        "lost-answers-hold",
        "the same without feedback, held for a person",
        partial(lost_answers, policy="hold"),
        variant=True,
    ),
    Scenario(
        "26",
        "feedback-under-fire",
        "replicas killed while reports come early, doubled and shuffled",
        under_fire,
        feedback=True,
        long=True,
    ),
)
