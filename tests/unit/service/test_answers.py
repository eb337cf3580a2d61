"""The answer to a caller about a dispatch."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from msgspec import structs

from runtime.kafka.publisher import Published
from schemas.dispatch import Dispatch, Origin, Reason, Recipient, Request, Status
from schemas.events import EVENTS_BY_NAME, Event, Role
from service.answers import Answer, entries, final_answer, pending_answer, settled, state_answer
from service.problems import KEY_REUSED, Problem

KIND = EVENTS_BY_NAME["pause-lifted"]
EVENT = Event(KIND, "e-1", "/s", KIND.model.model_validate(KIND.example))
APPENDED = datetime(2026, 3, 26, 8, 29, 59, tzinfo=UTC)
DONE = datetime(2026, 3, 26, 8, 30, tzinfo=UTC)
PUBLISHED = Published("ns.mentor.pauses.v1", 5, 7, APPENDED)


def _recipient(status: Status, reason: Reason | None = None) -> Recipient:
    at = DONE if status.final else None
    return Recipient(contact_id="c-1", role=Role.MENTOR, status=status, reason=reason, message_id="m-1", at=at)


def _dispatch(
    *recipients: Recipient, request: str = "r-1", seen: int | None = 7, digest: str = EVENT.digest
) -> Dispatch:
    return Dispatch(
        dispatch_id=EVENT.dispatch_id,
        event_type=KIND.type,
        mentor_id=EVENT.mentor_id,
        digest=digest,
        origin=Origin(topic=PUBLISHED.topic, partition=5, offset=7, appended_at=APPENDED),
        request=Request(id=request, caller="anonymous"),
        recipients=recipients,
        seen_through={} if seen is None else {PUBLISHED.topic: seen},
    )


SENT = _recipient(Status.SENT)


class TestSettled:
    """Whether a dispatch answers a caller."""

    @pytest.mark.parametrize(
        ("dispatch", "expected"),
        [
            (_dispatch(SENT), True),
            (_dispatch(SENT, seen=8), True),
            (_dispatch(SENT, seen=None), True),
            (_dispatch(SENT, seen=6), False),
            (_dispatch(_recipient(Status.PENDING)), False),
            (_dispatch(), False),
            (_dispatch(digest="other"), True),
        ],
        ids=["final", "later copy", "unsaid", "earlier copy", "pending", "empty", "other content"],
    )
    def test_settled(self, dispatch: Dispatch, *, expected: bool) -> None:
        """A dispatch is settled if it is final and not only about earlier deliveries, or if its content is another."""
        assert expected == settled(dispatch, EVENT, PUBLISHED)


class TestEntries:
    """How a caller sees a recipient."""

    @pytest.mark.parametrize(
        ("recipient", "expected"),
        [
            (SENT, {"status": "sent", "message_id": "m-1"}),
            (_recipient(Status.PENDING, Reason.THROTTLED), {"status": "pending", "message_id": None}),
            (_recipient(Status.SENDING), {"status": "pending", "message_id": None}),
            (
                _recipient(Status.UNKNOWN, Reason.ANSWER_LOST),
                {"status": "unknown", "message_id": None, "reason": "answer_lost"},
            ),
            (
                _recipient(Status.EXPIRED, Reason.TOO_LATE),
                {"status": "expired", "message_id": None, "reason": "too_late"},
            ),
            (_recipient(Status.SUPPRESSED), {"status": "suppressed", "message_id": None, "reason": "suppressed"}),
            (
                _recipient(Status.SUPPRESSED, Reason.BOUNCED),
                {"status": "suppressed", "message_id": None, "reason": "bounced"},
            ),
        ],
    )
    def test_entry(self, recipient: Recipient, expected: dict[str, str | None]) -> None:
        """A sent recipient has a message id; one that was not sent, and will not be, has a reason."""
        assert [{"recipient": "c-1", "channel": "email", **expected}] == entries(_dispatch(recipient), "mentor-042")


class TestReplayed:
    """Whether an answer is that of an earlier call."""

    @pytest.mark.parametrize(
        ("dispatch", "expected"),
        [
            (_dispatch(SENT), None),
            (_dispatch(SENT, request="r-0"), "true"),
            (structs.replace(_dispatch(SENT), retry_of="d-0"), "true"),
            (structs.replace(_dispatch(SENT), request=None), None),
        ],
        ids=["own", "another request", "retry", "no request"],
    )
    def test_replayed(self, dispatch: Dispatch, expected: str | None) -> None:
        """An answer is replayed if another request made the dispatch, or if the owner took the call for a retry."""
        assert expected == final_answer(EVENT, dispatch, request_id="r-1").headers.get("Idempotent-Replayed")


def test_pending_names_the_position_in_the_log() -> None:
    """The Location has the full name of the topic, with its namespace."""
    answer = pending_answer(EVENT, None, PUBLISHED, request_id="r-1")

    expected = f"/api/v1/pause-notifications/dispatches/{EVENT.dispatch_id}?at=ns.mentor.pauses.v1-5-7"
    assert expected == answer.headers["Location"]


def test_state_of_a_reused_key() -> None:
    """If the event's content is not what was dispatched, the answer says so, and shows no e-mail of that."""
    answer = state_answer(EVENT, _dispatch(SENT, digest="other"), APPENDED)

    assert isinstance(answer, Answer)
    assert 200 == answer.status
    assert "key_reused" == answer.body["reason"]
    assert [] == answer.body["notifications_dispatched"]


def test_a_reused_key_is_refused_also_if_nobody_waits() -> None:
    """A caller who does not wait is not told of the e-mails of other content as if they were its own."""
    answer = pending_answer(EVENT, _dispatch(SENT, digest="other"), PUBLISHED, request_id="r-1")

    assert isinstance(answer, Problem)
    assert KEY_REUSED is answer.kind


def test_a_dispatch_of_suppressed_recipients_is_no_failure_of_the_call() -> None:
    """It is 200, and each entry says that nothing was sent, and why."""
    mentor, coordinator = (_recipient(Status.SUPPRESSED, reason) for reason in (Reason.COMPLAINED, Reason.MANUAL))
    answer = final_answer(EVENT, _dispatch(mentor, structs.replace(coordinator, contact_id="c-2")), request_id="r-1")

    assert isinstance(answer, Answer)
    assert 200 == answer.status
    assert [("suppressed", "complained", None), ("suppressed", "manual", None)] == [
        (one["status"], one["reason"], one["message_id"]) for one in answer.body["notifications_dispatched"]
    ]
