"""Checks from a history what must follow from SES's reports: see invariants 3, 5 and 10."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from schemas.dispatch import Dispatch, Reason, Recipient, Status
from schemas.events import UNDELIVERED, Role
from schemas.feedback import FeedbackKind, recipient_tag
from tests.simulation.history import Appended, Called, Committed
from tests.simulation.loop import START
from tests.simulation.observations import Addressed, Loss, Observations, Send
from tests.simulation.producers import CONTACTS
from tests.simulation.publishing import RECORD_DEADLINE_SECONDS
from tests.simulation.replica import RECONCILE

_UNREACHED = frozenset({FeedbackKind.BOUNCE, FeedbackKind.REJECT})
"""After these the mentor did not get the e-mail. The simulation has no out-of-office replies."""
_SUPPRESSED = frozenset({Reason.BOUNCED, Reason.COMPLAINED, Reason.UNREACHABLE})
_TROUBLE_SECONDS = 2.5
"""The longest pause before a program publishes or fetches again, and the time that this takes."""
_SUPPRESSING_SECONDS = 1.0


@dataclass
class FeedbackChecks:
    """The checks, over what was observed so far."""

    observed: Observations
    handling_seconds: float
    """How long it takes an owner to read a record of feedback and to settle a lost answer by it."""
    lag_seconds: float

    # -- what is committed ---------------------------------------------------------------------------------------

    def committed(self, entry: Committed, since: int) -> Iterator[tuple[int, str]]:
        """
        Yield the records that were committed, from offset *since* on, before what they say was recorded.

        What a zombie asks for does not count: it knows less than the owner, and the group refuses it.
        """
        for told in self.observed.feedback[entry.place][since : entry.offset]:
            id_, tag = told.feedback.dispatch_id, told.feedback.recipient
            recipient = _recipient(self.observed.states.get(id_), tag)
            if recipient is not None and _in_doubt(recipient) and not self._stale_intents((id_, tag)):
                yield 5, f"{entry.program} committed feedback of {(id_, tag)}, who is at {recipient.status}"

    def _stale_intents(self, to: Addressed) -> bool:
        return any(self._is_stale(intent) for intent in self.observed.intents[to])

    def _is_stale(self, intent: Appended) -> bool:
        """Return whether an intent was in transit, or about to be written, while its program was frozen."""
        since = intent.at - RECORD_DEADLINE_SECONDS
        return self.observed.happened_to(intent.program or "", since, intent.at, "resumed")

    # -- what is sent --------------------------------------------------------------------------------------------

    def called(self, entry: Called, intended_at: float) -> Iterator[tuple[int, str]]:
        """Yield a call for an address that was known to be suppressed."""
        suppressed = self.observed.suppressed_since.get(entry.contact_id)
        since = intended_at - self.lag_seconds - _SUPPRESSING_SECONDS
        if suppressed is None or suppressed >= since or not entry.owns:
            return
        if not self.observed.happened_to(entry.program, since, intended_at, "resumed"):
            yield 10, f"{entry.program} sends to {entry.contact_id}, suppressed since {suppressed:.3f} s"

    def twice(self, to: Addressed, accepted: list[Send]) -> Iterator[tuple[int, str]]:
        """Yield e-mails after one that feedback had shown to be sent, in time for the decision to send again."""
        for first in accepted[:-1]:
            evident_at = self.observed.evidence.get(first.accepted.message_id) if first.accepted else None
            intents = self.observed.intents[to]
            following = next((intent for intent in intents if intent.at > first.called.at), None)
            if evident_at is None or following is None or not first.called.owns or self._is_stale(following):
                continue
            loss = self._loss(to, first, following)
            ends = following.at if loss is None else max(following.at, self._ends(loss))
            if self._able_since(following, evident_at, loss, ends) + self.handling_seconds <= ends:
                yield 3, f"{to} was sent again at {following.at:.3f} s, though feedback came at {evident_at:.3f} s"

    def _loss(self, to: Addressed, first: Send, following: Appended) -> Loss | None:
        """Return the first record of the lost answer, from which the wait for feedback begins."""
        losses = self.observed.losses[to]
        return next((one for one in losses if first.called.at <= one.recorded_at <= following.at), None)

    @staticmethod
    def _ends(loss: Loss) -> float:
        return (loss.at + RECONCILE - START).total_seconds()

    def _able_since(self, following: Appended, evident_at: float, loss: Loss | None, ends: float) -> float:
        """
        Return since when the program that sent again could have settled the answer.

        It owns the partition, the answer counts as lost, the feedback is in the log, and it is neither frozen nor
        kept from publishing or fetching.
        """
        program = following.program or ""
        opened = [at for at in self.observed.opened[program, following.record.partition] if at <= following.at]
        troubles = [at + _TROUBLE_SECONDS for at in self.observed.troubles[program] if at <= ends]
        return max(
            evident_at,
            max(opened, default=following.at),
            loss.recorded_at if loss is not None else 0.0,
            max(troubles, default=0.0),
            self.observed.last(program, ends, "resumed"),
        )

    # -- the end -------------------------------------------------------------------------------------------------

    def end(self) -> Iterator[tuple[int, str]]:
        """Yield what was lost, was not settled, or was not escalated once."""
        told = {one.feedback.identity for records in self.observed.feedback.values() for one in records}
        put = {
            (one.message_id, str(one.kind), one.contact_id) for some in self.observed.reported.values() for one in some
        }
        for missing in sorted(put - told):
            yield 10, f"the report {missing} left the queue, and was never in the topic"
        for invented in sorted(told - put):
            yield 10, f"the record of {invented} is not what SES reported"
        for dispatch in self.observed.states.values():
            for recipient in dispatch.recipients:
                yield from self._recipient_ended(dispatch.dispatch_id, recipient)
        yield from self._escalations()

    def _recipient_ended(self, dispatch_id: str, recipient: Recipient) -> Iterator[tuple[int, str]]:
        contact_id = recipient.contact_id
        reports = self.observed.reported.get((dispatch_id, contact_id), ())
        if recipient.status is Status.UNKNOWN and reports:
            yield 10, f"{(dispatch_id, contact_id)} is unknown, though feedback shows that it was sent"
        permanent = any(one.permanent and one.message_id == recipient.message_id for one in reports)
        if permanent and contact_id not in self.observed.suppressed_since:
            yield 10, f"{contact_id} is not suppressed, though {recipient.message_id} bounced or was not wanted"

    def _escalations(self) -> Iterator[tuple[int, str]]:
        must: Counter[str] = Counter()
        may: Counter[str] = Counter()
        for dispatch in self.observed.states.values():
            least, most = self._needs_escalation(dispatch)
            must[dispatch.mentor_id] += least
            may[dispatch.mentor_id] += most
        found: Counter[str] = Counter()
        for deliveries in self.observed.deliveries.values():
            event = deliveries[0].event
            found[event.mentor_id] += event.kind is UNDELIVERED
        for mentor_id in sorted(must | may | found):
            if not must[mentor_id] <= found[mentor_id] <= may[mentor_id]:
                due = f"{must[mentor_id]} to {may[mentor_id]}"
                yield 10, f"{mentor_id} has {found[mentor_id]} escalations, and {due} are due"

    def _needs_escalation(self, dispatch: Dispatch) -> tuple[bool, bool]:
        """
        Return whether a dispatch must have an escalation, and whether it may.

        A refusal that its owner could not record may be escalated, although the answer counts as lost then.
        """
        mentor = next((one for one in dispatch.recipients if one.role is Role.MENTOR), None)
        contact = None if mentor is None else CONTACTS.get(mentor.contact_id)
        if mentor is None or contact is None or dispatch.retry_of is not None or contact.coordinator_id is None:
            return False, False
        to = (dispatch.dispatch_id, mentor.contact_id)
        reports = self.observed.reported.get(to, ())
        unreached = {one.message_id for one in reports if one.kind in _UNREACHED}
        refused = any(send.answer == "Refused" for send in self.observed.sends.get(to, ()))
        must = mentor.message_id in unreached or _ended_unreached(self.observed.ended.get(dispatch.dispatch_id))
        return must, must or refused or bool(unreached)


def _ended_unreached(ended: Dispatch | None) -> bool:
    """Return whether a dispatch ended with its mentor refused, or suppressed without a copy that says so."""
    roles = {} if ended is None else {recipient.role: recipient for recipient in ended.recipients}
    mentor = roles.get(Role.MENTOR)
    if mentor is None:
        return False
    suppressed = mentor.status is Status.SUPPRESSED and mentor.reason in _SUPPRESSED
    refused = mentor.status is Status.FAILED and mentor.reason is Reason.MESSAGE_REJECTED
    return refused or (suppressed and Role.COORDINATOR not in roles)


def _recipient(dispatch: Dispatch | None, tag: str) -> Recipient | None:
    recipients = () if dispatch is None else dispatch.recipients
    return next((one for one in recipients if recipient_tag(one.contact_id) == tag), None)


def _in_doubt(recipient: Recipient) -> bool:
    """Return whether a recipient may be sent to again, or is unknown, though feedback shows that it was sent."""
    return recipient.round == 0 and recipient.status in {Status.SENDING, Status.PENDING, Status.UNKNOWN}
