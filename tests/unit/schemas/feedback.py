"""Hypothesis strategies for feedback, and bounces in a row."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from schemas.feedback import Feedback, FeedbackKind, address_digest
from tests.feedback import ADDRESS, RECIPIENT, REPORTED_AT, a_report

ANOTHER_ADDRESS = address_digest(RECIPIENT, "ada@example.org")


def a_transient_bounce(number: int, **changes: Any) -> Feedback:
    """Return the transient bounce of a message of its own, a day after that of the number before."""
    about = {"type": "Transient", "message_id": f"msg-{number}", "at": REPORTED_AT + timedelta(days=number)}
    return a_report("bounce", **{**about, **changes})


def _texts(characters: str, most: int) -> st.SearchStrategy[str]:
    return st.text(characters, min_size=1, max_size=most)


_CODES = st.none() | st.sampled_from(["Permanent", "Transient", "not-spam", "abuse", "Suppressed"])
_INSTANTS = st.datetimes(min_value=datetime(2, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - Hypothesis adds the zone


def reports(**fixed: st.SearchStrategy[Any]) -> st.SearchStrategy[Feedback]:
    """Return any valid report, with some fields *fixed*."""
    fields: dict[str, st.SearchStrategy[Any]] = {
        "dispatch_id": st.sampled_from(["0123456789abcdef" * 2, "f" * 32]),
        "recipient": st.just(RECIPIENT),
        "message_id": st.sampled_from(["msg-1", "msg-2", "~!", '"' * 256]),
        "kind": st.sampled_from(FeedbackKind),
        "at": st.sampled_from([datetime(2, 1, 1, tzinfo=UTC), REPORTED_AT, datetime(9999, 12, 31, tzinfo=UTC)]),
        "sent_at": st.none(),
        "type": _CODES,
        "subtype": _CODES,
        "status": st.none() | st.sampled_from(["5.1.1", "4.4.7"]),
        "automatic_reply": st.booleans(),
        "address": st.none() | st.sampled_from([ADDRESS, ANOTHER_ADDRESS]),
    }
    return st.builds(Feedback, **{**fields, **fixed})


ANY = reports(
    recipient=_texts("abcXYZ019_-", 256),
    message_id=_texts("".join(map(chr, range(0x21, 0x7F))), 256),
    at=_INSTANTS,
    sent_at=st.none() | _INSTANTS,
)
"""Reports with any texts and times."""

SIMILAR = reports(
    dispatch_id=st.just("0" * 32),
    message_id=st.sampled_from(["msg-1", "msg-2"]),
    at=st.integers(0, 3).map(lambda days: REPORTED_AT + timedelta(days=days)),
)
"""Reports about one e-mail or two, among which copies and equal severities are frequent."""
