"""The time of SES, which refuses a signature that is more than five minutes off."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from runtime.clock import Clock

_TOLERANCE = timedelta(minutes=1)  # more than a request may take on its way, less than SES accepts

# Some of these codes may also mean a wrong key; the Date header tells which.
_CODES = frozenset(
    {
        "AuthFailure",
        "InvalidSignatureException",
        "RequestExpired",
        "RequestInTheFuture",
        "RequestTimeTooSkewed",
        "SignatureDoesNotMatch",
    }
)


class ServerClock:
    """Our clock, corrected by the error that responses of SES have shown."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._offset = timedelta()

    @property
    def offset(self) -> timedelta:
        """Return how far SES's clock is ahead of ours."""
        return self._offset

    def now(self) -> datetime:
        """Return the time of SES, in UTC."""
        return self._clock.now() + self._offset

    def correct(self, code: str, date: str | None, signed_at: datetime) -> bool:
        """
        Correct the clock by the *date* of a refusal if *signed_at* was wrong, and return whether it was.

        SES refuses a request with the right time for another reason, and would refuse it again.
        """
        found = _parsed(date) if code in _CODES else None
        if found is None or abs(found - signed_at) < _TOLERANCE:
            return False
        self._offset = found - self._clock.now()
        return True


def _parsed(date: str | None) -> datetime | None:
    try:
        found = parsedate_to_datetime(date or "")
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
