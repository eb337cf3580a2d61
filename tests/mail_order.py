"""Invariant 4 as a check: a mentor's events are sent in the order of their topic's log."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from schemas.events import Event
from tests.stage import Stage


def out_of_order(stage: Stage, events: Sequence[Event]) -> list[str]:
    """
    Return the mentors whose mails were accepted in another order than that of their topic's log.

    A mail that was sent again counts, too: it must not follow the mail of a later event.
    """
    mentors = {event.dispatch_id: event.mentor_id for event in events}
    sent: dict[tuple[str, str], list[int]] = defaultdict(list)
    for mail in stage.ses.mails:
        id_ = mail.email.tags["dispatch_id"]
        if id_ in mentors:
            sent[mentors[id_], mail.email.tags["recipient"]].append(stage.dispatches[id_].origin.offset)
    return sorted({mentor for (mentor, _), offsets in sent.items() if offsets != sorted(offsets)})
