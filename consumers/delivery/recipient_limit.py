"""Warns when one recipient is sent too many e-mails in an hour. It holds none of them back."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import structlog
from prometheus_client import Counter

from runtime.clock import Clock

log = structlog.get_logger(__name__)

HOUR_SECONDS = 3600.0
MAX_RECIPIENTS = 20_000
"""How many recipients are counted, in some megabytes. The one whose last e-mail is oldest is forgotten first."""


@dataclass(slots=True)
class _Hour:
    """How many e-mails one recipient was sent, and when the hour began: at its first e-mail."""

    began: float
    sent: int = 0


class RecipientLimit:
    """
    Counts the e-mails of each recipient by the hour, and warns of those beyond a limit.

    Each replica counts its own e-mails. All events of a mentor go to one replica; those of a coordinator's mentors may
    go to several, and each of them counts its share.
    """

    def __init__(self, clock: Clock, beyond: Counter, *, emails_per_hour: int) -> None:
        self._clock = clock
        self._beyond = beyond
        self._emails_per_hour = emails_per_hour
        self._hours: OrderedDict[str, _Hour] = OrderedDict()

    def sent(self, contact_id: str, *, source: str, caller: str | None) -> None:
        """Count an e-mail to a contact that SES accepted, for an event of *source*."""
        hour = self._hour_of(contact_id)
        hour.sent += 1
        if hour.sent <= self._emails_per_hour:
            return
        self._beyond.labels(source=source).inc()
        if hour.sent == self._emails_per_hour + 1:
            log.warning(
                "recipient.limit_passed",
                contact=contact_id,
                source=source[:100],
                caller=caller,
                emails_per_hour=self._emails_per_hour,
            )

    def _hour_of(self, contact_id: str) -> _Hour:
        now = self._clock.monotonic()
        hour = self._hours.get(contact_id)
        if hour is None or now - hour.began >= HOUR_SECONDS:
            hour = self._hours[contact_id] = _Hour(now)
        self._hours.move_to_end(contact_id)
        if len(self._hours) > MAX_RECIPIENTS:
            self._hours.popitem(last=False)
        return hour
