"""Reads the SES account from time to time: its rate and state for the gate, its quota for the metrics."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import structlog

from consumers.admission.gate import Gate
from consumers.email import EmailError
from consumers.metrics import Metrics
from consumers.ses.account import Account, halt_of
from runtime.clock import Clock

log = structlog.get_logger(__name__)

_PACE_SECONDS = 3600.0
"""How far back the readings go from which the pace is computed: a burst of a minute says little of a day."""
_RETRY_SECONDS = 5.0


@dataclass(frozen=True)
class Reading:
    """What the account had sent in the 24 hours before a monotonic time."""

    at: float
    sent: float


def hours_left(left: float, readings: Sequence[Reading]) -> float:
    """
    Return the hours until *left* e-mails are used up at the pace of the last hour; infinite if they will not be.

    The 24 hours slide: the growth is what everybody sent from the account, less what is more than a day old. What was
    sent before the first reading is not known: until there are readings of an hour, it counts as nothing.
    """
    if left <= 0:
        return 0.0
    grown = readings[-1].sent - readings[0].sent
    seconds = max(readings[-1].at - readings[0].at, _PACE_SECONDS)
    return left / grown * seconds / 3600 if grown > 0 else math.inf


class AccountMonitor:
    """Keeps the gate within what the account allows."""

    def __init__(
        self,
        read: Callable[[], Awaitable[Account]],
        gate: Gate,
        clock: Clock,
        *,
        metrics: Metrics,
        interval_seconds: float,
    ) -> None:
        self._read = read
        self._gate = gate
        self._clock = clock
        self._metrics = metrics
        self._interval = interval_seconds
        self._readings: deque[Reading] = deque()
        for not_known_yet in (metrics.quota_left, metrics.quota_hours_left):
            not_known_yet.set(math.nan)

    async def read_now(self) -> None:
        """Read the account once more, since SES says that its state has changed."""
        await self._ask()

    async def run(self) -> None:
        """Read the account at once and then each interval, sooner if SES did not answer, until cancelled."""
        retry = _RETRY_SECONDS
        while True:
            if await self._ask():
                retry = _RETRY_SECONDS
                await self._clock.sleep(self._interval)
            else:
                # Replicas that start together ask together, and SES answers one such request a second for all of them.
                await self._clock.sleep(min(retry, self._interval))
                retry *= 2

    async def _ask(self) -> bool:
        try:
            account = await self._read()
        except EmailError as error:
            # The last known rate stays: a replica that may not read the account may still send.
            log.warning("account.unreadable", error=type(error).__name__, detail=str(error))
            return False
        self._gate.set_account_rate(account.max_send_rate)
        halt = halt_of(account)
        if halt is None:
            self._gate.resume("account")
        else:
            self._gate.halt_for("account", halt)
        self._forecast(account)
        return True

    def _forecast(self, account: Account) -> None:
        now, limit = self._clock.monotonic(), account.max_24_hour_send
        self._readings.append(Reading(now, account.sent_last_24_hours))
        while now - self._readings[0].at > max(_PACE_SECONDS, self._interval * 2):
            self._readings.popleft()
        left = math.inf if limit is None else max(limit - account.sent_last_24_hours, 0.0)
        self._metrics.quota_left.set(left)
        self._metrics.quota_hours_left.set(hours_left(left, self._readings))
