"""The parts of the bench, and the rounds in which they are measured, one after another."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

from tests.bench import backlog, cold, flat, followed, rate, remembering, rest, scaling
from tests.bench.cluster import Ground
from tests.bench.figures import Figure, Show
from tests.bench.report import Measured
from tests.bench.sizes import Sizes

Measure = Callable[[Ground, Sizes, int, Show], Awaitable[list[Figure]]]


@dataclass(frozen=True)
class Part:
    """What can be measured by itself."""

    title: str
    about: str
    measure: Measure | None
    """None: it keeps something from round to round, and is set up first."""
    each_round: bool = True
    """Whether it varies so much that it is measured in each round, else once."""


PARTS: Mapping[str, Part] = {
    "backlog": Part("A backlog worked off", backlog.ABOUT, backlog.measure),
    "rest": Part("REST callers", rest.ABOUT, rest.measure),
    "rate": Part("The account's rate, replicas coming and going", rate.ABOUT, rate.measure, each_round=False),
    "scaling": Part("More replicas", scaling.ABOUT, scaling.measure, each_round=False),
    "ledger": Part("The ledger", remembering.ABOUT, remembering.measure, each_round=False),
    "followed": Part("Dispatches followed by a facade", followed.ABOUT, followed.measure),
    "cold": Part("A cold start", cold.ABOUT, cold.measure),
    "flat": Part("The size of the backlog", flat.ABOUT, None),
}


async def measure(
    ground: Ground, sizes: Sizes, names: Sequence[str], rounds: int, begin: Callable[[str], None], show: Show
) -> list[Measured]:
    """Measure these parts, in each round all that vary."""
    measured = [Measured(name, PARTS[name].title, PARTS[name].about) for name in PARTS if name in names]
    async with AsyncExitStack() as stack:
        backlogs = await stack.enter_async_context(flat.Backlogs(ground, sizes))
        for number in range(rounds):
            for one in measured:
                part = PARTS[one.name]
                if number and not part.each_round:
                    continue
                begin(f"round {number + 1}: {part.title}")
                if part.measure is None:
                    one.rounds.append(await backlogs.measure(number, show))
                else:
                    one.rounds.append(await part.measure(ground, sizes, number, show))
    return measured


def steps(names: Sequence[str], rounds: int) -> int:
    """Return how many measurements that is."""
    return sum(rounds if PARTS[name].each_round else 1 for name in names)
