"""Walk a drill: provoke, look as an operator does, mend, and wait until all is as before."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import asdict, dataclass, field
from typing import Any

from deploy.monitoring.export import PREFIX, runbook
from tests.alerts.scaled import FACTOR
from tests.drills.running import DrillFailed, Running, shown, until

_BEFORE_SECONDS = 90.0
_SEEN_SECONDS = 240.0
_OVER_SECONDS = 300.0
_QUIET_SECONDS = 240.0
_UNDER_WAY_SECONDS = 20.0
_DOCTOR_EVERY_SECONDS = 1.5
_LINES = 14


class Operator:
    """Who is woken: what they see and type is printed."""

    def __init__(self, running: Running, tell: Callable[[str], None]) -> None:
        self.running = running
        self._tell = tell
        self._began = time.monotonic()

    def say(self, text: str) -> None:
        """Print a line, with the seconds since the drill began."""
        self._tell(f"{time.monotonic() - self._began:6.1f} s  {text}")

    async def types(self, *arguments: str) -> str:
        """Run our command, print it with what it answers, and return that; raise DrillFailed if it fails."""
        self.say(f"$ {shown(arguments)}")
        code, printed = await self.running.command(*arguments)
        lines = printed.rstrip().splitlines()
        for line in lines[:_LINES]:
            self._tell(f"            {line}")
        if len(lines) > _LINES:
            self._tell(f"            ... and {len(lines) - _LINES} more lines")
        if code:
            raise DrillFailed(f"{shown(arguments)} ended with exit code {code}")
        return printed


Fault = Callable[[Operator], AbstractAsyncContextManager[None]]


@dataclass(frozen=True)
class Drill:
    """A fault, and what an operator is to see of it."""

    name: str
    title: str
    fault: Fault
    """Provokes it; when the context ends, the operator mends it."""
    alerts: tuple[str, ...]
    """Name and severity of each that fires; the page of the first is the runbook."""
    metrics: tuple[str, ...]
    """Expressions whose values move."""
    doctor: str | None
    """A pattern of what `doctor` finds; None if it sees nothing of this."""

    @property
    def runbook(self) -> str:
        """Return the name of the page that is followed."""
        return runbook(self.alerts[0].split()[0])


@dataclass
class Figures:
    """What was measured on one walk."""

    name: str
    doctor: float | None = None
    """Seconds until `doctor` said so."""
    doctor_said: str = ""
    alerts: dict[str, float] = field(default_factory=dict)
    """Seconds until each fired, with the times of rules divided."""
    metrics: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Before and during the fault."""
    recovered: float = 0.0
    """Seconds from the first step of the mending until nothing was left over."""
    calls: dict[str, int] = field(default_factory=dict)
    lost: int = 0
    twice: int = 0


async def walk(drill: Drill, running: Running, tell: Callable[[str], None]) -> Figures:
    """Walk one drill on what runs; raise DrillFailed if something is not as it is told."""
    operator, figures = Operator(running, tell), Figures(drill.name)
    operator.say(f"DRILL {drill.name}: {drill.title}")
    await until(lambda: bool(running.mails()), within=_BEFORE_SECONDS, what="the first e-mail")
    await _quiet(drill, running)
    calls, doubled = running.caller.statuses.copy(), _doubled(running)
    usual = {_line(one) for one in await running.doctor() if one["state"] != "ok"}
    before = {expr: await running.measure(expr) for expr in drill.metrics}
    async with drill.fault(operator):
        await _see(drill, operator, figures)
        for expr in drill.metrics:
            figures.metrics[expr] = (before[expr], await running.measure(expr))
            operator.say(f"metric {expr}: {figures.metrics[expr][0]} -> {figures.metrics[expr][1]}")
        operator.say(f"the runbook: deploy/runbooks/{drill.runbook}")
        mending = time.monotonic()
    await _recover(operator, usual)
    figures.recovered = time.monotonic() - mending
    figures.calls, figures.lost = dict(running.caller.statuses - calls), await _lost(running)
    figures.twice = _doubled(running) - doubled
    operator.say(f"over, {figures.recovered:.0f} s after the first step; {figures.lost} lost, {figures.twice} twice")
    return figures


async def _quiet(drill: Drill, running: Running) -> None:
    """Wait until what an earlier drill left behind has ceased to fire."""

    async def quiet() -> bool:
        return not set(drill.alerts) & await running.firing()

    if running.watching is not None:
        await until(quiet, within=_QUIET_SECONDS, what=f"{drill.alerts} to be silent")


def _doubled(running: Running) -> int:
    return sum(count - 1 for count in running.mails().values())


async def _lost(running: Running) -> int:
    """Return how many of the calls accepted so far get no e-mail in time; those of the last moments are under way."""
    accepted = set(running.caller.accepted)
    with suppress(DrillFailed):
        await until(lambda: not accepted & running.unsent(), within=_UNDER_WAY_SECONDS, what="the last e-mails")
    return len(accepted & running.unsent())


async def _see(drill: Drill, operator: Operator, figures: Figures) -> None:
    """Wait until the alerts fire and `doctor` names the cause; note how long each took."""
    began, running = time.monotonic(), operator.running

    async def doctor_says() -> bool:
        running.check()
        found = [one for one in await running.doctor() if re.search(drill.doctor or "", _line(one))]
        if not found:
            return False
        figures.doctor, figures.doctor_said = time.monotonic() - began, _line(found[0])
        for one in found:
            operator.say(f"doctor: {_line(one)}")
        return True

    async def alert_fires() -> bool:
        for name in await running.firing():
            if name not in figures.alerts:
                figures.alerts[name] = time.monotonic() - began
                operator.say(f"alert {PREFIX}{name} fires; times of rules are divided by {FACTOR}")
        return set(drill.alerts) <= set(figures.alerts)

    async with asyncio.TaskGroup() as looking:
        if drill.doctor is not None:
            wait = until(
                doctor_says, within=_SEEN_SECONDS, what=f"doctor to say {drill.doctor}", every=_DOCTOR_EVERY_SECONDS
            )
            looking.create_task(wait)
        if running.watching is None:
            operator.say("Prometheus is not installed: NO ALERT IS WATCHED")
        else:
            looking.create_task(until(alert_fires, within=_SEEN_SECONDS, what=f"{drill.alerts} to fire"))


async def _recover(operator: Operator, usual: set[str]) -> None:
    """Wait until `doctor` finds no more than before, and each call that was accepted has its e-mail."""
    running, waiting = operator.running, set(operator.running.caller.accepted)
    found: Sequence[str] = ()

    async def over() -> bool:
        nonlocal found
        running.check()
        found = [_line(one) for one in await running.doctor() if one["state"] != "ok" and _line(one) not in usual]
        return not found and not waiting & running.unsent()

    try:
        await until(over, within=_OVER_SECONDS, what="all to be as before", every=_DOCTOR_EVERY_SECONDS)
    except DrillFailed as error:
        left = len(waiting & running.unsent())
        raise DrillFailed(f"{error}: {left} calls without e-mail; doctor: {'; '.join(found) or 'nothing'}") from error


def _line(finding: dict[str, str]) -> str:
    return f"{finding['state']} {finding['check']}: {finding['detail']}"


def as_json(figures: Figures) -> dict[str, Any]:
    """Return the figures for a report."""
    return asdict(figures)
