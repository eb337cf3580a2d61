"""What SES reports of the e-mails that it accepted, and the junk that others put on its queue."""

from __future__ import annotations

from dataclasses import dataclass
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
from tests.simulation.plan import FAULT_SECONDS, Fate, FeedbackPlan

_TWICE = 0.15
"""The share of events that come twice."""
_DELIVERED = 0.4
"""The share of delivered e-mails whose Delivery is reported: each event costs CPU."""
_IN_SNS = 0.2
"""The share of events in the envelope of SNS; the others are raw."""
_JUNK = (
    "Successfully validated SNS topic for Amazon SES event publishing.",
    "{",
    raw(event("Delivery") | {"mail": {"messageId": "foreign"}}),
    in_sns(event("Bounce", partition=99)),
    raw(event("Click")),
)
_NAMES = {
    FeedbackKind.SEND: "Send",
    FeedbackKind.DELIVERY: "Delivery",
    FeedbackKind.BOUNCE: "Bounce",
    FeedbackKind.COMPLAINT: "Complaint",
    FeedbackKind.REJECT: "Reject",
}
_FOLLOWING = {
    Fate.BOUNCES: (FeedbackKind.BOUNCE,),
    Fate.BOUNCES_FOR_NOW: (FeedbackKind.BOUNCE,),
    Fate.COMPLAINS: (FeedbackKind.DELIVERY, FeedbackKind.COMPLAINT),
    Fate.REJECTED: (FeedbackKind.REJECT,),
}
_PERMANENT = {(Fate.BOUNCES, FeedbackKind.BOUNCE), (Fate.COMPLAINS, FeedbackKind.COMPLAINT)}
"""After these the address is suppressed."""


@dataclass(frozen=True)
class _Sent:
    """An e-mail that SES accepted, and what becomes of it."""

    email: Email
    message_id: str
    at: float
    fate: Fate | None


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

    def put_junk(self) -> None:
        """Put messages on the queue that are not about our e-mails."""
        for body in self._random.sample(_JUNK, self._plan.junk):
            self._loop.outside(self._random.random() * FAULT_SECONDS, partial(self._queue.put, body, ours=False))

    def accepted(self, email: Email, message_id: str) -> None:
        """Report an e-mail that SES accepted: late, in any order, some of it twice, or never."""
        if self._random.random() < self._plan.lost:
            return
        sent = _Sent(email, message_id, self._loop.time(), self._fates.get(email.tags["recipient"]))
        for kind in (FeedbackKind.SEND, *self._following(sent.fate)):
            for _ in range(2 if self._random.random() < _TWICE else 1):
                self.coming += 1
                self._loop.outside(self._random.random() * self._plan.within_seconds, self._report, sent, kind)

    def _following(self, fate: Fate | None) -> tuple[FeedbackKind, ...]:
        if fate is not None:
            return _FOLLOWING[fate]
        return (FeedbackKind.DELIVERY,) if self._random.random() < _DELIVERED else ()

    def _report(self, sent: _Sent, kind: FeedbackKind) -> None:
        self.coming -= 1
        now, tags = self._loop.time(), sent.email.tags
        permanent = (sent.fate, kind) in _PERMANENT
        self._history.entries.append(
            Reported(now, tags["dispatch_id"], tags["recipient"], sent.message_id, kind, permanent)
        )
        found = _event(sent, kind, now)
        self._queue.put(in_sns(found) if self._random.random() < _IN_SNS else raw(found), ours=True)


def _event(sent: _Sent, kind: FeedbackKind, now: float) -> dict[str, Any]:
    more: dict[str, Any] = {}
    if sent.fate is Fate.BOUNCES_FOR_NOW and kind is FeedbackKind.BOUNCE:
        more["bounce"] = bounce(sent.email.to, "Transient", "MailboxFull", "4.2.2")
    found = event(_NAMES[kind], message_id=sent.message_id, address=sent.email.to, **sent.email.tags, **more)
    found["mail"]["timestamp"] = _instant(sent.at)
    if kind.value in found:  # an event's own member has its name in lower case
        found[kind.value]["timestamp"] = _instant(now)
    return found


def _instant(seconds: float) -> str:
    return format_instant(START + timedelta(seconds=seconds))
