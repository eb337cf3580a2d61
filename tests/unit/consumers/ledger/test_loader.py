"""A ledger that is loaded knows what one knows that reads every record."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from consumers.ledger.ledger import Ledger
from consumers.ledger.loader import Loader, add_record
from schemas.dispatch import MAX_DISPATCH_BYTES, Dispatch, Request, dispatch_json, fold
from schemas.events import PAUSES_TOPIC
from schemas.headers import FINAL
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
    """A record as it lies in a batch."""

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
        """Return the offset behind its last record."""
        return self.records[-1].offset + 1

    def read(self) -> list[Raw]:
        """Return its records."""
        return self.records


def raw(offset: int, dispatch: Dispatch) -> Raw:
    """Return a dispatch's record."""
    headers: list[tuple[str, bytes | None]] = [(FINAL, b"1")] if dispatch.final else []
    return Raw(offset, dispatch.dispatch_id.encode(), dispatch_json(dispatch), headers)


def load(ledger: Ledger, records: Iterable[Raw], *, recent: bool = False) -> Ledger:
    """Load records into a ledger, each a batch of its own."""
    loader = Loader(ledger, recent_since_ms=APPENDED_MS if recent else APPENDED_MS + 1)
    for record in records:
        loader.load(Batch([record]))
    loader.finish()
    return ledger


def known_of(ledger: Ledger, dispatch_id: str = FIRST_ID) -> tuple[bool, list[int]]:
    """Return whether a dispatch is final and where its records lie."""
    known = ledger.get(dispatch_id)
    assert known is not None
    return known.final, known.offsets


def test_of_an_intent_and_a_final_record_only_the_places_are_kept() -> None:
    """Neither was read; both are read back when a copy turns up."""
    ledger = load(Ledger(10), [raw(0, SENDING), raw(1, SENT)])

    assert (True, [0, 1]) == known_of(ledger)
    assert (2, None) == (ledger.next_offset, ledger.last_call("mentor-042", PAUSES_TOPIC))


def test_a_value_that_is_too_long_for_a_dispatch_is_not_held() -> None:
    """A hundred of them in a few kilobytes of a topic would take the memory; its dispatch counts as final, unsent."""
    long = replace(raw(0, SENDING), value=dispatch_json(SENDING) + b" " * MAX_DISPATCH_BYTES)
    ledger = Ledger(10)
    loader = Loader(ledger, recent_since_ms=APPENDED_MS)

    loader.load(Batch([long]))

    known = ledger.get(FIRST_ID)
    assert known is not None
    assert (True, True) == (known.final, known.unreadable)


def test_what_was_under_way_is_at_hand() -> None:
    """Its lane goes on from there."""
    ledger = load(Ledger(10), [raw(0, SENDING)])

    known = ledger.get(FIRST_ID)
    assert known is not None
    assert (False, SENDING) == (known.final, known.dispatch)


def test_of_a_recent_one_the_copy_seen_through_is_known() -> None:
    """It is what comes again where it was finished and not committed, and should cost nothing."""
    loaded = [
        load(Ledger(10), [raw(0, SENDING), raw(1, SENT)], recent=recent).get(FIRST_ID) for recent in (True, False)
    ]

    assert [True, False] == [known is not None and known.has_processed(PAUSES_TOPIC, 7) for known in loaded]


def test_of_a_recent_one_the_call_is_known() -> None:
    """A caller that repeats it across a restart gets no second e-mail."""
    call = structs.replace(SENT, request=Request(id="r", caller="anonymous", keyless=True))

    ledger = load(Ledger(10), [raw(0, call)], recent=True)

    last = ledger.last_call("mentor-042", PAUSES_TOPIC)
    assert last is not None
    assert (FIRST_ID, True) == (last.dispatch_id, last.answers_retries)


def test_what_its_owner_wrote_is_nothing_new() -> None:
    """A ledger that is taken up again reads on over its own last writes."""
    ledger = Ledger(10)
    ledger.add_written(0, SENDING)
    ledger.add_written(1, SENT)

    load(ledger, [raw(0, SENDING), raw(1, SENT)])

    assert (True, [1]) == known_of(ledger)
    assert not ledger.written


def test_the_beginning_of_the_first_batch_may_be_known() -> None:
    """A fetch within a batch brings the whole batch."""
    ledger = load(Ledger(10, next_offset=1), [raw(0, SENDING), raw(1, SENT)])

    assert (True, [1]) == known_of(ledger)


def test_a_final_record_that_cannot_be_read_keeps_its_dispatch_from_being_sent() -> None:
    """A newer release wrote it, before a roll-back."""
    newer = Raw(1, FIRST_ID.encode(), b'{"newer":true}', [(FINAL, b"1")])

    known = load(Ledger(10), [raw(0, SENDING), newer]).get(FIRST_ID)

    assert known is not None
    assert (True, True) == (known.final, known.unreadable)


def test_what_is_none_of_ours_is_nothing() -> None:
    """No key of ours, no value, Kafka's own: it is passed."""
    foreign = [
        Raw(0, None, b"x", []),
        Raw(1, b"k", None, []),
        Raw(2, b"k", b"none", []),
        Raw(3, b"\xff", b"n", [(FINAL, b"")]),
    ]
    ledger = load(Ledger(10), foreign)
    Loader(ledger, recent_since_ms=0).load(Batch([raw(4, SENT)], is_control_batch=True))

    assert (0, 5) == (len(ledger), ledger.next_offset)


def test_a_late_write_is_told_by_whoever_follows() -> None:
    """Its owner settles it; an own record is none, one that cannot be read neither."""
    ledger = load(Ledger(10), [raw(0, SENT)])
    late = SENT.with_recipients([changed(COORDINATOR, status="failed")])
    ledger.add_written(2, SENT)

    records = [(1, late), (2, SENT)]
    assert [FIRST_ID, None] == [add_record(ledger, at, FIRST_ID.encode(), dispatch_json(each)) for at, each in records]
    assert add_record(ledger, 3, b"f" * 32, b"newer") is None
    assert (True, [3]) == known_of(ledger, "f" * 32)


_RECORDS = st.lists(
    st.tuples(st.sampled_from([FIRST_ID, "e" * 32]), st.sampled_from([SENDING, SENT, REOPENED, UNKNOWN_MENTOR])),
    max_size=8,
)


@settings(deadline=None)
@given(_RECORDS, st.booleans())
def test_a_loaded_ledger_leads_to_the_fold_of_the_log(records: list[tuple[str, Dispatch]], recent: bool) -> None:  # noqa: FBT001 - drawn
    """Whatever lies in it, read back it is the same as if every record had been read."""
    log = [structs.replace(dispatch, dispatch_id=dispatch_id) for dispatch_id, dispatch in records]
    ledger = load(Ledger(10), [raw(offset, dispatch) for offset, dispatch in enumerate(log)], recent=recent)

    for dispatch_id in (FIRST_ID, "e" * 32):
        truth = [record for record in log if record.dispatch_id == dispatch_id]
        known = ledger.get(dispatch_id)
        assert bool(truth) == (known is not None)
        if known is not None:
            back: dict[int, Any] = {offset: log[offset] for offset in known.missing}
            assert reduce(fold, truth) == known.folded(back)
