"""Dispatches: how records merge, how the outcome follows, and how a record is written."""

from __future__ import annotations

import json
from functools import reduce
from itertools import permutations
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.dispatch import (
    MAX_DISPATCH_BYTES,
    Dispatch,
    Reason,
    Recipient,
    Status,
    Verdict,
    dispatch_id_of,
    dispatch_json,
    fold,
    parse_dispatch,
    verdict,
)
from tests.unit.dispatches import COORDINATOR, FINAL, MENTOR, NOW, changed, dispatch_of, dispatches, recipients

RECORDS = [
    (line["read"], line["written"])
    for line in map(json.loads, Path(__file__).with_name("dispatch_records.jsonl").read_text().splitlines())
]
"""Texts that earlier releases read with `parse_dispatch`, and what their `dispatch_json` wrote of them."""

several = settings(deadline=None, max_examples=200)


class TestFold:
    """How several records become one truth."""

    @several
    @given(dispatches())
    def test_a_record_merged_with_itself_stays_the_same(self, dispatch: Dispatch) -> None:
        """A record that was written twice is harmless."""
        assert dispatch == fold(dispatch, dispatch)

    @several
    @given(dispatches(), dispatches())
    def test_a_merge_contains_both_records(self, first: Dispatch, later: Dispatch) -> None:
        """Merging either record again, at the end of the log, changes nothing."""
        merged = fold(first, later)

        assert merged == fold(merged, first)
        assert merged == fold(merged, later)

    @several
    @given(dispatches(), dispatches(), dispatches())
    def test_a_merge_is_associative(self, first: Dispatch, second: Dispatch, third: Dispatch) -> None:
        """Whoever has merged a part of the log before arrives at the same result."""
        assert fold(fold(first, second), third) == fold(first, fold(second, third))

    @several
    @given(dispatches(), dispatches())
    def test_order_matters_only_between_equals(self, first: Dispatch, later: Dispatch) -> None:
        """If two states of a recipient differ in precedence, the same one wins in either order."""
        one, other = fold(first, later), fold(later, first)
        by_id = {recipient.contact_id: recipient for recipient in other.recipients}

        assert {r.contact_id for r in one.recipients} == by_id.keys()
        assert [by_id[r.contact_id].precedence for r in one.recipients] == [r.precedence for r in one.recipients]
        assert one.final == other.final
        assert one.seen_through == other.seen_through
        assert one.ended_at == other.ended_at

    @several
    @given(st.lists(recipients(MENTOR), min_size=1, max_size=5))
    def test_the_first_sent_state_always_wins(self, states: list[Recipient]) -> None:
        """An accepted e-mail stays `sent` with its first message id, whatever else was written."""
        folded = reduce(fold, [dispatch_of(state) for state in states])
        accepted = [state for state in states if state.status is Status.SENT]

        assert accepted[:1] == [r for r in folded.recipients if r.status is Status.SENT]

    def test_the_higher_round_wins(self) -> None:
        """A reopened recipient is no longer final."""
        failed, reopened = changed(MENTOR, status="failed", send=3), changed(MENTOR, round=1)

        assert {reopened} == {*fold(dispatch_of(failed), dispatch_of(reopened)).recipients}
        assert {reopened} == {*fold(dispatch_of(reopened), dispatch_of(failed)).recipients}

    @pytest.mark.parametrize("status", FINAL)
    def test_within_a_round_a_final_status_wins(self, status: Status) -> None:
        """A late `sending` with a higher count does not reopen a final state."""
        ended, late = changed(MENTOR, status=status, send=1), changed(MENTOR, status="sending", send=2)

        assert (ended,) == fold(dispatch_of(late), dispatch_of(ended)).recipients

    def test_then_the_higher_send_wins(self) -> None:
        """The `pending` of an earlier send does not undo a later `sending`."""
        sending, late = changed(MENTOR, status="sending", send=2), changed(MENTOR, status="pending", send=1)

        assert (sending,) == fold(dispatch_of(sending), dispatch_of(late)).recipients

    def test_then_the_order_of_statuses_decides(self) -> None:
        """Within one send: sending, pending; of final statuses: expired, suppressed, unknown, failed, sent."""
        unfinished = [changed(MENTOR, status=status, send=1) for status in ("sending", "pending")]
        final = [
            changed(MENTOR, status=status, send=1) for status in ("expired", "suppressed", "unknown", "failed", "sent")
        ]

        for states in (unfinished, final):
            ends = {reduce(fold, map(dispatch_of, order)).recipients for order in permutations(states)}
            assert {(states[-1],)} == ends

    def test_recipients_win_over_an_unknown_mentor(self) -> None:
        """A mentor who became known is no longer unknown, in either order of the records."""
        unknown, named = dispatch_of(unknown_mentor=True), dispatch_of(MENTOR)

        for merged in (fold(unknown, named), fold(named, unknown)):
            assert (MENTOR,) == merged.recipients
            assert not merged.unknown_mentor

    def test_a_recipient_of_only_one_record_is_kept(self) -> None:
        """Dropping one could lose a sent e-mail; the mentor stays first."""
        assert (MENTOR, COORDINATOR) == fold(dispatch_of(COORDINATOR), dispatch_of(MENTOR)).recipients


class TestVerdict:
    """The outcome of a whole dispatch."""

    @pytest.mark.parametrize(
        ("statuses", "expected"),
        [
            (["pending"], Verdict.PENDING),
            (["sent", "sending"], Verdict.PENDING),
            (["failed", "pending"], Verdict.PENDING),
            (["sent"], Verdict.ENDED),
            (["sent", "failed"], Verdict.ENDED),
            (["failed", "unknown"], Verdict.ENDED),
            (["expired", "suppressed"], Verdict.ENDED),
            (["unknown", "unknown"], Verdict.ENDED),
            (["failed", "failed"], Verdict.UNDELIVERABLE),
        ],
    )
    def test_it_follows_from_the_statuses(self, statuses: list[str], expected: Verdict) -> None:
        """It is pending while any recipient is, and ended unless all failed."""
        pairs = zip((MENTOR, COORDINATOR), statuses, strict=False)

        assert expected == verdict(dispatch_of(*(changed(recipient, status=status) for recipient, status in pairs)))

    def test_it_is_not_delivered_if_one_exhausted_its_attempts(self) -> None:
        """A later try may then succeed; if all were refused for good, it cannot."""
        refused = changed(MENTOR, status="failed", reason=Reason.NO_ADDRESS)
        exhausted = changed(COORDINATOR, status="failed", reason=Reason.ATTEMPTS_EXHAUSTED)

        assert Verdict.NOT_DELIVERED == verdict(dispatch_of(refused, exhausted))

    def test_without_recipients(self) -> None:
        """It is pending until the mentor is found to be unknown."""
        assert Verdict.PENDING == verdict(dispatch_of())
        assert Verdict.UNKNOWN_MENTOR == verdict(dispatch_of(unknown_mentor=True))


class TestRecord:
    """How a dispatch is written and read."""

    @several
    @given(dispatches())
    def test_a_written_dispatch_is_read_back_unchanged(self, dispatch: Dispatch) -> None:
        """Its record keeps all of it."""
        assert dispatch == parse_dispatch(dispatch_json(dispatch))

    @pytest.mark.parametrize(("read", "written"), RECORDS)
    def test_records_are_read_and_written_as_by_earlier_releases(self, read: str, written: str | None) -> None:
        """A record of an earlier release is written again in the same bytes."""
        dispatch = parse_dispatch(read.encode())

        assert written == (None if dispatch is None else dispatch_json(dispatch).decode())

    @pytest.mark.parametrize(
        "value",
        [None, b"", b"{", b"null", b"{}", b"\xff", b"[" * 10_000, b'{"x":' + b"[" * 10_000, b'{"dispatch_id": 1}'],
    )
    def test_an_unreadable_record_is_none(self, value: bytes | None) -> None:
        """A stranger's record in our topic must not stop a reader."""
        assert parse_dispatch(value) is None

    def test_too_long_a_record_is_none(self) -> None:
        """Parsing may take two hundred times its bytes, and a stranger may have written it."""
        assert parse_dispatch(dispatch_json(dispatch_of(MENTOR)) + b" " * MAX_DISPATCH_BYTES) is None

    def test_fields_of_a_later_release_are_ignored(self) -> None:
        """A record with unknown fields is still read."""
        value = dispatch_json(dispatch_of(MENTOR)).replace(b'{"dispatch_id"', b'{"feedback":{"a":1},"dispatch_id"', 1)

        assert dispatch_of(MENTOR) == parse_dispatch(value)

    def test_a_reason_of_a_later_release_is_kept(self) -> None:
        """After a roll-back its record is still read, and keeps the reason when it is written again."""
        value = dispatch_json(dispatch_of(changed(MENTOR, status="failed", reason="too_late")))
        newer = value.replace(b'"too_late"', b'"mailbox_full"')

        dispatch = parse_dispatch(newer)

        assert dispatch is not None
        assert "mailbox_full" == dispatch.recipients[0].reason
        assert newer == dispatch_json(dispatch)

    def test_a_status_of_a_later_release_is_unknown(self) -> None:
        """It is final, so nothing is sent again; and it does not claim an e-mail that may not have been sent."""
        value = dispatch_json(dispatch_of(changed(MENTOR, status="sent"), changed(COORDINATOR, status="sent")))

        dispatch = parse_dispatch(value.replace(b'"status":"sent"', b'"status":"deferred"', 1))

        assert dispatch is not None
        assert [Status.UNKNOWN, Status.SENT] == [recipient.status for recipient in dispatch.recipients]
        assert dispatch.final

    @pytest.mark.parametrize(
        ("key", "dispatch_id"), [(b"0" * 32, "0" * 32), (b"0" * 31, None), (b"G" * 32, None), (None, None)]
    )
    def test_the_key_names_the_dispatch(self, key: bytes | None, dispatch_id: str | None) -> None:
        """So its id is known even if the value is unreadable."""
        assert dispatch_id == dispatch_id_of(key)

    def test_processed_offsets_only_grow(self) -> None:
        """An earlier delivery that is processed again takes nothing back."""
        dispatch = dispatch_of(MENTOR).seen("t", 7).seen("t", 5)

        assert dispatch.has_seen("t", 5)
        assert dispatch.has_seen("t", 7)
        assert not dispatch.has_seen("t", 8)
        assert not dispatch.has_seen("u", 0)

    def test_it_was_dispatched_at_its_last_outcome(self) -> None:
        """Without an outcome, the event's append time counts."""
        waiting = changed(COORDINATOR, status="sending", at="2026-03-26T09:00:00Z")
        accepted = changed(MENTOR, status="sent", at="2026-03-26T08:40:00Z")

        assert accepted.at == dispatch_of(accepted, waiting).dispatched_at
        assert NOW == dispatch_of(waiting).dispatched_at
