"""Events of slow sources: they let others go first, take no room from them, and keep their mentor's order."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator

import pytest

from runtime.kafka.records import Place, Record
from schemas.cloudevents import encode_structured
from schemas.events import PAUSES_TOPIC
from schemas.placement import partition_for
from tests.fakes.kafka_log import PARTITIONS
from tests.unit.consumers.stage import NUMBER, Stage, a_stage, event_of

BULK, OTHER = "/bulk", "/other"
BACKLOG = 20
MENTORS = list(
    itertools.islice((m for n in itertools.count() if partition_for(m := f"m-{n}", PARTITIONS) == NUMBER), BACKLOG + 1)
)
*BULKS, URGENT = MENTORS
LAST = BULKS[-1]
_IDS = itertools.count()


@pytest.fixture(name="stage")
async def _stage() -> AsyncIterator[Stage]:
    """Yield a stage that sends one e-mail a second, and whose backlog of slow events waits."""
    async with a_stage(slow_sources=frozenset({BULK})) as stage:
        stage.gate.set_share(0, 1)
        stage.gate.set_account_rate(1)
        for mentor in MENTORS:
            stage.add_mentor(mentor)
        await stage.process(*(of(stage, mentor, source=BULK) for mentor in BULKS), seconds=0)
        yield stage


def of(stage: Stage, mentor: str, *, source: str) -> Record:
    """Append an event of a mentor who has no coordinator."""
    event = event_of(mentor_id=mentor, source=source, event_id=f"{next(_IDS)}")
    return stage.append(event, key=mentor.encode())


def structured(stage: Stage, mentor: str, *, source: str) -> Record:
    """Append the same in structured mode."""
    encoded = encode_structured(event_of(mentor_id=mentor, source=source, event_id=f"{next(_IDS)}"))
    place = Place(encoded.topic, NUMBER)
    return stage.put(place, key=encoded.key, value=encoded.value, headers=tuple(encoded.headers))


def sent(stage: Stage) -> list[str]:
    """Return who was sent an e-mail, in order."""
    return [email.to.partition("@")[0] for email in stage.sender.accepted]


async def seconds_of_sending(stage: Stage, seconds: float) -> None:
    """Let the gate work."""
    stage.gate.set_share(1, 1)
    await stage.clock.advance(seconds)


async def test_others_go_first(stage: Stage) -> None:
    """An event of another source passes the backlog."""
    await stage.process(of(stage, URGENT, source=OTHER), seconds=0)
    await seconds_of_sending(stage, 2.5)

    assert [URGENT, BULKS[0]] == sent(stage)


async def test_slow_events_alone_use_the_whole_rate(stage: Stage) -> None:
    """They are sent in the order of the log, each as soon as the rate allows."""
    await seconds_of_sending(stage, BACKLOG + 0.5)

    assert BULKS == sent(stage)


async def test_slow_events_that_wait_are_parked(stage: Stage) -> None:
    """They take up no room of the records that come behind them, until they are sent."""
    assert BACKLOG == stage.assignment.lanes.parked_of(Place(PAUSES_TOPIC, NUMBER))

    await seconds_of_sending(stage, BACKLOG + 2)
    assert 0 == stage.assignment.lanes.parked_of(Place(PAUSES_TOPIC, NUMBER))


async def test_an_event_behind_a_slow_one_of_its_mentor_hastens_it(stage: Stage) -> None:
    """The mentor's order holds, and the later event does not wait for all of the backlog."""
    await stage.process(of(stage, LAST, source=OTHER), seconds=0)
    await seconds_of_sending(stage, 3.5)

    assert [LAST, LAST, BULKS[0]] == sent(stage)


async def test_all_slow_ones_before_it_are_hastened(stage: Stage) -> None:
    """Also those that come to the gate only when the one before them is sent."""
    await stage.process(of(stage, LAST, source=BULK), of(stage, LAST, source=OTHER), seconds=0)
    await seconds_of_sending(stage, 4.5)

    assert [LAST, LAST, LAST, BULKS[0]] == sent(stage)


async def test_a_further_slow_event_hastens_nothing(stage: Stage) -> None:
    """A bulk publish with several events of a mentor stays slow."""
    await stage.process(of(stage, LAST, source=BULK), seconds=0)
    await seconds_of_sending(stage, 2.5)

    assert [*BULKS[:2]] == sent(stage)


async def test_an_event_in_structured_mode_behind_a_slow_one_waits(stage: Stage) -> None:
    """Its source is not known before its turn; it is sent all the same, and in order."""
    await stage.process(structured(stage, LAST, source=OTHER), seconds=0)
    await seconds_of_sending(stage, BACKLOG + 2)

    assert [*BULKS, LAST] == sent(stage)


async def test_a_structured_event_of_a_slow_source_is_slow(stage: Stage) -> None:
    """The source counts, however the event is written."""
    await stage.process(structured(stage, URGENT, source=BULK), seconds=0)
    await seconds_of_sending(stage, 2.5)

    assert BULKS[:2] == sent(stage)


async def test_a_slow_event_is_cancelled_with_the_partition(stage: Stage) -> None:
    """What waits when the partition is revoked is left for the next owner: nothing is sent, nothing is parked."""
    await stage.assignment.close(1)

    assert 0 == stage.gate.waiting
    assert 0 == stage.assignment.lanes.parked_of(Place(PAUSES_TOPIC, NUMBER))
    assert BACKLOG == stage.assignment.lanes.held
