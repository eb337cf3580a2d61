"""What a person's removal of a suppression means for later, and for late, feedback."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from schemas.feedback import Feedback, FeedbackKind
from schemas.suppressions import (
    Suppression,
    after,
    clears,
    parse_suppression,
    removed,
    suppression_json,
    suppression_key,
)

NOW = datetime(2026, 3, 26, 8, 30, tzinfo=UTC)
REMOVED_AT = NOW + timedelta(hours=1)


def report(kind: FeedbackKind = FeedbackKind.BOUNCE, **fields: Any) -> Feedback:
    """Return a permanent bounce, with *fields* changed."""
    known: dict[str, Any] = {
        "dispatch_id": "0" * 32,
        "recipient": "mentor-042",
        "message_id": "msg-1",
        "kind": kind,
        "at": NOW,
        "type": "Permanent",
        "subtype": "General",
        "address": "digest",
    }
    return Feedback(**{**known, **fields})


def taken_off(feedback: Feedback) -> Suppression:
    """Return the entry that follows from feedback, after a person took it off the list."""
    entry = after(feedback, "mentor-042", None)
    assert entry is not None
    return removed(entry, "amara", REMOVED_AT)


def test_a_removed_entry_has_ended_and_says_who_ended_it() -> None:
    """It keeps its cause, and is readable."""
    entry = taken_off(report())

    assert not entry.applies("digest", REMOVED_AT)
    assert ("amara", REMOVED_AT, "msg-1") == (entry.removed_by, entry.until, entry.message_id)
    assert entry == parse_suppression(suppression_key(entry.on, "mentor-042"), suppression_json(entry))


@pytest.mark.parametrize("fields", [{}, {"type": "Transient"}], ids=["hard", "transient"])
@pytest.mark.parametrize(
    ("later", "counts"),
    [
        ({}, False),
        ({"message_id": "msg-2"}, False),
        ({"message_id": "msg-2", "at": REMOVED_AT}, False),
        ({"message_id": "msg-2", "at": REMOVED_AT + timedelta(seconds=1)}, True),
        ({"address": "another", "at": REMOVED_AT + timedelta(seconds=1)}, True),
        ({"address": "another"}, False),
    ],
)
def test_only_a_later_report_counts(fields: dict[str, Any], later: dict[str, Any], *, counts: bool) -> None:
    """A second copy of the old bounce, or one that was late, does not put the address on the list again."""
    entry = taken_off(report(**fields))
    found = after(report(**{**fields, **later}), "mentor-042", entry)

    assert counts == (found is not None)
    assert found is None or found.removed_by is None


def test_a_row_of_bounces_begins_anew() -> None:
    """After a removal one transient bounce does not suppress at once."""
    transient: dict[str, Any] = {"type": "Transient", "subtype": "MailboxFull"}
    entry = after(report(**transient), "mentor-042", None)
    for number in (2, 3):
        entry = after(report(message_id=f"msg-{number}", **transient), "mentor-042", entry)
    assert entry is not None
    assert entry.applies("digest", NOW)

    entry = removed(entry, "amara", REMOVED_AT)
    later = after(report(message_id="msg-4", at=REMOVED_AT + timedelta(1), **transient), "mentor-042", entry)
    assert later is not None
    assert ("msg-4",) == later.bounces
    assert not later.applies("digest", later.since)


def test_a_delivery_does_not_clear_a_removed_entry() -> None:
    """There is nothing to clear, and the record of the removal stays."""
    entry = taken_off(report(type="Transient"))

    assert not clears(report(FeedbackKind.DELIVERY, message_id="msg-2", at=REMOVED_AT), entry)
