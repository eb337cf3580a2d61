"""Suppressions: which follow from feedback, what ends them, and how an entry is read."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.feedback import Feedback
from schemas.suppressions import (
    MAX_BOUNCES,
    MAX_SUPPRESSION_BYTES,
    MAX_TEXT,
    Suppression,
    SuppressionList,
    SuppressionReason,
    after,
    clears,
    list_of,
    parse_suppression,
    parse_suppression_key,
    suppression_json,
    suppression_key,
)
from tests.feedback import ADDRESS, a_report
from tests.feedback import REPORTED_AT as NOW
from tests.unit.schemas.feedback import ANOTHER_ADDRESS, a_transient_bounce, reports

CONTACT = "mentor:042"
several = settings(deadline=None, max_examples=100)
Entries = dict[SuppressionList, Suppression]


def entries_after(some: Iterable[Feedback]) -> Entries:
    """Return the entries of both lists after these reports, in this order, as an owner keeps them."""
    entries: Entries = {}
    for report in some:
        on = list_of(report)
        if (found := after(report, CONTACT, entries.get(on))) is not None:
            entries[on] = found
        if clears(report, entries.get(SuppressionList.TRANSIENT)):
            del entries[SuppressionList.TRANSIENT]
    return entries


def days_of(entry: Suppression | None) -> int | None:
    """Return for how many days an entry lasts, or None if it does not end."""
    assert entry is not None
    return None if entry.until is None else (entry.until - entry.since).days


REPORTS = reports(
    message_id=st.sampled_from([f"msg-{number}" for number in range(5)]),
    at=st.integers(0, 5).map(lambda days: NOW + timedelta(days=days)),
)


class TestCopies:
    """A second copy changes nothing."""

    @several
    @given(st.lists(REPORTS, max_size=6), REPORTS)
    def test_of_the_last_report(self, some: list[Feedback], one: Feedback) -> None:
        """The same report twice leaves the same entries as once."""
        assert entries_after([*some, one]) == entries_after([*some, one, one])

    @several
    @given(st.lists(REPORTS, min_size=1, max_size=6), st.data())
    def test_of_an_earlier_bounce(self, some: list[Feedback], data: st.DataObject) -> None:
        """A late copy of a bounce that an entry counts, or that it outlasts, writes nothing."""
        copy = data.draw(st.sampled_from(some))
        known = entries_after(some).get(list_of(copy))
        if known is not None and known.address == copy.address and not copy.is_transient:
            assert after(copy, CONTACT, known) is None
        if known is not None and copy.message_id in known.bounces and known.address == copy.address:
            assert after(copy, CONTACT, known) is None

    def test_of_very_many_bounces(self) -> None:
        """A copy of a bounce that the entry no longer names does not lengthen it."""
        bounces = [a_transient_bounce(number) for number in range(2 * MAX_BOUNCES)]

        assert entries_after(bounces) == entries_after([*bounces, bounces[0]])


class TestPermanent:
    """Permanent bounces and complaints."""

    @pytest.mark.parametrize(
        ("report", "reason"),
        [
            (a_report(), SuppressionReason.BOUNCED),
            (a_report(subtype="OnAccountSuppressionList"), SuppressionReason.BOUNCED),
            (a_report("complaint", type="abuse"), SuppressionReason.COMPLAINED),
            (a_report("complaint"), SuppressionReason.COMPLAINED),
            (a_report("complaint", subtype="Suppressed"), SuppressionReason.COMPLAINED),
        ],
    )
    def test_stays_until_a_person_removes_it(self, report: Feedback, reason: SuppressionReason) -> None:
        """The address gets no e-mail any more, and the entry names the cause."""
        entry = after(report, CONTACT, None)

        assert entry is not None
        assert (reason, None, report.message_id) == (entry.reason, entry.until, entry.message_id)
        assert entry.applies(ADDRESS, NOW + timedelta(days=9999))
        assert SuppressionList.HARD is entry.on

    def test_the_global_list_of_ses_keeps_an_address_for_two_weeks(self) -> None:
        """Afterwards SES may deliver again, so we try again."""
        entry = after(a_report(subtype="Suppressed"), CONTACT, None)

        assert 14 == days_of(entry)
        assert entry is not None
        assert [True, False] == [entry.applies(ADDRESS, NOW + timedelta(days=days)) for days in (13, 14)]

    @several
    @given(REPORTS.filter(lambda report: report.address == ADDRESS))
    def test_nothing_shortens_it(self, one: Feedback) -> None:
        """Once an address is suppressed for good, no later report about it frees it."""
        hard = after(a_report(), CONTACT, None)
        assert hard is not None

        assert after(one, CONTACT, hard) is None or SuppressionList.TRANSIENT is list_of(one)

    def test_a_bounce_for_good_replaces_one_for_two_weeks(self) -> None:
        """The longer entry counts, in either order."""
        for_good, two_weeks = a_report(), a_report(subtype="Suppressed")

        assert [None, None] == [
            days_of(entries_after(order)[SuppressionList.HARD])
            for order in ([for_good, two_weeks], [two_weeks, for_good])
        ]

    @pytest.mark.parametrize(
        "report",
        [
            a_report("complaint", type="not-spam"),
            a_report(type="Transient", automatic_reply=True),
            a_report("send"),
            a_report("delivery"),
            a_report("delivery_delay"),
            a_report("reject"),
            a_report("rendering_failure"),
            a_report(address=None),
        ],
    )
    def test_nothing_follows(self, report: Feedback) -> None:
        """Neither `not-spam` nor an out-of-office reply nor what says nothing of the address suppresses it."""
        assert after(report, CONTACT, None) is None


class TestTransient:
    """Bounces in a row, after each of which a later e-mail may arrive."""

    def test_the_first_two_suppress_nothing(self) -> None:
        """A full mailbox may be emptied."""
        entry = entries_after([a_transient_bounce(1), a_transient_bounce(2)])[SuppressionList.TRANSIENT]

        assert not entry.applies(ADDRESS, entry.since)

    @pytest.mark.parametrize(("bounces", "days"), [(3, 7), (4, 14), (5, 28), (6, 56), (7, 112), (8, 112), (40, 112)])
    def test_the_third_suppresses_for_a_week_and_further_ones_for_twice_as_long(self, bounces: int, days: int) -> None:
        """From the last bounce on; it doubles to 112 days at most."""
        some = [a_transient_bounce(number) for number in range(bounces)]

        entry = entries_after(some)[SuppressionList.TRANSIENT]

        assert (days, some[-1].at) == (days_of(entry), entry.since)
        assert [True, False] == [entry.applies(ADDRESS, some[-1].at + timedelta(days=n)) for n in (days - 1, days)]

    @pytest.mark.parametrize("status", ["5.1.1", "4.4.7"])
    def test_whatever_its_code(self, status: str) -> None:
        """SES also calls some refusals for good transient, so the code does not count."""
        some = [a_transient_bounce(number, status=status) for number in range(3)]

        assert entries_after(some)[SuppressionList.TRANSIENT].applies(ADDRESS, some[-1].at)

    @several
    @given(st.permutations(range(5)))
    def test_disorder_does_not_shorten_it(self, order: list[int]) -> None:
        """It lasts from the latest bounce, whichever came last."""
        entry = entries_after([a_transient_bounce(number) for number in order])[SuppressionList.TRANSIENT]

        assert (28, a_transient_bounce(4).at) == (days_of(entry), entry.since)

    def test_a_delivery_ends_the_row(self) -> None:
        """The next bounce is the first again."""
        delivered = a_report("delivery", message_id="msg-9", at=a_transient_bounce(2).at)

        assert {} == entries_after([*(a_transient_bounce(number) for number in range(3)), delivered])

    @pytest.mark.parametrize(
        "report",
        [
            a_report("delivery", message_id="msg-1", at=NOW + timedelta(days=9)),
            a_report("delivery", message_id="msg-9", at=NOW),
            a_report("delivery", message_id="msg-9", at=NOW + timedelta(days=9), address=ANOTHER_ADDRESS),
            a_report("send", message_id="msg-9", at=NOW + timedelta(days=9)),
            a_report(type="Transient", automatic_reply=True, message_id="msg-9", at=NOW + timedelta(days=9)),
        ],
        ids=["of an e-mail that bounced", "before", "to another address", "only accepted", "out of office"],
    )
    def test_nothing_else_ends_it(self, report: Feedback) -> None:
        """Only a later delivery of another e-mail to the same address does."""
        known = entries_after([a_transient_bounce(1), a_transient_bounce(2)])[SuppressionList.TRANSIENT]

        assert not clears(report, known)

    def test_without_a_row_nothing_ends(self) -> None:
        """A delivery to an address without bounces writes nothing."""
        assert not clears(a_report("delivery"), None)


class TestAddresses:
    """An entry is about one address of a contact."""

    @several
    @given(st.lists(reports(address=st.just(ADDRESS)), min_size=1, max_size=6), st.datetimes(timezones=st.just(UTC)))
    def test_another_address_is_free(self, some: list[Feedback], now: datetime) -> None:
        """Whatever happened to one address, a contact's new address gets e-mail."""
        assert [] == [one for one in entries_after(some).values() if one.applies(ANOTHER_ADDRESS, now)]

    @pytest.mark.parametrize("of", [a_report, lambda **about: a_transient_bounce(1, **about)], ids=["hard", "row"])
    def test_a_later_bounce_of_another_address_replaces_it(self, of: Any) -> None:
        """There is one entry of a contact on a list; late feedback about an earlier address does not undo it."""
        old = of(at=NOW, address=ANOTHER_ADDRESS, message_id="old")
        new = of(at=NOW + timedelta(days=1), address=ADDRESS, message_id="new")

        assert [ADDRESS, ADDRESS] == [
            next(iter(entries_after(order).values())).address for order in ([old, new], [new, old])
        ]


@several
@given(st.lists(reports(), max_size=6))
def test_times_do_not_matter(some: list[Feedback]) -> None:
    """Reports from the year 2 or 9999 lead to entries like any others; nothing is raised."""
    for entry in entries_after(some).values():
        assert entry.until is None or entry.since <= entry.until


class TestRecord:
    """How an entry is written and read."""

    @several
    @given(st.lists(reports(address=st.just(ADDRESS)), min_size=1, max_size=8))
    def test_a_written_entry_is_read_back_unchanged(self, some: list[Feedback]) -> None:
        """Its record keeps all of it."""
        for on, entry in entries_after(some).items():
            assert entry == parse_suppression(suppression_key(on, CONTACT), suppression_json(entry))

    def test_the_longest_entry_is_within_the_bound(self) -> None:
        """An entry that we write is one that we read."""
        longest = Suppression(
            contact_id="\u20ac" * 128,
            address="f" * 64,
            reason=SuppressionReason.UNREACHABLE,
            since=NOW,
            until=NOW,
            bounces=tuple('"' * 256 for _ in range(MAX_BOUNCES)),
            dispatch_id="0" * 32,
            message_id='"' * 256,
            detail="\x00" * MAX_TEXT,
            by="\x00" * MAX_TEXT,
        )
        value = suppression_json(longest)

        assert len(value) <= MAX_SUPPRESSION_BYTES
        assert longest == parse_suppression(suppression_key(longest.on, longest.contact_id), value)

    @several
    @given(st.none() | st.binary(), st.none() | st.binary())
    def test_any_bytes_are_read(self, key: bytes | None, value: bytes | None) -> None:
        """Bytes that are no entry are none; nothing is raised."""
        assert parse_suppression(key, value) is None
        assert parse_suppression(suppression_key(SuppressionList.HARD, CONTACT), value) is None

    @several
    @given(
        st.sampled_from(["contact_id", "address", "reason", "since", "until", "bounces", "dispatch_id", "by", "else"]),
        st.recursive(st.none() | st.booleans() | st.floats() | st.text(), lambda some: st.lists(some, max_size=3)),
    )
    def test_any_value_of_a_field_is_read(self, field: str, content: Any) -> None:
        """A field with any content is taken or makes the record none; nothing is raised."""
        entry = after(a_report(), CONTACT, None)
        assert entry is not None
        fields = {**json.loads(suppression_json(entry)), field: content}

        found = parse_suppression(suppression_key(entry.on, CONTACT), json.dumps(fields).encode())

        assert found is None or CONTACT == found.contact_id

    @pytest.mark.parametrize(
        "key",
        [
            None,
            b"",
            b"hard",
            b"hard:",
            b"soft:mentor:042",
            b"transient:mentor:042",
            b"hard:mentor:043",
            b"\xff:mentor:042",
            b"hard:\xff",
        ],
    )
    def test_the_key_names_list_and_contact(self, key: bytes | None) -> None:
        """A record under another key is none: it would be found by neither."""
        entry = after(a_report(), CONTACT, None)
        assert entry is not None

        assert parse_suppression(key, suppression_json(entry)) is None

    @several
    @given(st.sampled_from(SuppressionList), st.text(st.characters(codec="utf-8"), min_size=1))
    def test_a_key_is_read_back(self, on: SuppressionList, contact_id: str) -> None:
        """A contact's id may hold any character, also a colon."""
        assert (on, contact_id) == parse_suppression_key(suppression_key(on, contact_id))
