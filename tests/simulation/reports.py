"""What SES reports of the e-mails that it accepted, and the junk that others put on its queue."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from random import Random
from typing import Any

from consumers.email import Email
from schemas.feedback import FeedbackKind
from schemas.times import format_instant
from tests.ses_events import bounce, event, in_sns, raw
from tests.simulation.event_queue import SimulatedQueue
from tests.simulation.history import History, Reported
from tests.simulation.loop import START, SimulatedLoop
from tests.simulation.plan import Fate, FeedbackPlan

_DOUBLED = 0.15
_DELIVERED = 0.4
"""The share of delivered e-mails whose Delivery is reported in time to be seen: each report costs CPU."""
_IN_SNS = 0.2
_JUNK = (
    "Successfully validated SNS topic for Amazon SES event publishing.",
    "{",
    raw(event("Delivery") | {"mail": {"messageId": "foreign"}}),
    in_sns(raw(event("Bounce", partition=99))),
    raw(event("Click")),
)


class SimulatedReports:
    """Puts events on the queue, as a plan says."""

    def __init__(
        self, plan: FeedbackPlan, loop: SimulatedLoop, queue: SimulatedQueue, random: Random, history: History
    ) -> None:
        self._plan = plan
        self._loop = loop
        self._queue = queue
        self._random = random
        self._history = history
        self._fates = dict(plan.fates)
        self.coming = 0
        """How many events are on their way to the queue."""

    def put_junk(self, number: int) -> None:
        """Put messages on the queue that are not about our e-mails."""
        for body in self._random.sample(_JUNK, number):
            self._loop.outside(self._random.random() * 6, partial(self._queue.put, body, ours=False))

    def accepted(self, email: Email, message_id: str) -> None:
        """Report an e-mail that SES accepted: late, in any order, some of it twice, or never."""
        if self._random.random() < self._plan.lost:
            return
        sent_at = self._loop.time()
        self._report(email, message_id, sent_at, FeedbackKind.SEND, "Send")
        fate = self._fates.get(email.tags["recipient"])
        match fate:
            case Fate.BOUNCES:
                self._report(email, message_id, sent_at, FeedbackKind.BOUNCE, "Bounce")
            case Fate.BOUNCES_FOR_NOW:
                member = {"bounce": bounce(email.to, "Transient", "MailboxFull", "4.2.2")}
                self._report(email, message_id, sent_at, FeedbackKind.BOUNCE, "Bounce", member)
            case Fate.REJECTED:
                self._report(email, message_id, sent_at, FeedbackKind.REJECT, "Reject")
            case _ if fate is Fate.COMPLAINS or self._random.random() < _DELIVERED:
                self._report(email, message_id, sent_at, FeedbackKind.DELIVERY, "Delivery")
        if fate is Fate.COMPLAINS:
            self._report(email, message_id, sent_at, FeedbackKind.COMPLAINT, "Complaint")

    def _report(
        self, email: Email, message_id: str, sent_at: float, kind: FeedbackKind, name: str, member: Any = None
    ) -> None:
        for _ in range(2 if self._random.random() < _DOUBLED else 1):
            self.coming += 1
            delay = self._random.random() * self._plan.within_seconds
            self._loop.outside(delay, self._put, email, message_id, sent_at, kind, name, member)

    def _put(self, email: Email, message_id: str, sent_at: float, kind: FeedbackKind, name: str, member: Any) -> None:
        self.coming -= 1
        tags = email.tags
        found = event(name, message_id=message_id, address=email.to, **tags, **(member or {}))
        found["mail"]["timestamp"] = format_instant(START + timedelta(seconds=sent_at))
        for own in ("bounce", "complaint", "delivery"):
            if own in found:
                found[own]["timestamp"] = format_instant(START + timedelta(seconds=self._loop.time()))
        now = self._loop.time()
        self._history.entries.append(Reported(now, tags["dispatch_id"], tags["recipient"], message_id, kind))
        self._queue.put(in_sns(found) if self._random.random() < _IN_SNS else raw(found), ours=True)
