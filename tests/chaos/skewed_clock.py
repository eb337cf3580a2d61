"""Run a program with a wrong clock: ``CHAOS_CLOCK_OFFSET=7200 CHAOS_PROGRAM=consumers``."""

from __future__ import annotations

import os
import runpy
from datetime import UTC, datetime, timedelta

import time_machine

PROGRAM = "CHAOS_PROGRAM"
OFFSET = "CHAOS_CLOCK_OFFSET"


def main() -> None:
    """Shift this process's wall clock, as on a host without time synchronisation, and run the program."""
    moved = datetime.now(UTC) + timedelta(seconds=float(os.environ[OFFSET]))
    time_machine.travel(moved, tick=True).start()
    runpy.run_module(os.environ[PROGRAM], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
