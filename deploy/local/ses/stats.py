"""Counters of SendEmail calls since the start or the last reset."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from deploy.local.ses.errors import DAILY_QUOTA_EXCEEDED
from deploy.local.ses.mails import Answer, rfc3339

if TYPE_CHECKING:
    from deploy.local.ses.errors import SesError

THROTTLES = frozenset({"TooManyRequestsException", "ThrottlingException"})


class Stats:
    """The counters; a reset keeps the number of calls in flight, since they end later."""

    def __init__(self) -> None:
        self._in_flight = 0
        self.reset()

    def reset(self) -> None:
        """Reset the counters."""
        self._max_in_flight = self._in_flight
        self._calls = 0
        self._throttled = 0
        self._errors: Counter[str] = Counter()
        self._answers: Counter[str] = Counter()
        self._first_accepted_at: float | None = None
        self._last_accepted_at: float | None = None

    def begin_call(self) -> None:
        """Count a call that starts."""
        self._calls += 1
        self._in_flight += 1
        self._max_in_flight = max(self._max_in_flight, self._in_flight)

    def end_call(self) -> None:
        """Count a call that ends, with or without an answer."""
        self._in_flight -= 1

    def accepted(self, answer: Answer, now: float) -> None:
        """Count one mail, at *now* in seconds since the epoch."""
        self._answers[answer] += 1
        self._last_accepted_at = now
        if self._first_accepted_at is None:
            self._first_accepted_at = now

    def refused(self, error: SesError) -> None:
        """Count one call that was answered with *error*."""
        self._errors[error.name] += 1
        if error.name in THROTTLES and error.message != DAILY_QUOTA_EXCEEDED:
            self._throttled += 1

    def report(self) -> dict[str, Any]:
        """Return all counters, for JSON."""
        first, last = self._first_accepted_at, self._last_accepted_at
        return {
            "calls": self._calls,
            "accepted": self._answers.total(),
            "dropped": self._answers[Answer.DROPPED],
            "hung": self._answers[Answer.HUNG],
            "throttled": self._throttled,
            "errors": dict(sorted(self._errors.items())),
            "first_accepted_at": None if first is None else rfc3339(first),
            "last_accepted_at": None if last is None else rfc3339(last),
            "calls_in_flight": self._in_flight,
            "max_calls_in_flight": self._max_in_flight,
        }
