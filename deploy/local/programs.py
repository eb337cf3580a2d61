"""The programs of the stack as child processes: each has a log and a probe, and is restarted if it ends."""

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
_POLL_SECONDS = 0.1
_PROBE_SECONDS = 2.0
_RECENT_SECONDS = 30.0
_STARTS_WITHIN_RECENT = 3
_GIVE_UP = (
    f"third start within {_RECENT_SECONDS:.0f} s, giving up. You can kill it by hand at most twice in that time: "
    "CONTRIBUTING.md, Try a fault by hand."
)


class StackFailed(Exception):
    """The stack cannot continue; the message says which part failed, why, and what to do."""


class Start(Protocol):
    """Start a program, with a new log or the old one."""

    def __call__(self, *, append: bool) -> Child:
        """Start the program."""
        ...


@dataclass
class Program:
    """A running program of ours, which is restarted if it ends."""

    name: str
    start: Start
    log: Path
    probe: str
    child: Child = field(init=False)
    _started: list[float] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        self.child = self.start(append=False)
        self._started.append(time.monotonic())

    def restart_if_ended(self) -> str | None:
        """
        Restart it if it has ended, and return how it ended; return None if it runs.

        Raises:
            StackFailed: It has been started three times within half a minute.
        """
        if self.child.running:
            return None
        recent = [at for at in self._started if time.monotonic() - at < _RECENT_SECONDS]
        if len(recent) >= _STARTS_WITHIN_RECENT:
            raise StackFailed(f"{self.name} has ended ({self.child.end}): {_GIVE_UP} {self.log_tail()}")
        end = self.child.end
        self.child.kill()
        self.child = self.start(append=True)
        self._started = [*recent, time.monotonic()]
        return end

    async def stop(self, *, within: float) -> None:
        """Stop it; send SIGKILL after *within* seconds."""
        await self.child.stop(within=within)

    def check_running(self) -> None:
        """Raise StackFailed with the end of its log if it has ended."""
        if not self.child.running:
            raise StackFailed(f"{self.name} has ended ({self.child.end}). {self.log_tail()}")

    async def ready(self, *, within: float) -> None:
        """Wait at most *within* seconds until its probe answers 200; raise StackFailed if it does not, or ends."""
        problem = "nothing answers"
        async with httpx.AsyncClient(trust_env=False, timeout=_PROBE_SECONDS) as client:
            try:
                async with asyncio.timeout(within):
                    while (problem := await self._probe_problem(client)) != "":
                        self.check_running()
                        await asyncio.sleep(_POLL_SECONDS)
            except TimeoutError:
                raise StackFailed(
                    f"{self.name} is not ready after {within:.0f} s ({self.probe}: {problem}). {self.log_tail()}\n"
                    "If the data is of an older version, start once with --fresh."
                ) from None

    async def _probe_problem(self, client: httpx.AsyncClient) -> str:
        """Return why it is not ready; empty if it is."""
        try:
            response = await client.get(self.probe)
        except httpx.HTTPError as error:
            return type(error).__name__
        return "" if response.is_success else f"{response.status_code} {response.text[:300]}"

    def log_tail(self) -> str:
        """Return the end of its log, with the path of the log."""
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
    """Start `python -m` *arguments* with its output in a new log."""
    log = logs / f"{name}.log"

    def start(*, append: bool) -> Child:
        return Child([python, "-m", *arguments], log=log, cwd=cwd, environ=environ, append=append)

    return Program(name, start, log, probe)
