"""Where an assignment begins."""

from __future__ import annotations

import asyncio

import pytest
from prometheus_client import CollectorRegistry

from consumers.assignment.membership import Committed, Membership
from consumers.assignment.start_offsets import StartOffset, StartOffsets, beginning
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
def test_where_to_begin(committed: Committed | None, topic_id: str | None, expected: StartOffset) -> None:
    """In a log from 10 to before 100: where this topic was committed, else at its beginning."""
    assert expected == beginning(committed, topic_id=topic_id, first=10, end=100)


def test_what_was_seen() -> None:
    """Records that were deleted lie before the beginning, and were not seen."""
    assert 4 == StartOffset(10, committed=True, deleted=6).seen_up_to


class FakeGroup(Membership):
    """A group whose topics change as it is told."""

    def __init__(self) -> None:
        self.ids: dict[str, str] = dict.fromkeys(Topics().events, "first")
        self.missing: list[frozenset[str]] = [frozenset()]
        """What the brokers say is missing, one answer after the other; the last is said again."""
        self.changed: TopicRecreated | None = None
        self.offset: Committed | None = None
        self.rejoined = 0

    async def identify(self) -> frozenset[str]:
        """Return the missing topics; raise if one has changed."""
        if self.changed is not None:
            raise self.changed
        return self.missing.pop(0) if len(self.missing) > 1 else self.missing[0]

    def look(self) -> None:
        """Have a topic changed."""
        if self.changed is not None:
            raise self.changed

    def id_of(self, topic: str) -> str | None:
        """Return its id."""
        return self.ids.get(topic)

    def rejoin(self) -> None:
        """Note it."""
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


class Finding:
    """Beginnings over a fake group."""

    def __init__(self) -> None:
        self.membership, self.clock = FakeGroup(), FakeClock()
        self.metrics = replica_metrics(CollectorRegistry())
        self.start_offsets = StartOffsets(self.membership, Log(), self.clock, Topics(), self.metrics)

    async def find(self) -> dict[Place, StartOffset] | None:
        """Find where to begin, letting the pauses pass."""
        finding = asyncio.create_task(self.start_offsets.find([PLACE]))
        await self.clock.advance(2)
        return await finding

    @property
    def told(self) -> float:
        """Return how often it was told that the topic has changed."""
        return float(self.metrics.topic_changes.labels(topic=PLACE.topic)._value.get())


@pytest.fixture(name="finding")
def _finding() -> Finding:
    return Finding()


async def test_an_offset_of_an_earlier_topic_is_told(finding: Finding) -> None:
    """Nobody may have run when the topic was made anew."""
    finding.membership.offset = Committed(50, "an earlier one")

    assert {PLACE: StartOffset(10, wrong=ANOTHER)} == await finding.find()
    assert 1 == finding.told


async def test_a_topic_that_changed_between_two_assignments_is_told_once(finding: Finding) -> None:
    """The group may have assigned it anew before anybody looked."""
    await finding.find()
    finding.membership.ids[PLACE.topic] = "second"

    assert {PLACE: StartOffset(10)} == await finding.find()
    await finding.find()
    assert (1, 0) == (finding.told, finding.membership.rejoined)


async def test_a_topic_that_changed_since_it_was_assigned_is_assigned_anew(finding: Finding) -> None:
    """Nothing is read by offsets of before, and it is told once."""
    await finding.find()
    finding.membership.changed = TopicRecreated(PLACE.topic, ANEW)
    assert None is await finding.find()

    finding.membership.changed = None
    finding.membership.ids[PLACE.topic] = "second"
    await finding.find()
    assert (1, 1) == (finding.told, finding.membership.rejoined)


async def test_a_missing_topic_is_told_once_and_waited_for(finding: Finding) -> None:
    """As soon as it exists everything is assigned anew."""
    finding.membership.missing = [frozenset({PLACE.topic})]
    await finding.find()
    await finding.find()
    assert (1, frozenset({PLACE.topic})) == (finding.told, finding.start_offsets.missing)

    watching = asyncio.create_task(finding.start_offsets.watch())
    await finding.clock.advance(1)
    assert 0 == finding.membership.rejoined
    finding.membership.missing = [frozenset()]
    await finding.clock.advance(1)
    await finding.find()
    assert (1, frozenset()) == (finding.membership.rejoined, finding.start_offsets.missing)
    watching.cancel()
    await asyncio.wait([watching])


async def test_one_broker_that_lags_behind_tells_nothing(finding: Finding) -> None:
    """What is missing is asked for twice."""
    finding.membership.missing = [frozenset({PLACE.topic}), frozenset()]
    await finding.find()

    assert (0, frozenset()) == (finding.told, finding.start_offsets.missing)
