"""Fetching around unreadable batches, over a consumer that behaves as badly as aiokafka's."""

from __future__ import annotations

import asyncio
import itertools
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import ConsumerStoppedError, CorruptRecordException, TopicAuthorizationFailedError
from aiokafka.structs import TopicPartition

from runtime.kafka.fetching import READS_BEFORE_PASSING, Fetched, Fetching, Unreadable
from runtime.kafka.records import Place

BAD, NEIGHBOUR = Place("pauses", 0), Place("certifications", 0)


@dataclass
class Log:
    """One partition: batches of offsets, some of them unreadable."""

    end: int
    unreadable: list[range] = field(default_factory=list)

    def batch_of(self, offset: int) -> range | None:
        """Give the unreadable batch that an offset lies in."""
        return next((batch for batch in self.unreadable if offset in batch), None)


class Headers:
    """The client of a consumer as far as the end of a batch is asked of it: unless *told*, no broker is known."""

    def __init__(self, logs: dict[Place, Log]) -> None:
        self._logs = logs
        self.told = False
        self.cluster = SimpleNamespace(leader_for_partition=lambda _tp: 1 if self.told else None)

    async def send(self, _leader: int, request: Any) -> SimpleNamespace:
        """Give the headers of the batch that was asked for; a sound record is a batch of its own."""
        ((topic, ((partition, offset, _),)),) = request.topics
        log = self._logs[Place(topic, partition)]
        batch = log.batch_of(offset) or range(offset, offset + 1)
        header = struct.pack(">qiibIhi", batch[0], 0, 0, 2, 0, 0, len(batch) - 1)
        return SimpleNamespace(
            topics=[(topic, [(partition, 0, log.end, log.end, [], header if offset < log.end else b"")])]
        )


class BadConsumer:
    """
    An AIOKafkaConsumer as far as Fetching uses it, with its flaw.

    `getmany` advances partition by partition and raises at an unreadable one: what it took before that is gone, of the
    same partition as well.
    """

    def __init__(self, logs: dict[Place, Log], *, error: type[Exception] = CorruptRecordException) -> None:
        self._logs = logs
        self._error = error
        self._client = Headers(logs)
        self._next: dict[TopicPartition, int] = {}
        self.empty_after: tuple[Place, int] | None = None
        """A seek after which some calls bring nothing."""
        self.empty_answers = 0
        self.on_error: Callable[[], object] = lambda: None
        """Called whenever a batch cannot be read."""

    def seek(self, tp: TopicPartition, offset: int) -> None:
        """Go on at *offset*."""
        self._next[tp] = offset
        if self.empty_after == (Place(*tp), offset):
            self.empty_answers = 5

    async def getmany(
        self,
        *tps: TopicPartition,
        timeout_ms: int,  # noqa: ARG002 - aiokafka's signature
        max_records: int | None,
    ) -> dict[TopicPartition, list[Any]]:
        """Take from one partition after the other; raises at a batch that cannot be read."""
        await asyncio.sleep(0)
        if self.empty_answers:
            self.empty_answers -= 1
            return {}
        return {tp: self._take(tp, max_records) for tp in tps}

    def _take(self, tp: TopicPartition, max_records: int | None) -> list[Any]:
        log = self._logs[Place(*tp)]
        records: list[Any] = []
        while self._next[tp] < log.end and (max_records is None or len(records) < max_records):
            offset = self._next[tp]
            if log.batch_of(offset) is not None:
                self.on_error()
                raise self._error
            records.append(
                SimpleNamespace(
                    topic=tp.topic, partition=tp.partition, offset=offset, key=b"k", value=b"v", headers=(), timestamp=1
                )
            )
            self._next[tp] += 1
        return records

    async def end_offsets(self, tps: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """Give the ends."""
        return {tp: self._logs[Place(*tp)].end for tp in tps}


def passed_in(fetches: Iterable[Fetched]) -> list[Unreadable]:
    """Give what was passed over, in order."""
    return [unreadable for fetched in fetches for unreadable in fetched.unreadable]


def fetching(consumer: BadConsumer, *places: Place) -> Fetching:
    """Make a Fetching that begins at the beginnings."""
    made = Fetching(consumer)
    for place in places:
        made.seek(place, 0)
    return made


async def fetch_times(under_test: Fetching, places: list[Place], times: int) -> list[Fetched]:
    """Fetch so often and give what each fetch brought."""
    return [await under_test.fetch(places, timeout_ms=1, max_records=100) for _ in range(times)]


def offsets(fetches: Iterable[Fetched], place: Place) -> list[int]:
    """Give the offsets brought of a place, in order."""
    return [record.offset for fetched in fetches for record in fetched.records.get(place, [])]


@pytest.mark.parametrize("error", [CorruptRecordException, ValueError, RuntimeError, AssertionError])
@pytest.mark.parametrize("places", [[NEIGHBOUR, BAD], [BAD, NEIGHBOUR]], ids=["before", "behind"])
async def test_an_unreadable_batch_costs_its_neighbours_nothing(places: list[Place], error: type[Exception]) -> None:
    """Whatever a codec raises, each record of another partition is brought once."""
    logs = {BAD: Log(end=4, unreadable=[range(4)]), NEIGHBOUR: Log(end=6)}
    under_test = fetching(BadConsumer(logs, error=error), *places)

    fetches = await fetch_times(under_test, places, READS_BEFORE_PASSING + 1)

    assert [*range(6)] == offsets(fetches, NEIGHBOUR)


@pytest.mark.parametrize("told", [False, True], ids=["probed", "told by its header"])
async def test_exactly_the_batch_is_passed_over(*, told: bool) -> None:
    """On the third fetch that cannot read a batch its offsets are named, and all records around it are brought once."""
    consumer = BadConsumer({BAD: Log(end=10, unreadable=[range(3, 7)]), NEIGHBOUR: Log(end=2)})
    consumer._client.told = told
    under_test = fetching(consumer, BAD, NEIGHBOUR)

    fetches = await fetch_times(under_test, [BAD, NEIGHBOUR], READS_BEFORE_PASSING)
    passed = passed_in(fetches[-1:])
    fetches += await fetch_times(under_test, [BAD, NEIGHBOUR], 2)

    assert [Unreadable(BAD, 3, 7, "CorruptRecordException")] == passed == passed_in(fetches)
    assert ([0, 1, 2, 7, 8, 9], 10) == (offsets(fetches, BAD), under_test.position(BAD))


async def test_the_sound_records_before_a_batch_come_with_its_first_failure() -> None:
    """A batch that cannot be read holds nothing back that lies before it, within what was asked for."""
    under_test = fetching(BadConsumer({BAD: Log(end=10, unreadable=[range(6, 10)])}), BAD)

    first = await under_test.fetch([BAD], timeout_ms=1, max_records=4)
    second = await under_test.fetch([BAD], timeout_ms=1, max_records=4)

    assert ([0, 1, 2, 3], [4, 5]) == (offsets([first], BAD), offsets([second], BAD))


async def test_what_a_broker_refuses_is_not_passed_over() -> None:
    """Records that may not be read just now are still there to be read later."""
    log = Log(end=4, unreadable=[range(4)])
    under_test = fetching(BadConsumer({BAD: log}, error=TopicAuthorizationFailedError), BAD)

    refused = await fetch_times(under_test, [BAD], READS_BEFORE_PASSING + 2)
    log.unreadable = []
    allowed = await fetch_times(under_test, [BAD], 1)

    assert ([], [0, 1, 2, 3]) == (passed_in(refused), offsets(allowed, BAD))


@pytest.mark.parametrize("at", [1, 2, 3])
async def test_a_place_that_goes_meanwhile_takes_no_records_of_others_with_it(at: int) -> None:
    """What was brought of one place is given although another was taken away during the same fetch."""
    consumer = BadConsumer({BAD: Log(end=4, unreadable=[range(4)]), NEIGHBOUR: Log(end=2)})
    under_test = fetching(consumer, NEIGHBOUR, BAD)
    errors = itertools.count(1)
    consumer.on_error = lambda: under_test.forget([BAD]) if next(errors) == at else None

    fetches = await fetch_times(under_test, [NEIGHBOUR, BAD], 2)

    assert ([0, 1], []) == (offsets(fetches, NEIGHBOUR), passed_in(fetches))


async def test_a_batch_that_becomes_readable_is_not_passed_over() -> None:
    """Two failed reads are forgiven: what can be read the third time is brought, and the count begins anew."""
    bad = Log(end=4, unreadable=[range(4)])
    under_test = fetching(BadConsumer({BAD: bad}), BAD)

    failed = await fetch_times(under_test, [BAD], READS_BEFORE_PASSING - 1)
    bad.unreadable = []
    mended = await fetch_times(under_test, [BAD], 1)
    bad.end, bad.unreadable = 8, [range(4, 8)]
    failed += await fetch_times(under_test, [BAD], READS_BEFORE_PASSING - 1)

    assert ([], [0, 1, 2, 3]) == (offsets(failed, BAD), offsets(mended, BAD))
    assert [] == [unreadable for fetched in [*failed, *mended] for unreadable in fetched.unreadable]


async def test_an_unreadable_end_of_the_log() -> None:
    """A batch with nothing behind it is passed over to the log's end, and what is appended later is brought."""
    bad = Log(end=4, unreadable=[range(2, 4)])
    under_test = fetching(BadConsumer({BAD: bad}), BAD)

    fetches = await fetch_times(under_test, [BAD], 1 + READS_BEFORE_PASSING)
    bad.end = 6
    fetches += await fetch_times(under_test, [BAD], 1)

    passed = [unreadable for fetched in fetches for unreadable in fetched.unreadable]
    assert [Unreadable(BAD, 2, 4, "CorruptRecordException")] == passed
    assert [0, 1, 4, 5] == offsets(fetches, BAD)


async def test_two_unreadable_batches_with_one_record_between() -> None:
    """Each unreadable batch is passed over by itself; the record between them is brought."""
    bad = Log(end=8, unreadable=[range(3), range(4, 8)])
    under_test = fetching(BadConsumer({BAD: bad}), BAD)

    fetches = await fetch_times(under_test, [BAD], 3 * READS_BEFORE_PASSING)

    passed = [(one.first, one.next_offset) for fetched in fetches for one in fetched.unreadable]
    assert ([(0, 3), (4, 8)], [3]) == (passed, offsets(fetches, BAD))


async def test_answers_without_news_are_waited_for() -> None:
    """While the end of a bad batch is looked for, an empty answer is no sign of anything."""
    consumer = BadConsumer({BAD: Log(end=4, unreadable=[range(2)])})
    consumer.empty_after = (BAD, 1)
    under_test = fetching(consumer, BAD)

    fetches = await fetch_times(under_test, [BAD], READS_BEFORE_PASSING + 1)

    assert [(0, 2)] == [(one.first, one.next_offset) for fetched in fetches for one in fetched.unreadable]
    assert ([2, 3], 0) == (offsets(fetches, BAD), consumer.empty_answers)


@pytest.mark.parametrize("error", [ConsumerStoppedError, asyncio.CancelledError])
async def test_an_end_is_no_unreadable_batch(error: type[Exception]) -> None:
    """A stopped consumer and a cancellation pass through."""
    under_test = fetching(BadConsumer({BAD: Log(end=1, unreadable=[range(1)])}, error=error), BAD)

    with pytest.raises(error):
        await under_test.fetch([BAD], timeout_ms=1)


async def test_what_was_brought_before_a_seek_is_not_brought_again() -> None:
    """A fetch that was under way before a seek brings records twice; ours are brought once."""
    consumer = BadConsumer({BAD: Log(end=6)})
    under_test = fetching(consumer, BAD)
    first = await under_test.fetch([BAD], timeout_ms=1, max_records=4)
    consumer.seek(TopicPartition(*BAD), 2)

    second = await under_test.fetch([BAD], timeout_ms=1, max_records=100)

    assert [0, 1, 2, 3, 4, 5] == offsets([first, second], BAD)


async def test_a_place_that_was_forgotten_is_not_fetched() -> None:
    """Places are fetched from as long as they are followed."""
    under_test = fetching(BadConsumer({BAD: Log(end=6), NEIGHBOUR: Log(end=1)}), BAD, NEIGHBOUR)

    under_test.forget([BAD])
    fetched = await under_test.fetch([BAD, NEIGHBOUR], timeout_ms=1)

    assert ([], [0], None) == (offsets([fetched], BAD), offsets([fetched], NEIGHBOUR), under_test.position(BAD))
