"""Counts e-mails of which SES reports nothing for too long."""

from __future__ import annotations

import math
from collections import OrderedDict

from prometheus_client import Counter

from runtime.clock import Clock
from schemas.dispatch import Dispatch, Status
from schemas.feedback import recipient_tag

_COUNT_SECONDS = 60.0
MOST_AWAITED = 100_000
"""Beyond this the oldest are forgotten uncounted. As a rule feedback comes within seconds, so only few are awaited."""


class Unconfirmed:
    """
    The e-mails that this replica sent and that no feedback has confirmed yet.

    *after_seconds* is infinite if feedback is off. All is in memory: what a replica sent before it ended, it does not
    count. `GET dispatches/{id}` knows each of them.
    """

    def __init__(self, clock: Clock, counter: Counter, *, after_seconds: float, most: int = MOST_AWAITED) -> None:
        self._clock = clock
        self._counter = counter
        self._after_seconds = after_seconds
        self._most = most
        self._awaited: OrderedDict[int, float] = OrderedDict()
        """When each was sent, by the hash of dispatch and recipient; the oldest is first."""

    def __len__(self) -> int:
        return len(self._awaited)

    def sent(self, dispatch: Dispatch) -> None:
        """Await feedback of a dispatch's e-mails."""
        if math.isinf(self._after_seconds):
            return
        now = self._clock.monotonic()
        for recipient in dispatch.recipients:
            if recipient.status is Status.SENT:
                self._awaited[hash((dispatch.dispatch_id, recipient_tag(recipient.contact_id)))] = now
        while len(self._awaited) > self._most:
            self._awaited.popitem(last=False)

    def heard(self, dispatch_id: str, recipient: str) -> None:
        """Await nothing more of a recipient, by the e-mail's tag."""
        self._awaited.pop(hash((dispatch_id, recipient)), None)

    async def run(self) -> None:
        """Count from time to time, until cancelled."""
        while True:
            await self._clock.sleep(_COUNT_SECONDS)
            self.count()

    def count(self) -> None:
        """Count those that have been awaited for too long."""
        before = self._clock.monotonic() - self._after_seconds
        while self._awaited and next(iter(self._awaited.values())) <= before:
            self._awaited.popitem(last=False)
            self._counter.inc()
