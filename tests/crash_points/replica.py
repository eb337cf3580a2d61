"""
The replica with a trap: the same program, with a listener that kills the process at one step.

PAUSE_NOTIFICATIONS_CRASH_AT=intent_recorded:2          SIGKILL, when that step is reached for the second time
PAUSE_NOTIFICATIONS_CRASH_AT=intent_recorded:2:SIGSTOP  frozen there, until it is killed or resumed from outside

It does not ship, and the programs that ship refuse to start when the variable is set.
"""

from __future__ import annotations

import os
import signal
import sys

from consumers.__main__ import main
from consumers.steps import Step
from runtime.environment import CRASH_AT


class Trap:
    """Sends this process a signal when a step is reached for the given time."""

    def __init__(self, setting: str) -> None:
        step, times, *by = setting.split(":")
        self._step = Step(step)
        self._left = int(times)
        self._signal = signal.Signals[by[0]] if by else signal.SIGKILL

    def __call__(self, step: Step, _of: str) -> None:
        """Count a step."""
        if step is not self._step:
            return
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), self._signal)


if __name__ == "__main__":
    # Removed from the environment, since the replica itself would refuse it.
    sys.exit(main(Trap(os.environ.pop(CRASH_AT))))
