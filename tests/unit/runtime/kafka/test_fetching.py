"""Fetch around unreadable batches, with aiokafka's own parsing of the fetched bytes."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.consumer import fetcher
from aiokafka.errors import (
    ConsumerStoppedError,
    IllegalStateError,
    KafkaConnectionError,
    TopicAuthorizationFailedError,
)
from aiokafka.structs import TopicPartition

from runtime.kafka.checked_batches import CheckedRecords
from runtime.kafka.fetching import Fetched, Fetching, Unreadable
from runtime.kafka.records import Place
from tests.fakes.kafka_consumer import FakeBatches, FakeConsumer
from tests.hostile_batches import GZIP, ZSTD, batch, bomb, broken, message, record, sealed

BAD, NEIGHBOUR = Place("pauses", 0), Place("certifications", 0)
MIB = 1024 * 1024


def sound(*offsets: int) -> dict[int, bytes]:
    """Return a batch of one record for each offset."""
    return {offset: batch([record(0)], base=offset) for offset in offsets}


def no_text(first: int, last: int) -> dict[int, bytes]:
    """Return a batch with header names that are not text."""
    return {first: batch([record(n, headers=[(b"\xff", b"")]) for n in range(last - first + 1)], base=first)}


def wrong_checksum(first: int, last: int) -> dict[int, bytes]:
    """Return a batch with a wrong checksum."""
    return {first: broken(batch([record(n) for n in range(last - first + 1)], base=first))}


def fetching(consumer: FakeConsumer, *places: Place) -> Fetching:
    """Return a Fetching that starts at offset 0."""
    made = Fetching(consumer)
    for place in places:
        made.seek(place, 0)
    return made


async def fetch_times(under_test: Fetching, places: Sequence[Place], times: int) -> list[Fetched]:
    """Fetch a number of times, and return each result."""
    return [await under_test.fetch(places, timeout_ms=1, max_records=100) for _ in range(times)]


def offsets(fetches: Iterable[Fetched], place: Place = BAD) -> list[int]:
    """Return the offsets of a partition's records, in order."""
    return [one.offset for fetched in fetches for one in fetched.records.get(place, [])]


def skipped(fetches: Iterable[Fetched]) -> list[tuple[int, int]]:
    """Return the skipped ranges, in order: the first offset, and the one after the last."""
    return [(one.first, one.next_offset) for fetched in fetches for one in fetched.unreadable]


async def test_an_unreadable_batch_is_skipped_at_once() -> None:
    """One read is enough, the records around it arrive with the same fetch, and the gap is named."""
    log = FakeBatches(sound(0) | no_text(1, 3) | sound(4), end=5)
    under_test = fetching(FakeConsumer({BAD: log}), BAD)

    fetched = await under_test.fetch([BAD], timeout_ms=1, max_records=100)

    assert [Unreadable(BAD, 1, 4, "a header name that is not UTF-8")] == fetched.unreadable
    assert [0, 4] == offsets([fetched])
    assert 5 == under_test.position(BAD)
    assert 1 == log.reads


async def test_a_skipped_batch_is_reported() -> None:
    """A reader without dead letters reports what it skips."""
    told: list[Unreadable] = []
    under_test = Fetching(FakeConsumer({BAD: FakeBatches(no_text(0, 0), end=1)}), on_unreadable=told.append)
    under_test.seek(BAD, 0)

    fetched = await under_test.fetch([BAD], timeout_ms=1)

    assert fetched.unreadable == told != []


@pytest.mark.parametrize("codec", [GZIP, ZSTD])
async def test_a_bomb_costs_its_neighbours_nothing(codec: int) -> None:
    """A batch that decompresses beyond the bound is skipped."""
    logs = {BAD: FakeBatches({0: bomb(codec, 20 * MIB)} | sound(1), end=2), NEIGHBOUR: FakeBatches(sound(0, 1), end=2)}
    under_test = fetching(FakeConsumer(logs), BAD, NEIGHBOUR)

    fetches = await fetch_times(under_test, [BAD, NEIGHBOUR], 1)

    assert [1] == offsets(fetches)
    assert [0, 1] == offsets(fetches, NEIGHBOUR)
    assert [(0, 1)] == skipped(fetches)


async def test_what_exceeds_the_allowance_arrives_with_the_next_fetch() -> None:
    """What waits for the next fetch is not lost."""
    one = bomb(ZSTD, 15 * MIB)
    large = {base: sealed(bytearray(struct.pack(">q", base) + one[8:])) for base in range(5)}
    under_test = fetching(FakeConsumer({BAD: FakeBatches(large, end=5)}), BAD)

    fetches = await fetch_times(under_test, [BAD], 4)

    assert ([0, 1], [2, 3], [4], []) == tuple(offsets([fetched]) for fetched in fetches)


@pytest.mark.parametrize("places", [[NEIGHBOUR, BAD], [BAD, NEIGHBOUR]], ids=["before", "behind"])
async def test_a_wrong_checksum_is_skipped_at_the_second_read(places: list[Place]) -> None:
    """Only the batch is skipped, and each record around it and of its neighbours arrives once."""
    logs = {
        BAD: FakeBatches(sound(0, 1, 2) | wrong_checksum(3, 6) | sound(7, 8), end=9),
        NEIGHBOUR: FakeBatches(sound(*range(6)), end=6),
    }
    under_test = fetching(FakeConsumer(logs), *places)

    fetches = await fetch_times(under_test, places, 3)

    assert [[], [Unreadable(BAD, 3, 7, "a wrong checksum")], []] == [fetched.unreadable for fetched in fetches]
    assert [0, 1, 2] == offsets(fetches[:1])
    assert [7, 8] == offsets(fetches[1:])
    assert [*range(6)] == offsets(fetches, NEIGHBOUR)
    assert 9 == under_test.position(BAD)


async def test_a_batch_that_becomes_readable_is_not_skipped() -> None:
    """The second read returns the intact bytes, and a later fault is counted from zero."""
    log = FakeBatches(wrong_checksum(0, 0) | sound(1), end=2)
    under_test = fetching(FakeConsumer({BAD: log}), BAD)

    fetches = await fetch_times(under_test, [BAD], 1)
    log.batches = sound(0, 1)
    fetches += await fetch_times(under_test, [BAD], 1)
    log.batches, log.end = sound(0, 1) | wrong_checksum(2, 2) | sound(3), 4
    fetches += await fetch_times(under_test, [BAD], 1)

    assert [0, 1] == offsets(fetches)
    assert [] == skipped(fetches)


@pytest.mark.parametrize("has_leader", [False, True], ids=["offset by offset", "told by its header"])
async def test_the_end_of_the_log_with_a_wrong_checksum(*, has_leader: bool) -> None:
    """A batch at the end of the log is skipped, and records appended later arrive."""
    log = FakeBatches(sound(0, 1) | wrong_checksum(2, 3), end=4)
    consumer = FakeConsumer({BAD: log})
    consumer._client.has_leader = has_leader
    under_test = fetching(consumer, BAD)

    fetches = await fetch_times(under_test, [BAD], 5)
    log.batches, log.end = log.batches | sound(4, 5), 6
    fetches += await fetch_times(under_test, [BAD], 1)

    assert [0, 1, 4, 5] == offsets(fetches)
    assert [(2, 4)] == skipped(fetches) if has_leader else [(2, 3), (3, 4)] == skipped(fetches)


async def test_a_damaged_length_is_skipped_offset_by_offset() -> None:
    """If the end of a batch is unknown, its neighbours do not wait for its offsets."""
    damaged = bytearray(batch([record(0), record(1)]))
    damaged[8:12] = struct.pack(">i", -7)
    logs = {BAD: FakeBatches({0: bytes(damaged)} | sound(2), end=3), NEIGHBOUR: FakeBatches(sound(0), end=1)}
    under_test = fetching(FakeConsumer(logs), BAD, NEIGHBOUR)

    fetches = await fetch_times(under_test, [BAD, NEIGHBOUR], 7)

    assert [0] == offsets(fetches[:1], NEIGHBOUR)
    assert [(0, 1), (1, 2)] == skipped(fetches)
    assert [2] == offsets(fetches)


async def test_a_reader_that_begins_inside_a_batch_ignores_what_is_before() -> None:
    """A fault before the reader's position is ignored."""
    logs = {
        BAD: FakeBatches(
            {0: batch([record(n, headers=[(b"\xff", b"")] if n in {0, 2} else []) for n in range(4)])}, end=4
        )
    }
    under_test = Fetching(FakeConsumer(logs))
    under_test.seek(BAD, 1)

    fetches = await fetch_times(under_test, [BAD], 1)

    assert [1, 3] == offsets(fetches)
    assert [(2, 3)] == skipped(fetches)


@pytest.mark.parametrize("base", [2**62, 40], ids=["far beyond", "just beyond"])
async def test_offsets_beyond_the_end_of_the_log_are_not_trusted(base: int) -> None:
    """No checksum covers a batch's base offset; a reader that trusted it would never read again."""
    log = FakeBatches({0: batch([record(0)]), 1: batch([record(0)], base=base)}, end=2)
    under_test = fetching(FakeConsumer({BAD: log}), BAD)

    fetches = await fetch_times(under_test, [BAD], 4)
    log.batches, log.end = log.batches | sound(2), 3
    fetches += await fetch_times(under_test, [BAD], 1)

    assert [0, 2] == offsets(fetches)
    assert [(1, 2)] == skipped(fetches)
    assert 3 == under_test.position(BAD)


async def test_a_fetch_returns_no_more_than_requested() -> None:
    """The rest arrives with the next fetch, readable or not."""
    log = FakeBatches({0: batch([record(n, headers=[(b"\xff", b"")] if n == 2 else []) for n in range(6)])}, end=6)
    under_test = fetching(FakeConsumer({BAD: log}), BAD)

    fetches = [await under_test.fetch([BAD], timeout_ms=1, max_records=2) for _ in range(4)]

    assert ([0, 1], [3], [4, 5], []) == tuple(offsets([fetched]) for fetched in fetches)
    assert [(2, 3)] == skipped(fetches)


async def test_any_time_of_a_record_is_read() -> None:
    """A producer may write a timestamp beyond any calendar, and the oldest format has none."""
    log = FakeBatches({0: batch([record(0)], timestamp=2**62), 1: batch([record(0)], base=1, timestamp=-1)}, end=3)
    log.batches[2] = message(2, magic=0)
    under_test = fetching(FakeConsumer({BAD: log}), BAD)

    (fetched,) = await fetch_times(under_test, [BAD], 1)

    assert [9999, 1970, 1970] == [one.appended_at.year for one in fetched.records[BAD]]


async def test_records_that_a_broker_refuses_are_not_skipped() -> None:
    """Records that are forbidden now can be read later, and other partitions' records arrive meanwhile."""
    logs = {
        BAD: FakeBatches(sound(0, 1), 2, TopicAuthorizationFailedError("pauses")),
        NEIGHBOUR: FakeBatches(sound(0, 1), 2),
    }
    under_test = fetching(FakeConsumer(logs), NEIGHBOUR, BAD)

    first = await fetch_times(under_test, [NEIGHBOUR, BAD], 1)
    for _ in range(5):
        with pytest.raises(TopicAuthorizationFailedError):  # asked again at once it would be refused again
            await fetch_times(under_test, [NEIGHBOUR, BAD], 1)
    logs[BAD].refused = None
    allowed = await fetch_times(under_test, [NEIGHBOUR, BAD], 1)

    assert [0, 1] == offsets(first, NEIGHBOUR)
    assert [] == skipped(first)
    assert [0, 1] == offsets(allowed)


async def test_a_revoked_partition_costs_no_records_of_others() -> None:
    """One partition's records are returned although another was revoked during the fetch."""
    logs = {BAD: FakeBatches(wrong_checksum(0, 3), end=4), NEIGHBOUR: FakeBatches(sound(0, 1), end=2)}
    consumer = FakeConsumer(logs)
    under_test = fetching(consumer, NEIGHBOUR, BAD)
    consumer.on_fetch = lambda: under_test.forget([BAD])

    fetches = await fetch_times(under_test, [NEIGHBOUR, BAD], 3)

    assert [0, 1] == offsets(fetches, NEIGHBOUR)
    assert [] == skipped(fetches)


@pytest.mark.parametrize("error", [ConsumerStoppedError, asyncio.CancelledError, IllegalStateError])
async def test_errors_that_end_a_consumer_are_raised(error: type[BaseException]) -> None:
    """The caller sees a stopped consumer, a cancellation and a lost assignment."""
    log = FakeBatches(sound(0), end=1)
    log.refused = error()  # type: ignore[assignment]  # a cancellation is no Exception
    under_test = fetching(FakeConsumer({BAD: log}), BAD)

    with pytest.raises(error):
        await under_test.fetch([BAD], timeout_ms=1)


async def test_no_record_is_returned_again_after_a_seek() -> None:
    """A fetch that began before a seek repeats records; each is returned once."""
    consumer = FakeConsumer({BAD: FakeBatches(sound(*range(6)), end=6)})
    under_test = fetching(consumer, BAD)
    first = await under_test.fetch([BAD], timeout_ms=1, max_records=4)
    consumer.seek(TopicPartition(*BAD), 2)

    second = await under_test.fetch([BAD], timeout_ms=1, max_records=100)

    assert [*range(6)] == offsets([first, second])


async def test_a_forgotten_partition_is_not_fetched() -> None:
    """Only followed partitions are fetched."""
    logs = {BAD: FakeBatches(sound(*range(6)), end=6), NEIGHBOUR: FakeBatches(sound(0), end=1)}
    under_test = fetching(FakeConsumer(logs), BAD, NEIGHBOUR)

    under_test.forget([BAD])
    fetched = await under_test.fetch([BAD, NEIGHBOUR], timeout_ms=1)

    assert [] == offsets([fetched])
    assert [0] == offsets([fetched], NEIGHBOUR)
    assert under_test.position(BAD) is None


@dataclass
class Answering:
    """A client that answers aiokafka's own fetcher once, with a partition's bytes."""

    data: bytes
    asked: list[Any] = field(default_factory=list)

    async def send(self, _node: int, request: Any) -> SimpleNamespace:
        """Return a fetch response of version 11."""
        self.asked.append(request)
        if len(self.asked) > 1:
            raise KafkaConnectionError
        place: tuple[object, ...] = (BAD.partition, 0, 1, 1, 0, [], -1, self.data)
        return SimpleNamespace(API_VERSION=11, topics=[(BAD.topic, [place])])


async def test_aiokafka_reads_what_it_fetched_through_our_check() -> None:
    """If a release of aiokafka parses fetched bytes in another way, this test fails."""
    state = SimpleNamespace(has_valid_position=True, position=0, paused=False)
    assignment = SimpleNamespace(active=True, state_value=lambda _tp: state)
    of_aiokafka = object.__new__(fetcher.Fetcher)
    of_aiokafka.__dict__.update(
        _client=Answering(bomb(ZSTD, 20 * MIB)),
        _client_rack=None,
        _rack_warning_logged=False,
        _records={},
        _key_deserializer=None,
        _value_deserializer=None,
        _check_crcs=True,
        _isolation_level=0,
        _prefetch_backoff=0.1,
    )
    request = SimpleNamespace(topics=[(BAD.topic, [(BAD.partition, 0, MIB)])])

    await of_aiokafka._proc_fetch_request(assignment, 1, request)

    (result,) = of_aiokafka._records.values()
    assert type(result._partition_records._records) is CheckedRecords
