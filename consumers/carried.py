"""
What a replay may bring with it, whoever signed it: less than a dispatch record of ours says.

A replay carries its dispatch as it stood, for when the ledger has forgotten it. It can say who is not to be sent to
again and who had failed. It cannot say that somebody was sent to, name other recipients than the event has, or put
the event elsewhere than it can lie.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from consumers.contacts import Invalid
from consumers.dispatching import Copy, recipients_of
from schemas.contacts import Contact
from schemas.dispatch import Dispatch, Origin, Reason, Recipient, Status


def within_bounds(copy: Copy, known: Dispatch | None, mentor: Contact | Invalid | None) -> Copy:
    """Return a copy whose carried dispatch says no more than a replay may, given what is *known* of that dispatch."""
    carried = copy.carried
    if carried is None:
        return copy
    if not _is_of(copy, carried):
        return replace(copy, carried=None)
    topic, offset = copy.origin.topic, copy.origin.offset
    seen = carried.seen_through.get(topic, -1)
    bounded = carried.model_copy(
        update={
            "origin": carried.origin if _can_lie_at(copy, carried.origin) else copy.origin,
            "recipients": _recipients(copy, carried, known, mentor),
            "seen_through": {topic: seen} if 0 <= seen < offset else {},
        }
    )
    return replace(copy, carried=bounded)


def _is_of(copy: Copy, carried: Dispatch) -> bool:
    event = copy.event
    said = carried.dispatch_id, carried.digest, carried.mentor_id, carried.event_type
    return said == (event.dispatch_id, event.digest, event.mentor_id, event.kind.type)


def _can_lie_at(copy: Copy, origin: Origin) -> bool:
    """Return whether an event of which *copy* is a replay can lie there: before it, in the same partition."""
    mine = copy.origin
    same_place = (origin.topic, origin.partition) == (mine.topic, mine.partition)
    return same_place and 0 <= origin.offset < mine.offset and origin.appended_at <= mine.appended_at


def _recipients(
    copy: Copy, carried: Dispatch, known: Dispatch | None, mentor: Contact | Invalid | None
) -> tuple[Recipient, ...]:
    here = {recipient.contact_id: recipient for recipient in known.recipients} if known is not None else {}
    concerned = _concerned(copy, mentor)
    found: dict[str, Recipient] = {}
    for recipient in carried.recipients:
        bounded = _recipient(recipient, here, concerned)
        if bounded is not None:
            found.setdefault(bounded.contact_id, bounded)
    return tuple(found.values())


def _concerned(copy: Copy, mentor: Contact | Invalid | None) -> Mapping[str, Recipient]:
    """Return by contact id whom the event concerns as the contacts are now; of an unknown mentor, the mentor alone."""
    told = recipients_of(copy.event, Invalid() if mentor is None else mentor)
    return {recipient.contact_id: recipient for recipient in told}


def _recipient(
    recipient: Recipient, here: Mapping[str, Recipient], concerned: Mapping[str, Recipient]
) -> Recipient | None:
    own = here.get(recipient.contact_id)
    if own is not None:
        return None if recipient.status is Status.SENT and own.status is not Status.SENT else recipient
    if recipient.contact_id in concerned:
        return _not_sent_here(recipient) if recipient.status is Status.SENT else recipient
    if recipient.status is Status.SENT:
        return None
    # Somebody else has that role by now: whom a replay is to tell after all is whoever is concerned today.
    successor = next((one for one in concerned.values() if one.role is recipient.role), None)
    return None if successor is None else recipient.model_copy(update={"contact_id": successor.contact_id})


def _not_sent_here(recipient: Recipient) -> Recipient:
    """Return a recipient who is said to have had the mail: not sent again, and not told as sent."""
    update = {"status": Status.SUPPRESSED, "reason": Reason.SENT_EARLIER, "message_id": None}
    return recipient.model_copy(update=update)
