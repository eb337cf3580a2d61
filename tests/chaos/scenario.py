"""Run one scenario: its world, its load, the faults that are injected, and the check at the end."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from traceback import format_exception

from tests.chaos.checker import Findings, examine, named
from tests.chaos.cluster import Peer, SharedCluster, World, world
from tests.chaos.evidence import Evidence
from tests.chaos.load_driver import Endpoints, LoadDriver
from tests.load import Load

Act = Callable[[World, LoadDriver], Awaitable[None]]

LONGEST = 10
"""A load that continues until something is over is at most this many times as long as planned."""

_AFTER_SECONDS = 1.0
"""A load continues for this long after the last fault, so that its effects are seen."""

_LOOK_SECONDS = 0.5

_BACK_SECONDS = 30.0
"""By then everything should be back at work; the checker says whether it was."""

STILL_SECONDS = 60.0
"""If no event has ended for this long and there is no fault, open events count as lost."""


@dataclass(frozen=True)
class Figure:
    """A measured value and its limit; None if it has no limit."""

    name: str
    value: float
    limit: float | None = None
    unit: str = ""
    at_least: bool = False
    why: str = ""
    """What was counted, for a person."""

    @property
    def met(self) -> bool:
        """Return whether it is within its limit."""
        if self.limit is None:
            return True
        return self.value >= self.limit if self.at_least else self.value <= self.limit


@dataclass(frozen=True)
class Scenario:
    """A situation to test, with a name."""

    number: str
    """Its number in the list of docs/reliability.md; a letter marks a variant."""
    name: str
    title: str
    play: Callable[[World], Awaitable[Sequence[Figure]]]
    doubled_allowed: bool = False
    """Whether e-mails whose answer was lost may be sent twice."""
    owned_twice: bool = False
    """Whether two replicas own the same partitions for a moment; the scenario sets a limit for it."""
    alone: bool = False
    """Whether it injects faults into the brokers that all scenarios share, so it must run alone."""
    heavy: bool = False
    """Whether its full form uses two whole cores."""
    long: bool = False
    """Whether it starts first when several run at once, since others fit beside it."""
    second_way: bool = False
    """Whether it uses the brokers' second listeners: they advertise one port, so only one proxy can listen."""
    feedback: bool = False
    """Whether SES reports what becomes of its e-mails."""
    variant: bool = False
    """Whether it is so similar to another that the test suite leaves it out."""


@dataclass
class Result:
    """The result of a scenario."""

    scenario: Scenario
    seed: int
    full: bool
    seconds: float
    findings: Findings
    figures: list[Figure]
    evidence: Evidence
    trouble: str = ""
    """Why the scenario could not be played to its end, if it could not."""
    programs: dict[str, str] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Return whether every limit was kept."""
        return not self.trouble and all(figure.met for figure in self.figures)


async def play(shared: SharedCluster, scenario: Scenario, seed: int, *, full: bool, peer: Peer | None = None) -> Result:
    """Play a scenario in its own world, with our replicas or a *peer*'s, and check it."""
    began = time.monotonic()
    who = f"{peer.program.rpartition('.')[2].replace('_', '-')}-" if peer is not None else ""
    namespace = f"{scenario.name}-{who}{seed}-{time.time_ns() % 1_000_000_000:x}"
    trouble = ""
    own: Sequence[Figure] = ()
    evidence = Evidence(began=time.time())
    try:
        options: dict[str, bool] = {"leave_topics": scenario.alone, "feedback": scenario.feedback}
        async with world(shared, namespace, seed, evidence, full=full, peer=peer, **options) as stage:
            own = await scenario.play(stage)
    except Exception as error:  # noqa: BLE001 - whatever it is, the evidence is judged and others are played
        trouble = "; ".join(_leaves(error))
        (shared.directory / f"{namespace}.trouble").write_text("".join(format_exception(error)))
    findings = examine(evidence, peer=peer is not None)
    figures = [*common_figures(findings, scenario), *own]
    return Result(scenario, seed, full, time.monotonic() - began, findings, figures, evidence, trouble)


def _leaves(error: BaseException) -> Iterator[str]:
    """Yield what went wrong; for a group, each of its errors."""
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            yield from _leaves(one)
    else:
        yield f"{type(error).__name__}: {error}"


def common_figures(found: Findings, scenario: Scenario) -> list[Figure]:
    """Return the figures that every scenario has."""
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
) -> LoadDriver:
    """
    Send a load by REST and Kafka while *act* injects its faults, and wait until every event has ended.

    The load has at least this many *events* and continues until *act* is over: a fault without load proves nothing.
    Contacts are published first. Programs are started before, or by *act*.
    """
    load = Load(events * LONGEST, mentors=mentors, name=stage.namespace)
    async with load_driver(stage, load) as driver:
        await driver.contacts()
        async with asyncio.TaskGroup() as together:
            acting = together.create_task(_acting(act, stage, driver))
            numbers = until_over(acting.done, least=events, most=load.events)
            together.create_task(driver.run(numbers, per_second=per_second, rest_share=rest_share))
        await until_quiet(stage, within=within)
    return driver


async def _acting(act: Act, stage: World, driver: LoadDriver) -> None:
    await act(stage, driver)
    await asyncio.sleep(_AFTER_SECONDS)


def until_over(over: Callable[[], bool], *, least: int, most: int) -> Iterator[int]:
    """Yield the numbers of events until something is over."""
    return itertools.takewhile(lambda n: n < least or not over(), range(most))


async def until_back(stage: World, at: float) -> None:
    """Wait until the events acknowledged before *at* have ended, or 30 s: faults must not overlap."""
    waiting = {event.dispatch_id for event in stage.evidence.acknowledged.values() if event.at <= at}
    until = time.monotonic() + _BACK_SECONDS
    while not waiting <= stage.watcher.ended and time.monotonic() < until:  # noqa: ASYNC110 - evidence tells nobody
        await asyncio.sleep(_LOOK_SECONDS)


def load_driver(stage: World, load: Load) -> LoadDriver:
    """Return what sends *load* into a world."""
    facades = lambda: [facade.address for facade in stage.facades if facade.process.running]  # noqa: E731 - one line
    return LoadDriver(Endpoints(stage.servers, stage.namespace, facades), stage.evidence, load)


async def until_quiet(stage: World, *, within: float = 900.0) -> None:
    """Wait until every acknowledged event has ended and its offset is committed."""

    def told() -> None:
        ended, known = len(stage.watcher.ended), len(stage.evidence.acknowledged)
        stage.shared.tell(f"{stage.namespace}: {ended} of {known} events ended")

    await stage.watcher.until_ended(still_seconds=STILL_SECONDS, within=within, on_progress=told)
    await stage.watcher.settle(within=15)
