"""Run our programs as processes of a test: wait for their probes, keep their logs, and always end them."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from deploy.local.ports import HOST, free_ports
from deploy.local.programs import Program, start_program
from runtime.settings import PREFIX, env_name
from tests import forks
from tests.signing import keys_file

ROOT = Path(__file__).parents[1]

READY_SECONDS = 60.0
"""From the start of the program: on two busy cores the imports alone may take half a minute."""

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
"""The environment at the start of the run: a test that changes its own changes no other test's."""


class Process:
    """One of our programs, running."""

    def __init__(self, program: Program, management_port: int) -> None:
        self._program = program
        self.management = f"http://{HOST}:{management_port}"
        """The address of probes and metrics."""
        self._stopped_by_us = False

    @property
    def name(self) -> str:
        """Return the name given at its start."""
        return self._program.name

    @property
    def pid(self) -> int:
        """Return its process id."""
        return self._program.child.pid

    @property
    def log(self) -> Path:
        """Return the file with all its output."""
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
        """Raise StackFailed, with the end of its log, if it has ended by itself."""
        if not self._stopped_by_us:
            self._program.check_running()

    async def ready(self, *, within: float = READY_SECONDS) -> None:
        """Wait until it is ready; raise StackFailed, with the end of its log, if that does not happen."""
        await self._program.ready(within=within)

    async def health(self) -> tuple[int, dict[str, Any]]:
        """Return status and body of `/readyz`; raise httpx.HTTPError."""
        async with httpx.AsyncClient(trust_env=False, timeout=_PROBE_SECONDS) as client:
            answer = await client.get(f"{self.management}/readyz")
        return answer.status_code, answer.json()

    async def metric(self, name: str) -> float:
        """Return the sum of a metric over its labels, 0 if it has none yet; raise httpx.HTTPError."""
        async with httpx.AsyncClient(trust_env=False, timeout=_PROBE_SECONDS) as client:
            text = (await client.get(f"{self.management}/metrics")).raise_for_status().text
        samples = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
        return sum(float(value) for sample, _, value in samples if sample.partition("{")[0] == name)

    async def stop(self, *, within: float = _STOP_SECONDS) -> int:
        """Send SIGTERM and return the exit code; raise TimeoutError."""
        self._stopped_by_us = True
        os.kill(self._program.child.pid, signal.SIGTERM)
        return await self._program.child.wait(within=within)

    def kill(self) -> None:
        """Send SIGKILL."""
        self._stopped_by_us = True
        self._program.child.kill()


def environment(settings: Mapping[str, object], environ: Mapping[str, str]) -> dict[str, str]:
    """Return a program's environment: ours without AWS accounts, the tests' signing key, and the arguments."""
    return {
        **{name: value for name, value in _ENVIRON.items() if not name.startswith((PREFIX, "AWS_"))},
        **AWS,
        env_name("signing_keys_file"): str(keys_file()),
        **environ,
        **{env_name(name): str(value) for name, value in settings.items()},
    }


@asynccontextmanager
async def running(
    program: str,
    settings: Mapping[str, object],
    *,
    log_as: Path,
    environ: Mapping[str, str] | None = None,
    tree: Path = ROOT,
) -> AsyncIterator[Process]:
    """
    Run *program*, a module, with *settings*, named as in `runtime.settings`; do not wait until it is ready.

    Its source is *tree*, and its log *log_as*. *environ* adds variables to the settings. When the context ends, the
    process has ended.
    """
    port = int(str(settings.get("management_port") or free_ports(1)[0]))
    whole = environment({"management_host": HOST, **settings, "management_port": port}, environ or {})
    probe = f"http://{HOST}:{port}/readyz"
    if forks.AVAILABLE and program in forks.FORKED and tree == ROOT:
        started = Program(
            log_as.stem, partial(forks.ForkedChild, program, log=log_as, cwd=tree, environ=whole), log_as, probe
        )
    else:
        started = start_program(log_as.stem, [program], logs=log_as.parent, cwd=tree, environ=whole, probe=probe)
    try:
        yield Process(started, port)
    finally:
        # A test that needs an orderly stop asks for it itself.
        await asyncio.to_thread(started.child.kill)
