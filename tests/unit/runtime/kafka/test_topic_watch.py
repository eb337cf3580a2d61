"""Notice that a followed topic is another one."""

from __future__ import annotations

from io import BytesIO
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError, TopicAuthorizationFailedError
from aiokafka.protocol.metadata import MetadataResponse_v5
from aiokafka.protocol.offset import OffsetRequest

from runtime.kafka.metadata import MetadataRequest_v12, MetadataResponse, TopicsRequest
from runtime.kafka.records import Place
from runtime.kafka.topic_watch import ANEW, GONE, SHORTER, Looked, TopicRecreated, TopicWatch
from tests.waiting import until

TOPIC = "mentor.pauses.v1"
PLACE = Place(TOPIC, 2)
FIRST, SECOND = bytes(15) + b"\x01", bytes(15) + b"\x02"
_UNKNOWN_TOPIC, _NOT_ALLOWED, _NO_LEADER = 3, 29, 5


def metadata(code: int, topic_id: bytes) -> MetadataResponse:
    """Return a broker's response about the topic."""
    return MetadataResponse(
        0, [(1, "host", 9092, None, {})], "cluster", 1, [(code, TOPIC, topic_id, False, [], 0, {})], {}
    )


class FakeClient:
    """A client of one broker, whose responses a test chooses."""

    def __init__(self) -> None:
        self.topic_id = FIRST
        self.code = 0
        self.start, self.end, self.offsets_code = 0, 100, 0
        self.error: Exception | None = None
        self.old = False
        self.refreshed = 0
        self.cluster = SimpleNamespace(leader_for_partition=lambda _: 1)

    def get_random_node(self) -> int:
        """Return the broker."""
        return 1

    async def send(self, node: int, request: Any, *, group: str) -> Any:
        """Answer."""
        assert 1 == node
        assert "topic-ids" == group
        if self.error is not None:
            raise self.error
        if isinstance(request, OffsetRequest):
            ((topic, ((number, which),)),) = request._topics
            offset = self.end if which == -1 else self.start
            return SimpleNamespace(topics=[(topic, [(number, self.offsets_code, -1, offset, 0)])])
        if self.old:
            return MetadataResponse_v5(0, [], "cluster", 1, [(self.code, TOPIC, False, [])])
        return metadata(self.code, self.topic_id)

    async def force_metadata_update(self) -> None:
        """Count the call."""
        self.refreshed += 1


class Watching:
    """A watch, and its clock."""

    def __init__(self) -> None:
        self.client = FakeClient()
        self.now = 0.0
        self.watch = TopicWatch(lambda: self.client, monotonic=lambda: self.now)

    async def look(self, position: int = 50) -> Looked:
        """Advance to the next look, and return its result."""
        self.now += 5
        assert Looked() == self.watch.look({PLACE: position})
        looking = self.watch._looking
        assert looking is not None
        await until(looking.done, what="the look")
        return self.watch.look({PLACE: position})

    async def how(self, position: int = 50) -> str | None:
        """Look, and return how the topic has changed."""
        changed = (await self.look(position)).changed
        return None if changed is None else changed.how


@pytest.fixture(name="watching")
def _watching() -> Watching:
    return Watching()


async def test_another_id_is_another_topic(watching: Watching) -> None:
    """The first look reports it, once, and the client refreshes its metadata."""
    await watching.watch.identify([TOPIC])
    watching.client.topic_id = SECOND

    assert [ANEW, 1] == [await watching.how(), watching.client.refreshed]
    with pytest.raises(TopicRecreated, match=r"mentor\.pauses\.v1 was made anew"):
        await watching.watch.check([TOPIC])

    await watching.watch.identify([TOPIC])
    assert [None, SECOND.hex()] == [await watching.how(), watching.watch.id_of(TOPIC)]


async def test_the_first_look_is_made_at_once(watching: Watching) -> None:
    """A topic that is created again in the first seconds is noticed, too."""
    watching.watch.look({PLACE: 0})
    await until(lambda: watching.watch.id_of(TOPIC), what="the first look")

    assert FIRST.hex() == watching.watch.id_of(TOPIC)


async def test_the_first_look_identifies_a_topic(watching: Watching) -> None:
    """The first look identifies it."""
    assert [None, FIRST.hex()] == [await watching.how(), watching.watch.id_of(TOPIC)]


@pytest.mark.parametrize(
    ("changes", "how"), [({"code": _UNKNOWN_TOPIC}, GONE), ({"end": 49}, SHORTER)], ids=["gone", "shorter"]
)
async def test_one_brokers_finding_counts_when_it_is_repeated(
    watching: Watching, changes: dict[str, int], how: str
) -> None:
    """A broker may lag behind the others."""
    await watching.watch.identify([TOPIC])
    vars(watching.client).update(changes)

    assert [None, how] == [await watching.how(), await watching.how()]


async def test_a_finding_that_is_not_repeated_is_forgotten(watching: Watching) -> None:
    """Only two findings in a row count."""
    for code in (_UNKNOWN_TOPIC, 0, _UNKNOWN_TOPIC):
        watching.client.code = code
        assert None is await watching.how()


@pytest.mark.parametrize("error", [KafkaConnectionError("gone"), TimeoutError(), OSError()])
async def test_a_look_that_fails_finds_nothing(watching: Watching, error: Exception) -> None:
    """The follower reports that Kafka is away; the next look happens in time."""
    await watching.watch.identify([TOPIC])
    watching.client.error = error
    assert Looked() == await watching.look()

    watching.client.error, watching.client.topic_id = None, SECOND
    assert ANEW == await watching.how()


async def test_brokers_without_ids_are_watched_by_their_ends(watching: Watching) -> None:
    """A topic that is shorter than what was read of it is another topic."""
    watching.client.topic_id = bytes(16)
    watching.client.end = 10

    assert [None, SHORTER] == [await watching.how(), await watching.how()]


async def test_without_a_leader_the_end_is_unknown(watching: Watching) -> None:
    """Without a leader the end is unknown, not zero."""
    watching.client.offsets_code, watching.client.end = _NO_LEADER, -1

    assert [None, None] == [await watching.how(), await watching.how()]


async def test_where_logs_begin(watching: Watching) -> None:
    """A look reports the first offsets, for callers that must know of deleted records."""
    watching.client.start = 60

    assert Looked(None, {PLACE: 60}, {PLACE: 100}) == await watching.look(50)


async def test_a_missing_right(watching: Watching) -> None:
    """Without the right to describe a topic, nothing is concluded about it."""
    watching.client.code, watching.client.topic_id = _NOT_ALLOWED, bytes(16)

    with pytest.raises(TopicAuthorizationFailedError):
        await watching.watch.identify([TOPIC])


async def test_brokers_that_cannot_tell(watching: Watching) -> None:
    """A broker older than topic ids tells none."""
    watching.client.old = True
    await watching.watch.identify([TOPIC])

    assert None is watching.watch.id_of(TOPIC)


async def test_stopped_during_a_look(watching: Watching) -> None:
    """No task is left."""
    watching.now = 5
    watching.watch.look({PLACE: 1})
    await watching.watch.stop()

    assert Looked() == watching.watch.look({PLACE: 1})


def test_the_wire() -> None:
    """Request and response are Kafka's Metadata version 12."""
    request = TopicsRequest([TOPIC]).build(MetadataRequest_v12)
    answer = metadata(0, FIRST)

    assert b"\x02" + bytes(16) + b"\x11mentor.pauses.v1\x00\x00\x01\x00" == request.encode()
    assert [(0, TOPIC, FIRST, False, [], 0, {})] == MetadataResponse.decode(BytesIO(answer.encode())).topics
