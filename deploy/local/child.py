"""Child processes that end when this process ends, whatever ends it.

A parent that is SIGKILLed cannot clean up. Linux's parent-death signal exists on Linux only, and fires when the
*thread* that started the child ends. So a shell starts first. It leaves a watchdog that reads a pipe whose other end
only this process has, and then replaces itself with the program, which keeps its pid. When this process dies, the pipe
closes, and the watchdog kills the group. The group is a session of its own: Ctrl-C in the terminal reaches only this
process, which stops its children in order.
"""

from __future__ import annotations

import asyncio
import signal
import subprocess
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_SHELL_COMMAND = 'exec 3<&0 </dev/null; (read -r over <&3 || kill -KILL 0) >/dev/null 2>&1 & exec "$@" 3<&-'
_POLL_SECONDS = 0.02
_SIGKILL_SECONDS = 5.0  # a process cannot ignore it: it ends within milliseconds


class Spawned(Protocol):
    """What a child needs of `subprocess.Popen`."""

    pid: int
    stdin: IO[bytes] | None

    def poll(self) -> int | None:
        """Return the exit code, or the negative number of the signal; None while it runs."""

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end, and return the same."""

    def send_signal(self, number: int, /) -> None:
        """Send a signal."""

    def kill(self) -> None:
        """Send SIGKILL."""


class Child:
    """A running program that ends when this process does."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        log: Path,
        cwd: Path | None = None,
        environ: Mapping[str, str] | None = None,
        append: bool = False,
    ) -> None:
        """Start *command* and write its output to the new file *log*, or to its end with *append*."""
        with log.open("ab" if append else "wb") as output:
            self._process: Spawned = subprocess.Popen(
                ["/bin/sh", "-c", _SHELL_COMMAND, command[0], *command],
                bufsize=0,
                cwd=cwd,
                env=environ,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The process id of the program."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the program still runs."""
        return self._process.poll() is None

    @property
    def end(self) -> str:
        """How the program ended, as text: its exit code, or the name of the signal."""
        code = self._process.poll()
        if code is None:
            return "not at all"
        return f"exit code {code}" if code >= 0 else signal.Signals(-code).name

    async def wait(self, *, within: float) -> int:
        """Wait at most *within* seconds for the end and return the exit code; raise `TimeoutError`."""
        async with asyncio.timeout(within):
            while self.running:  # noqa: ASYNC110 - no event for the end of a process works on every loop and system
                await asyncio.sleep(_POLL_SECONDS)
        self._dismiss_watchdog()
        return self._process.wait()

    async def stop(self, *, within: float) -> None:
        """Send SIGTERM; after *within* seconds, or when cancelled, send SIGKILL."""
        try:
            if self.running:
                self._process.send_signal(signal.SIGTERM)
            with suppress(TimeoutError):
                await self.wait(within=within)
        finally:
            self.kill()

    def kill(self) -> None:
        """Send SIGKILL, as the out-of-memory killer does."""
        if self.running:
            self._process.kill()
        self._process.wait(_SIGKILL_SECONDS)
        self._dismiss_watchdog()

    def _dismiss_watchdog(self) -> None:
        pipe = self._process.stdin
        if pipe is not None and not pipe.closed:
            with suppress(BrokenPipeError), pipe:
                pipe.write(b"over\n")
