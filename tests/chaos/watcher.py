"""Watch a run from outside: topics, the group's offsets, the SES log, memory."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from runtime.kafka.connection import connected_admin
from runtime.kafka.topics import Topics
from tests.bench.processes import memory_mb
from tests.chaos.evidence import Committed, Evidence, Letter, Mail, Record, Reported

PARTITIONS = 12
"""Of every topic of a run."""
_SAMPLE_SECONDS = 1.0
_ASK_SECONDS = 10.0
_AGAIN_SECONDS = 0.5


class Watcher:
    """Collects a run's evidence, with a plain consumer without a group, which our faults do not affect."""

    def __init__(self, servers: str, namespace: str, ses_log: Path, evidence: Evidence, *, group: str) -> None:
        self._servers = servers
        self._topics = Topics(namespace)
        self._ses_log = ses_log
        self._evidence = evidence
        self.group = self._topics.named(group)
        self.ended: set[str] = set()
        self._ses_read = 0
        self._measured: dict[str, int] = {}
        self._consumer: AIOKafkaConsumer | None = None

    def measure(self, name: str, pid: int) -> None:
        """Sample the memory of a process from now on, until it ends."""
        self._measured[name] = pid

    @asynccontextmanager
    async def watch(self) -> AsyncIterator[None]:
        """Watch until the context ends."""
        consumer = AIOKafkaConsumer(bootstrap_servers=self._servers, enable_auto_commit=False, fetch_max_wait_ms=200)
        await consumer.start()
        self._consumer = consumer
        try:
            async with asyncio.TaskGroup() as tasks:
                workers = [tasks.create_task(self._read_topics(consumer)), tasks.create_task(self._sample())]
                try:
                    yield
                finally:
                    for worker in workers:
                        worker.cancel()
        finally:
            async with asyncio.timeout(_ASK_SECONDS):
                await consumer.stop()

    async def _read_topics(self, consumer: AIOKafkaConsumer) -> None:
        places = [
            TopicPartition(topic, number)
            for topic in (self._topics.dispatches, self._topics.dead_letters, self._topics.feedback)
            for number in range(PARTITIONS)
        ]
        consumer.assign(places)
        await consumer.seek_to_beginning(*places)
        while True:
            try:
                fetched = await consumer.getmany(timeout_ms=200)
            except (KafkaError, OSError):  # brokers are killed here; the watcher waits until they are back
                await asyncio.sleep(_AGAIN_SECONDS)
                continue
            for records in fetched.values():
                for record in records:
                    self._take(record)

    def _take(self, record: object) -> None:
        topic, value = record.topic, record.value  # type: ignore[attr-defined]  # aiokafka ships no types
        headers = dict(record.headers)  # type: ignore[attr-defined]  # likewise
        if topic == self._topics.dead_letters:
            dispatch = json.loads(headers["pn_dispatch"]) if headers.get("pn_dispatch") else {}
            origin = (headers.get("pn_origin") or b"").decode()
            reason = (headers.get("pn_reason") or b"").decode()
            detail = (headers.get("pn_detail") or b"").decode()
            self._evidence.letters.append(Letter(reason, origin, dispatch.get("dispatch_id"), detail))
            return
        place = record.partition, record.offset, record.timestamp / 1000  # type: ignore[attr-defined]  # likewise
        if topic == self._topics.feedback:
            self._evidence.feedback.append(Reported.parse(json.loads(value), place[-1]))
            return
        found = Record.parse(json.loads(value), *place)
        topic_of_origin, *rest = found.origin
        plain = (self._topics.plain(topic_of_origin), *rest)
        self._evidence.records.append(Record(**{**vars(found), "origin": plain}))
        if found.final:
            self.ended.add(found.dispatch_id)

    async def _sample(self) -> None:
        async with connected_admin({"bootstrap_servers": self._servers}, deadline_seconds=_ASK_SECONDS) as admin:
            while True:
                await asyncio.sleep(_SAMPLE_SECONDS)
                self._sample_memory()
                self.read_ses_log()
                await self._sample_commits(admin)

    def _sample_memory(self) -> None:
        for name, pid in list(self._measured.items()):
            try:
                resident = memory_mb(pid)
            except (OSError, LookupError):
                del self._measured[name]
                continue
            self._evidence.memory_mb.setdefault(name, []).append((time.time(), resident))

    async def _sample_commits(self, admin: AIOKafkaAdminClient) -> None:
        try:
            async with asyncio.timeout(_ASK_SECONDS):
                found = await admin.list_consumer_group_offsets(self.group)
        except (KafkaError, OSError, TimeoutError):
            return
        offsets = {(self._topics.plain(tp.topic), tp.partition): int(at.offset) for tp, at in found.items()}
        # The time after the answer: everything committed by then must have been final by then.
        self._evidence.commits.append(Committed(time.time(), offsets))

    def read_ses_log(self) -> None:
        """Read what SES has accepted since the last time."""
        with self._ses_log.open("rb") as file:
            file.seek(self._ses_read)
            lines = file.read().split(b"\n")
        self._ses_read += sum(len(line) + 1 for line in lines[:-1])
        for line in lines[:-1]:
            self._evidence.mails.append(_mail(json.loads(line)))

    async def until_ended(self, *, still_seconds: float, within: float, on_progress: Callable[[], object]) -> bool:
        """
        Wait until every acknowledged event has ended.

        Return False after *within* seconds, or if no event has ended for *still_seconds*: open events then count as
        lost.
        """
        began = moved = time.monotonic()
        before = -1
        while not self._evidence.acknowledged.keys() <= self.ended:
            now = time.monotonic()
            if len(self.ended) != before:
                before, moved = len(self.ended), now
            if now - moved > still_seconds or now - began > within:
                return False
            on_progress()
            await asyncio.sleep(_AGAIN_SECONDS / 5)
        return True

    async def settle(self, *, within: float) -> None:
        """Read the end offsets of the group's topics, and wait until they are committed, at most *within* seconds."""
        assert self._consumer is not None
        topics = (*self._topics.events, self._topics.feedback)
        places = [TopicPartition(topic, number) for topic in topics for number in range(PARTITIONS)]
        async with asyncio.timeout(_ASK_SECONDS):
            ends = await self._consumer.end_offsets(places)
        self._evidence.ends = {(self._topics.plain(tp.topic), tp.partition): end for tp, end in ends.items() if end}
        until = time.monotonic() + within
        while time.monotonic() < until and not self._all_committed():  # noqa: ASYNC110 - samples tell nobody
            await asyncio.sleep(_AGAIN_SECONDS)
        self.read_ses_log()

    def _all_committed(self) -> bool:
        last = self._evidence.commits[-1].offsets if self._evidence.commits else {}
        return all(last.get(place, 0) >= end for place, end in self._evidence.ends.items())


def _mail(line: dict[str, object]) -> Mail:
    tags = line["tags"]
    assert isinstance(tags, dict)
    return Mail(
        dispatch_id=tags.get("dispatch_id", ""),
        recipient=tags.get("recipient", ""),
        message_id=str(line["message_id"]),
        at=_seconds(str(line["time"])),
        answer_lost=line["answer"] != "normal",
    )


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
