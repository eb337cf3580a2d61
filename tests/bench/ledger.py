"""Floor (e): the time and memory that a ledger takes: ``python -m tests.bench.ledger [--entries N] [--json]``.

A dispatch has two records, its intent and its end, in small batches as a replica writes them. Another process reads
them back with the replica's own parts, as if they had been written ten minutes ago: newer records may be redelivered
soon, and more of them is read.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

from aiokafka import AIOKafkaProducer
from msgspec import structs
from prometheus_client import CollectorRegistry

from consumers.ledger.ledgers import LedgerLimits, Ledgers
from consumers.metrics import replica_metrics
from deploy.local.kafka.cluster import embedded_kafka
from runtime.clock import SystemClock
from runtime.kafka.connection import connected_admin
from runtime.kafka.reader import Reader, RecordReader
from runtime.kafka.topics import DEFAULT_PARTITIONS, Topics, create_topics
from schemas.dispatch import Dispatch, Origin, Recipient, Request, Status, dispatch_json
from schemas.events import PAUSES_TOPIC, Role
from schemas.headers import FINAL
from tests.bench.processes import cpu_seconds, memory_mb

NAMESPACE = "bench-ledger"
RECORDS_PER_ENTRY = 2
_RECORDS_PER_BATCH = 4
_MENTORS = 50_000
_LATER = timedelta(minutes=10)
_ID, _MENTOR, _OFFSET = "0" * 32, "mentor-00000", 12345678
_MESSAGE_ID = "010001982b1f2c3d-3f1e2d4c-5b6a-4789-8abc-0123456789ab-000000"


@dataclass(frozen=True)
class LedgerRead:
    """A ledger read back."""

    entries: int
    records: int
    seconds: float
    cpu_seconds: float
    memory_mb: float
    """What the process gained once the ledger was read."""
    peak_mb: float
    """What the process gained at most, meanwhile."""

    @property
    def bytes_per_entry(self) -> float:
        """Return the memory of one entry."""
        return self.memory_mb * 1e6 / self.entries


async def ledger_read(servers: str, entries: int) -> LedgerRead:
    """Write so many dispatches to new topics of *servers*, and let another process read them back."""
    await _write(servers, entries)
    arguments = [sys.executable, "-m", "tests.bench.ledger", "--entries", str(entries), "--read-from", servers]
    reading = await asyncio.create_subprocess_exec(*arguments, stdout=asyncio.subprocess.PIPE)
    printed, _ = await reading.communicate()
    return LedgerRead(**json.loads(printed))


async def _write(servers: str, entries: int) -> None:
    topics = Topics(NAMESPACE)
    async with connected_admin({"bootstrap_servers": servers}) as admin:
        await create_topics(admin, topics)
    producer = AIOKafkaProducer(bootstrap_servers=servers, acks=1, enable_idempotence=False)
    await producer.start()
    try:
        share = entries // DEFAULT_PARTITIONS
        await asyncio.gather(*(_write_partition(producer, topics, n, share) for n in range(DEFAULT_PARTITIONS)))
    finally:
        await producer.stop()


async def _write_partition(producer: AIOKafkaProducer, topics: Topics, number: int, entries: int) -> None:
    records = _records(topics, number, entries)
    acknowledged = None
    for _ in range(entries * RECORDS_PER_ENTRY // _RECORDS_PER_BATCH):
        batch = producer.create_batch()
        for key, value, headers in (next(records) for _ in range(_RECORDS_PER_BATCH)):
            batch.append(key=key, value=value, timestamp=None, headers=headers)
        batch.close()
        acknowledged = await producer.send_batch(batch, topics.dispatches, partition=number)
    if acknowledged is not None:
        await acknowledged


def _records(topics: Topics, number: int, entries: int) -> Iterator[tuple[bytes, bytes, list[tuple[str, bytes]]]]:
    """Yield intent and end of each dispatch: those of one, with its ids replaced."""
    forms = [(dispatch_json(each), [(FINAL, b"1")] if each.final else []) for each in _dispatch(topics, number)]
    for entry in range(entries):
        key = sha256(f"{number}-{entry}".encode()).hexdigest()[:32].encode()
        mentor, offset = b"mentor-%05d" % (entry % _MENTORS), b"%d" % (_OFFSET + entry)
        for value, headers in forms:
            own = value.replace(_ID.encode(), key, 1).replace(_MENTOR.encode(), mentor)
            yield key, own.replace(b"%d" % _OFFSET, offset), headers


def _dispatch(topics: Topics, number: int) -> tuple[Dispatch, Dispatch]:
    now, topic = datetime.now(UTC), topics.named(PAUSES_TOPIC)
    contacts = (_MENTOR, Role.MENTOR), ("coordinator-007", Role.COORDINATOR)
    sending = [Recipient(contact_id=who, role=role, status=Status.SENDING, at=now, send=1) for who, role in contacts]
    sent = [structs.replace(each, status=Status.SENT, message_id=_MESSAGE_ID) for each in sending]
    intent = Dispatch(
        dispatch_id=_ID,
        event_type="mentor.pause.activated.v1",
        mentor_id=_MENTOR,
        digest="d" * 64,
        origin=Origin(topic=topic, partition=number, offset=_OFFSET, appended_at=now),
        request=Request(id="0f3c4c8e-5f3b-4b0a-9d0d-2f4b8d1d3f10", caller="anonymous", keyless=True),
        recipients=tuple(sending),
    )
    return intent, structs.replace(intent.with_recipients(sent), ended_at=now).seen(topic, _OFFSET)


class _LaterClock(SystemClock):
    """A clock that is ten minutes ahead."""

    def now(self) -> datetime:
        """Return the time in ten minutes."""
        return super().now() + _LATER


async def _read(servers: str, entries: int) -> LedgerRead:
    arguments = {"bootstrap_servers": servers}
    async with Reader(arguments, fetch_min_bytes=64 * 1024, fetch_max_wait_ms=100) as reader:
        records = RecordReader(arguments)
        await records.start()
        try:
            return await _measured(_ledgers(reader, records, entries))
        finally:
            await records.stop()


def _ledgers(reader: Reader, records: RecordReader, entries: int) -> Ledgers:
    return Ledgers(
        LedgerLimits(max_entries=entries, remember=timedelta(hours=168), retry_window=timedelta(seconds=60)),
        _LaterClock(),
        topics=Topics(NAMESPACE),
        reader=reader,
        records=records,
        metrics=replica_metrics(CollectorRegistry()),
    )


async def _measured(ledgers: Ledgers) -> LedgerRead:
    own, followed = os.getpid(), asyncio.create_task(_follow(ledgers))
    memory, cpu, began = memory_mb(own), cpu_seconds(own), time.monotonic()
    owned = [ledgers.ledger_for(number) for number in range(DEFAULT_PARTITIONS)]
    await asyncio.gather(*(ledgers.read_to_now(number, {}) for number in range(DEFAULT_PARTITIONS)))
    read = LedgerRead(
        entries=sum(map(len, owned)),
        records=sum(ledger.next_offset for ledger in owned),
        seconds=time.monotonic() - began,
        cpu_seconds=cpu_seconds(own) - cpu,
        memory_mb=memory_mb(own) - memory,
        peak_mb=memory_mb(own, "VmHWM") - memory,
    )
    followed.cancel()
    await asyncio.gather(followed, return_exceptions=True)
    return read


async def _follow(ledgers: Ledgers) -> None:
    while True:
        await ledgers.poll()


async def _main(wanted: argparse.Namespace) -> None:
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # leaders of new topics are not known at once
    if wanted.read_from is not None:
        print(json.dumps(asdict(await _read(wanted.read_from, wanted.entries))))  # noqa: T201 - read by ledger_read
        return
    with tempfile.TemporaryDirectory(prefix="bench-ledger-") as directory:
        async with embedded_kafka(Path(directory) / "kafka", fresh=True) as cluster:
            read = await ledger_read(cluster.bootstrap_servers, wanted.entries)
    shown = (
        f"{read.entries:,} entries of {read.records:,} records: {read.seconds:.2f} s, {read.cpu_seconds:.2f} CPU-s, "
        f"{read.memory_mb:.0f} MB ({read.peak_mb:.0f} MB at most), {read.bytes_per_entry:.0f} bytes an entry"
    )
    print(json.dumps(asdict(read)) if wanted.json else shown)  # noqa: T201 - for the person at the terminal


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.ledger", description=__doc__)
    parser.add_argument("--entries", type=int, default=1_000_000, help="dispatches (default %(default)s)")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--read-from", metavar="SERVERS", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    asyncio.run(_main(_arguments()))
