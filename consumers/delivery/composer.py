"""Composes e-mails: a notice for a recipient, and the tags by which SES's later messages are attributed to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

import structlog

from consumers.contacts import Contacts, Invalid
from consumers.delivery import decisions
from consumers.delivery.decisions import Delivery
from consumers.delivery.recipients import readable
from consumers.delivery.rules import Rules
from consumers.email import Email
from consumers.notices.notices import Notices, NotRenderable
from consumers.suppressions import Suppressions
from runtime.clock import Clock
from schemas.contacts import Contact
from schemas.dispatch import Dispatch, Reason, Recipient, Status
from schemas.events import Role
from schemas.feedback import recipient_tag

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class NoAddressee:
    """Why a recipient cannot be written to; *field* is the invalid one of an invalid contact."""

    reason: Reason
    field: str | None = None


def addressee(recipient: Recipient, contacts: Contacts) -> Contact | NoAddressee:
    """Return the contact to write to, as known now, or why there is none."""
    contact = contacts.get(recipient.contact_id)
    if contact is None:
        return NoAddressee(Reason.UNKNOWN_CONTACT)
    if isinstance(contact, Invalid):
        return NoAddressee(Reason.INVALID_CONTACT, contact.field)
    return contact if contact.email is not None else NoAddressee(Reason.NO_ADDRESS)


def coordinator_of(mentor: Contact, contacts: Contacts) -> Contact | None:
    """Return the contact of a mentor's coordinator, if it is known and another person."""
    if mentor.coordinator_id is None or mentor.coordinator_id == mentor.id:
        return None
    coordinator = contacts.get(mentor.coordinator_id)
    return None if coordinator is None else readable(coordinator)


@dataclass
class Composed:
    """A dispatch, and the e-mails to its recipients that are due; all others are not to be sent to."""

    dispatch: Dispatch
    recipients: list[Recipient] = field(default_factory=list)
    emails: list[Email] = field(default_factory=list)
    """In the order of the recipients."""


@dataclass
class Composer:
    """Composes the e-mails of a dispatch from the contacts as they are now."""

    rules: Rules
    contacts: Contacts
    suppressions: Suppressions
    notices: Notices
    clock: Clock

    def compose(self, delivery: Delivery, number: int, dispatch: Dispatch) -> Composed | None:
        """
        Compose an e-mail for each recipient that is due.

        One without a usable contact fails, one whose address is suppressed or not allowed here is suppressed, one too
        late expires.

        Return None while contacts or suppressions are read again: what is known of them may be out of date.
        """
        if not (self.contacts.current and self.suppressions.current):
            return None
        now = self.clock.now()
        dispatch = decisions.expire(delivery, dispatch, now, self.rules.max_age)
        contacts: dict[str, Contact] = {}
        unsent: list[Recipient] = []
        for recipient in decisions.due(dispatch):
            contact = self._addressee(recipient, now)
            if isinstance(contact, Recipient):
                unsent.append(contact)
            else:
                contacts[recipient.contact_id] = contact
        composed = Composed(dispatch.with_recipients(unsent) if unsent else dispatch)
        self._compose(composed, delivery, number, contacts)
        return composed

    def _addressee(self, recipient: Recipient, now: datetime) -> Contact | Recipient:
        """Return the contact to write to, or the recipient as it ends because there is none."""
        contact = addressee(recipient, self.contacts)
        if isinstance(contact, NoAddressee):
            return decisions.ended(recipient, Status.FAILED, contact.reason, now, field=contact.field)
        allowed = self.rules.recipients_allowed
        if allowed is not None and (contact.email or "") not in allowed:
            return decisions.ended(recipient, Status.SUPPRESSED, Reason.NOT_ALLOWED_HERE, now)
        found = self.suppressions.find(recipient.contact_id, contact.email or "", now)
        if found is None:
            return contact
        return decisions.ended(recipient, Status.SUPPRESSED, Reason(found.reason.value), now)

    def _compose(self, composed: Composed, delivery: Delivery, number: int, contacts: Mapping[str, Contact]) -> None:
        """Add the e-mails. They are written after it is known who gets none: a coordinator's copy says so."""
        unreached = decisions.unreached_mentor(composed.dispatch)
        failed: list[Recipient] = []
        for recipient in decisions.due(composed.dispatch):
            email = self._email(delivery, number, recipient, contacts[recipient.contact_id], unreached)
            if email is None:
                failed.append(decisions.ended(recipient, Status.FAILED, Reason.NOT_RENDERABLE, self.clock.now()))
            else:
                composed.recipients.append(recipient)
                composed.emails.append(email)
        if failed:
            composed.dispatch = composed.dispatch.with_recipients(failed)

    def _email(
        self, delivery: Delivery, number: int, recipient: Recipient, contact: Contact, unreached: Reason | None
    ) -> Email | None:
        """Return the e-mail to a contact, or None if it cannot be rendered."""
        event = delivery.event
        known = self.contacts.get(event.mentor_id)
        mentor = Contact(id=event.mentor_id, role=Role.MENTOR) if known is None else readable(known)
        coordinator = self._coordinator(mentor) if recipient.role is Role.MENTOR else None
        try:
            notice = self.notices.render(
                event,
                recipient.role,
                contact=contact,
                mentor=mentor,
                coordinator=coordinator,
                happened_at=event.happened_at(delivery.appended_at),
                now=self.clock.now(),
                unreached=unreached,
            )
        except NotRenderable:
            log.exception("notice.not_renderable", dispatch=event.dispatch_id, role=recipient.role)
            return None
        tags = {
            "dispatch_id": event.dispatch_id,
            "recipient": recipient_tag(recipient.contact_id),
            "partition": str(number),
        }
        return Email(
            to=contact.email or "",
            subject=notice.subject,
            text=notice.text,
            html=notice.html,
            tags=tags,
            headers=self.rules.email_headers.of(event),
            reply_to=coordinator.email if coordinator is not None and self.rules.reply_to_coordinator else None,
        )

    def _coordinator(self, mentor: Contact) -> Contact | None:
        """Return whom a mentor can ask; without an address if e-mails to it come back."""
        coordinator = coordinator_of(mentor, self.contacts)
        if coordinator is None or coordinator.email is None:
            return coordinator
        suppressed = self.suppressions.find(coordinator.id, coordinator.email, self.clock.now())
        return coordinator if suppressed is None else coordinator.model_copy(update={"email": None})
