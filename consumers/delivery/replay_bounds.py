"""
Limits what a replay may carry, whoever signed it: it may say less than a dispatch record.

A replay carries its dispatch as it was, in case the ledger has forgotten it. It may say who must not be sent to again
and who failed. It must not say that somebody was sent to, name recipients that the event does not have, or give the
event a place where it cannot lie.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from msgspec import structs

from consumers.delivery.decisions import Delivery
from schemas.dispatch import Dispatch, Origin, Reason, Recipient, Status
from schemas.events import Role


def within_bounds(delivery: Delivery, known: Dispatch | None, concerned: Iterable[Recipient]) -> Delivery:
    """
    Return the delivery with its carried dispatch reduced to what a replay may say.

    *known* is the dispatch as the ledger knows it; *concerned* are the recipients that the event has today.
    """
    carried = delivery.carried
    if carried is None:
        return delivery
    if not _is_of(delivery, carried):
        return replace(delivery, carried=None)
    topic, offset = delivery.origin.topic, delivery.origin.offset
    seen = carried.seen_through.get(topic, -1)
    bounded = structs.replace(
        carried,
        origin=carried.origin if _can_lie_at(delivery, carried.origin) else delivery.origin,
        recipients=_recipients(carried, known, {one.contact_id: one for one in concerned}),
        seen_through={topic: seen} if 0 <= seen < offset else {},
    )
    return replace(delivery, carried=bounded)


def _is_of(delivery: Delivery, carried: Dispatch) -> bool:
    event = delivery.event
    named = carried.dispatch_id, carried.digest, carried.mentor_id, carried.event_type
    return named == (event.dispatch_id, event.digest, event.mentor_id, event.kind.type)


def _can_lie_at(delivery: Delivery, origin: Origin) -> bool:
    """Return whether the event that *delivery* replays can lie there: earlier in the same partition."""
    mine = delivery.origin
    same_place = (origin.topic, origin.partition) == (mine.topic, mine.partition)
    return same_place and 0 <= origin.offset < mine.offset and origin.appended_at <= mine.appended_at


def _recipients(carried: Dispatch, known: Dispatch | None, concerned: Mapping[str, Recipient]) -> tuple[Recipient, ...]:
    here = {recipient.contact_id: recipient for recipient in known.recipients} if known is not None else {}
    found: dict[str, Recipient] = {}
    # A state of its own counts more for a recipient than one taken over from a predecessor.
    for recipient in sorted(carried.recipients, key=lambda one: one.precedence, reverse=True):
        if (own := here.get(recipient.contact_id)) is not None:
            if recipient.status is not Status.SENT or own.status is Status.SENT:
                found.setdefault(recipient.contact_id, recipient)
        elif recipient.contact_id in concerned:
            found.setdefault(recipient.contact_id, _not_sent_here(recipient, concerned[recipient.contact_id].role))
    for recipient in carried.recipients:
        if recipient.contact_id not in here and recipient.contact_id not in concerned:
            for successor in _successors(recipient, concerned.values()):
                found.setdefault(successor.contact_id, successor)
    return tuple(sorted(found.values(), key=lambda one: list(Role).index(one.role)))


def _not_sent_here(recipient: Recipient, role: Role) -> Recipient:
    """Return a recipient with the event's role; one carried as sent is suppressed, since the replay cannot prove it."""
    if recipient.status is not Status.SENT:
        return structs.replace(recipient, role=role)
    return structs.replace(recipient, role=role, status=Status.SUPPRESSED, reason=Reason.SENT_EARLIER, message_id=None)


def _successors(recipient: Recipient, concerned: Iterable[Recipient]) -> list[Recipient]:
    """Return who takes the place of a recipient who was not sent to and is no longer concerned."""
    if recipient.status is Status.SENT:
        return []
    return [structs.replace(recipient, contact_id=one.contact_id) for one in concerned if one.role is recipient.role]
