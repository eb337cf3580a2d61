"""Dispatches: how records fold into one truth, what became of one, and how it is written."""

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
"""What `parse_dispatch` read, and what `dispatch_json` wrote of it, in the releases before dispatches were structs."""

several = settings(deadline=None, max_examples=200)


class TestFold:
    """The one truth of several records."""

    @several
    @given(dispatches())
    def test_a_record_folds_with_itself_into_itself(self, dispatch: Dispatch) -> None:
        """A doubled record is harmless."""
        assert dispatch == fold(dispatch, dispatch)

    @several
    @given(dispatches(), dispatches())
    def test_a_fold_says_all_that_its_records_say(self, first: Dispatch, later: Dispatch) -> None:
        """Folding a record in once more, at the end of the log, changes nothing."""
        folded = fold(first, later)

        assert [folded, folded] == [fold(folded, first), fold(folded, later)]

    @several
    @given(dispatches(), dispatches(), dispatches())
    def test_it_does_not_matter_where_one_begins(self, first: Dispatch, second: Dispatch, third: Dispatch) -> None:
        """Folding is associative: whoever has folded a part of the log comes to the same end."""
        assert fold(fold(first, second), third) == fold(first, fold(second, third))

    @several
    @given(dispatches(), dispatches())
    def test_order_matters_between_equals_alone(self, first: Dispatch, later: Dispatch) -> None:
        """Of two states of a recipient that differ in precedence the same one wins, whichever was first."""
        one, other = fold(first, later), fold(later, first)
        by_id = {recipient.contact_id: recipient for recipient in other.recipients}

        assert {r.contact_id for r in one.recipients} == by_id.keys()
        assert [by_id[r.contact_id].precedence for r in one.recipients] == [r.precedence for r in one.recipients]
        assert (one.final, one.seen_through, one.ended_at) == (other.final, other.seen_through, other.ended_at)

    @several
    @given(st.lists(recipients(MENTOR), min_size=1, max_size=5))
    def test_sent_always_wins_and_the_first_of_two(self, states: list[Recipient]) -> None:
        """An e-mail that was accepted stays so, with the id that was first told, whatever was written beside it."""
        folded = reduce(fold, [dispatch_of(state) for state in states])
        accepted = [state for state in states if state.status is Status.SENT]

        assert accepted[:1] == [r for r in folded.recipients if r.status is Status.SENT]

    def test_the_higher_round_wins(self) -> None:
        """What was reopened is no longer final."""
        failed, reopened = changed(MENTOR, status="failed", send=3), changed(MENTOR, round=1)

        assert {reopened} == {*fold(dispatch_of(failed), dispatch_of(reopened)).recipients}
        assert {reopened} == {*fold(dispatch_of(reopened), dispatch_of(failed)).recipients}

    @pytest.mark.parametrize("status", FINAL)
    def test_in_a_round_a_final_status_wins(self, status: Status) -> None:
        """A late `sending` with a higher count does not reopen what has ended."""
        ended, late = changed(MENTOR, status=status, send=1), changed(MENTOR, status="sending", send=2)

        assert (ended,) == fold(dispatch_of(late), dispatch_of(ended)).recipients

    def test_then_the_higher_send_wins(self) -> None:
        """The `pending` of an earlier send does not undo a later `sending`."""
        sending, late = changed(MENTOR, status="sending", send=2), changed(MENTOR, status="pending", send=1)

        assert (sending,) == fold(dispatch_of(sending), dispatch_of(late)).recipients

    def test_then_statuses_have_their_order(self) -> None:
        """In one send: sending before pending; among the final expired, suppressed, unknown, failed, sent."""
        unfinished = [changed(MENTOR, status=status, send=1) for status in ("sending", "pending")]
        final = [
            changed(MENTOR, status=status, send=1) for status in ("expired", "suppressed", "unknown", "failed", "sent")
        ]

        for states in (unfinished, final):
            ends = {reduce(fold, map(dispatch_of, order)).recipients for order in permutations(states)}
            assert {(states[-1],)} == ends

    def test_an_unknown_mentor_yields_to_recipients(self) -> None:
        """A mentor who became known is no longer unknown, in whatever order it was written."""
        unknown, named = dispatch_of(unknown_mentor=True), dispatch_of(MENTOR)

        assert [(MENTOR,), (MENTOR,)] == [d.recipients for d in (fold(unknown, named), fold(named, unknown))]
        assert [False, False] == [d.unknown_mentor for d in (fold(unknown, named), fold(named, unknown))]

    def test_a_recipient_that_one_record_names_is_kept(self) -> None:
        """Dropping one could lose a mail that was sent; the mentor stays first."""
        assert (MENTOR, COORDINATOR) == fold(dispatch_of(COORDINATOR), dispatch_of(MENTOR)).recipients


class TestVerdict:
    """What became of a whole dispatch."""

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
    def test_it_sums_statuses_up(self, statuses: list[str], expected: Verdict) -> None:
        """Pending while anything is, ended unless all failed."""
        pairs = zip((MENTOR, COORDINATOR), statuses, strict=False)

        assert expected == verdict(dispatch_of(*(changed(recipient, status=status) for recipient, status in pairs)))

    def test_all_failed_and_one_exhausted_may_be_tried_again(self) -> None:
        """Where attempts ran out a later try may succeed; where all were refused for good it cannot."""
        refused = changed(MENTOR, status="failed", reason=Reason.NO_ADDRESS)
        exhausted = changed(COORDINATOR, status="failed", reason=Reason.ATTEMPTS_EXHAUSTED)

        assert Verdict.NOT_DELIVERED == verdict(dispatch_of(refused, exhausted))

    def test_nobody_to_tell(self) -> None:
        """Without recipients it is pending until the mentor is found to be unknown."""
        assert Verdict.PENDING == verdict(dispatch_of())
        assert Verdict.UNKNOWN_MENTOR == verdict(dispatch_of(unknown_mentor=True))


class TestRecord:
    """How a dispatch is written."""

    @several
    @given(dispatches())
    def test_it_comes_back_as_itself(self, dispatch: Dispatch) -> None:
        """Nothing of a dispatch is lost in its record."""
        assert dispatch == parse_dispatch(dispatch_json(dispatch))

    @pytest.mark.parametrize(("read", "written"), RECORDS)
    def test_records_are_read_and_written_as_ever(self, read: str, written: str | None) -> None:
        """A release reads what an earlier one wrote, and writes it again in the same bytes."""
        dispatch = parse_dispatch(read.encode())

        assert written == (None if dispatch is None else dispatch_json(dispatch).decode())

    @pytest.mark.parametrize(
        "value",
        [None, b"", b"{", b"null", b"{}", b"\xff", b"[" * 10_000, b'{"x":' + b"[" * 10_000, b'{"dispatch_id": 1}'],
    )
    def test_what_is_none_is_none(self, value: bytes | None) -> None:
        """A record of somebody else in our topic stops nobody."""
        assert parse_dispatch(value) is None

    def test_what_is_too_long_is_none(self) -> None:
        """JSON may take two hundred times its bytes while it is read, and a topic is open to whoever may write it."""
        assert parse_dispatch(dispatch_json(dispatch_of(MENTOR)) + b" " * MAX_DISPATCH_BYTES) is None

    def test_fields_of_a_later_release_are_ignored(self) -> None:
        """A record that says more than we know is still read."""
        value = dispatch_json(dispatch_of(MENTOR)).replace(b'{"dispatch_id"', b'{"feedback":{"a":1},"dispatch_id"', 1)

        assert dispatch_of(MENTOR) == parse_dispatch(value)

    def test_a_reason_of_a_later_release_is_kept(self) -> None:
        """After a roll-back its record is still read, and says the same when it is written again."""
        value = dispatch_json(dispatch_of(changed(MENTOR, status="failed", reason="too_late")))
        newer = value.replace(b'"too_late"', b'"mailbox_full"')

        dispatch = parse_dispatch(newer)

        assert dispatch is not None
        assert ("mailbox_full", newer) == (dispatch.recipients[0].reason, dispatch_json(dispatch))

    def test_a_status_of_a_later_release_is_unknown(self) -> None:
        """Final, so that it is not sent again; and not said to be sent, which it may not be."""
        value = dispatch_json(dispatch_of(changed(MENTOR, status="sent"), changed(COORDINATOR, status="sent")))

        dispatch = parse_dispatch(value.replace(b'"status":"sent"', b'"status":"deferred"', 1))

        assert dispatch is not None
        assert [Status.UNKNOWN, Status.SENT] == [recipient.status for recipient in dispatch.recipients]
        assert dispatch.final

    @pytest.mark.parametrize(
        ("key", "dispatch_id"), [(b"0" * 32, "0" * 32), (b"0" * 31, None), (b"G" * 32, None), (None, None)]
    )
    def test_whose_record_it_is_its_key_says(self, key: bytes | None, dispatch_id: str | None) -> None:
        """Where its value cannot be read, that much is known."""
        assert dispatch_id == dispatch_id_of(key)

    def test_seen_through_only_grows(self) -> None:
        """A copy before the last one seen through is a redelivery, and takes nothing back."""
        dispatch = dispatch_of(MENTOR).seen("t", 7).seen("t", 5)

        assert [True, True, False, False] == [dispatch.has_seen(*at) for at in (("t", 5), ("t", 7), ("t", 8), ("u", 0))]

    def test_it_was_dispatched_at_its_last_outcome(self) -> None:
        """Without an outcome the event's append time is told."""
        waiting = changed(COORDINATOR, status="sending", at="2026-03-26T09:00:00Z")
        accepted = changed(MENTOR, status="sent", at="2026-03-26T08:40:00Z")

        assert accepted.at == dispatch_of(accepted, waiting).dispatched_at
        assert NOW == dispatch_of(waiting).dispatched_at
