"""A dispatch of one mentor, as the facade reads it from its topic."""

from __future__ import annotations

from datetime import UTC, datetime

from schemas.dispatch import Dispatch, Origin, Recipient, Status
from schemas.events import Role

NOW = datetime(2026, 3, 26, 8, 30, tzinfo=UTC)


def dispatch_of(dispatch_id: str, status: Status = Status.SENT, *, send: int = 1) -> Dispatch:
    """Return the dispatch of an id whose one recipient has this status."""
    return Dispatch(
        dispatch_id=dispatch_id,
        event_type="mentor.pause.lifted.v1",
        mentor_id="mentor-042",
        digest="d",
        origin=Origin(topic="mentor.pauses.v1", partition=0, offset=0, appended_at=NOW),
        recipients=(Recipient(contact_id="mentor-042", role=Role.MENTOR, status=status, send=send),),
    )
