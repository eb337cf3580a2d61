"""Makes e-mails out: a notice for a recipient, with what names it when SES speaks of it later."""

from __future__ import annotations

from collections.abc import Mapping

import structlog

from consumers.contacts import Contacts
from consumers.delivery import decisions
from consumers.delivery.decisions import Delivery, NoAddressee
from consumers.email import Email, recipient_tag
from consumers.notices.notices import Notices, NotRenderable
from runtime.clock import Clock
from schemas.contacts import Contact
from schemas.dispatch import Dispatch, Reason, Recipient, Status
from schemas.events import Role

log = structlog.get_logger(__name__)


class Composer:
    """Makes a dispatch's e-mails out, from contacts as they are now."""

    def __init__(self, contacts: Contacts, notices: Notices, clock: Clock) -> None:
        self._contacts = contacts
        self._notices = notices
        self._clock = clock

    def make_out(self, delivery: Delivery, number: int, dispatch: Dispatch) -> tuple[Mapping[str, Email], Dispatch]:
        """Make the e-mails out; recipients for whom there can be none have failed."""
        emails: dict[str, Email] = {}
        failed: list[Recipient] = []
        for recipient in decisions.due(dispatch):
            made = self._email(delivery, number, recipient)
            if isinstance(made, NoAddressee):
                now = self._clock.now()
                failed.append(decisions.ended(recipient, Status.FAILED, made.reason, now, field=made.field))
            else:
                emails[recipient.contact_id] = made
        return emails, dispatch.with_recipients(failed)

    def _email(self, delivery: Delivery, number: int, recipient: Recipient) -> Email | NoAddressee:
        contact = decisions.addressee(recipient, self._contacts)
        if isinstance(contact, NoAddressee):
            return contact
        mentor = self._contacts.get(delivery.event.mentor_id)
        about = Contact(id=delivery.event.mentor_id, role=Role.MENTOR) if mentor is None else decisions.known_of(mentor)
        happened_at = delivery.event.happened_at(delivery.appended_at)
        try:
            notice = self._notices.render(
                delivery.event,
                recipient.role,
                contact=contact,
                mentor=about,
                happened_at=happened_at,
                now=self._clock.now(),
            )
        except NotRenderable:
            log.exception("notice.not_renderable", dispatch=delivery.event.dispatch_id, role=recipient.role)
            return NoAddressee(Reason.NOT_RENDERABLE)
        tags = {
            "dispatch_id": delivery.event.dispatch_id,
            "recipient": recipient_tag(recipient.contact_id),
            "partition": str(number),
        }
        return Email(to=contact.email or "", subject=notice.subject, text=notice.text, html=notice.html, tags=tags)
