"""How many e-mails a second may begin: the account's rate, this replica's share of it, less for throttles."""

from __future__ import annotations

import structlog

from runtime.clock import Clock

log = structlog.get_logger(__name__)

BURST_SECONDS = 0.25
"""How many seconds of the rate the bucket holds, beside one e-mail: SES tolerates short bursts only."""
_DECREASE = 0.7
_INCREASE_PER_SECOND = 0.02
"""Full rate is back 15 s after one throttle. Faster, SES would throttle more when others use a third of the rate."""
_LEAST_FACTOR = 0.05
_ROUND_TRIP_SECONDS = 1.0
"""SES counts by the second, so the effect of a lower rate is not seen sooner."""


def next_rate_factor(rate_factor: float, *, throttled: bool, seconds: float) -> float:
    """
    Return the factor that the rate is multiplied by next; 1.0 is the full rate.

    A throttle decreases it multiplicatively; *seconds* without one increase it additively.
    """
    if throttled:
        return max(rate_factor * _DECREASE, _LEAST_FACTOR)
    return min(rate_factor + _INCREASE_PER_SECOND * seconds, 1.0)


class TokenBucket:
    """A bucket of tokens, one per e-mail, that fills at this replica's rate."""

    def __init__(self, clock: Clock, *, account_rate: float, headroom: float) -> None:
        self._clock = clock
        self.account_rate = account_rate
        """The account's own rate, over all replicas."""
        self._headroom = headroom
        self._share = 0.0
        self._rate_factor = 1.0
        self._decreased_at = float("-inf")
        self._tokens = 0.0
        self._refilled_at = clock.monotonic()

    @property
    def rate(self) -> float:
        """Return the e-mails per second that this replica may send."""
        return self.account_rate * (1 - self._headroom) * self._share * self._rate_factor

    def set_account_rate(self, rate: float) -> None:
        """Set the account's own rate, in e-mails per second over all replicas."""
        self._refill()
        self.account_rate = rate

    def set_share(self, share: float) -> None:
        """Set this replica's share. The bucket is emptied, since a former owner may just have used the rate."""
        self._refill()
        self._share = share
        self._empty()

    def seconds_until(self, emails: int) -> float | None:
        """Return how long until so many e-mails may begin; None means never at this rate."""
        self._refill()
        # More e-mails than the bucket holds begin when it is full, and leave a debt.
        lacking = min(emails, self._capacity()) - self._tokens
        if lacking <= 0:
            return 0.0
        return lacking / self.rate if self.rate > 0 else None

    def take(self, emails: int) -> None:
        """Spend a token for each e-mail that begins."""
        self._tokens -= emails

    def throttled(self, began_at: float) -> None:
        """
        Lower the rate after a throttle of a send that began at that monotonic time.

        This happens once a round trip: a send from before the last decrease says nothing of the rate since.
        """
        now = self._clock.monotonic()
        self._refill()
        if began_at >= self._decreased_at and now - self._decreased_at >= _ROUND_TRIP_SECONDS:
            self._rate_factor = next_rate_factor(self._rate_factor, throttled=True, seconds=0)
            self._decreased_at = now
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
        self._rate_factor = next_rate_factor(self._rate_factor, throttled=False, seconds=seconds)
