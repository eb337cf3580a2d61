"""A loaded ledger knows the same as one whose records were all read in full."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import reduce

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from consumers.ledger.ledger import Ledger
from consumers.ledger.loader import Loader, add_record
from schemas.dispatch import MAX_DISPATCH_BYTES, Dispatch, Request, dispatch_json, fold
from schemas.events import PAUSES_TOPIC
from schemas.headers import FINAL
from tests.unit.consumers.ledger.test_ledger import entry_of
from tests.unit.dispatches import COORDINATOR, FIRST_ID, MENTOR, NOW, changed, dispatch_of

SENDING = dispatch_of(changed(MENTOR, status="sending", send=1), changed(COORDINATOR, status="sending", send=1))
SENT = dispatch_of(
    changed(MENTOR, status="sent", send=1, message_id="msg-1"),
    changed(COORDINATOR, status="sent", send=1, message_id="msg-2"),
    ended_at=NOW,
).seen(PAUSES_TOPIC, 7)
REOPENED = dispatch_of(changed(MENTOR, status="failed"), changed(COORDINATOR, round=1))
UNKNOWN_MENTOR = dispatch_of(unknown_mentor=True, ended_at=NOW).seen(PAUSES_TOPIC, 7)
APPENDED_MS = 1_000_000


@dataclass
class Raw:
    """A record in a batch."""

    offset: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]
    timestamp: int = APPENDED_MS


@dataclass
class Batch:
    """A batch of records."""

    records: list[Raw]
    is_control_batch: bool = False

    @property
    def next_offset(self) -> int:
        """Return the offset after its last record."""
        return self.records[-1].offset + 1

    def read(self) -> list[Raw]:
        """Return its records."""
        return self.records


def raw(offset: int, dispatch: Dispatch) -> Raw:
    """Return the record of a dispatch."""
    headers: list[tuple[str, bytes | None]] = [(FINAL, b"1")] if dispatch.final else []
    return Raw(offset, dispatch.dispatch_id.encode(), dispatch_json(dispatch), headers)


def load(ledger: Ledger, records: Iterable[Raw], *, recent: bool = False) -> Ledger:
    """Load records into a ledger, each in a batch of its own."""
    loader = Loader(ledger, recent_since_ms=APPENDED_MS if recent else APPENDED_MS + 1)
    for record in records:
        loader.load(Batch([record]))
    loader.finish()
    return ledger


def test_only_the_offsets_of_an_intent_and_a_final_record_are_kept() -> None:
    """Neither was read in full; both are read back when the event is redelivered."""
    ledger = load(Ledger(10), [raw(0, SENDING), raw(1, SENT)])

    assert entry_of(ledger).final
    assert [0, 1] == entry_of(ledger).offsets
    assert 2 == ledger.next_offset
    assert ledger.last_call("mentor-042", PAUSES_TOPIC) is None


def test_a_value_that_is_too_long_for_a_dispatch_is_not_held() -> None:
    """A hundred of them in a few kilobytes of a topic would take the memory; its dispatch counts as final, unsent."""
    long = replace(raw(0, SENDING), value=dispatch_json(SENDING) + b" " * MAX_DISPATCH_BYTES)
    ledger = Ledger(10)

    Loader(ledger, recent_since_ms=APPENDED_MS).load(Batch([long]))

    assert entry_of(ledger).final
    assert entry_of(ledger).unreadable


def test_an_unfinished_dispatch_is_in_memory() -> None:
    """Its lane continues from there."""
    entry = entry_of(load(Ledger(10), [raw(0, SENDING)]))

    assert not entry.final
    assert SENDING == entry.dispatch


def test_the_processed_delivery_of_a_recent_record_is_known() -> None:
    """It is redelivered if it was not committed, and should then cost nothing."""
    records = [raw(0, SENDING), raw(1, SENT)]

    assert entry_of(load(Ledger(10), records, recent=True)).has_processed(PAUSES_TOPIC, 7)
    assert not entry_of(load(Ledger(10), records)).has_processed(PAUSES_TOPIC, 7)


def test_the_call_of_a_recent_record_is_known() -> None:
    """A caller that repeats it after a restart causes no second e-mail."""
    call = structs.replace(SENT, request=Request(id="r", caller="anonymous", keyless=True))

    ledger = load(Ledger(10), [raw(0, call)], recent=True)

    last = ledger.last_call("mentor-042", PAUSES_TOPIC)
    assert last is not None
    assert FIRST_ID == last.dispatch_id
    assert last.answers_retries


def test_own_writes_that_are_loaded_add_nothing() -> None:
    """A ledger that was kept for later is loaded over its own last writes."""
    ledger = Ledger(10)
    ledger.add_written(0, SENDING)
    ledger.add_written(1, SENT)

    load(ledger, [raw(0, SENDING), raw(1, SENT)])

    assert entry_of(ledger).final
    assert [1] == entry_of(ledger).offsets
    assert not ledger.written


def test_records_before_the_next_offset_are_skipped() -> None:
    """A fetch from the middle of a batch returns the whole batch."""
    ledger = load(Ledger(10, next_offset=1), [raw(0, SENDING), raw(1, SENT)])

    assert entry_of(ledger).final
    assert [1] == entry_of(ledger).offsets


def test_an_unreadable_final_record_keeps_its_dispatch_from_being_sent() -> None:
    """A newer release wrote it, before a roll-back."""
    newer = Raw(1, FIRST_ID.encode(), b'{"newer":true}', [(FINAL, b"1")])

    entry = entry_of(load(Ledger(10), [raw(0, SENDING), newer]))

    assert entry.final
    assert entry.unreadable


def test_records_that_are_not_dispatches_are_skipped() -> None:
    """They have no key of ours or no value, or are Kafka's own."""
    foreign = [
        Raw(0, None, b"x", []),
        Raw(1, b"k", None, []),
        Raw(2, b"k", b"none", []),
        Raw(3, b"\xff", b"n", [(FINAL, b"")]),
    ]
    ledger = load(Ledger(10), foreign)
    Loader(ledger, recent_since_ms=0).load(Batch([raw(4, SENT)], is_control_batch=True))

    assert 0 == len(ledger)
    assert 5 == ledger.next_offset


def test_the_follower_reports_a_late_write() -> None:
    """The owner joins its records; an own write and one that cannot be read are not reported."""
    ledger = load(Ledger(10), [raw(0, SENT)])
    late = SENT.with_recipients([changed(COORDINATOR, status="failed")])
    ledger.add_written(2, SENT)

    assert FIRST_ID == add_record(ledger, 1, FIRST_ID.encode(), dispatch_json(late))
    assert add_record(ledger, 2, FIRST_ID.encode(), dispatch_json(SENT)) is None
    assert add_record(ledger, 3, b"f" * 32, b"newer") is None
    assert entry_of(ledger, "f" * 32).final
    assert [3] == entry_of(ledger, "f" * 32).offsets


_RECORDS = st.lists(
    st.tuples(st.sampled_from([FIRST_ID, "e" * 32]), st.sampled_from([SENDING, SENT, REOPENED, UNKNOWN_MENTOR])),
    max_size=8,
)


@settings(deadline=None)
@given(_RECORDS, st.booleans())
def test_a_loaded_ledger_leads_to_the_fold_of_the_log(records: list[tuple[str, Dispatch]], recent: bool) -> None:  # noqa: FBT001 - drawn
    """Once the missing records are read back, the result is that of a full read."""
    log = [structs.replace(dispatch, dispatch_id=dispatch_id) for dispatch_id, dispatch in records]
    ledger = load(Ledger(10), [raw(offset, dispatch) for offset, dispatch in enumerate(log)], recent=recent)

    for dispatch_id in (FIRST_ID, "e" * 32):
        of_dispatch = [record for record in log if record.dispatch_id == dispatch_id]
        entry = ledger.get(dispatch_id)
        assert bool(of_dispatch) == (entry is not None)
        if entry is not None:
            assert reduce(fold, of_dispatch) == entry.folded({offset: log[offset] for offset in entry.missing})
