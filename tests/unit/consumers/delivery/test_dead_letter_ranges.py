"""Bound a flood of dead letters: some are written singly, the rest as a range."""

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


def invalid_record(stage: Stage, key: bytes | None = None, value: bytes = b"{}") -> Record:
    """Append an invalid record."""
    published = stage.log.append(PLACE, key=key, value=value, headers=[])
    return stage.log.records[PLACE][published.offset]


def records_in(letters: list[DeadLetter]) -> int:
    """Return how many records the dead letters are about."""
    return sum(letter.records for letter in letters)


@pytest.mark.parametrize("keys", [1, FLOOD], ids=["one lane", "a lane each"])
async def test_a_flood_of_one_kind_becomes_single_letters_and_a_range(stage: Stage, keys: int) -> None:
    """The range names offsets, count and reason, and keeps its first record."""
    records = [invalid_record(stage, key=str(number % keys).encode()) for number in range(FLOOD)]

    await stage.process(*records, seconds=QUIET_SECONDS + 1)

    *_, last = stage.letters
    assert ONE_BY_ONE + 1 == len(stage.letters)
    assert FLOOD == records_in(stage.letters)
    assert FLOOD - 1 == last.last_offset
    assert FLOOD - ONE_BY_ONE == last.records
    assert ONE_BY_ONE == last.origin.offset
    assert NotAnEventReason.MISSING_ATTRIBUTE == last.reason
    assert b"{}" == last.value
    said = f"{FLOOD - ONE_BY_ONE} records at offsets {ONE_BY_ONE} to {FLOOD - 1}; of the first: "
    assert last.detail.startswith(said)


async def test_valid_events_within_a_flood_are_sent(stage: Stage) -> None:
    """Valid events between the offsets of a range are processed as usual."""
    records = []
    for number in range(FLOOD):
        records.append(invalid_record(stage))
        if number % 500 == 499:
            records.append(stage.append(event_of(event_id=str(number))))

    await stage.process(*records, seconds=QUIET_SECONDS + 1)

    ended = [one for one in stage.dispatches if one.final]
    assert ONE_BY_ONE + 1 == len(stage.letters)
    assert FLOOD == records_in(stage.letters)
    assert 3 == len(ended)
    assert {Status.SENT} == {one.status for dispatch in ended for one in dispatch.recipients}


async def test_two_kinds_in_turn_are_two_ranges(stage: Stage) -> None:
    """A producer that alternates between two kinds causes no more letters."""
    records = [invalid_record(stage, value=(b"{}", b"no JSON")[number % 2]) for number in range(4 * ONE_BY_ONE)]

    await stage.process(*records, seconds=QUIET_SECONDS + 1)

    assert 2 * (ONE_BY_ONE + 1) == len(stage.letters)
    assert 4 * ONE_BY_ONE == records_in(stage.letters)


async def test_nothing_is_committed_past_a_range_that_is_not_durable(stage: Stage) -> None:
    """The lanes have finished the records, yet the next owner would read them again."""
    records = [invalid_record(stage) for _ in range(FLOOD)]
    await stage.process(*records, seconds=QUIET_SECONDS / 2)

    before = stage.assignment.lanes.committable()
    stage.publisher.will_fail(*[Failure(NotPublished(), durable=False)] * 3)
    await stage.clock.advance(QUIET_SECONDS)
    while_it_fails = stage.assignment.lanes.committable()
    await stage.clock.advance(10)

    assert {PLACE: ONE_BY_ONE} == before == while_it_fails
    assert {PLACE: FLOOD} == stage.assignment.lanes.committable()


async def test_an_open_range_of_a_revoked_partition_is_not_written(stage: Stage) -> None:
    """The next owner begins at its first record."""
    await stage.process(*(invalid_record(stage) for _ in range(FLOOD)), seconds=QUIET_SECONDS / 2)

    closing = asyncio.create_task(stage.assignment.close(1))
    await stage.clock.advance(2)
    await closing

    assert ONE_BY_ONE == len(stage.letters)
    assert {PLACE: ONE_BY_ONE} == stage.assignment.lanes.committable()


async def test_many_unreadable_batches_become_a_range(stage: Stage) -> None:
    """A letter for each batch would cost as much as one for each record."""
    missing = MissingRecords(stage.processor.dead_letters, AsyncMock(), stage.clock)
    for first in range(0, 2 * FLOOD, 2):
        passed = Unreadable(PLACE, first, first + 2, "a corrupt record")
        missing.report_unreadable(stage.assignment, passed)

    await stage.clock.advance(QUIET_SECONDS + 1)

    *_, last = stage.letters
    assert ONE_BY_ONE + 1 == len(stage.letters)
    assert 2 * FLOOD == records_in(stage.letters)
    assert DeadLetterReason.UNREADABLE_BATCH == last.reason
    assert 2 * FLOOD - 1 == last.last_offset
    assert {PLACE: 2 * FLOOD} == stage.assignment.lanes.committable()


async def test_slow_invalid_records_are_written_singly(stage: Stage) -> None:
    """A producer with a rare error gets a letter for each record, however long the error lasts."""
    for _ in range(2 * ONE_BY_ONE):
        await stage.process(invalid_record(stage), seconds=1 / ONE_BY_ONE_A_SECOND)

    assert 2 * ONE_BY_ONE == len(stage.letters)


async def test_an_endless_flood_is_reported(stage: Stage) -> None:
    """A range ends after its maximum time, so that commits go on."""
    for _ in range(int(1.5 * LONGEST_SECONDS / (QUIET_SECONDS / 2))):
        await stage.process(*(invalid_record(stage) for _ in range(20)), seconds=QUIET_SECONDS / 2)

    ranges = [letter for letter in stage.letters if letter.last_offset is not None]
    assert len(ranges) >= 1
    assert stage.assignment.lanes.committable()[PLACE] >= ranges[-1].last


def letter_at(offset: int) -> DeadLetter:
    """Return the dead letter of a record at *offset*."""
    origin = Origin(topic=PLACE.topic, partition=PLACE.partition, offset=offset, appended_at=NOW)
    return DeadLetter(NotAnEventReason.INVALID_DATA, origin, b"key", b"{}", [], "data: is missing")


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 1000), st.floats(0, 2)), min_size=1, max_size=50, unique_by=lambda one: one[0])
)
def test_a_range_counts_and_spans_what_was_added(added: list[tuple[int, float]]) -> None:
    """The order of the letters does not matter, and the range ends within its maximum time."""
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
    """A range of one record names no range."""
    ranges = Ranges()

    ranges.add(KIND, letter_at(7), 0.0)

    assert letter_at(7) == ranges.close(KIND).letter
