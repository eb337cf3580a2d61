"""Asks the controls about an event: whether its source is held, and whether it is cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from consumers.assignment.assignment import LeftInLog
from consumers.delivery import decisions
from consumers.delivery.work import Work
from runtime.clock import Clock
from runtime.controls import Controls
from schemas.dispatch import Dispatch


class ControlsChanged(Exception):
    """A control that came while a delivery waited concerns it: decide again."""


@dataclass
class ControlCheck:
    """Applies the controls to one delivery after another, and wakes those that wait when a control concerns them."""

    controls: Controls
    clock: Clock
    _waiting: dict[asyncio.Timeout, Work] = field(default_factory=dict, init=False)

    def check(self, work: Work) -> None:
        """Raise LeftInLog if the source of the event is held. A cancelled event need not wait for its end."""
        if self.controls.holds(work.event.source) and not self.is_cancelled(work):
            raise LeftInLog

    def recheck(self, work: Work) -> None:
        """Raise ControlsChanged if a control concerns the delivery, which it did not at the last `check`."""
        if self._concerns(work):
            raise ControlsChanged

    def _concerns(self, work: Work) -> bool:
        return self.controls.holds(work.event.source) or self.is_cancelled(work)

    def cancel(self, work: Work, dispatch: Dispatch) -> Dispatch:
        """Return the dispatch with its due recipients ended, if its event is cancelled."""
        return decisions.cancel(dispatch, self.clock.now()) if self.is_cancelled(work) else dispatch

    def is_cancelled(self, work: Work) -> bool:
        """Return whether what is not sent of an event ends without a send."""
        event, appended_at = work.event, work.delivery.appended_at
        return self.controls.cancels(event.source, event.kind.type, appended_at, self.clock.now())

    @asynccontextmanager
    async def interruptible(self, work: Work) -> AsyncIterator[None]:
        """Raise ControlsChanged out of a wait in the block once a control concerns the delivery."""
        try:
            async with asyncio.timeout(None) as waiting:
                self._waiting[waiting] = work
                try:
                    yield
                finally:
                    del self._waiting[waiting]
        except TimeoutError:
            raise ControlsChanged from None

    def interrupt(self) -> None:
        """End the waits of those that a control concerns now."""
        for waiting, work in self._waiting.items():
            if self._concerns(work) and not waiting.expired():
                waiting.reschedule(asyncio.get_running_loop().time())
