"""Names the recipients of an event: the mentor, for some events the coordinator. Waits for a late contact."""

from __future__ import annotations

from dataclasses import dataclass

import structlog
from msgspec.structs import replace

from consumers.contacts import Contacts, Invalid
from consumers.delivery.replay_bounds import within_bounds
from consumers.delivery.rules import Rules
from consumers.delivery.work import Work
from runtime.clock import Clock
from runtime.kafka.table_follower import TableFollower
from schemas.contacts import Contact
from schemas.dispatch import Dispatch, Recipient
from schemas.events import Event, Role

log = structlog.get_logger(__name__)


def recipients_of(event: Event, mentor: Contact | Invalid | None) -> tuple[Recipient, ...]:
    """
    Return the recipients in the order of the answer: those whom this type of event concerns.

    A mentor who is their own coordinator is named once. There is nobody to tell that this mentor cannot be reached.
    """
    coordinator = None if mentor is None else readable(mentor).coordinator_id
    named = {Role.MENTOR: event.mentor_id, Role.COORDINATOR: None if coordinator == event.mentor_id else coordinator}
    return tuple(
        Recipient(contact_id=contact_id, role=role)
        for role in event.kind.roles
        if (contact_id := named[role]) is not None
    )


def readable(contact: Contact | Invalid) -> Contact:
    """Return what is known of a contact, even of an invalid one."""
    return contact.rest if isinstance(contact, Invalid) else contact


@dataclass
class Recipients:
    """Names the recipients of a dispatch."""

    rules: Rules
    clock: Clock
    contacts: Contacts
    follower: TableFollower[Contacts]

    def bound_replay(self, work: Work, carried: Dispatch, known: Dispatch | None) -> None:
        """Reduce the dispatch that a replay carries to what a replay may say."""
        concerned = recipients_of(work.event, self.contacts.get(work.event.mentor_id))
        work.delivery = within_bounds(work.delivery, known, concerned)
        left = work.delivery.carried
        dropped = len(carried.recipients) - (0 if left is None else len(left.recipients))
        if left is None or dropped > 0:
            log.warning("replay.recipients_dropped", dispatch=work.event.dispatch_id, recipients=dropped)

    async def name(self, work: Work, dispatch: Dispatch) -> Dispatch:
        """
        Return the dispatch with its recipients, or as one of an unknown mentor, which is final.

        A notice for the coordinator alone ends that way, too, if the mentor has none: the contact's data is missing.
        """
        mentor = await self._mentor(work)
        recipients = () if mentor is None else recipients_of(work.event, mentor)
        if not recipients:
            log.warning("dispatch.unknown_mentor", dispatch=dispatch.dispatch_id, known=mentor is not None)
            return replace(dispatch, unknown_mentor=True)
        return replace(dispatch, recipients=recipients)

    def name_known(self, work: Work, dispatch: Dispatch) -> Dispatch:
        """Return the dispatch of a cancelled event with its recipients as far as they are known: none is told."""
        return replace(dispatch, recipients=recipients_of(work.event, self.contacts.get(work.event.mentor_id)))

    async def _mentor(self, work: Work) -> Contact | Invalid | None:
        """
        Return the mentor's contact. Wait for one that is on its way: an event may be faster than its contact.

        The contacts topic is read to its end, and once more at the end of the grace, which begins when the record is
        taken. All who wait share these looks at the topic, and take up no room of records that can be processed.
        """
        await self.follower.until_caught_up()
        mentor_id = work.event.mentor_id
        mentor = self.contacts.get(mentor_id)
        if mentor is not None:
            return mentor
        work.assignment.check()
        # An empty table probably means that no contacts are loaded yet.
        await self.follower.until(lambda: self.contacts.current and self.contacts.valid > 0)
        with work.assignment.lanes.parking(work.record):
            await self.follower.read_to_now()
            if self.contacts.get(mentor_id) is None:
                grace_ends = work.assignment.taken_at(work.record) + self.rules.unknown_mentor_grace_seconds
                await self.clock.sleep(max(grace_ends - self.clock.monotonic(), 0))
                await self.follower.read_to_now()
        return self.contacts.get(mentor_id)
