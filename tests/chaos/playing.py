"""Plays one scenario: its world, its load, what is done to it meanwhile, and the judgement at the end."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from traceback import format_exception

from tests.chaos.checker import Findings, examine, named
from tests.chaos.cluster import Ground, Peer, World, world
from tests.chaos.evidence import Evidence
from tests.chaos.loading import Doors, Loading
from tests.load import Load

Act = Callable[[World, Loading], Awaitable[None]]

LONGEST = 10
"""A load that goes on until something is over is at most so many times as long as meant."""

_AFTER_SECONDS = 1.0
"""A load goes on for so long when all harm is done, so that what it did is seen."""

_LOOK_SECONDS = 0.5

_BACK_SECONDS = 30.0
"""Whatever was harmed should long be back at work by then; the judge says whether it was."""

STILL_SECONDS = 60.0
"""Nothing has ended for so long, and no fault is on: what is open then counts as lost."""


@dataclass(frozen=True)
class Figure:
    """Something measured, and how much of it is allowed; None if it is only told."""

    name: str
    value: float
    limit: float | None = None
    unit: str = ""
    at_least: bool = False
    why: str = ""
    """What the count names, for a person."""

    @property
    def met(self) -> bool:
        """Return whether it is within its limit."""
        if self.limit is None:
            return True
        return self.value >= self.limit if self.at_least else self.value <= self.limit


@dataclass(frozen=True)
class Scenario:
    """Something that may happen, by name."""

    number: str
    """That of the list in DESIGN.md; a letter tells variants apart."""
    name: str
    title: str
    play: Callable[[World], Awaitable[Sequence[Figure]]]
    doubled_allowed: bool = False
    """Whether mails may be sent twice whose answer was lost."""
    owned_twice: bool = False
    """Whether two are made to own partitions at once, each in good faith: a limit of its own is set for that moment."""
    alone: bool = False
    """Whether it harms the brokers that all scenarios share, so that no other may be played meanwhile."""
    heavy: bool = False
    """Whether its long form takes all that two cores have."""
    long: bool = False
    """Whether it is begun first where several are played at once, since others fit beside it."""
    second_way: bool = False
    """Whether it goes by the brokers' second doors: they advertise one port, where one proxy can listen at a time."""
    variant: bool = False
    """Whether it is so like another that the test suite leaves it to the whole run."""


@dataclass
class Result:
    """What became of a scenario."""

    scenario: Scenario
    seed: int
    full: bool
    seconds: float
    findings: Findings
    figures: list[Figure]
    evidence: Evidence
    trouble: str = ""
    """Why the scenario could not be played to its end, where it could not."""
    programs: dict[str, str] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Return whether everything is as it must be."""
        return not self.trouble and all(figure.met for figure in self.figures)


async def play(ground: Ground, scenario: Scenario, seed: int, *, full: bool, peer: Peer | None = None) -> Result:
    """Play a scenario in a world of its own, with ours or with a *peer*, and judge it."""
    began = time.monotonic()
    who = f"{peer.program.rpartition('.')[2].replace('_', '-')}-" if peer is not None else ""
    namespace = f"{scenario.name}-{who}{seed}-{time.time_ns() % 1_000_000_000:x}"
    trouble = ""
    own: Sequence[Figure] = ()
    evidence = Evidence(began=time.time())
    try:
        async with world(ground, namespace, seed, evidence, full=full, peer=peer, leave_topics=scenario.alone) as stage:
            own = await scenario.play(stage)
    except Exception as error:  # noqa: BLE001 - whatever it is, the evidence is judged and others are played
        trouble = "; ".join(_leaves(error))
        (ground.directory / f"{namespace}.trouble").write_text("".join(format_exception(error)))
    findings = examine(evidence, peer=peer is not None)
    figures = [*standing(findings, scenario), *own]
    return Result(scenario, seed, full, time.monotonic() - began, findings, figures, evidence, trouble)


def _leaves(error: BaseException) -> Iterator[str]:
    """Return what went wrong: in a group, of each of its own."""
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            yield from _leaves(one)
    else:
        yield f"{type(error).__name__}: {error}"


def standing(found: Findings, scenario: Scenario) -> list[Figure]:
    """Return what is asked of every scenario."""
    doubled, unexplained = None if scenario.doubled_allowed else 0, None if scenario.owned_twice else 0
    return [
        Figure("events acknowledged", found.acknowledged),
        Figure("mails accepted", found.mails),
        Figure("not ended", len(found.not_ended), 0, why=named(found.not_ended)),
        Figure("lost", len(found.lost), 0, why=named(found.lost)),
        Figure("failed without a dead letter", len(found.without_letter), 0, why=named(found.without_letter)),
        Figure("sent twice", len(found.doubled), doubled, why=named(found.doubled)),
        Figure("sent twice, no answer lost", len(found.unexplained), unexplained, why=named(found.unexplained)),
        Figure("mentors out of order", len(found.out_of_order), 0, why=named(found.out_of_order)),
        Figure("committed before the end", len(found.committed_early), 0, why=named(found.committed_early)),
        Figure("untrue answers or records", len(found.untrue), 0, why=named(found.untrue)),
        Figure("partitions stuck", len(found.stuck), 0, why=named(found.stuck)),
        Figure("longest standstill of a partition", round(found.standstill, 1), unit="s"),
    ]


async def under_load(
    stage: World,
    act: Act,
    *,
    events: int,
    per_second: float,
    mentors: int = 500,
    rest_share: float = 0.1,
    within: float = 900.0,
) -> Loading:
    """
    Bring a load in through both doors while *act* does what the scenario is about, and wait until all is quiet.

    It is of so many *events* at least, and goes on until *act* is over: what is done while nothing comes in proves
    nothing. Contacts are known before; programs are *act*'s business, or were started before.
    """
    load = Load(events * LONGEST, mentors=mentors, name=stage.namespace)
    async with loading(stage, load) as doors:
        await doors.contacts()
        async with asyncio.TaskGroup() as together:
            acting = together.create_task(_acting(act, stage, doors))
            numbers = until_over(acting.done, least=events, most=load.events)
            together.create_task(doors.run(numbers, per_second=per_second, rest_share=rest_share))
        await quiet(stage, within=within)
    return doors


async def _acting(act: Act, stage: World, doors: Loading) -> None:
    await act(stage, doors)
    await asyncio.sleep(_AFTER_SECONDS)


def until_over(over: Callable[[], bool], *, least: int, most: int) -> Iterator[int]:
    """Number the events of a load that goes on until something is over."""
    return itertools.takewhile(lambda n: n < least or not over(), range(most))


async def until_back(stage: World, at: float) -> None:
    """Wait until what had come in by then has ended, or should long have: the next harm is to be another."""
    waiting = {event.dispatch_id for event in stage.evidence.acknowledged.values() if event.at <= at}
    until = time.monotonic() + _BACK_SECONDS
    while not waiting <= stage.watcher.ended and time.monotonic() < until:  # noqa: ASYNC110 - evidence tells nobody
        await asyncio.sleep(_LOOK_SECONDS)


def loading(stage: World, load: Load) -> Loading:
    """Return the doors of a world for a load."""
    facades = lambda: [facade.address for facade in stage.facades if facade.process.running]  # noqa: E731 - one line
    return Loading(Doors(stage.servers, stage.namespace, facades), stage.evidence, load)


async def quiet(stage: World, *, within: float = 900.0) -> None:
    """Wait until every acknowledged event has ended and the group has committed all of it."""

    def told() -> None:
        ended, known = len(stage.watcher.ended), len(stage.evidence.acknowledged)
        stage.ground.tell(f"{stage.namespace}: {ended} of {known} events ended")

    await stage.watcher.until_ended(still_seconds=STILL_SECONDS, within=within, on_progress=told)
    await stage.watcher.settle(within=15)
