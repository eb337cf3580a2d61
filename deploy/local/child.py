"""Child processes that end with this one, however it ends.

A parent that is SIGKILLed runs no cleanup, and Linux's parent-death signal is Linux's alone and fires when the *thread*
that started the child ends. So a shell stands in: it leaves a watchdog reading a pipe whose other end only this process
holds, and then becomes the program, under the same pid. When this process dies the pipe ends, and the watchdog kills
the group. The group is a session of its own, so that Ctrl-C in the terminal reaches us alone and we stop in order.
"""

from __future__ import annotations

import asyncio
import signal
import subprocess
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_BECOME = 'exec 3<&0 </dev/null; (read -r over <&3 || kill -KILL 0) >/dev/null 2>&1 & exec "$@" 3<&-'
_LOOK_EVERY_SECONDS = 0.02
_SIGKILL_SECONDS = 5.0  # it cannot be refused: reaping takes milliseconds


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
        """Start *command*, its output going to the new file *log*, or to its end where it is to *append*."""
        with log.open("ab" if append else "wb") as output:
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", _BECOME, command[0], *command],
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
        """The program's own process id, not the shell's."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the program has not ended yet."""
        return self._process.poll() is None

    @property
    def end(self) -> str:
        """How the program ended, for a person: its exit code, or the name of the signal."""
        code = self._process.poll()
        if code is None:
            return "not at all"
        return f"exit code {code}" if code >= 0 else signal.Signals(-code).name

    async def wait(self, *, within: float) -> int:
        """Wait for the end, at most *within* seconds, and give the exit code; raise `TimeoutError`."""
        async with asyncio.timeout(within):
            while self.running:  # noqa: ASYNC110 - nothing tells of a process's end alike on every loop and system
                await asyncio.sleep(_LOOK_EVERY_SECONDS)
        self._dismiss_watchdog()
        return self._process.wait()

    async def stop(self, *, within: float) -> None:
        """Ask with SIGTERM, and after *within* seconds, or when cancelled meanwhile, end it with SIGKILL."""
        try:
            if self.running:
                self._process.send_signal(signal.SIGTERM)
            with suppress(TimeoutError):
                await self.wait(within=within)
        finally:
            self.kill()

    def kill(self) -> None:
        """End it with SIGKILL, as the out-of-memory killer or a power cut would."""
        if self.running:
            self._process.kill()
        self._process.wait(_SIGKILL_SECONDS)
        self._dismiss_watchdog()

    def _dismiss_watchdog(self) -> None:
        pipe = self._process.stdin
        if pipe is not None and not pipe.closed:
            with suppress(BrokenPipeError), pipe:
                pipe.write(b"over\n")
