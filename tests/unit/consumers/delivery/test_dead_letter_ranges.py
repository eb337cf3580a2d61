"""Floods of dead letters: how many are written one by one, and what the one says that stands for the rest."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from unittest.mock import AsyncMock

import pytest
import pytest_asyncio
from hypothesis import given, settings
from hypothesis import strategies as st

from consumers.delivery.dead_letter_ranges import (
    LONGEST_SECONDS,
    ONE_BY_ONE,
    ONE_BY_ONE_A_SECOND,
    QUIET_SECONDS,
    Ranges,
)
from consumers.delivery.missing_records import MissingRecords
from runtime.kafka.fetching import Unreadable
from runtime.kafka.publisher import NotPublished
from runtime.kafka.records import Place, Record
from schemas.cloudevents import NotAnEventReason
from schemas.dead_letters import DeadLetter, DeadLetterReason
from schemas.dispatch import Origin, Status
from schemas.events import PAUSES_TOPIC
from tests.fakes.publisher import Failure
from tests.unit.consumers.stage import NUMBER, Stage, a_stage, event_of
from tests.unit.dispatches import NOW

PLACE = Place(PAUSES_TOPIC, NUMBER)
KIND = PLACE, NotAnEventReason.INVALID_DATA
FLOOD = 5 * ONE_BY_ONE


@pytest_asyncio.fixture(name="stage")
async def _stage() -> AsyncIterator[Stage]:
    async with a_stage() as stage:
        yield stage


def junk(stage: Stage, key: bytes | None = None, value: bytes = b"{}") -> Record:
    """Append a record that is no event."""
    published = stage.log.append(PLACE, key=key, value=value, headers=[])
    return stage.log.records[PLACE][published.offset]


def stands_for(letters: list[DeadLetter]) -> int:
    """Return how many records dead letters stand for."""
    return sum(letter.records for letter in letters)


@pytest.mark.parametrize("keys", [1, FLOOD], ids=["one lane", "a lane each"])
async def test_a_flood_of_one_kind_becomes_some_hundred_letters_and_one(stage: Stage, keys: int) -> None:
    """The one names offsets, count and reason, and keeps the first of its records as it was."""
    records = [junk(stage, key=str(number % keys).encode()) for number in range(FLOOD)]

    await stage.see(*records, seconds=QUIET_SECONDS + 1)

    *_, last = stage.letters
    assert ONE_BY_ONE + 1 == len(stage.letters)
    assert FLOOD == stands_for(stage.letters)
    assert FLOOD - 1 == last.last_offset
    assert FLOOD - ONE_BY_ONE == last.records
    assert ONE_BY_ONE == last.origin.offset
    assert NotAnEventReason.MISSING_ATTRIBUTE == last.reason
    assert b"{}" == last.value
    said = f"{FLOOD - ONE_BY_ONE} records at offsets {ONE_BY_ONE} to {FLOOD - 1}; of the first: "
    assert last.detail.startswith(said)


async def test_sound_events_within_a_flood_are_sent(stage: Stage) -> None:
    """A range names offsets that hold sound events, too; those end as if there were no flood."""
    records = []
    for number in range(FLOOD):
        records.append(junk(stage))
        if number % 500 == 499:
            records.append(stage.append(event_of(event_id=str(number))))

    await stage.see(*records, seconds=QUIET_SECONDS + 1)

    ended = [one for one in stage.dispatches if one.final]
    assert ONE_BY_ONE + 1 == len(stage.letters)
    assert FLOOD == stands_for(stage.letters)
    assert 3 == len(ended)
    assert {Status.SENT} == {one.status for dispatch in ended for one in dispatch.recipients}


async def test_two_kinds_in_turn_are_two_ranges(stage: Stage) -> None:
    """A stranger who alternates gets no letter more."""
    records = [junk(stage, value=(b"{}", b"no JSON")[number % 2]) for number in range(4 * ONE_BY_ONE)]

    await stage.see(*records, seconds=QUIET_SECONDS + 1)

    assert 2 * (ONE_BY_ONE + 1) == len(stage.letters)
    assert 4 * ONE_BY_ONE == stands_for(stage.letters)


async def test_nothing_is_committed_past_a_range_that_is_not_durable(stage: Stage) -> None:
    """Its records are finished for their lanes, and come again to the next owner all the same."""
    records = [junk(stage) for _ in range(FLOOD)]
    await stage.see(*records, seconds=QUIET_SECONDS / 2)

    before = stage.assignment.lanes.committable()
    stage.publisher.will_fail(*[Failure(NotPublished(), durable=False)] * 3)
    await stage.clock.advance(QUIET_SECONDS)
    while_it_fails = stage.assignment.lanes.committable()
    await stage.clock.advance(10)

    assert {PLACE: ONE_BY_ONE} == before == while_it_fails
    assert {PLACE: FLOOD} == stage.assignment.lanes.committable()


async def test_a_range_of_a_partition_that_is_given_up_is_its_next_owners(stage: Stage) -> None:
    """It is not written, and its first record is where the next owner begins."""
    await stage.see(*(junk(stage) for _ in range(FLOOD)), seconds=QUIET_SECONDS / 2)

    closing = asyncio.create_task(stage.assignment.close(1))
    await stage.clock.advance(2)
    await closing

    assert ONE_BY_ONE == len(stage.letters)
    assert {PLACE: ONE_BY_ONE} == stage.assignment.lanes.committable()


async def test_unreadable_batches_without_end_become_a_range(stage: Stage) -> None:
    """A batch each would be as dear as a record each."""
    missing = MissingRecords(stage.processor.dead_letters, AsyncMock(), stage.clock)
    for first in range(0, 2 * FLOOD, 2):
        passed = Unreadable(PLACE, first, first + 2, "a corrupt record")
        missing.tell_unreadable(stage.assignment, passed)

    await stage.clock.advance(QUIET_SECONDS + 1)

    *_, last = stage.letters
    assert ONE_BY_ONE + 1 == len(stage.letters)
    assert 2 * FLOOD == stands_for(stage.letters)
    assert DeadLetterReason.UNREADABLE_BATCH == last.reason
    assert 2 * FLOOD - 1 == last.last_offset
    assert {PLACE: 2 * FLOOD} == stage.assignment.lanes.committable()


async def test_what_trickles_in_is_written_one_by_one(stage: Stage) -> None:
    """So are the few records of a producer that has an error, however long it has it."""
    for _ in range(2 * ONE_BY_ONE):
        await stage.see(junk(stage), seconds=1 / ONE_BY_ONE_A_SECOND)

    assert 2 * ONE_BY_ONE == len(stage.letters)


async def test_a_flood_without_end_is_told_all_the_same(stage: Stage) -> None:
    """A range ends after its longest time, so that commits go on."""
    for _ in range(int(1.5 * LONGEST_SECONDS / (QUIET_SECONDS / 2))):
        await stage.see(*(junk(stage) for _ in range(20)), seconds=QUIET_SECONDS / 2)

    ranges = [letter for letter in stage.letters if letter.last_offset is not None]
    assert len(ranges) >= 1
    assert stage.assignment.lanes.committable()[PLACE] >= ranges[-1].last


def letter_at(offset: int) -> DeadLetter:
    """Make a dead letter of a record at *offset*."""
    origin = Origin(topic=PLACE.topic, partition=PLACE.partition, offset=offset, appended_at=NOW)
    return DeadLetter(NotAnEventReason.INVALID_DATA, origin, b"key", b"{}", [], "data: is missing")


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 1000), st.floats(0, 2)), min_size=1, max_size=50, unique_by=lambda one: one[0])
)
def test_a_range_counts_and_spans_what_was_added(added: list[tuple[int, float]]) -> None:
    """In whatever order lanes come to it; and it ends within its longest time."""
    ranges, now = Ranges(), 0.0
    for offset, later in added:
        now += later
        ranges.add(KIND, letter_at(offset), now)

    found = ranges.close(KIND)

    offsets = [offset for offset, _ in added]
    assert min(offsets) == found.first
    assert max(offsets) == found.last
    assert len(offsets) == found.records
    assert found.ends_at() <= found.opened_at + LONGEST_SECONDS
    assert ranges.open_range(KIND) is None


def test_a_range_of_one_is_an_ordinary_letter() -> None:
    """There is no range to name."""
    ranges = Ranges()

    ranges.add(KIND, letter_at(7), 0.0)

    assert letter_at(7) == ranges.close(KIND).letter
