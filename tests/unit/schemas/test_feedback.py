"""Feedback: what a report says, how reports combine, and how a record is read."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.feedback import (
    MAX_FEEDBACK_BYTES,
    Feedback,
    FeedbackKind,
    FeedbackState,
    address_digest,
    feedback_json,
    most_severe,
    parse_feedback,
)
from tests.feedback import a_report
from tests.unit.schemas.feedback import ANY, SIMILAR, reports

several = settings(deadline=None, max_examples=100)


def severity(found: Feedback | None) -> int:
    """Return how severe the state of an e-mail is; that of none is below all."""
    return -1 if found is None else found.state.severity


class TestMostSevere:
    """How several reports become one state."""

    @several
    @given(st.lists(SIMILAR, max_size=6), st.randoms(use_true_random=False), st.integers(1, 3))
    def test_neither_order_nor_copies_matter(self, some: list[Feedback], random: Any, copies: int) -> None:
        """Whatever the order, and however often each report comes, the same one counts."""
        again = some * copies
        random.shuffle(again)

        assert most_severe(some) == most_severe(again)

    @pytest.mark.parametrize(
        "change",
        [
            {"dispatch_id": "f" * 32},
            {"recipient": "mentor-043"},
            {"message_id": "msg-2"},
            {"kind": "delivery"},
            {"at": datetime(2026, 4, 1, tzinfo=UTC)},
            {"sent_at": datetime(2026, 3, 26, tzinfo=UTC)},
            {"type": "Undetermined"},
            {"subtype": "General"},
            {"status": "5.1.1"},
            {"automatic_reply": True},
            {"address": None},
        ],
        ids=str,
    )
    def test_of_two_that_differ_in_a_field_the_same_counts(self, change: dict[str, Any]) -> None:
        """Whichever field it is, the order in which they come does not decide."""
        one, other = a_report("send"), a_report(**{"kind": "send", **change})

        assert most_severe([one, other]) == most_severe([other, one])

    @several
    @given(st.lists(SIMILAR, max_size=6), SIMILAR)
    def test_one_more_never_lowers_the_severity(self, some: list[Feedback], one: Feedback) -> None:
        """A later report leaves the state as it is, or makes it more severe."""
        assert severity(most_severe(some)) <= severity(most_severe([*some, one]))

    @several
    @given(st.lists(SIMILAR, max_size=4), st.lists(SIMILAR, max_size=4))
    def test_parts_may_be_combined_first(self, some: list[Feedback], others: list[Feedback]) -> None:
        """A reader may keep only the report that counts so far."""
        parts = [found for found in (most_severe(some), most_severe(others)) if found is not None]

        assert most_severe([*some, *others]) == most_severe(parts)

    def test_of_equals_the_first_in_time_counts(self) -> None:
        """A second bounce does not change when the e-mail bounced."""
        first, second = a_report(at=datetime(2026, 3, 26, tzinfo=UTC)), a_report(at=datetime(2026, 3, 27, tzinfo=UTC))

        assert first == most_severe([second, first])

    def test_of_none_nothing_counts(self) -> None:
        """Without a report there is no state."""
        assert most_severe([]) is None


class TestState:
    """What a report says of an e-mail."""

    @pytest.mark.parametrize(
        ("kind", "state"),
        [
            ("send", "accepted"),
            ("delivery_delay", "delayed"),
            ("delivery", "delivered"),
            ("rendering_failure", "rendering_failed"),
            ("reject", "rejected"),
            ("bounce", "bounced"),
            ("complaint", "complained"),
        ],
    )
    def test_each_kind_has_its_state(self, kind: str, state: str) -> None:
        """Every kind of report leads to one state."""
        assert state == a_report(kind).state

    def test_the_severity_is_the_order_of_the_states(self) -> None:
        """From least to most severe; a bounce after a delivery counts, and so does a complaint after a bounce."""
        order = ["accepted", "delayed", "delivered", "rendering_failed", "rejected", "bounced", "complained"]

        assert order == [state.value for state in sorted(FeedbackState, key=lambda state: state.severity)]

    @pytest.mark.parametrize(
        ("report", "state", "permanent", "transient"),
        [
            (a_report(), "bounced", True, False),
            (a_report(type="Transient", subtype="MailboxFull"), "bounced", False, True),
            (a_report(type="Undetermined"), "bounced", False, True),
            (a_report(type=None), "bounced", False, True),
            (a_report(type="Transient", automatic_reply=True), "delivered", False, False),
            (a_report(automatic_reply=True), "delivered", False, False),
            (a_report("complaint", type="abuse"), "complained", True, False),
            (a_report("complaint", type="not-spam"), "delivered", False, False),
            (a_report("complaint", automatic_reply=True), "complained", True, False),
            (a_report("send", automatic_reply=True), "accepted", False, False),
            (a_report("reject"), "rejected", False, False),
        ],
        ids=[
            *("permanent", "transient", "undetermined", "untold", "out of office", "out of office, permanent"),
            *("complaint", "not spam", "a complaint is no reply", "a send is no reply", "reject"),
        ],
    )
    def test_what_follows(self, report: Feedback, state: str, *, permanent: bool, transient: bool) -> None:
        """An out-of-office reply and `not-spam` show that the e-mail arrived; only a bounce can be such a reply."""
        assert (state, permanent, transient) == (report.state, report.is_permanent, report.is_transient)

    @pytest.mark.parametrize(
        ("codes", "detail"),
        [
            ({"type": "Permanent", "subtype": "NoEmail"}, "Permanent/NoEmail"),
            ({"type": "abuse", "subtype": None}, "abuse"),
            ({"type": None, "subtype": "OnAccountSuppressionList"}, "OnAccountSuppressionList"),
            ({"type": None, "subtype": None}, None),
        ],
    )
    def test_the_detail_is_type_and_subtype(self, codes: dict[str, Any], detail: str | None) -> None:
        """The detail is one text, or None if SES says nothing."""
        assert detail == a_report(**codes).detail


class TestRecord:
    """How a record is written and read."""

    @several
    @given(ANY)
    def test_a_written_report_is_read_back_unchanged(self, report: Feedback) -> None:
        """Its record keeps all of it, and is within the bound."""
        value = feedback_json(report)

        assert report == parse_feedback(report.dispatch_id.encode(), value)
        assert len(value) <= MAX_FEEDBACK_BYTES

    @several
    @given(st.none() | st.binary(), st.none() | st.binary() | st.text().map(str.encode))
    def test_any_bytes_are_read(self, key: bytes | None, value: bytes | None) -> None:
        """Bytes that are no report are none; nothing is raised."""
        assert parse_feedback(key, value) is None

    @several
    @given(
        reports(),
        st.sampled_from(["dispatch_id", "recipient", "message_id", "kind", "at", "sent_at", "type", "else"]),
        st.recursive(st.none() | st.booleans() | st.floats() | st.text(), lambda some: st.lists(some, max_size=3)),
    )
    def test_any_value_of_a_field_is_read(self, report: Feedback, field: str, content: Any) -> None:
        """A field with any content is taken or makes the record none; nothing is raised."""
        fields = {**json.loads(feedback_json(report)), field: content}

        found = parse_feedback(report.dispatch_id.encode(), json.dumps(fields).encode())

        assert found is None or report.dispatch_id == found.dispatch_id

    @pytest.mark.parametrize(
        "changes",
        [
            {"dispatch_id": "0" * 31},
            {"dispatch_id": "0123456789ABCDEF0123456789abcdef"},
            {"recipient": "ada@example.org"},
            {"recipient": "mentor-042\n"},
            {"recipient": ""},
            {"message_id": "two words"},
            {"message_id": "m" * 257},
            {"kind": "open"},
            {"at": "2026-03-26T08:30:00"},
            {"at": "0001-01-01T00:00:00Z"},
            {"at": 1_774_513_800},
            {"sent_at": "0001-01-01T00:00:00Z"},
            {"type": ""},
            {"subtype": "ada@example.org"},
            {"status": "5.1.1 (no such user: ada)"},
            {"address": "ada@example.org"},
        ],
        ids=str,
    )
    def test_a_field_outside_of_the_contract(self, changes: dict[str, Any]) -> None:
        """A field with an address, a line break or an unknown kind makes the record none."""
        fields = {**json.loads(feedback_json(a_report())), **changes}

        assert parse_feedback(str(fields["dispatch_id"]).encode(), json.dumps(fields).encode()) is None

    @pytest.mark.parametrize("key", [None, b"", b"f" * 32, b"\xff"])
    def test_the_key_is_the_dispatchs_id(self, key: bytes | None) -> None:
        """A record under another key is none: its reader looks for it by the key."""
        assert parse_feedback(key, feedback_json(a_report())) is None

    def test_a_deep_or_a_long_value_is_none(self) -> None:
        """Brackets alone, and more bytes than a report needs, are refused."""
        long = feedback_json(a_report())[:-1] + b',"x":"' + b"x" * MAX_FEEDBACK_BYTES + b'"}'

        assert parse_feedback(a_report().dispatch_id.encode(), b"[" * MAX_FEEDBACK_BYTES) is None
        assert parse_feedback(a_report().dispatch_id.encode(), long) is None

    def test_an_unknown_field_is_ignored(self) -> None:
        """A newer release may add fields."""
        fields = {**json.loads(feedback_json(a_report())), "newer": 1}

        assert a_report() == parse_feedback(fields["dispatch_id"].encode(), json.dumps(fields).encode())

    def test_a_time_is_read_in_utc(self) -> None:
        """Two reports of one instant in two offsets are copies."""
        fields = {**json.loads(feedback_json(a_report())), "at": "2026-03-26T10:31:00+02:00"}

        assert a_report() == parse_feedback(fields["dispatch_id"].encode(), json.dumps(fields).encode())


class TestIdentity:
    """What two copies of a report have in common."""

    @pytest.mark.parametrize("changes", [{"kind": FeedbackKind.DELIVERY}, {"message_id": "2"}, {"recipient": "2"}])
    def test_another_report_has_another(self, changes: dict[str, Any]) -> None:
        """A report of another kind, e-mail or recipient is another one."""
        assert a_report().identity != a_report(**changes).identity

    def test_a_copy_has_the_same(self) -> None:
        """The time does not count: SES may write another one into a copy."""
        assert a_report().identity == a_report(at=datetime(2026, 4, 1, tzinfo=UTC)).identity


class TestAddressDigest:
    """The salted digest of an address."""

    def test_case_and_blanks_do_not_count(self) -> None:
        """SES may write an address in another case than the contact has it."""
        assert address_digest("mentor-042", " Ada@Example.org ") == address_digest("mentor-042", "ada@example.org")

    def test_the_recipient_is_its_salt(self) -> None:
        """Two contacts of one address have two digests, so that nobody sees that they share it."""
        assert address_digest("mentor-042", "a@example.org") != address_digest("mentor-043", "a@example.org")
