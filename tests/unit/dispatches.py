"""Dispatches for tests: a simple one, and Hypothesis strategies for all its states."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from hypothesis import strategies as st
from msgspec import structs

from schemas.dispatch import Dispatch, Origin, Reason, Recipient, Request, Status
from schemas.events import PAUSES_TOPIC, Role

NOW = datetime(2026, 3, 26, 8, 30, tzinfo=UTC)
ORIGIN = Origin(topic=PAUSES_TOPIC, partition=5, offset=7, appended_at=NOW)
MENTOR = Recipient(contact_id="mentor-042", role=Role.MENTOR)
COORDINATOR = Recipient(contact_id="coordinator-007", role=Role.COORDINATOR)
FIRST_ID = "0123456789abcdef0123456789abcdef"
FINAL = [status for status in Status if status.final]


def dispatch_of(*recipients: Recipient, **changes: Any) -> Dispatch:
    """Return a dispatch with these recipients and *changes*."""
    known: dict[str, Any] = {
        "dispatch_id": FIRST_ID,
        "event_type": "mentor.pause.activated.v1",
        "mentor_id": "mentor-042",
        "digest": "d" * 64,
        "origin": ORIGIN,
        "recipients": recipients,
    }
    return msgspec.convert({**known, **changes}, Dispatch)


def changed(recipient: Recipient, **changes: Any) -> Recipient:
    """Return a recipient with *changes*."""
    return msgspec.convert({**structs.asdict(recipient), **changes}, Recipient)


INSTANTS = st.integers(0, 10).map(lambda seconds: NOW + timedelta(seconds=seconds))


def recipients(of: Recipient) -> st.SearchStrategy[Recipient]:
    """Return any state of one recipient."""
    return st.builds(
        lambda **changes: changed(of, **changes),
        status=st.sampled_from(Status),
        reason=st.none() | st.sampled_from(Reason),
        message_id=st.none() | st.sampled_from(["msg-1", "msg-2"]),
        at=st.none() | INSTANTS,
        round=st.integers(0, 2),
        send=st.integers(0, 3),
        attempts=st.integers(0, 2),
        answers_lost=st.integers(0, 2),
    )


_RECIPIENTS = (
    st.just(())
    | recipients(MENTOR).map(lambda mentor: (mentor,))
    | recipients(COORDINATOR).map(lambda coordinator: (coordinator,))
    | st.tuples(recipients(MENTOR), recipients(COORDINATOR))
)


@st.composite
def dispatches(draw: st.DrawFn) -> Dispatch:
    """Return any record of one dispatch."""
    named = draw(_RECIPIENTS)
    return dispatch_of(
        *named,
        unknown_mentor=not named and draw(st.booleans()),
        request=draw(
            st.sampled_from([None, Request(id="r-1", caller="a"), Request(id="r-2", caller="a", keyless=True)])
        ),
        retry_of=draw(st.sampled_from([None, "f" * 32])),
        ended_at=draw(st.none() | INSTANTS),
        seen_through=draw(st.dictionaries(st.sampled_from(["mentor.pauses.v1", "other"]), st.integers(0, 3))),
    )
