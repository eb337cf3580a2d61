"""Where an assignment starts."""

from __future__ import annotations

import asyncio

import pytest
from prometheus_client import CollectorRegistry

from consumers.assignment.membership import Committed, Membership
from consumers.assignment.start_offsets import StartOffset, StartOffsets, start_offset
from consumers.metrics import replica_metrics
from runtime.kafka.records import Place
from runtime.kafka.topic_watch import ANEW, TopicRecreated
from runtime.kafka.topics import Topics
from schemas.events import PAUSES_TOPIC
from tests.fakes.clock import FakeClock

PLACE = Place(PAUSES_TOPIC, 3)
OURS, OTHER = "id-1", "id-2"
ANOTHER = "it was committed for an earlier topic of this name"
BEYOND = "it lies beyond the end"


@pytest.mark.parametrize(
    ("committed", "topic_id", "expected"),
    [
        (None, OURS, StartOffset(10)),
        (Committed(50, OURS), OURS, StartOffset(50, committed=True)),
        (Committed(100, OURS), OURS, StartOffset(100, committed=True)),
        (Committed(4, OURS), OURS, StartOffset(10, committed=True, deleted=6)),
        (Committed(101, OURS), OURS, StartOffset(100, committed=True, wrong="the log lost its end")),
        (Committed(50, OTHER), OURS, StartOffset(10, wrong=ANOTHER)),
        (Committed(4, OTHER), OURS, StartOffset(10, wrong=ANOTHER)),
        (Committed(101, OTHER), OURS, StartOffset(10, wrong=ANOTHER)),
        (Committed(50), OURS, StartOffset(50, committed=True)),
        (Committed(50, OURS), None, StartOffset(50, committed=True)),
        (Committed(4), OURS, StartOffset(10, committed=True, deleted=6)),
        (Committed(101), OURS, StartOffset(10, wrong=BEYOND)),
        (Committed(101, OURS), None, StartOffset(10, wrong=BEYOND)),
    ],
)
def test_where_to_start(committed: Committed | None, topic_id: str | None, expected: StartOffset) -> None:
    """In a log from 10 to before 100: at this topic's committed offset, else at the beginning."""
    assert expected == start_offset(committed, topic_id=topic_id, first=10, end=100)


def test_deleted_records_are_not_processed() -> None:
    """They are before the start offset, and nobody has read them."""
    assert 4 == StartOffset(10, committed=True, deleted=6).seen_up_to


class FakeGroup(Membership):
    """A group whose topics change as the test sets them."""

    def __init__(self) -> None:
        self.ids: dict[str, str] = dict.fromkeys(Topics().events, "first")
        self.missing: list[frozenset[str]] = [frozenset()]
        """The missing topics, one answer after another; the last is repeated."""
        self.changed: TopicRecreated | None = None
        self.offset: Committed | None = None
        self.rejoined = 0

    async def identify(self) -> frozenset[str]:
        """Return the missing topics; raise if one has changed."""
        if self.changed is not None:
            raise self.changed
        return self.missing.pop(0) if len(self.missing) > 1 else self.missing[0]

    def look(self) -> None:
        """Raise if a topic has changed."""
        if self.changed is not None:
            raise self.changed

    def id_of(self, topic: str) -> str | None:
        """Return its id."""
        return self.ids.get(topic)

    def rejoin(self) -> None:
        """Count it."""
        self.rejoined += 1

    async def committed(self, _place: Place) -> Committed | None:
        """Return what was committed."""
        return self.offset


class Log:
    """A log that holds the offsets from 10 to before 100; an Offsets."""

    async def first_offset(self, _place: Place) -> int:
        """Return the first."""
        return 10

    async def end_offset(self, _place: Place) -> int:
        """Return the end."""
        return 100


class Finder:
    """Start offsets over a fake group."""

    def __init__(self) -> None:
        self.membership, self.clock = FakeGroup(), FakeClock()
        self.metrics = replica_metrics(CollectorRegistry())
        self.start_offsets = StartOffsets(self.membership, Log(), self.clock, Topics(), self.metrics)

    async def find(self) -> dict[Place, StartOffset] | None:
        """Find the start offsets, and let the pauses pass."""
        searching = asyncio.create_task(self.start_offsets.find([PLACE]))
        await self.clock.advance(2)
        return await searching

    @property
    def reports(self) -> float:
        """Return how often a change of the topic was counted."""
        return float(self.metrics.topic_changes.labels(topic=PLACE.topic)._value.get())


@pytest.fixture(name="finder")
def _finder() -> Finder:
    return Finder()


async def test_an_offset_of_an_earlier_topic_is_reported(finder: Finder) -> None:
    """The topic may have been recreated while no replica ran."""
    finder.membership.offset = Committed(50, "an earlier one")

    assert {PLACE: StartOffset(10, end=100, wrong=ANOTHER)} == await finder.find()
    assert 1 == finder.reports


async def test_a_topic_that_changed_between_two_assignments_is_reported_once(finder: Finder) -> None:
    """The group may have assigned it again before the next check."""
    await finder.find()
    finder.membership.ids[PLACE.topic] = "second"

    assert {PLACE: StartOffset(10, end=100)} == await finder.find()
    await finder.find()
    assert 1 == finder.reports
    assert 0 == finder.membership.rejoined


async def test_a_topic_that_changed_since_its_assignment_is_assigned_again(finder: Finder) -> None:
    """Nothing is read from the old offsets, and the change is reported once."""
    await finder.find()
    finder.membership.changed = TopicRecreated(PLACE.topic, ANEW)
    assert None is await finder.find()

    finder.membership.changed = None
    finder.membership.ids[PLACE.topic] = "second"
    await finder.find()
    assert 1 == finder.reports
    assert 1 == finder.membership.rejoined


async def test_a_missing_topic_is_reported_once_and_awaited(finder: Finder) -> None:
    """As soon as it exists, everything is assigned again."""
    finder.membership.missing = [frozenset({PLACE.topic})]
    await finder.find()
    await finder.find()
    assert 1 == finder.reports
    assert {PLACE.topic} == finder.start_offsets.missing

    watching = asyncio.create_task(finder.start_offsets.watch())
    await finder.clock.advance(1)
    assert 0 == finder.membership.rejoined
    finder.membership.missing = [frozenset()]
    await finder.clock.advance(1)
    await finder.find()
    assert 1 == finder.membership.rejoined
    assert not finder.start_offsets.missing
    watching.cancel()
    await asyncio.wait([watching])


async def test_one_lagging_broker_reports_nothing(finder: Finder) -> None:
    """A topic is missing only if it is missing in two answers."""
    finder.membership.missing = [frozenset({PLACE.topic}), frozenset()]
    await finder.find()

    assert 0 == finder.reports
    assert not finder.start_offsets.missing
