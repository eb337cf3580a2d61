from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from deploy.local.child import Child
from tests.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

_DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); signal.pause()"


async def test_the_pid_is_the_programs_own(tmp_path: Path) -> None:
    """The program has the returned pid and its own session, and its output is in the log."""
    child = Child([sys.executable, "-c", "import os; print(os.getpid(), os.getsid(0))"], log=tmp_path / "log")

    code = await child.wait(within=10)

    assert (0, f"{child.pid} {child.pid}\n") == (code, (tmp_path / "log").read_text())


async def test_a_program_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    """A stop kills a program after its time is over."""
    child = Child([sys.executable, "-c", _DEAF], log=tmp_path / "log")
    await until(lambda: "deaf" in (tmp_path / "log").read_text(), what="the program to be deaf")

    await child.stop(within=0.1)

    with pytest.raises(ProcessLookupError):
        os.kill(child.pid, 0)


async def test_stopping_twice_is_harmless(tmp_path: Path) -> None:
    """A program that has ended can be stopped and killed again."""
    child = Child(["/bin/sh", "-c", "exit 3"], log=tmp_path / "log")
    code = await child.wait(within=10)

    await child.stop(within=1)
    child.kill()

    assert (3, False) == (code, child.running)


async def test_waiting_is_limited(tmp_path: Path) -> None:
    """Waiting for a program that keeps running raises after the time is over."""
    child = Child([sys.executable, "-c", _DEAF], log=tmp_path / "log")

    with pytest.raises(TimeoutError):
        await child.wait(within=0.05)

    child.kill()
