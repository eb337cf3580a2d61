"""What readers show of the feedback about a dispatch's e-mails."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.feedback import FeedbackFold, Shown
from runtime.kafka.records import Record
from schemas.dispatch import Dispatch
from schemas.feedback import Feedback, recipient_tag
from schemas.signatures import NO_KEYS, SigningKeys
from tests.feedback import REPORTED_AT, a_report, as_record
from tests.signing import KEYS
from tests.unit.dispatches import COORDINATOR, FIRST_ID, MENTOR, NOW, ORIGIN, changed, dispatch_of

TOPIC = "pause-notifications.feedback.v1"
SENT = changed(MENTOR, status="sent", message_id="msg-00940", at=NOW)
UNKNOWN = changed(MENTOR, status="unknown", at=NOW)
BOUNCED = {"state": "bounced", "at": "2026-03-26T08:31:00Z", "detail": "Permanent/NoEmail"}
DELIVERED = {"state": "delivered", "at": "2026-03-26T08:31:00Z"}
LATER = NOW + timedelta(days=9)


def report(kind: str, **changes: Any) -> Feedback:
    """Return a report about the mentor's e-mail of the first dispatch."""
    return a_report(kind, **{"dispatch_id": FIRST_ID, **changes})


def record(one: Feedback, keys: SigningKeys = KEYS, **changes: Any) -> Record:
    """Return the record of a report, signed, with *changes*."""
    fields: dict[str, Any] = {"topic": TOPIC, "partition": ORIGIN.partition, "offset": 0, "appended_at": NOW, "size": 0}
    return Record(**{**fields, **as_record(TOPIC, one, keys), **changes})


def folded(
    dispatch: Dispatch, records: Iterable[Record], keys: SigningKeys = KEYS, overdue: timedelta | None = None
) -> dict[str, Shown]:
    """Return what is shown after these records."""
    fold = FeedbackFold(dispatch, keys)
    for one in records:
        fold.take(one)
    return fold.shown(LATER, overdue=overdue)


class TestFold:
    """Which report counts, and how it is shown."""

    @settings(deadline=None, max_examples=50)
    @given(st.lists(st.sampled_from(["send", "delivery_delay", "delivery"]), max_size=5), st.data())
    def test_the_most_severe_report_counts(self, kinds: list[str], data: st.DataObject) -> None:
        """A bounce is shown wherever it lies among others and their copies."""
        records = data.draw(st.permutations([record(report(kind)) for kind in [*kinds, "bounce", "bounce"]]))

        assert {"mentor-042": BOUNCED} == folded(dispatch_of(SENT), records)

    def test_each_recipient_has_its_own(self) -> None:
        """A report names its recipient; one without a report has no feedback."""
        coordinator = changed(COORDINATOR, status="sent", message_id="msg-00941", at=NOW)
        theirs = record(report("delivery", recipient="coordinator-007", message_id="msg-00941"))

        assert {"coordinator-007": DELIVERED} == folded(dispatch_of(SENT, coordinator), [theirs])

    def test_a_contact_is_found_by_its_tag(self) -> None:
        """An id with characters that SES refuses in tags is hashed there."""
        contact = "ada@example.org"
        dispatch = dispatch_of(changed(SENT, contact_id=contact))

        assert {contact: DELIVERED} == folded(dispatch, [record(report("delivery", recipient=recipient_tag(contact)))])

    @pytest.mark.parametrize(
        "other",
        [
            record(report("bounce", message_id="msg-earlier")),
            record(report("bounce", recipient="mentor-043")),
            record(report("bounce", dispatch_id="f" * 32)),
            record(report("bounce"), value=b"{}"),
            record(report("bounce"), value=None),
            record(report("bounce"), key=None),
        ],
        ids=["another e-mail", "another recipient", "another dispatch", "no feedback", "null", "no key"],
    )
    def test_others_do_not_count(self, other: Record) -> None:
        """Only feedback about the e-mail that was accepted counts."""
        assert {"mentor-042": DELIVERED} == folded(dispatch_of(SENT), [record(report("delivery")), other])

    def test_of_a_lost_answer_every_message_counts(self) -> None:
        """Its message id is not known, so that any report is evidence."""
        assert {"mentor-042": DELIVERED} == folded(
            dispatch_of(UNKNOWN), [record(report("send")), record(report("delivery", message_id="msg-2"))]
        )

    @pytest.mark.parametrize("status", ["pending", "sending", "failed", "expired", "suppressed"])
    def test_who_has_no_email_has_no_feedback(self, status: str) -> None:
        """Nothing is read for a recipient to whom nothing was sent, or whose outcome is not known yet."""
        dispatch = dispatch_of(changed(SENT, status=status))

        assert not FeedbackFold(dispatch, KEYS).of_any
        assert {} == folded(dispatch, [record(report("bounce"))], overdue=timedelta(0))

    def test_a_repeated_call_shows_the_first_ones(self) -> None:
        """Its recipients are those of the first dispatch, under whose id SES reports, perhaps before the call."""
        first = "f" * 32
        again = dispatch_of(SENT, retry_of=first)

        assert {"mentor-042": BOUNCED} == folded(again, [record(report("bounce", dispatch_id=first))])
        assert FeedbackFold(again, KEYS).since < NOW - timedelta(minutes=15)

    def test_it_is_read_from_the_event_on(self) -> None:
        """No e-mail is sent before its event; two brokers' clocks may differ by a little."""
        assert timedelta(0) < NOW - FeedbackFold(dispatch_of(SENT), KEYS).since < timedelta(minutes=1)


def test_of_very_many_reports_one_is_kept() -> None:
    """Whoever floods the topic takes no memory of its readers."""
    fold = FeedbackFold(dispatch_of(UNKNOWN), NO_KEYS)
    for number in range(1000):
        fold.take(record(report("send", message_id=f"msg-{number}"), NO_KEYS))

    assert 1 == len(fold._reports)


class TestProof:
    """Which records count."""

    @pytest.mark.parametrize(
        "forged",
        [
            record(report("bounce"), NO_KEYS),
            record(report("bounce"), SigningKeys([bytes(range(2, 34))])),
            record(report("bounce"), headers=[("pn_signature", b"v1:00000000:00")]),
        ],
        ids=["unsigned", "a stranger's key", "no signature"],
    )
    def test_an_unproven_record_does_not_count(self, forged: Record) -> None:
        """Neither a missing signature nor a wrong one shows a bounce."""
        assert {} == folded(dispatch_of(SENT), [forged])

    def test_a_copy_elsewhere_does_not_count(self) -> None:
        """A signature proves topic, key and value; with any other content it proves nothing."""
        genuine = record(report("delivery"))
        changed_value = as_record(TOPIC, report("bounce"))["value"]
        copies = [
            Record(TOPIC, 5, 0, genuine.key, changed_value, genuine.headers, NOW, 0),
            Record("staging." + TOPIC, 5, 0, genuine.key, genuine.value, genuine.headers, NOW, 0),
        ]

        assert {} == folded(dispatch_of(SENT), copies)

    def test_without_keys_every_record_counts(self) -> None:
        """Nobody signs, so nobody can tell."""
        assert {"mentor-042": BOUNCED} == folded(dispatch_of(SENT), [record(report("bounce"), NO_KEYS)], NO_KEYS)


class TestUnconfirmed:
    """An e-mail of which SES reports nothing."""

    @pytest.mark.parametrize(
        ("overdue", "expected"),
        [
            (timedelta(days=9), {"mentor-042": {"state": "unconfirmed", "at": "2026-03-26T08:30:00Z"}}),
            (timedelta(days=9, seconds=1), {}),
            (None, {}),
        ],
        ids=["overdue", "not yet", "off"],
    )
    def test_after_a_time_it_is_unconfirmed(self, overdue: timedelta | None, expected: dict[str, Shown]) -> None:
        """The state says when it was sent; while feedback is off nothing is expected."""
        assert expected == folded(dispatch_of(SENT), [], overdue=overdue)

    def test_any_report_confirms_it(self) -> None:
        """That SES accepted it is a report, too."""
        accepted = {"state": "accepted", "at": "2026-03-26T08:31:00Z"}

        assert {"mentor-042": accepted} == folded(dispatch_of(SENT), [record(report("send"))], overdue=timedelta(0))

    def test_a_lost_answer_is_not(self) -> None:
        """`unknown` says already that nobody knows."""
        assert {} == folded(dispatch_of(UNKNOWN), [], overdue=timedelta(0))

    @pytest.mark.parametrize("at", [REPORTED_AT.replace(microsecond=5), REPORTED_AT])
    def test_times_are_shown_in_seconds(self, at: Any) -> None:
        """As all times of the answers are."""
        assert {"mentor-042": DELIVERED} == folded(dispatch_of(SENT), [record(report("delivery", at=at))])


def test_a_recipient_without_a_time_is_never_overdue() -> None:
    """A newer release may leave it out."""
    assert {} == folded(dispatch_of(changed(SENT, at=None)), [], overdue=timedelta(0))
