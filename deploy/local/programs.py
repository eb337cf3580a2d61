"""The stack's own programs as child processes: started with a log, awaited at their probe, stopped in order."""

from __future__ import annotations

import asyncio
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import httpx

from deploy.local.child import Child

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_LOG_TAIL_LINES = 25
_LOOK_EVERY_SECONDS = 0.1
_PROBE_SECONDS = 2.0
_RECENT_SECONDS = 30.0
_STARTS_WITHIN_RECENT = 3
_GIVEN_UP = (
    f"third start within {_RECENT_SECONDS:.0f} s, giving up. Whoever kills it by hand may do so twice in that time: "
    "CONTRIBUTING.md, Try a fault by hand."
)


class StackFailed(Exception):
    """The stack cannot go on; the message says which part of it, why, and what to do."""


class Start(Protocol):
    """Starts a program, appending to its log or not."""

    def __call__(self, *, append: bool) -> Child:
        """Start it."""
        ...


@dataclass
class Program:
    """One program of ours, running; as its supervisor would, it is started again where it ends."""

    name: str
    start: Start
    log: Path
    probe: str
    child: Child = field(init=False)
    _started: list[float] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        self.child = self.start(append=False)
        self._started.append(time.monotonic())

    def restarted(self) -> str | None:
        """
        Start it again where it has ended, and give how it ended; None if it runs.

        Raises:
            StackFailed: where it ends as soon as it is started: a fourth start within half a minute is no cure.
        """
        if self.child.running:
            return None
        recent = [at for at in self._started if time.monotonic() - at < _RECENT_SECONDS]
        if len(recent) >= _STARTS_WITHIN_RECENT:
            raise StackFailed(f"{self.name} has ended ({self.child.end}): {_GIVEN_UP} {self.log_tail()}")
        end = self.child.end
        self.child.kill()
        self.child = self.start(append=True)
        self._started = [*recent, time.monotonic()]
        return end

    async def stop(self, *, within: float) -> None:
        """Stop it, and with SIGKILL after *within* seconds."""
        await self.child.stop(within=within)

    def check_running(self) -> None:
        """Raise StackFailed, with the end of its log, where it has ended."""
        if not self.child.running:
            raise StackFailed(f"{self.name} has ended ({self.child.end}). {self.log_tail()}")

    async def ready(self, *, within: float) -> None:
        """Wait until its probe says 200; raise StackFailed if it ends before, or does not *within* seconds."""
        said = "nothing answers"
        async with httpx.AsyncClient(trust_env=False, timeout=_PROBE_SECONDS) as client:
            try:
                async with asyncio.timeout(within):
                    while (said := await self._probed(client)) != "":
                        self.check_running()
                        await asyncio.sleep(_LOOK_EVERY_SECONDS)
            except TimeoutError:
                raise StackFailed(
                    f"{self.name} is not ready after {within:.0f} s ({self.probe}: {said}). {self.log_tail()}\n"
                    "If data of an older version is in the way, start once with --fresh."
                ) from None

    async def _probed(self, client: httpx.AsyncClient) -> str:
        """Return what keeps it from being ready, empty if nothing does."""
        try:
            answer = await client.get(self.probe)
        except httpx.HTTPError as error:
            return type(error).__name__
        return "" if answer.is_success else f"{answer.status_code} {answer.text[:300]}"

    def log_tail(self) -> str:
        """Return the end of its log, and where the rest is."""
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        shown = "\n".join(f"  {line}" for line in lines[-_LOG_TAIL_LINES:]) or "  (nothing)"
        return f"The end of {self.log}:\n{shown}"


def start_program(
    name: str,
    arguments: list[str],
    *,
    logs: Path,
    cwd: Path,
    environ: Mapping[str, str],
    probe: str,
    python: str = sys.executable,
) -> Program:
    """Start `python -m` *arguments*; its output goes to a new log."""
    log = logs / f"{name}.log"

    def start(*, append: bool) -> Child:
        return Child([python, "-m", *arguments], log=log, cwd=cwd, environ=environ, append=append)

    return Program(name, start, log, probe)
