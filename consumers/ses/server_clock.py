"""The time by which SES judges a signature: it refuses one that is more than five minutes off."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from runtime.clock import Clock

_OFF = timedelta(minutes=1)  # more than a request may take on its way, less than SES lets pass

# Some say what was wrong; others may also mean a wrong key, which the Date header tells apart.
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


class SesTime:
    """Our clock, put right by as much as SES's answers have shown it to be off."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._off = timedelta()

    @property
    def off(self) -> timedelta:
        """Return by how much SES's clock is ahead of ours."""
        return self._off

    def now(self) -> datetime:
        """Return the time, aware, in UTC."""
        return self._clock.now() + self._off

    def learn(self, code: str, date: str | None, signed_at: datetime) -> bool:
        """
        Take SES's time from a refusal's *date* where that shows *signed_at* to be wrong, and say whether it did.

        What was signed rightly is refused for another reason, however often SES is asked again.
        """
        said = _parsed(date) if code in _CODES else None
        if said is None or abs(said - signed_at) < _OFF:
            return False
        self._off = said - self._clock.now()
        return True


def _parsed(date: str | None) -> datetime | None:
    try:
        said = parsedate_to_datetime(date or "")
    except ValueError:
        return None
    return said if said.tzinfo else said.replace(tzinfo=UTC)
