"""The ledger: what a partition's owner knows of its dispatches, from what was read and what it wrote."""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from consumers.ledger.entry import LedgerEntry
from consumers.ledger.ledger import Ledger
from schemas.dispatch import Dispatch, Reason, Status, fold
from schemas.events import PAUSES_TOPIC
from tests.unit.dispatches import COORDINATOR, FIRST_ID, MENTOR, NOW, changed, dispatch_of

SENDING = dispatch_of(changed(MENTOR, status="sending", send=1))
SENT = dispatch_of(changed(MENTOR, status="sent", send=1, message_id="msg-1"), ended_at=NOW).seen(PAUSES_TOPIC, 7)
FAILED = dispatch_of(changed(MENTOR, status="failed", send=1), ended_at=NOW).seen(PAUSES_TOPIC, 7)
COORDINATOR_SENT = changed(COORDINATOR, status="sent", send=1, message_id="msg-2")
OTHER_ID = f"f{FIRST_ID[1:]}"


def ledger_of(*records: Dispatch, max_entries: int = 100) -> Ledger:
    """Return a ledger that has read these records, the first at offset 0."""
    ledger = Ledger(max_entries=max_entries)
    for offset, record in enumerate(records):
        ledger.add_read(offset, record)
    return ledger


def known_of(ledger: Ledger, dispatch_id: str = FIRST_ID) -> LedgerEntry:
    """Return what is known of a dispatch that is known."""
    known = ledger.get(dispatch_id)
    assert known is not None
    return known


def other(dispatch: Dispatch, number: int) -> Dispatch:
    """Return the like of a dispatch under another id."""
    return structs.replace(dispatch, dispatch_id=f"{number:032x}")


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

        assert (False, 6, 0) == (ledger.add_read(5, None), ledger.next_offset, len(ledger))

    def test_a_late_write_to_a_final_dispatch_is_told(self) -> None:
        """The owner must look whether it changes the fold; until then both places are known."""
        ledger = ledger_of(FAILED)

        late = ledger.add_read(1, dispatch_of(changed(MENTOR, status="sent", send=1)))

        assert (True, True, [0, 1]) == (late, known_of(ledger).final, known_of(ledger).offsets)

    def test_settled_means_one_place(self) -> None:
        """What came between the look and the settling is kept."""
        ledger = ledger_of(FAILED, SENDING, SENDING)

        assert ledger.add_read_back(FIRST_ID, {0: FAILED, 1: SENDING}) is None
        assert [0, 2] == known_of(ledger).offsets

    def test_what_no_record_says_alone_is_given_to_be_appended(self) -> None:
        """The owner makes the fold durable; that one says it all."""
        coordinator_sent = dispatch_of(COORDINATOR_SENT, ended_at=NOW)
        ledger = ledger_of(FAILED, coordinator_sent)

        folded = ledger.add_read_back(FIRST_ID, {0: FAILED, 1: coordinator_sent})

        assert fold(FAILED, coordinator_sent) == folded
        ledger.add_written(2, folded)
        assert ledger.add_read_back(FIRST_ID, {0: FAILED, 1: coordinator_sent, 2: folded}) is None
        assert [2] == known_of(ledger).offsets

    def test_a_record_that_is_gone_counts_no_longer(self) -> None:
        """Beside one that is there it is dropped; alone it stays known, and is not sent again."""
        ledger = ledger_of(FAILED, SENDING)
        ledger.add_read_back(FIRST_ID, {0: None, 1: SENDING})
        assert (False, SENDING) == (known_of(ledger).final, known_of(ledger).dispatch)

        ledger = ledger_of(FAILED, SENDING)
        ledger.add_read_back(FIRST_ID, {0: None, 1: None})
        assert (True, [0, 1]) == (known_of(ledger).final, known_of(ledger).offsets)

    def test_a_reopened_dispatch_is_no_longer_final(self) -> None:
        """A record of a higher round goes on from the final one, which may still say who had the mail."""
        reopened = dispatch_of(changed(MENTOR, round=1, reason=Reason.REOPENED))

        known = known_of(ledger_of(FAILED, reopened))

        assert (False, [0], [0, 1]) == (known.final, known.missing, known.offsets)
        assert fold(FAILED, reopened) == known.folded({0: FAILED})

    def test_a_mentor_who_became_known_goes_on(self) -> None:
        """Recipients go on from `unknown_mentor` as a higher round does."""
        unknown = dispatch_of(unknown_mentor=True, ended_at=NOW)

        assert [True, False] == [known_of(ledger_of(*log)).final for log in ((unknown,), (unknown, SENDING))]

    def test_copies_seen_through_are_remembered(self) -> None:
        """The last one seen through is a redelivery at once; of others the record itself tells."""
        known = known_of(ledger_of(SENT))

        assert [True, False, False] == [
            known.has_processed(*at) for at in ((PAUSES_TOPIC, 7), (PAUSES_TOPIC, 8), ("t", 0))
        ]


class TestWriting:
    """What its owner wrote."""

    def test_an_own_write_counts_at_once(self) -> None:
        """It is not waited for to be read back."""
        ledger = ledger_of(SENDING)

        ledger.add_written(1, SENT)

        assert (True, [1], 1) == (known_of(ledger).final, known_of(ledger).offsets, ledger.next_offset)

    def test_an_own_write_read_back_is_nothing_new(self) -> None:
        """Nor is it a late write."""
        ledger = ledger_of(SENDING)
        ledger.add_written(1, SENT)

        assert {1} == ledger.written
        assert not ledger.add_read(1, SENT)
        assert not ledger.written
        assert (True, [1]) == (known_of(ledger).final, known_of(ledger).offsets)

    def test_an_own_write_may_be_read_before_it_is_acknowledged(self) -> None:
        """The follower was quicker than the acknowledgement: nothing is counted twice."""
        ledger = ledger_of(SENDING, SENT)

        ledger.add_written(1, SENT)

        assert [1] == known_of(ledger).offsets
        assert not ledger.written

    def test_a_former_owners_earlier_record_is_not_lost(self) -> None:
        """What lies before our final record but is read after it is a late write, and keeps its place."""
        ledger = ledger_of(SENDING)
        ledger.add_written(2, FAILED)

        late = ledger.add_read(1, dispatch_of(changed(MENTOR, status="sent", send=1)))

        assert (True, [1, 2]) == (late, known_of(ledger).offsets)

    def test_a_fold_appended_once_more_takes_the_place_of_the_last(self) -> None:
        """A further copy seen through: the newest record says it all."""
        ledger = ledger_of(SENT)

        ledger.add_written(1, SENT.seen(PAUSES_TOPIC, 9))

        assert ([1], True) == (known_of(ledger).offsets, known_of(ledger).has_processed(PAUSES_TOPIC, 9))


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

    def test_what_lies_in_several_records_goes_last(self) -> None:
        """It is final, too; only what may still be sent is kept whatever the cap says."""
        ledger = ledger_of(other(FAILED, 1), other(SENT, 1), other(SENDING, 2), other(SENDING, 3), max_entries=2)

        assert [False, True, True] == [ledger.get(f"{number:032x}") is not None for number in (1, 2, 3)]

    def test_one_part_in_many_is_forgotten_at_once(self) -> None:
        """So that the search for the oldest costs each new one next to nothing."""
        ledger = ledger_of(*(other(SENT, number) for number in range(641)), max_entries=640)

        assert (630, 11) == (len(ledger), ledger.dropped)

    def test_one_that_was_seen_again_is_not_the_oldest(self) -> None:
        """Its event came again lately, and may once more."""
        again = other(SENT, 1).seen(PAUSES_TOPIC, 9)
        ledger = ledger_of(other(SENT, 1), other(SENT, 2), again, other(SENT, 3), max_entries=2)

        assert [True, False, True] == [ledger.get(f"{number:032x}") is not None for number in (1, 2, 3)]


class TestWritten:
    """Own writes that were not read back yet."""

    def test_what_can_be_read_no_more_is_forgotten(self) -> None:
        """Its batch was passed over: nothing waits for it for ever."""
        ledger = ledger_of(SENDING)
        ledger.add_written(1, SENT)
        ledger.add_written(7, SENT)

        ledger.advance_to(5)

        assert {7} == ledger.written

    def test_one_that_a_gap_passes_is_forgotten(self) -> None:
        """A record read behind it says that it will not come."""
        ledger = ledger_of(SENDING)
        ledger.add_written(1, SENT)

        ledger.add_read(4, other(SENDING, 1))

        assert not ledger.written


class TestForeignWritesMeanwhile:
    """A former owner's record is read while an own write awaits its acknowledgement."""

    def test_one_that_a_reopening_does_not_know_is_kept(self) -> None:
        """Its mail was sent: the owner that reopens must come to know before it sends again."""
        ledger = ledger_of(FAILED)
        sent = dispatch_of(changed(MENTOR, status="sent", send=1, message_id="theirs"))
        reopened = dispatch_of(changed(MENTOR, round=1, reason=Reason.REOPENED)).seen(PAUSES_TOPIC, 7)

        assert ledger.add_read(1, sent)
        ledger.add_written(2, reopened)

        assert [0, 1, 2] == known_of(ledger).offsets
        assert known_of(ledger).folded({0: FAILED, 1: sent}) == fold(fold(FAILED, sent), reopened)

    def test_a_final_one_that_an_intent_does_not_know_is_kept(self) -> None:
        """The dispatch was unknown when its owner wrote the intent; its end came from elsewhere."""
        ledger = ledger_of(SENT)

        ledger.add_written(1, SENDING)

        assert (True, [0, 1]) == (known_of(ledger).final, known_of(ledger).offsets)


class TestUnreadable:
    """A record of a newer release, after a roll-back."""

    def test_its_dispatch_counts_as_final(self) -> None:
        """What it says is not to be guessed, whatever was known before or comes behind it."""
        ledger = ledger_of(SENDING)
        ledger.add_unreadable(1, FIRST_ID)
        ledger.add_read(2, SENDING)

        known = known_of(ledger)
        assert (True, True, None, 3) == (known.final, known.unreadable, known.dispatch, ledger.next_offset)
        assert ledger.add_read_back(FIRST_ID, {0: SENDING, 1: None, 2: SENDING}) is None


class TestIds:
    """Each id has an entry of its own."""

    def test_ids_that_differ_in_one_digit_are_two_dispatches(self) -> None:
        """The whole id is kept."""
        assert ledger_of(SENT).get(OTHER_ID) is None

    @pytest.mark.parametrize("stranger", ["", "k", "f" * 31, "F" * 32, "ff" * 8 + " " * 15, "a" * 16])
    def test_an_id_that_no_program_of_ours_writes_is_kept_as_it_is(self, stranger: str) -> None:
        """It is not mistaken for an id of ours with the same bytes."""
        same_bytes = {"F" * 32: "f" * 32, "a" * 16: "61" * 16}.get(stranger, FIRST_ID)
        ledger = ledger_of(structs.replace(SENT, dispatch_id=stranger))

        assert known_of(ledger, stranger).final
        assert ledger.get(same_bytes) is None


# -- the ledger against the log -----------------------------------------------------------------------------------

_STATES = st.builds(
    lambda status, send, round_: {"status": status, "send": send, "round": round_},
    st.sampled_from([Status.PENDING, Status.SENDING, Status.SENT, Status.FAILED, Status.UNKNOWN]),
    st.integers(1, 3),
    st.sampled_from([0, 0, 0, 1]),
)
_OF = {FIRST_ID: (MENTOR, COORDINATOR), OTHER_ID: (COORDINATOR,)}


class Owner:
    """A partition's owner who reads the log late and hears of its own writes late, beside the plain truth."""

    def __init__(self) -> None:
        self.log: list[Dispatch] = []
        self.ledger = Ledger(max_entries=10)
        self.unacknowledged: list[int] = []
        self._heard: set[int] = set()
        self._unsettled: set[str] = set()

    def foreign_writes(self, dispatch_id: str, states: Iterable[dict[str, Any]]) -> None:
        """Append a former owner's record, whatever it says."""
        self.log.append(_record(dispatch_id, states, len(self.log)))

    def writes(self, dispatch_id: str, states: Iterable[dict[str, Any]], *, reopens: bool) -> None:
        """Append what an owner writes who knows what this one knows; it hears of it later."""
        offset = len(self.log)
        self.log.append(_own(self.known(dispatch_id), _record(dispatch_id, states, offset), offset, reopens=reopens))
        self.unacknowledged.append(offset)

    def hears(self) -> None:
        """Get the oldest acknowledgement."""
        if self.unacknowledged:
            offset = self.unacknowledged.pop(0)
            self._heard.add(offset)
            self._settle(self.ledger.add_written(offset, self.log[offset]), self.log[offset].dispatch_id)

    def reads(self, records: int) -> None:
        """Read so many records on."""
        for offset in range(self.ledger.next_offset, min(self.ledger.next_offset + records, len(self.log))):
            self._heard.add(offset)
            self._settle(self.ledger.add_read(offset, self.log[offset]), self.log[offset].dispatch_id)

    def known(self, dispatch_id: str) -> Dispatch | None:
        """Return what the ledger leads to, as a replica reads it back."""
        known = self.ledger.get(dispatch_id)
        if known is None:
            return None
        return known.folded(self._read_back(known.missing))

    def truth(self, dispatch_id: str) -> Dispatch | None:
        """Return the fold of all that was read, or written and acknowledged."""
        records = [self.log[offset] for offset in sorted(self._heard)]
        records = [record for record in records if record.dispatch_id == dispatch_id]
        return reduce(fold, records) if records else None

    def _settle(self, asked: bool, dispatch_id: str) -> None:  # noqa: FBT001 - what the ledger gave
        known = self.ledger.get(dispatch_id)
        if not asked or known is None:
            return
        folded = self.ledger.add_read_back(dispatch_id, self._read_back(known.missing))
        if folded is not None:
            self.log.append(folded)
            self._heard.add(len(self.log) - 1)
            self._settle(self.ledger.add_written(len(self.log) - 1, folded), dispatch_id)

    def _read_back(self, offsets: list[int]) -> dict[int, Dispatch | None]:
        return {offset: self.log[offset] for offset in offsets}


def _record(dispatch_id: str, states: Iterable[dict[str, Any]], offset: int) -> Dispatch:
    told = [
        changed(who, **state, message_id=f"msg-{offset}" if state["status"] is Status.SENT else None)
        for who, state in zip(_OF[dispatch_id], states, strict=False)
    ]
    return dispatch_of(*told, dispatch_id=dispatch_id)


def _own(known: Dispatch | None, record: Dispatch, offset: int, *, reopens: bool) -> Dispatch:
    """Return what an owner writes who knows *known*: all of that folded in, or reopened; what ends has a copy seen."""
    if known is None:
        return record
    if known.final and reopens:
        recipients = [changed(r, status="pending", round=r.round + 1) for r in known.recipients if r.status != "sent"]
        return known.with_recipients(recipients)
    folded = fold(known, record)
    return folded.seen(PAUSES_TOPIC, offset) if folded.final else folded


_IDS = st.sampled_from([FIRST_ID, FIRST_ID, OTHER_ID])
_ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("foreign"), _IDS, st.tuples(_STATES, _STATES)),
        st.tuples(st.just("own"), _IDS, st.tuples(_STATES, _STATES), st.booleans()),
        st.tuples(st.just("hear")),
        st.tuples(st.just("read"), st.integers(1, 3)),
    ),
    max_size=20,
)


def _act(owner: Owner, action: tuple[Any, ...]) -> None:
    match action:
        case ("foreign", dispatch_id, states):
            owner.foreign_writes(dispatch_id, states)
        case ("own", dispatch_id, states, reopens):
            owner.writes(dispatch_id, states, reopens=reopens)
        case ("hear",):
            owner.hears()
        case ("read", records):
            owner.reads(records)


@settings(deadline=None, max_examples=300)
@given(_ACTIONS)
def test_at_every_moment_the_ledger_leads_to_the_fold_of_what_was_read_and_written(
    actions: list[tuple[Any, ...]],
) -> None:
    """However writes of two owners interleave, whichever is heard of first."""
    owner = Owner()
    for action in [*actions, *[("hear",)] * 20, ("read", 60)]:
        _act(owner, action)
        for dispatch_id in _OF:
            truth, known = owner.truth(dispatch_id), owner.known(dispatch_id)
            # Between equals the first in the log counts, and an own record brings what it folded in to its own place.
            assert _essence(truth) == _essence(known)
    for dispatch_id in _OF:
        last, truth = owner.ledger.get(dispatch_id), owner.truth(dispatch_id)
        assert (last is None) == (truth is None)
        if last is not None and truth is not None and (last.final or not last.missing):
            assert (
                truth.final == last.final
            )  # what is not at hand may end it; that it is read back before a send, above


def _essence(dispatch: Dispatch | None) -> object:
    if dispatch is None:
        return None
    return [(r.contact_id, r.precedence) for r in dispatch.recipients], dispatch.final, dispatch.seen_through


def test_a_topic_made_anew_leaves_what_is_final_final() -> None:
    """Its record is gone, so that it is neither sent again nor answered; of the log nothing is read any more."""
    ledger = Ledger(max_entries=10)
    final = dispatch_of(changed(MENTOR, status="sent", send=1, message_id="1", at=NOW), ended_at=NOW)
    ledger.add_read(7, final)
    ledger.forget_offsets()

    known = ledger.get(final.dispatch_id)
    assert known is not None
    assert (True, True, 0, 0) == (known.final, known.unreadable, ledger.next_offset, len(ledger))


def test_a_topic_made_anew_leaves_what_is_under_way_at_hand() -> None:
    """It goes on from where it stood, and ends in the new topic by one record."""
    ledger = Ledger(max_entries=10)
    under_way = dispatch_of(changed(MENTOR, status="sending", send=1))
    ledger.add_read(3, dispatch_of(MENTOR))
    ledger.add_read(4, under_way)
    ledger.forget_offsets()
    known = ledger.get(under_way.dispatch_id)
    assert known is not None
    assert (False, under_way) == (known.final, known.dispatch)

    ended = dispatch_of(changed(MENTOR, status="sent", send=1, message_id="1", at=NOW), ended_at=NOW)
    ledger.add_written(0, ended)
    known = ledger.get(under_way.dispatch_id)
    assert known is not None
    assert (True, [0]) == (known.final, known.offsets)


def test_what_the_new_topic_says_counts_again() -> None:
    """A record of the new topic is read as any other."""
    ledger = Ledger(max_entries=10)
    final = dispatch_of(changed(MENTOR, status="sent", send=1, message_id="1", at=NOW), ended_at=NOW)
    ledger.add_read(7, final)
    ledger.forget_offsets()
    ledger.add_read(0, final)

    known = ledger.get(final.dispatch_id)
    assert known is not None
    assert (True, False, [0]) == (known.final, known.unreadable, known.offsets)


def test_what_is_gone_is_remembered_within_the_cap() -> None:
    """The ledger's bound counts for it, too: what went last is kept."""
    ledger = Ledger(max_entries=2)
    for number in range(4):
        ledger.add_read(0, other(SENT, number))
        ledger.forget_offsets()

    gone = [number for number in range(4) if ledger.get(f"{number:032x}") is not None]
    assert 2 == len(gone)
    assert 3 in gone
