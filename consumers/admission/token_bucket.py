"""How many e-mails a second: the account's rate, this replica's share of it, and what throttles took off."""

from __future__ import annotations

import structlog

from runtime.clock import Clock

log = structlog.get_logger(__name__)

BURST_SECONDS = 0.25
"""How much of a second's rate may be saved up, beside one e-mail: SES forgives short bursts only."""
_SLOW_DOWN = 0.7
_SPEED_UP_PER_SECOND = 0.02
"""Back from one throttle in 15 s. Faster, SES would refuse more where others take a third of the account's rate."""
_SLOWEST = 0.05
_ROUND_TRIP_SECONDS = 1.0
"""SES counts by the second: what a slower pace leads to is not seen sooner."""


def next_slowness(slowness: float, *, throttled: bool, seconds: float) -> float:
    """Return the share of the rate that is used next: multiplicative decrease on a throttle, additive increase else."""
    if throttled:
        return max(slowness * _SLOW_DOWN, _SLOWEST)
    return min(slowness + _SPEED_UP_PER_SECOND * seconds, 1.0)


class TokenBucket:
    """A bucket of tokens, one an e-mail, that fills at this replica's rate."""

    def __init__(self, clock: Clock, *, account_rate: float, headroom: float) -> None:
        self._clock = clock
        self._account_rate = account_rate
        self._headroom = headroom
        self._share = 0.0
        self._rate_factor = 1.0
        self._slowed_at = float("-inf")
        self._tokens = 0.0
        self._refilled_at = clock.monotonic()

    @property
    def rate(self) -> float:
        """Return the e-mails per second that this replica may send."""
        return self._account_rate * (1 - self._headroom) * self._share * self._rate_factor

    def set_account_rate(self, rate: float) -> None:
        """Take the account's own rate, in e-mails per second over all replicas."""
        self._refill()
        self._account_rate = rate

    def set_share(self, share: float) -> None:
        """Take this replica's share; the bucket starts empty, since a former owner may just have spent the rate."""
        self._refill()
        self._share = share
        self._empty()

    def seconds_until(self, emails: int) -> float | None:
        """Return how long until so many may begin: 0 is now, None is not at this rate."""
        self._refill()
        # More than the bucket ever holds begin once it is full, and leave a debt.
        lacking = min(emails, self._capacity()) - self._tokens
        if lacking <= 0:
            return 0.0
        return lacking / self.rate if self.rate > 0 else None

    def take(self, emails: int) -> None:
        """Spend a token for each e-mail that begins."""
        self._tokens -= emails

    def throttled(self, let_in_at: float) -> None:
        """
        Slow down for a throttle of what was let in at that monotonic time.

        Once a round trip: what was let in before the last slowing down says nothing of the pace since.
        """
        now = self._clock.monotonic()
        self._refill()
        if let_in_at >= self._slowed_at and now - self._slowed_at >= _ROUND_TRIP_SECONDS:
            self._rate_factor = next_slowness(self._rate_factor, throttled=True, seconds=0)
            self._slowed_at = now
            log.warning("gate.slowed", rate=round(self.rate, 2))
        self._empty()

    def _empty(self) -> None:
        self._tokens = min(self._tokens, 0.0)

    def _capacity(self) -> float:
        return 1.0 + self.rate * BURST_SECONDS

    def _refill(self) -> None:
        now = self._clock.monotonic()
        seconds = now - self._refilled_at
        self._refilled_at = now
        self._tokens = min(self._tokens + seconds * self.rate, self._capacity())
        self._rate_factor = next_slowness(self._rate_factor, throttled=False, seconds=seconds)
