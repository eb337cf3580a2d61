"""The ledger: what a partition's owner knows of its dispatches, from what was read and what it wrote."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from functools import reduce

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.kafka.ledger import Known, Ledger
from schemas.dispatch import Dispatch, Reason, Recipient, Request, Status, fold
from schemas.events import PAUSES_TOPIC
from tests.unit.dispatches import COORDINATOR, FIRST_ID, MENTOR, NOW, ORIGIN, changed, dispatch_of

SENDING = dispatch_of(changed(MENTOR, status="sending", send=1))
SENT = dispatch_of(changed(MENTOR, status="sent", send=1, message_id="msg-1"), ended_at=NOW).seen(PAUSES_TOPIC, 7)
FAILED = dispatch_of(changed(MENTOR, status="failed", send=1), ended_at=NOW).seen(PAUSES_TOPIC, 7)
WINDOW = timedelta(seconds=60)


def ledger_of(*records: Dispatch, max_entries: int = 100) -> Ledger:
    """Give a ledger that has read these records, the first at offset 0."""
    ledger = Ledger(max_entries=max_entries)
    for offset, record in enumerate(records):
        ledger.read(offset, record)
    return ledger


def known_of(ledger: Ledger, dispatch_id: str = FIRST_ID) -> Known:
    """Give what is known of a dispatch that is known."""
    known = ledger.get(dispatch_id)
    assert known is not None
    return known


def other(dispatch: Dispatch, number: int) -> Dispatch:
    """Give the like of a dispatch under another id."""
    return dispatch.model_copy(update={"dispatch_id": f"{number:032x}"})


class TestReading:
    """What a ledger knows from the log alone."""

    def test_of_a_dispatch_that_is_not_final_the_fold_is_at_hand(self) -> None:
        """Its lane goes on from there without reading anything back."""
        known = known_of(ledger_of(SENDING))

        assert (False, SENDING, [0]) == (known.final, known.dispatch, known.offsets)

    def test_of_a_final_one_the_place_alone_is_kept(self) -> None:
        """A million final dispatches cost little."""
        known = known_of(ledger_of(SENDING, SENT))

        assert (True, None, [1]) == (known.final, known.dispatch, known.offsets)

    def test_records_that_say_it_together_are_all_kept(self) -> None:
        """Where no record holds the whole, the places of all that make it are known."""
        first = dispatch_of(changed(MENTOR, status="sent", send=1), changed(COORDINATOR, status="sending", send=1))
        late = dispatch_of(changed(MENTOR, status="sending", send=1), changed(COORDINATOR, status="sent", send=1))

        known = known_of(ledger_of(first, late))

        assert (True, [0, 1]) == (known.final, known.offsets)

    def test_what_is_none_of_ours_moves_on(self) -> None:
        """A record that cannot be read counts as read, and is nothing."""
        ledger = Ledger(max_entries=10, next_offset=5)

        assert (False, 6, 0) == (ledger.read(5, None), ledger.next_offset, len(ledger))

    def test_a_late_write_to_a_final_dispatch_is_told(self) -> None:
        """The owner must look whether it changes the fold; until then both places are known."""
        ledger = ledger_of(FAILED)

        late = ledger.read(1, dispatch_of(changed(MENTOR, status="sent", send=1)))

        assert (True, True, [0, 1]) == (late, known_of(ledger).final, known_of(ledger).offsets)

    def test_settled_means_one_place(self) -> None:
        """What came between the look and the settling is kept."""
        ledger = ledger_of(FAILED, SENDING, SENDING)

        ledger.settle(FIRST_ID, [0, 1], 0)

        assert [0, 2] == known_of(ledger).offsets

    def test_a_reopened_dispatch_is_no_longer_final(self) -> None:
        """A record of a higher round goes on from the final one, and says all of it."""
        reopened = dispatch_of(changed(MENTOR, round=1, reason=Reason.REOPENED))

        known = known_of(ledger_of(FAILED, reopened))

        assert (False, reopened, [1]) == (known.final, known.dispatch, known.offsets)

    def test_a_mentor_who_became_known_goes_on(self) -> None:
        """Recipients go on from `unknown_mentor` as a higher round does."""
        unknown = dispatch_of(unknown_mentor=True, ended_at=NOW)

        assert [True, False] == [known_of(ledger_of(*log)).final for log in ((unknown,), (unknown, SENDING))]

    def test_copies_seen_through_are_remembered(self) -> None:
        """A copy at or before the last one seen through is a redelivery, in its own topic."""
        known = known_of(ledger_of(SENT))

        assert [True, False, False] == [known.has_seen(*at) for at in ((PAUSES_TOPIC, 7), (PAUSES_TOPIC, 8), ("t", 0))]


class TestWriting:
    """What its owner wrote."""

    def test_an_own_write_counts_at_once(self) -> None:
        """It is not waited for to be read back."""
        ledger = ledger_of(SENDING)

        ledger.wrote(1, SENT)

        assert (True, [1], 1) == (known_of(ledger).final, known_of(ledger).offsets, ledger.next_offset)

    def test_an_own_write_read_back_is_nothing_new(self) -> None:
        """Nor is it a late write."""
        ledger = ledger_of(SENDING)
        ledger.wrote(1, SENT)

        assert [True, False, False] == [ledger.has_written(1), ledger.read(1, SENT), ledger.has_written(1)]
        assert (True, [1]) == (known_of(ledger).final, known_of(ledger).offsets)

    def test_an_own_write_may_be_read_before_it_is_acknowledged(self) -> None:
        """The follower was quicker than the acknowledgement: nothing is counted twice."""
        ledger = ledger_of(SENDING, SENT)

        ledger.wrote(1, SENT)

        assert ([1], False) == (known_of(ledger).offsets, ledger.has_written(1))

    def test_a_former_owners_earlier_record_is_not_lost(self) -> None:
        """What lies before our final record but is read after it is a late write, and keeps its place."""
        ledger = ledger_of(SENDING)
        ledger.wrote(2, FAILED)

        late = ledger.read(1, dispatch_of(changed(MENTOR, status="sent", send=1)))

        assert (True, [1, 2]) == (late, known_of(ledger).offsets)

    def test_a_fold_appended_once_more_takes_the_place_of_the_last(self) -> None:
        """A further copy seen through: the newest record says it all."""
        ledger = ledger_of(SENT)

        ledger.wrote(1, SENT.seen(PAUSES_TOPIC, 9))

        assert ([1], True) == (known_of(ledger).offsets, known_of(ledger).has_seen(PAUSES_TOPIC, 9))


class TestCap:
    """It is bounded."""

    def test_the_oldest_final_dispatch_goes_first(self) -> None:
        """What is not final is never forgotten."""
        ledger = ledger_of(other(SENDING, 0), other(SENT, 1), other(SENT, 2), other(SENT, 3), max_entries=3)

        assert [True, False, True, True] == [ledger.get(f"{number:032x}") is not None for number in range(4)]
        assert 1 == ledger.dropped

    def test_where_nothing_is_final_it_grows(self) -> None:
        """Forgetting what is under way would send twice; lanes bound how much that can be."""
        ledger = ledger_of(*(other(SENDING, number) for number in range(5)), max_entries=3)

        assert (5, 0) == (len(ledger), ledger.dropped)


def call(offset: int, *, digest: str = "d" * 64, keyless: bool = True, dispatch: Dispatch = SENT) -> Dispatch:
    """Give the dispatch of a REST call at *offset*."""
    update = {
        "dispatch_id": f"{offset:032x}",
        "origin": ORIGIN.model_copy(update={"offset": offset}),
        "request": Request(id=f"r-{offset}", caller="anonymous", keyless=keyless),
        "digest": digest,
    }
    return dispatch.model_copy(update=update)


class TestLastCall:
    """A mentor's last event in a topic, where it was a keyless call."""

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
    def test_a_repetition_is_told_by_caller_content_and_time(
        self, caller: str, digest: str, seconds: int, *, retried: bool
    ) -> None:
        """The same caller, the same content, and less than the window after its end."""
        last = ledger_of(call(3)).last_call("mentor-042", PAUSES_TOPIC)

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
    def test_an_answer_that_may_be_repeated_is_no_answer(self, dispatch: Dispatch, *, answers: bool) -> None:
        """What has not ended, or ended in a 404 or 502, a caller is right to ask for again."""
        last = ledger_of(call(3, dispatch=dispatch)).last_call("mentor-042", PAUSES_TOPIC)

        assert last is not None
        assert answers == last.is_retried_by("anonymous", "d" * 64, NOW, WINDOW)

    @pytest.mark.parametrize(
        "between", [call(4, keyless=False), call(4, digest="e" * 64), call(4).model_copy(update={"request": None})]
    )
    def test_anything_between_ends_it(self, between: Dispatch) -> None:
        """Only the mentor's previous event can be what is repeated."""
        last = ledger_of(call(3), between).last_call("mentor-042", PAUSES_TOPIC)

        assert last is not None
        assert not last.is_retried_by("anonymous", "d" * 64, NOW, WINDOW)

    def test_a_late_record_of_an_earlier_event_changes_nothing(self) -> None:
        """The order of events counts, not that of their records."""
        last = ledger_of(call(4), call(3)).last_call("mentor-042", PAUSES_TOPIC)

        assert last is not None
        assert (4, f"{4:032x}") == (last.offset, last.dispatch_id)

    def test_a_retry_leads_to_the_first_call(self) -> None:
        """A chain of retries is answered from where the mail was sent."""
        retry = call(4).model_copy(update={"retry_of": f"{3:032x}"})
        last = ledger_of(call(3), retry).last_call("mentor-042", PAUSES_TOPIC)

        assert last is not None
        assert f"{3:032x}" == last.dispatch_id

    def test_without_a_window_nothing_is_remembered(self) -> None:
        """Where retries are not looked for, their memory costs nothing."""
        ledger = Ledger(max_entries=10, remember_calls=False)
        ledger.read(0, call(3))

        assert ledger.last_call("mentor-042", PAUSES_TOPIC) is None


# -- the ledger against the log -----------------------------------------------------------------------------------

_STATES = st.builds(
    lambda status, send: (status, send if status is not Status.PENDING else max(send - 1, 0)),
    st.sampled_from([Status.PENDING, Status.SENDING, Status.SENT, Status.FAILED, Status.UNKNOWN]),
    st.integers(1, 3),
)


def _record(states: Iterable[tuple[Status, int]], offset: int) -> Dispatch:
    told: list[Recipient] = [
        changed(recipient, status=status, send=send, message_id=f"msg-{offset}" if status is Status.SENT else None)
        for recipient, (status, send) in zip((MENTOR, COORDINATOR), states, strict=True)
    ]
    return dispatch_of(*told)


def _own(known: Dispatch | None, record: Dispatch, offset: int, *, reopens: bool) -> Dispatch:
    """Give what an owner writes who knows *known*: all of that folded in, or reopened; what ends has a copy seen."""
    if known is None:
        return record
    if known.final and reopens:
        recipients = [changed(r, status="pending", round=r.round + 1) for r in known.recipients if r.status != "sent"]
        return known.with_recipients(recipients)
    folded = fold(known, record)
    return folded.seen(PAUSES_TOPIC, offset) if folded.final else folded


@settings(deadline=None, max_examples=200)
@given(
    st.lists(st.tuples(st.booleans(), st.booleans(), st.tuples(_STATES, _STATES)), min_size=1, max_size=8),
    st.lists(st.integers(0, 3), min_size=8, max_size=8),
)
def test_own_and_foreign_writes_end_in_the_fold_of_the_log(
    writes: list[tuple[bool, bool, tuple[tuple[Status, int], tuple[Status, int]]]], delays: list[int]
) -> None:
    """However a former owner's writes lie between ours, and however late the log is read, the ledger knows its fold."""
    ledger = Ledger(max_entries=10)
    log: list[Dispatch] = []

    def known_now() -> Dispatch | None:
        known = ledger.get(FIRST_ID)
        return None if known is None else reduce(fold, (log[offset] for offset in known.offsets))

    def read_up_to(end: int) -> None:
        for offset in range(ledger.next_offset, end):
            ledger.read(offset, log[offset])

    for (own, reopens, states), delay in zip(writes, delays, strict=False):
        offset, record = len(log), _record(states, len(log))
        log.append(_own(known_now(), record, offset, reopens=reopens) if own else record)
        if own:
            ledger.wrote(offset, log[offset])
        read_up_to(len(log) - delay)
    read_up_to(len(log))

    known, folded, remembered = known_of(ledger), reduce(fold, log), known_now()
    assert remembered is not None
    # Between equals the first in the log counts, and an own record brings what it folded in to its own place.
    assert [r.precedence for r in folded.recipients] == [r.precedence for r in remembered.recipients]
    assert folded.final == known.final
    assert known.final or known.dispatch == remembered
