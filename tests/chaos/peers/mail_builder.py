"""Build SES requests from an event's record, with the replica's own notices and tags, for the same checker."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import structlog

from consumers.contacts import Contacts
from consumers.delivery.composer import addressee
from consumers.delivery.recipients import recipients_of
from consumers.notices.notices import Notice, Notices, NotRenderable
from schemas.cloudevents import NotAnEvent, decode
from schemas.contacts import Contact
from schemas.dispatch import Recipient
from schemas.events import Event
from schemas.feedback import recipient_tag
from schemas.headers import Headers
from schemas.times import from_epoch_ms

log = structlog.get_logger(__name__)


class Mailing:
    """Builds the e-mails of an event."""

    def __init__(self, contacts: Contacts, from_address: str) -> None:
        self._contacts = contacts
        self._from_address = from_address
        self._notices = Notices()

    def requests(
        self, headers: Headers, value: bytes | None, *, partition: int, timestamp_ms: int
    ) -> list[dict[str, Any]]:
        """Return SendEmail's arguments for each recipient; if a record cannot be used, log it and return none."""
        try:
            event = decode(headers, value)
        except NotAnEvent as error:
            log.warning("record.no_event", reason=error.reason)
            return []
        return self.requests_of(event, partition=partition, timestamp_ms=timestamp_ms)

    def requests_of(self, event: Event, *, partition: int, timestamp_ms: int) -> list[dict[str, Any]]:
        """Return SendEmail's arguments for each recipient of an event; none if the mentor is unknown."""
        mentor = self._contacts.get(event.mentor_id)
        if not isinstance(mentor, Contact):
            log.warning("mentor.unknown", dispatch=event.dispatch_id)
            return []
        return list(self._made_out(event, mentor, partition, timestamp_ms))

    def _made_out(self, event: Event, mentor: Contact, partition: int, timestamp_ms: int) -> Iterator[dict[str, Any]]:
        happened_at = event.happened_at(from_epoch_ms(timestamp_ms))
        for recipient in recipients_of(event, mentor):
            contact = addressee(recipient, self._contacts)
            if not isinstance(contact, Contact):
                log.warning("contact.not_addressable", dispatch=event.dispatch_id, reason=contact.reason)
                continue
            try:
                notice = self._notices.render(
                    event,
                    recipient.role,
                    contact=contact,
                    mentor=mentor,
                    happened_at=happened_at,
                    now=datetime.now(UTC),
                )
            except NotRenderable:
                log.exception("notice.not_renderable", dispatch=event.dispatch_id)
                continue
            yield self._request(contact, notice, _tags(event, recipient, partition))

    def _request(self, contact: Contact, notice: Notice, tags: dict[str, str]) -> dict[str, Any]:
        body = {"Text": _content(notice.text), "Html": _content(notice.html)}
        return {
            "FromEmailAddress": self._from_address,
            "Destination": {"ToAddresses": [contact.email]},
            "Content": {"Simple": {"Subject": _content(notice.subject), "Body": body}},
            "EmailTags": [{"Name": name, "Value": value} for name, value in tags.items()],
        }


def _tags(event: Event, recipient: Recipient, partition: int) -> dict[str, str]:
    return {
        "dispatch_id": event.dispatch_id,
        "recipient": recipient_tag(recipient.contact_id),
        "partition": str(partition),
    }


def _content(data: str) -> dict[str, str]:
    return {"Data": data, "Charset": "UTF-8"}
