"""Creating topics on brokers that refuse: which refusals pass, and which are told at once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from runtime.kafka.topics import Topics, UnfitTopics, create_topics
from schemas.contacts import CONTACTS_TOPIC
from tests.fakes.clock import FakeClock

EXISTS, TIMED_OUT, NOT_CONTROLLER, FENCED, THROTTLED = 36, 7, 41, 38, 89
FORBIDDEN, INVALID_CONFIG, POLICY, UNKNOWN = 29, 40, 44, -1
SAID = "Unable to replicate the partition 1 time(s): All brokers are currently fenced."


class FakeBroker:
    """Answers an admin client: each creation of the contacts topic meets the next of these codes, the last for ever."""

    def __init__(self, *codes: int) -> None:
        self.codes = list(codes)
        self.asked: list[set[str]] = []
        """The topics that each request wanted to create."""
        self.known: set[str] = set()

    async def _send_request(self, _request: object, _node_id: int | None = None) -> SimpleNamespace:
        topics = [
            {"topic": name, "error_code": 0 if name in self.known else 3, "partitions": [{"replicas": [1]}]}
            for name in Topics().all
        ]
        return SimpleNamespace(to_object=lambda: {"topics": topics})

    async def describe_cluster(self) -> dict[str, Any]:
        """Return the one broker."""
        return {"brokers": [{"node_id": 1}]}

    async def create_topics(self, new: Sequence[NewTopic], **_options: object) -> SimpleNamespace:
        """Create all topics but the contacts, which meet the next code."""
        code = self.codes.pop(0) if len(self.codes) > 1 else self.codes[0]
        self.asked.append({topic.name for topic in new})
        self.known |= self.asked[-1] - ({CONTACTS_TOPIC} if code not in (0, EXISTS) else set())
        errors = [(topic.name, code if topic.name == CONTACTS_TOPIC else 0, SAID) for topic in new]
        return SimpleNamespace(topic_errors=errors)


async def creation(broker: FakeBroker, *, seconds: float) -> asyncio.Task[list[str]]:
    """Begin to create all topics within ten seconds, and let *seconds* pass."""
    clock = FakeClock()
    admin = cast(AIOKafkaAdminClient, broker)
    creating = create_topics(admin, Topics(), deadline_seconds=10, clock=clock, random=lambda: 0.5)
    task = asyncio.create_task(creating)
    await clock.advance(seconds)
    return task


@pytest.mark.parametrize("code", [TIMED_OUT, FENCED, NOT_CONTROLLER, THROTTLED])
async def test_a_refusal_that_passes_is_asked_again(code: int) -> None:
    """The only broker is fenced for a moment, for example: only what it refused is asked for again."""
    broker = FakeBroker(code, code, 0)
    created = await creation(broker, seconds=5)

    assert set(Topics().all) == set(await created)
    assert [set(Topics().all), {CONTACTS_TOPIC}, {CONTACTS_TOPIC}] == broker.asked


async def test_a_topic_that_an_attempt_made_without_an_answer_is_created() -> None:
    """A creation that timed out at the broker may have been done."""
    created = await creation(FakeBroker(TIMED_OUT, EXISTS), seconds=5)

    assert CONTACTS_TOPIC in await created


async def test_a_refusal_that_stays_is_told_at_the_deadline() -> None:
    """The error has the broker's own words."""
    broker = FakeBroker(FENCED)
    created = await creation(broker, seconds=9.9)
    assert not created.done()

    created = await creation(broker, seconds=10)
    with pytest.raises(UnfitTopics, match="All brokers are currently fenced"):
        await created


@pytest.mark.parametrize("code", [FORBIDDEN, INVALID_CONFIG, POLICY, EXISTS, UNKNOWN])
async def test_a_refusal_that_does_not_pass_is_told_at_once(code: int) -> None:
    """Rights, a policy and a wrong configuration need a person."""
    broker = FakeBroker(code)
    created = await creation(broker, seconds=0)

    assert 1 == len(broker.asked)
    with pytest.raises(UnfitTopics, match=CONTACTS_TOPIC):
        await created
