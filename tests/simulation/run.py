"""Runs seeds, and returns what they broke."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from random import Random
from typing import Any

import structlog

from tests.simulation.checker import Allowances, Checker, Violation
from tests.simulation.history import NOT_DRAINED, Happened, History
from tests.simulation.loop import PROGRAM, SimulatedLoop, Stuck
from tests.simulation.plan import Plan, plan_of
from tests.simulation.replica import MAX_ATTEMPTS, paced
from tests.simulation.world import World

_FAULTS = frozenset({"lane.failed", "ledger.record_gone", "ledger.batch.unreadable"})
"""Log events that must not occur."""


_HANDLING_SECONDS = 0.35
"""How long an owner takes to look again, beside what the network takes."""


@dataclass(frozen=True)
class Outcome:
    """The result of one seed."""

    seed: int
    plan: Plan
    history: History
    violations: list[Violation]


def command_of(seed: int, mutation: str | None = None) -> str:
    """Return the command that runs a seed again and prints its history."""
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
            world.unexpected("world", "all tasks wait for each other")
        finally:
            history = replace(world.history, entries=list(world.history.entries))  # what is closed below still logs
            loop.end()
    return Outcome(seed, plan, history, list(Checker(_allowances(plan)).check(history)))


def _allowances(plan: Plan) -> Allowances:
    rates = plan.rates
    return Allowances(
        policy=plan.policy,
        publishing_fails=bool(rates.publish_fails or rates.publish_unknown),
        lag_seconds=(rates.lateness + 4 * rates.latency) / 1000 + (3.0 if rates.ask_fails else 0.0),
        max_attempts=MAX_ATTEMPTS,
        handling_seconds=_HANDLING_SECONDS + (rates.lateness + 5 * rates.latency) / 1000,
    )


@contextmanager
def _logs_to(world: World, *, verbose: bool) -> Iterator[None]:
    """Add the programs' log lines to the history, and those of _FAULTS as unexpected errors."""

    def take(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
        program = PROGRAM.get()
        name, line = program.name if program else "world", str(event.pop("event"))
        said = f"{line} {' '.join(f'{key}={value!r}' for key, value in event.items())}"
        world.log(name, said)
        if line == NOT_DRAINED:
            world.history.entries.append(Happened(world.loop.time(), name, NOT_DRAINED))
        if line in _FAULTS:
            world.unexpected(name, said)
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
