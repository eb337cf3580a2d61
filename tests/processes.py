"""Our programs as processes of a test: with settings, awaited at their probe, their logs kept, always ended."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from deploy.local.ports import HOST, free_ports
from deploy.local.programs import Program, start_program
from runtime.settings import PREFIX, env_name
from tests.signing import keys_file

ROOT = Path(__file__).parents[1]

READY_SECONDS = 30.0
"""From the start of the program; on two busy cores importing everything alone takes some seconds."""

_STOP_SECONDS = 25.0
_PROBE_SECONDS = 5.0

AWS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_REGION": "us-east-1",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


_ENVIRON = dict(os.environ)
"""As the run was begun: a test that changes its own for a moment changes nobody else's."""


class Process:
    """One of our programs, running."""

    def __init__(self, program: Program, management_port: int) -> None:
        self._program = program
        self.management = f"http://{HOST}:{management_port}"
        """Where probes and metrics are served."""
        self._told_to_end = False

    @property
    def name(self) -> str:
        """Return the name under which it was started."""
        return self._program.name

    @property
    def pid(self) -> int:
        """Return its process id."""
        return self._program.child.pid

    @property
    def log(self) -> Path:
        """Return the file that all its output goes to."""
        return self._program.log

    @property
    def running(self) -> bool:
        """Return whether it has not ended."""
        return self._program.child.running

    @property
    def end(self) -> str:
        """Return how it ended: its exit code, or the name of the signal."""
        return self._program.child.end

    def check_running(self) -> None:
        """Raise StackFailed, with the end of its log, where it has ended though nobody told it to."""
        if not self._told_to_end:
            self._program.check_running()

    async def ready(self, *, within: float = READY_SECONDS) -> None:
        """Wait until it is ready; raises StackFailed, with the end of its log, where it ends before or does not."""
        await self._program.ready(within=within)

    async def health(self) -> tuple[int, dict[str, Any]]:
        """Return status and body of `/readyz`; raises httpx.HTTPError."""
        async with httpx.AsyncClient(trust_env=False, timeout=_PROBE_SECONDS) as client:
            answer = await client.get(f"{self.management}/readyz")
        return answer.status_code, answer.json()

    async def metric(self, name: str) -> float:
        """Return the sum of a metric over its labels, 0 if it has none yet; raises httpx.HTTPError."""
        async with httpx.AsyncClient(trust_env=False, timeout=_PROBE_SECONDS) as client:
            text = (await client.get(f"{self.management}/metrics")).raise_for_status().text
        samples = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
        return sum(float(value) for sample, _, value in samples if sample.partition("{")[0] == name)

    async def stop(self, *, within: float = _STOP_SECONDS) -> int:
        """Ask with SIGTERM and give the exit code; raises TimeoutError."""
        self._told_to_end = True
        os.kill(self._program.child.pid, signal.SIGTERM)
        return await self._program.child.wait(within=within)

    def kill(self) -> None:
        """End it with SIGKILL."""
        self._told_to_end = True
        self._program.child.kill()


def environment(settings: Mapping[str, object], environ: Mapping[str, str]) -> dict[str, str]:
    """Return a program's environment: ours without anybody's account, the tests' signing key, then what is given."""
    return {
        **{name: value for name, value in _ENVIRON.items() if not name.startswith((PREFIX, "AWS_"))},
        **AWS,
        env_name("signing_keys_file"): str(keys_file()),
        **environ,
        **{env_name(name): str(value) for name, value in settings.items()},
    }


@asynccontextmanager
async def running(
    program: str, settings: Mapping[str, object], *, log_as: Path, environ: Mapping[str, str] | None = None
) -> AsyncIterator[Process]:
    """
    Run `python -m` *program* with *settings*, named as in `runtime.settings`; it is not waited for until it is ready.

    Its log is *log_as*. *environ* is set beside the settings. However the context ends, the process has ended then.
    """
    (port,) = free_ports(1)
    ours = {"management_host": HOST, "management_port": port, **settings}
    started = start_program(
        log_as.stem,
        [program],
        logs=log_as.parent,
        cwd=ROOT,
        environ=environment(ours, environ or {}),
        probe=f"http://{HOST}:{port}/readyz",
    )
    try:
        yield Process(started, port)
    finally:
        # To look at what it left matters more here than an orderly end, which a test asks for itself.
        await asyncio.to_thread(started.child.kill)
