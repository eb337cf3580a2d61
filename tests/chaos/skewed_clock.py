"""Run a program of ours on a clock that is off: ``CHAOS_CLOCK_OFFSET=7200 CHAOS_PROGRAM=consumers``."""

from __future__ import annotations

import os
import runpy
from datetime import UTC, datetime, timedelta

import time_machine

PROGRAM = "CHAOS_PROGRAM"
OFFSET = "CHAOS_CLOCK_OFFSET"


def main() -> None:
    """Move this process's wall clock by so many seconds, as a host without time synchronisation has it, and run."""
    moved = datetime.now(UTC) + timedelta(seconds=float(os.environ[OFFSET]))
    time_machine.travel(moved, tick=True).start()
    runpy.run_module(os.environ[PROGRAM], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
