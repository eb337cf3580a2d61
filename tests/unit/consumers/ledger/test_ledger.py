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


def entry_of(ledger: Ledger, dispatch_id: str = FIRST_ID) -> LedgerEntry:
    """Return the entry of a dispatch that the ledger knows."""
    entry = ledger.get(dispatch_id)
    assert entry is not None
    return entry


def other(dispatch: Dispatch, number: int) -> Dispatch:
    """Return the same dispatch under another id."""
    return structs.replace(dispatch, dispatch_id=f"{number:032x}")


def numbers_in(ledger: Ledger) -> list[int]:
    """Return the numbers below ten whose dispatch the ledger knows."""
    return [number for number in range(10) if ledger.get(f"{number:032x}") is not None]


class TestReading:
    """What a ledger knows from the log alone."""

    def test_a_dispatch_that_is_not_final_is_in_memory(self) -> None:
        """Its lane continues from there without reading anything back."""
        entry = entry_of(ledger_of(SENDING))

        assert not entry.final
        assert SENDING == entry.dispatch
        assert [0] == entry.offsets

    def test_only_the_offset_of_a_final_dispatch_is_kept(self) -> None:
        """A million final dispatches must take little memory."""
        entry = entry_of(ledger_of(SENDING, SENT))

        assert entry.final
        assert entry.dispatch is None
        assert [1] == entry.offsets

    def test_records_that_are_needed_together_are_all_kept(self) -> None:
        """If no record holds all of the dispatch, the offsets of those that make it up are known."""
        first = dispatch_of(changed(MENTOR, status="sent", send=1), changed(COORDINATOR, status="sending", send=1))
        late = dispatch_of(changed(MENTOR, status="sending", send=1), changed(COORDINATOR, status="sent", send=1))

        entry = entry_of(ledger_of(first, late))

        assert entry.final
        assert [0, 1] == entry.offsets

    def test_a_record_that_is_not_a_dispatch_is_passed(self) -> None:
        """It counts as read, and adds nothing."""
        ledger = Ledger(max_entries=10, next_offset=5)

        assert not ledger.add_read(5, None)
        assert 6 == ledger.next_offset
        assert 0 == len(ledger)

    def test_a_late_write_to_a_final_dispatch_is_reported(self) -> None:
        """The owner must check whether it changes the fold; until then both offsets are known."""
        ledger = ledger_of(FAILED)

        assert ledger.add_read(1, dispatch_of(changed(MENTOR, status="sent", send=1)))

        assert entry_of(ledger).final
        assert [0, 1] == entry_of(ledger).offsets

    def test_records_that_were_read_back_are_reduced_to_one(self) -> None:
        """A record that came after the owner's look is kept."""
        ledger = ledger_of(FAILED, SENDING, SENDING)

        assert ledger.add_read_back(FIRST_ID, {0: FAILED, 1: SENDING}) is None
        assert [0, 2] == entry_of(ledger).offsets

    def test_a_fold_that_no_record_holds_is_returned_to_be_appended(self) -> None:
        """The owner makes the fold durable; its record then holds all of the dispatch."""
        coordinator_sent = dispatch_of(COORDINATOR_SENT, ended_at=NOW)
        ledger = ledger_of(FAILED, coordinator_sent)

        folded = ledger.add_read_back(FIRST_ID, {0: FAILED, 1: coordinator_sent})

        assert folded is not None
        assert fold(FAILED, coordinator_sent) == folded
        ledger.add_written(2, folded)
        assert ledger.add_read_back(FIRST_ID, {0: FAILED, 1: coordinator_sent, 2: folded}) is None
        assert [2] == entry_of(ledger).offsets

    def test_a_record_that_is_gone_is_dropped_if_another_is_there(self) -> None:
        """The other record is all that is left to know."""
        ledger = ledger_of(FAILED, SENDING)

        ledger.add_read_back(FIRST_ID, {0: None, 1: SENDING})

        assert not entry_of(ledger).final
        assert SENDING == entry_of(ledger).dispatch

    def test_a_dispatch_whose_records_are_all_gone_stays_final(self) -> None:
        """It is not sent again."""
        ledger = ledger_of(FAILED, SENDING)

        ledger.add_read_back(FIRST_ID, {0: None, 1: None})

        assert entry_of(ledger).final
        assert [0, 1] == entry_of(ledger).offsets

    def test_a_reopened_dispatch_is_no_longer_final(self) -> None:
        """A record of a higher round continues the final one, which may still hold who got the e-mail."""
        reopened = dispatch_of(changed(MENTOR, round=1, reason=Reason.REOPENED))

        entry = entry_of(ledger_of(FAILED, reopened))

        assert not entry.final
        assert [0] == entry.missing
        assert [0, 1] == entry.offsets
        assert fold(FAILED, reopened) == entry.folded({0: FAILED})

    def test_a_mentor_who_became_known_continues_the_dispatch(self) -> None:
        """Recipients continue an `unknown_mentor` as a higher round does."""
        unknown = dispatch_of(unknown_mentor=True, ended_at=NOW)

        assert entry_of(ledger_of(unknown)).final
        assert not entry_of(ledger_of(unknown, SENDING)).final

    def test_the_delivery_that_was_processed_last_is_known(self) -> None:
        """Its redelivery is recognised at once; for earlier ones the record must be read."""
        entry = entry_of(ledger_of(SENT))

        assert entry.has_processed(PAUSES_TOPIC, 7)
        assert not entry.has_processed(PAUSES_TOPIC, 8)
        assert not entry.has_processed("t", 0)

    @pytest.mark.parametrize("offset", [2**63, 10**30])
    def test_an_offset_that_no_log_has_is_not_known_as_processed(self, offset: int) -> None:
        """A record that claims it is kept like any other final one."""
        entry = entry_of(
            ledger_of(dispatch_of(changed(MENTOR, status="sent"), ended_at=NOW).seen(PAUSES_TOPIC, offset))
        )

        assert entry.final
        assert not entry.has_processed(PAUSES_TOPIC, offset)


class TestWriting:
    """What its owner wrote."""

    def test_an_own_write_counts_at_once(self) -> None:
        """The owner does not wait until it is read back."""
        ledger = ledger_of(SENDING)

        ledger.add_written(1, SENT)

        assert entry_of(ledger).final
        assert [1] == entry_of(ledger).offsets
        assert 1 == ledger.next_offset

    def test_an_own_write_that_is_read_back_adds_nothing(self) -> None:
        """It is not a late write, either."""
        ledger = ledger_of(SENDING)
        ledger.add_written(1, SENT)

        assert {1} == ledger.written
        assert not ledger.add_read(1, SENT)
        assert not ledger.written
        assert entry_of(ledger).final
        assert [1] == entry_of(ledger).offsets

    def test_an_own_write_may_be_read_before_it_is_acknowledged(self) -> None:
        """Nothing is counted twice if the follower is faster than the acknowledgement."""
        ledger = ledger_of(SENDING, SENT)

        ledger.add_written(1, SENT)

        assert [1] == entry_of(ledger).offsets
        assert not ledger.written

    def test_a_former_owners_earlier_record_is_kept(self) -> None:
        """A record before our final one that is read after it is a late write."""
        ledger = ledger_of(SENDING)
        ledger.add_written(2, FAILED)

        assert ledger.add_read(1, dispatch_of(changed(MENTOR, status="sent", send=1)))

        assert [1, 2] == entry_of(ledger).offsets

    def test_a_fold_that_is_appended_again_replaces_the_last(self) -> None:
        """After another delivery was processed, the newest record holds all of the dispatch."""
        ledger = ledger_of(SENT)

        ledger.add_written(1, SENT.seen(PAUSES_TOPIC, 9))

        assert [1] == entry_of(ledger).offsets
        assert entry_of(ledger).has_processed(PAUSES_TOPIC, 9)


class TestCap:
    """The number of entries is bounded."""

    def test_the_oldest_final_dispatch_is_dropped_first(self) -> None:
        """A dispatch that is not final is never dropped."""
        ledger = ledger_of(other(SENDING, 0), other(SENT, 1), other(SENT, 2), other(SENT, 3), max_entries=3)

        assert [0, 2, 3] == numbers_in(ledger)
        assert 1 == ledger.dropped

    def test_a_ledger_of_unfinished_dispatches_grows(self) -> None:
        """Dropping them would send e-mails twice; lanes bound how many there can be."""
        ledger = ledger_of(*(other(SENDING, number) for number in range(5)), max_entries=3)

        assert 5 == len(ledger)
        assert 0 == ledger.dropped

    def test_a_final_dispatch_in_several_records_is_dropped_last(self) -> None:
        """It is final, too; only what may still be sent is kept beyond the cap."""
        ledger = ledger_of(other(FAILED, 1), other(SENT, 1), other(SENDING, 2), other(SENDING, 3), max_entries=2)

        assert [2, 3] == numbers_in(ledger)

    def test_several_entries_are_dropped_at_once(self) -> None:
        """Then the search for the oldest costs each new entry next to nothing."""
        ledger = ledger_of(*(other(SENT, number) for number in range(641)), max_entries=640)

        assert 630 == len(ledger)
        assert 11 == ledger.dropped

    def test_a_redelivered_dispatch_is_not_the_oldest(self) -> None:
        """Its event came again lately, and may do so once more."""
        again = other(SENT, 1).seen(PAUSES_TOPIC, 9)
        ledger = ledger_of(other(SENT, 1), other(SENT, 2), again, other(SENT, 3), max_entries=2)

        assert [1, 3] == numbers_in(ledger)


class TestWritten:
    """Own writes that were not read back yet."""

    def test_a_write_that_can_no_longer_be_read_is_not_awaited(self) -> None:
        """Its batch was skipped."""
        ledger = ledger_of(SENDING)
        ledger.add_written(1, SENT)
        ledger.add_written(7, SENT)

        ledger.advance_to(5)

        assert {7} == ledger.written

    def test_a_write_that_a_gap_skips_is_not_awaited(self) -> None:
        """A record that was read after it shows that it will not come."""
        ledger = ledger_of(SENDING)
        ledger.add_written(1, SENT)

        ledger.add_read(4, other(SENDING, 1))

        assert not ledger.written


class TestForeignWrites:
    """A former owner's record is read while an own write awaits its acknowledgement."""

    def test_one_that_a_reopening_does_not_include_is_kept(self) -> None:
        """Its e-mail was sent: the owner that reopens must learn of it before it sends again."""
        ledger = ledger_of(FAILED)
        sent = dispatch_of(changed(MENTOR, status="sent", send=1, message_id="theirs"))
        reopened = dispatch_of(changed(MENTOR, round=1, reason=Reason.REOPENED)).seen(PAUSES_TOPIC, 7)

        assert ledger.add_read(1, sent)
        ledger.add_written(2, reopened)

        assert [0, 1, 2] == entry_of(ledger).offsets
        assert fold(fold(FAILED, sent), reopened) == entry_of(ledger).folded({0: FAILED, 1: sent})

    def test_a_final_one_that_an_intent_does_not_include_is_kept(self) -> None:
        """The dispatch was unknown when its owner wrote the intent, and another owner ended it."""
        ledger = ledger_of(SENT)

        ledger.add_written(1, SENDING)

        assert entry_of(ledger).final
        assert [0, 1] == entry_of(ledger).offsets


class TestUnreadable:
    """A record that a newer release wrote, before a roll-back."""

    def test_its_dispatch_counts_as_final(self) -> None:
        """Its content must not be guessed, whatever was known before or comes after it."""
        ledger = ledger_of(SENDING)
        ledger.add_unreadable(1, FIRST_ID)
        ledger.add_read(2, SENDING)

        entry = entry_of(ledger)
        assert entry.final
        assert entry.unreadable
        assert entry.dispatch is None
        assert 3 == ledger.next_offset
        assert ledger.add_read_back(FIRST_ID, {0: SENDING, 1: None, 2: SENDING}) is None


class TestIds:
    """Each id has an entry of its own."""

    def test_ids_that_differ_in_one_digit_are_two_dispatches(self) -> None:
        """The whole id is kept."""
        assert ledger_of(SENT).get(OTHER_ID) is None

    @pytest.mark.parametrize("stranger", ["", "k", "f" * 31, "F" * 32, "ff" * 8 + " " * 15, "a" * 16])
    def test_an_id_of_another_form_is_kept_as_text(self, stranger: str) -> None:
        """It is not mistaken for an id of ours with the same bytes."""
        same_bytes = {"F" * 32: "f" * 32, "a" * 16: "61" * 16}.get(stranger, FIRST_ID)
        ledger = ledger_of(structs.replace(SENT, dispatch_id=stranger))

        assert entry_of(ledger, stranger).final
        assert ledger.get(same_bytes) is None


class TestRecreatedTopic:
    """The dispatches topic was deleted and created again."""

    def test_a_final_dispatch_stays_final(self) -> None:
        """Its record is gone, so that it is neither sent again nor answered; no offset of it is known."""
        ledger = Ledger(max_entries=10)
        ledger.add_read(7, SENT)

        ledger.forget_offsets()

        assert entry_of(ledger).final
        assert entry_of(ledger).unreadable
        assert 0 == ledger.next_offset
        assert 0 == len(ledger)

    def test_an_unfinished_dispatch_stays_in_memory(self) -> None:
        """It continues from its last state, and ends in the new topic in one record."""
        ledger = Ledger(max_entries=10)
        ledger.add_read(3, dispatch_of(MENTOR))
        ledger.add_read(4, SENDING)

        ledger.forget_offsets()

        assert not entry_of(ledger).final
        assert SENDING == entry_of(ledger).dispatch
        ledger.add_written(0, SENT)
        assert entry_of(ledger).final
        assert [0] == entry_of(ledger).offsets

    def test_a_record_of_the_new_topic_counts(self) -> None:
        """It is read like any other."""
        ledger = Ledger(max_entries=10)
        ledger.add_read(7, SENT)
        ledger.forget_offsets()

        ledger.add_read(0, SENT)

        assert entry_of(ledger).final
        assert not entry_of(ledger).unreadable
        assert [0] == entry_of(ledger).offsets

    def test_dispatches_without_a_record_are_bounded_by_the_cap(self) -> None:
        """Those of the last topic are kept."""
        ledger = Ledger(max_entries=2)
        for number in range(4):
            ledger.add_read(0, other(SENT, number))
            ledger.forget_offsets()

        assert 2 == len(numbers_in(ledger))
        assert 3 in numbers_in(ledger)


# -- the ledger against the log -----------------------------------------------------------------------------------

_STATES = st.builds(
    lambda status, send, round_: {"status": status, "send": send, "round": round_},
    st.sampled_from([Status.PENDING, Status.SENDING, Status.SENT, Status.FAILED, Status.UNKNOWN]),
    st.integers(1, 3),
    st.sampled_from([0, 0, 0, 1]),
)
_RECIPIENTS = {FIRST_ID: (MENTOR, COORDINATOR), OTHER_ID: (COORDINATOR,)}


class Owner:
    """A partition's owner that reads the log late, and gets its acknowledgements late."""

    def __init__(self) -> None:
        self.log: list[Dispatch] = []
        self.ledger = Ledger(max_entries=10)
        self.unacknowledged: list[int] = []
        self._known_offsets: set[int] = set()

    def append_foreign(self, dispatch_id: str, states: Iterable[dict[str, Any]]) -> None:
        """Append any record, as a former owner does."""
        self.log.append(_record(dispatch_id, states, len(self.log)))

    def write(self, dispatch_id: str, states: Iterable[dict[str, Any]], *, reopens: bool) -> None:
        """Append what an owner that knows this ledger writes; the acknowledgement comes later."""
        offset = len(self.log)
        self.log.append(_own(self.known(dispatch_id), _record(dispatch_id, states, offset), offset, reopens=reopens))
        self.unacknowledged.append(offset)

    def acknowledge(self) -> None:
        """Let the oldest acknowledgement come."""
        if self.unacknowledged:
            offset = self.unacknowledged.pop(0)
            self._known_offsets.add(offset)
            if self.ledger.add_written(offset, self.log[offset]):
                self._join(self.log[offset].dispatch_id)

    def read(self, records: int) -> None:
        """Read the next so many records."""
        for offset in range(self.ledger.next_offset, min(self.ledger.next_offset + records, len(self.log))):
            self._known_offsets.add(offset)
            if self.ledger.add_read(offset, self.log[offset]):
                self._join(self.log[offset].dispatch_id)

    def known(self, dispatch_id: str) -> Dispatch | None:
        """Return the dispatch as a replica finds it: from the ledger and the records that it must read back."""
        entry = self.ledger.get(dispatch_id)
        return None if entry is None else entry.folded(self._read_back(entry.missing))

    def expected(self, dispatch_id: str) -> Dispatch | None:
        """Return the fold of all records that were read, or written and acknowledged."""
        records = [self.log[offset] for offset in sorted(self._known_offsets)]
        records = [record for record in records if record.dispatch_id == dispatch_id]
        return reduce(fold, records) if records else None

    def _join(self, dispatch_id: str) -> None:
        folded = self.ledger.add_read_back(dispatch_id, self._read_back(entry_of(self.ledger, dispatch_id).missing))
        if folded is not None:
            offset = len(self.log)
            self.log.append(folded)
            self._known_offsets.add(offset)
            if self.ledger.add_written(offset, folded):
                self._join(dispatch_id)

    def _read_back(self, offsets: list[int]) -> dict[int, Dispatch | None]:
        return {offset: self.log[offset] for offset in offsets}


def _record(dispatch_id: str, states: Iterable[dict[str, Any]], offset: int) -> Dispatch:
    recipients = [
        changed(who, **state, message_id=f"msg-{offset}" if state["status"] is Status.SENT else None)
        for who, state in zip(_RECIPIENTS[dispatch_id], states, strict=False)
    ]
    return dispatch_of(*recipients, dispatch_id=dispatch_id)


def _own(known: Dispatch | None, record: Dispatch, offset: int, *, reopens: bool) -> Dispatch:
    """Return what an owner that knows *known* writes: the fold of both, or what it reopens."""
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
        st.tuples(st.just("acknowledge")),
        st.tuples(st.just("read"), st.integers(1, 3)),
    ),
    max_size=20,
)


def _act(owner: Owner, action: tuple[Any, ...]) -> None:
    match action:
        case ("foreign", dispatch_id, states):
            owner.append_foreign(dispatch_id, states)
        case ("own", dispatch_id, states, reopens):
            owner.write(dispatch_id, states, reopens=reopens)
        case ("acknowledge",):
            owner.acknowledge()
        case ("read", records):
            owner.read(records)


@settings(deadline=None, max_examples=300)
@given(_ACTIONS)
def test_the_ledger_always_leads_to_the_fold_of_what_was_read_and_written(actions: list[tuple[Any, ...]]) -> None:
    """This holds however the writes of two owners interleave, and in whichever order they become known."""
    owner = Owner()
    for action in [*actions, *[("acknowledge",)] * 20, ("read", 60)]:
        _act(owner, action)
        for dispatch_id in _RECIPIENTS:
            # Of equals the first in the log counts, and an own record moves what it folded in to its own offset.
            assert _essence(owner.expected(dispatch_id)) == _essence(owner.known(dispatch_id))
    for dispatch_id in _RECIPIENTS:
        entry, expected = owner.ledger.get(dispatch_id), owner.expected(dispatch_id)
        assert (entry is None) == (expected is None)
        # A record that is not in memory may end the dispatch: a replica reads it back before it sends.
        if entry is not None and expected is not None and (entry.final or not entry.missing):
            assert expected.final == entry.final


def _essence(dispatch: Dispatch | None) -> object:
    if dispatch is None:
        return None
    return [(r.contact_id, r.precedence) for r in dispatch.recipients], dispatch.final, dispatch.seen_through
