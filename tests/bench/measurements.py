"""The parts of the bench, and the rounds in which they are measured, one after another."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

from tests.bench import (
    account_rate,
    backlog,
    backlog_size,
    bulk,
    cold_start,
    feedback,
    follower,
    remembering,
    rest,
    scaling,
)
from tests.bench.cluster import Environment
from tests.bench.figures import Figure, Show
from tests.bench.report import Measured
from tests.bench.sizes import Sizes

Measure = Callable[[Environment, Sizes, int, Show], Awaitable[list[Figure]]]


@dataclass(frozen=True)
class Measurement:
    """A part that can be measured alone."""

    title: str
    about: str
    measure: Measure | None
    """None if the part keeps something from round to round, and is set up first."""
    each_round: bool = True
    """Whether it varies so much that it is measured in each round, not only once."""


MEASUREMENTS: Mapping[str, Measurement] = {
    "backlog": Measurement("A backlog worked off", backlog.ABOUT, backlog.measure),
    "rest": Measurement("REST callers", rest.ABOUT, rest.measure),
    "rate": Measurement(
        "The account's rate, replicas coming and going", account_rate.ABOUT, account_rate.measure, each_round=False
    ),
    "bulk": Measurement("Pause notices behind a bulk publish", bulk.ABOUT, bulk.measure, each_round=False),
    "scaling": Measurement("More replicas", scaling.ABOUT, scaling.measure, each_round=False),
    "ledger": Measurement("The ledger", remembering.ABOUT, remembering.measure, each_round=False),
    "followed": Measurement("Dispatches followed by a facade", follower.ABOUT, follower.measure),
    "feedback": Measurement("Feedback through one replica", feedback.ABOUT, feedback.measure),
    "cold": Measurement("A cold start", cold_start.ABOUT, cold_start.measure),
    "flat": Measurement("The size of the backlog", backlog_size.ABOUT, None),
}


async def measure(
    env: Environment, sizes: Sizes, names: Sequence[str], rounds: int, begin: Callable[[str], None], show: Show
) -> list[Measured]:
    """Measure these parts, those that vary in each round."""
    measured = [
        Measured(name, MEASUREMENTS[name].title, MEASUREMENTS[name].about) for name in MEASUREMENTS if name in names
    ]
    async with AsyncExitStack() as stack:
        backlogs = await stack.enter_async_context(backlog_size.Backlogs(env, sizes))
        for number in range(rounds):
            for one in measured:
                part = MEASUREMENTS[one.name]
                if number and not part.each_round:
                    continue
                begin(f"round {number + 1}: {part.title}")
                if part.measure is None:
                    one.rounds.append(await backlogs.measure(number, show))
                else:
                    one.rounds.append(await part.measure(env, sizes, number, show))
    return measured


def steps(names: Sequence[str], rounds: int) -> int:
    """Return the number of measurements."""
    return sum(rounds if MEASUREMENTS[name].each_round else 1 for name in names)
