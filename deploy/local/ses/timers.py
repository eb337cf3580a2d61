"""Do something later, a bounded number of times: nothing is done any more once they are cancelled."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_WAITING = 50_000


class Timers:
    """Calls that wait for their time on the running loop."""

    def __init__(self, *, most: int = MOST_WAITING) -> None:
        self._most = most
        self._waiting: dict[int, asyncio.TimerHandle] = {}
        self._number = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def after(self, seconds: float, action: Callable[[], None]) -> bool:
        """Call *action* in *seconds*; return False, and do nothing, if too many calls wait."""
        if len(self._waiting) >= self._most:
            return False

        self._number += 1
        self._waiting[self._number] = asyncio.get_running_loop().call_later(seconds, self._run, self._number, action)
        return True

    def _run(self, number: int, action: Callable[[], None]) -> None:
        del self._waiting[number]
        action()

    def cancel(self) -> None:
        """Cancel all calls that wait."""
        for timer in self._waiting.values():
            timer.cancel()
        self._waiting.clear()
