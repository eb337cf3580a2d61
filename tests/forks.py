"""
Start our programs as forks of a process that has imported them.

Imports take a second of CPU, four fifths of a program's start, and `make test` starts more than three hundred. A fork
is a process as any other: its own environment, log, session and signals, and it runs the program from its first line.
`make chaos`, `make run` and the image start programs in the usual way.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import runpy
import signal
import sys
import time
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import IO, TYPE_CHECKING

from deploy.local.child import Child

if TYPE_CHECKING:
    from collections.abc import Mapping

FORKED = frozenset({"consumers", "service", "tests.crash_points.replica"})
"""The programs that can be forked."""

AVAILABLE = sys.platform == "linux"
"""Elsewhere a fork would outlive a test run that is killed."""

_PR_SET_PDEATHSIG = 1
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    ["consumers.bootstrap", "runtime.management", "runtime.process", "service.app", "tests.forks_preload"]
)


class ForkedChild(Child):
    """A program that runs in a fork, and ends when this process does."""

    def __init__(self, program: str, *, log: Path, cwd: Path, environ: Mapping[str, str], append: bool) -> None:
        """Start a program of `FORKED` and write its output to the new file *log*, or to its end with *append*."""
        log.open("ab" if append else "wb").close()
        process = _CONTEXT.Process(target=_become, args=(program, str(log), str(cwd), dict(environ)), daemon=True)
        process.start()
        self._process = _Fork(process)


class _Fork:
    """A fork, with the methods of `subprocess.Popen` that `Child` calls."""

    stdin: IO[bytes] | None = None

    def __init__(self, process: ForkServerProcess) -> None:
        self._process = process
        assert process.pid is not None
        self.pid = process.pid

    def poll(self) -> int | None:
        """Return the exit code, or the negative number of the signal; None while it runs."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit code; raise TimeoutError."""
        self._process.join(timeout)
        code = self.poll()
        if code is None:
            raise TimeoutError(f"process {self.pid} still runs")
        return code

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)


def _become(program: str, log: str, cwd: str, environ: Mapping[str, str]) -> None:
    """Run a program in this process as `python -m` would."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # the parent ends when the test run does
    os.setsid()
    output = os.open(log, os.O_WRONLY | os.O_APPEND)
    for number in (sys.stdout.fileno(), sys.stderr.fileno()):
        os.dup2(output, number)
    os.close(output)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environ)
    time.tzset()
    sys.argv = [program]
    runpy.run_module(program, run_name="__main__", alter_sys=True)
