"""Runs seeds, and says what they broke."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from random import Random
from typing import Any

import structlog

from tests.simulation.checker import Checker, Circumstances, Violation
from tests.simulation.history import NOT_DRAINED, Happened, History
from tests.simulation.loop import PROGRAM, SimulatedLoop, Stuck
from tests.simulation.plan import Plan, plan_of
from tests.simulation.replica import MAX_ATTEMPTS, paced
from tests.simulation.world import World

_FAULTS = frozenset({"lane.failed", "ledger.record_gone", "ledger.batch.unreadable"})
"""Log lines that say that something happened which must not."""


@dataclass(frozen=True)
class Outcome:
    """What became of one seed."""

    seed: int
    plan: Plan
    history: History
    violations: list[Violation]


def command_of(seed: int, mutation: str | None = None) -> str:
    """Return the command that runs a seed again and tells what happened."""
    planted = f" --mutation {mutation}" if mutation else ""
    return f"python -m tests.simulation --seed {seed}{planted} -v"


def run_seed(seed: int, *, verbose: bool = False) -> Outcome:
    """Run one seed; the same seed gives the same outcome."""
    random = Random(seed)
    plan = plan_of(random)
    loop = SimulatedLoop()
    world = World(plan, random, loop, verbose=verbose)
    with paced(), _logs_to(world, verbose=verbose):
        try:
            loop.run_until_complete(world.run())
        except Stuck:
            world.broken("world", "everybody waits for somebody else")
        finally:
            history = replace(world.history, entries=list(world.history.entries))  # what is closed below still speaks
            loop.end()
    return Outcome(seed, plan, history, list(Checker(_circumstances(plan)).check(history)))


def _circumstances(plan: Plan) -> Circumstances:
    climate = plan.climate
    return Circumstances(
        policy=plan.policy,
        publishing_fails=bool(climate.publish_fails or climate.publish_unknown),
        lag_seconds=(climate.lateness + 4 * climate.latency) / 1000 + (3.0 if climate.ask_fails else 0.0),
        max_attempts=MAX_ATTEMPTS,
    )


@contextmanager
def _logs_to(world: World, *, verbose: bool) -> Iterator[None]:
    """Have log lines of the programs become part of the history, those of faults as such."""

    def take(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
        program = PROGRAM.get()
        name, line = program.name if program else "world", str(event.pop("event"))
        said = f"{line} {' '.join(f'{key}={value!r}' for key, value in event.items())}"
        world.say(name, said)
        if line == NOT_DRAINED:
            world.history.entries.append(Happened(world.loop.time(), name, NOT_DRAINED))
        if line in _FAULTS:
            world.broken(name, said)
        raise structlog.DropEvent

    before = structlog.get_config() if structlog.is_configured() else None
    level = logging.DEBUG if verbose else logging.ERROR
    structlog.configure(
        processors=[structlog.processors.format_exc_info, take],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=False,
    )
    try:
        yield
    finally:
        structlog.reset_defaults()
        if before is not None:
            structlog.configure(**before)
