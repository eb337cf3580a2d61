"""A mentor's last event in a topic, by which a repeated call without a key is recognised."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from msgspec import structs

from consumers.ledger.partial_read import Call
from consumers.ledger.retry_window import CLOCK_MARGIN, LastCall, RetryWindow
from schemas.dispatch import Dispatch, Request, dispatch_json
from schemas.events import PAUSES_TOPIC
from tests.unit.dispatches import MENTOR, NOW, ORIGIN, changed, dispatch_of

SENDING = dispatch_of(changed(MENTOR, status="sending", send=1))
SENT = dispatch_of(changed(MENTOR, status="sent", send=1, message_id="msg-1"), ended_at=NOW).seen(PAUSES_TOPIC, 7)
FAILED = dispatch_of(changed(MENTOR, status="failed", send=1), ended_at=NOW).seen(PAUSES_TOPIC, 7)
WINDOW = timedelta(seconds=60)
APPENDED_MS = int(NOW.timestamp() * 1000)


def calls_of(*records: Dispatch) -> RetryWindow:
    """Return the window after these records."""
    calls = RetryWindow(WINDOW)
    for record in records:
        calls.add(record)
    return calls


def call(
    offset: int,
    *,
    digest: str = "d" * 64,
    keyless: bool = True,
    dispatch: Dispatch = SENT,
    at: datetime = NOW,
    mentor: str = "mentor-042",
) -> Dispatch:
    """Return the dispatch of a REST call at *offset*."""
    update = {
        "dispatch_id": f"{offset:032x}",
        "origin": structs.replace(ORIGIN, offset=offset, appended_at=at),
        "mentor_id": mentor,
        "request": Request(id=f"r-{offset}", caller="anonymous", keyless=keyless),
        "digest": digest,
        "ended_at": dispatch.ended_at and at,
    }
    return structs.replace(dispatch, **update)


class TestLastCall:
    """A mentor's last event in a topic."""

    @pytest.mark.parametrize(
        ("caller", "digest", "seconds", "retried"),
        [
            ("anonymous", "d" * 64, 59, True),
            ("anonymous", "d" * 64, -30, True),
            ("anonymous", "d" * 64, 60, False),
            ("somebody", "d" * 64, 1, False),
            ("anonymous", "e" * 64, 1, False),
        ],
    )
    def test_a_retry_is_recognised_by_caller_content_and_time(
        self, caller: str, digest: str, seconds: int, *, retried: bool
    ) -> None:
        """It has the same caller and content, and comes less than the window after the first call's end."""
        last = calls_of(call(3)).get("mentor-042", PAUSES_TOPIC)

        assert last is not None
        assert retried == last.is_retried_by(caller, digest, NOW + timedelta(seconds=seconds), WINDOW)

    @pytest.mark.parametrize(
        ("dispatch", "answers"),
        [
            (SENT, True),
            (FAILED, True),
            (SENDING, False),
            (dispatch_of(unknown_mentor=True, ended_at=NOW), False),
            (dispatch_of(changed(MENTOR, status="failed", reason="attempts_exhausted"), ended_at=NOW), False),
        ],
    )
    def test_a_call_that_may_be_repeated_answers_no_retry(self, dispatch: Dispatch, *, answers: bool) -> None:
        """A caller is right to repeat a call that has not ended, or ended in a 404 or 502."""
        last = calls_of(call(3, dispatch=dispatch)).get("mentor-042", PAUSES_TOPIC)

        assert last is not None
        assert answers == last.is_retried_by("anonymous", "d" * 64, NOW, WINDOW)

    @pytest.mark.parametrize(
        "between", [call(4, keyless=False), call(4, digest="e" * 64), structs.replace(call(4), request=None)]
    )
    def test_an_event_between_two_calls_ends_the_window(self, between: Dispatch) -> None:
        """A retry can only repeat the mentor's previous event."""
        last = calls_of(call(3), between).get("mentor-042", PAUSES_TOPIC)

        assert last is not None
        assert not last.is_retried_by("anonymous", "d" * 64, NOW, WINDOW)

    def test_a_late_record_of_an_earlier_event_changes_nothing(self) -> None:
        """The order of events counts, not that of their records."""
        last = calls_of(call(4), call(3)).get("mentor-042", PAUSES_TOPIC)

        assert last is not None
        assert 4 == last.offset
        assert f"{4:032x}" == last.dispatch_id

    def test_a_retry_leads_to_the_first_call(self) -> None:
        """A chain of retries is answered from the dispatch that sent the e-mails."""
        retry = structs.replace(call(4), retry_of=f"{3:032x}")
        last = calls_of(call(3), retry).get("mentor-042", PAUSES_TOPIC)

        assert last is not None
        assert f"{3:032x}" == last.dispatch_id

    def test_without_a_window_nothing_is_kept(self) -> None:
        """Retries are not recognised then, and cost no memory."""
        calls = RetryWindow(timedelta(0))
        calls.add(call(3))
        calls.add_unread(Call("mentor-042", PAUSES_TOPIC, 4, keyless=True), 0, b"")

        assert 0 == len(calls)

    def test_an_unread_record_is_read_when_it_is_needed(self) -> None:
        """A ledger that is loaded reads no more than it must."""
        calls = RetryWindow(WINDOW)
        calls.add_unread(Call("mentor-042", PAUSES_TOPIC, 3, keyless=True), APPENDED_MS, dispatch_json(call(3)))

        assert calls_of(call(3)).get("mentor-042", PAUSES_TOPIC) == calls.get("mentor-042", PAUSES_TOPIC)

    def test_an_unread_call_with_a_key_answers_no_retry(self) -> None:
        """It only ends the window of the call before it."""
        calls = calls_of(call(3))
        calls.add_unread(Call("mentor-042", PAUSES_TOPIC, 4, keyless=False), APPENDED_MS, b"")

        assert LastCall(4) == calls.get("mentor-042", PAUSES_TOPIC)

    def test_calls_outside_the_window_are_dropped(self) -> None:
        """Memory is bounded by what can still be repeated, however many mentors there are."""
        calls = RetryWindow(WINDOW)
        for number in range(5000):
            calls.add(call(number, at=NOW + timedelta(seconds=number), mentor=f"mentor-{number}"))

        within = (WINDOW + CLOCK_MARGIN).total_seconds()
        assert calls.get("mentor-0", PAUSES_TOPIC) is None
        assert calls.get(f"mentor-{5000 - within:.0f}", PAUSES_TOPIC) is not None
        assert len(calls) <= 1000
