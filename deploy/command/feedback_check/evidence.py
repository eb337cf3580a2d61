"""Where the check sees the reports about its own e-mails: the topic of feedback, or the queue if no replica runs."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    GroupCoordinatorNotAvailableError,
    GroupLoadInProgressError,
    NotCoordinatorForGroupError,
    for_code,
)

from consumers.feedback.messages import AllowList, Left, Reports, read_message
from deploy.command.feedback_check.cloud import Cloud, Unanswered
from runtime.clock import Clock
from runtime.kafka.fetching import Fetched
from runtime.kafka.records import Place
from runtime.signing_keys import proof_of
from schemas.feedback import FeedbackKind, parse_feedback
from schemas.signatures import SigningKeys

PARTITION = 0
"""The partition that the check's e-mails name."""

_HELD_AT_MOST = 500
_WAIT_SECONDS = 1
_ANSWER_SECONDS = 10.0
_AGAIN_SECONDS = 0.2
_NO_ERROR = 0
_NOT_YET = (GroupCoordinatorNotAvailableError, GroupLoadInProgressError, NotCoordinatorForGroupError)


class NoEvidence(Exception):
    """Reports cannot be read; the message says why and what to do."""


@dataclass(frozen=True)
class Report:
    """What SES reports about the e-mail with these tags."""

    dispatch_id: str
    kind: FeedbackKind


class Evidence(Protocol):
    """Reads reports as they arrive."""

    @property
    def where(self) -> str:
        """Return in words where they are read."""

    async def new(self) -> Sequence[Report]:
        """
        Return what has arrived, after a second at most if nothing has.

        Raises:
            NoEvidence: It cannot be read.
            KafkaError, OSError: No broker answers.
        """


class Polling(Protocol):
    """The part of `runtime.kafka.reader.Reader` that is needed here."""

    async def poll(self, *, timeout_ms: int = ..., max_records: int | None = ...) -> Fetched:
        """Return new records after at most about *timeout_ms*."""


@dataclass
class FromTopic:
    """Reads the records that replicas write: the whole way, up to where they wait for it themselves."""

    reader: Polling
    place: Place
    keys: SigningKeys
    because: str = "since replicas run"
    unproven: int = 0
    """Records of ours whose signature no key of this program proves."""

    @property
    def where(self) -> str:
        """Return in words where reports are read."""
        return f"read from the topic {self.place.topic}, {self.because}"

    async def new(self) -> Sequence[Report]:
        """Return what has arrived, after a second at most if nothing has."""
        fetched = await self.reader.poll(timeout_ms=_WAIT_SECONDS * 1000)
        found = []
        for record in fetched.records.get(self.place, ()):
            feedback = parse_feedback(record.key, record.value)
            if feedback is None:
                continue
            self.unproven += not proof_of(record, self.keys).counts
            found.append(Report(feedback.dispatch_id, feedback.kind))
        return found


@dataclass
class FromQueue:
    """
    Reads the queue itself, as a replica reads it.

    Deletes only reports about *ours*; all other messages are hidden once, and released at the end. To release one at
    once would receive it again and again, until the queue's redrive policy takes it for poison.
    """

    cloud: Cloud
    url: str
    allowed: AllowList
    hidden_seconds: int
    ours: set[str]
    clock: Clock
    held: list[str] = field(default_factory=list)
    left: Counter[Left] = field(default_factory=Counter)
    """Messages that a replica would leave on the queue, by the reason."""

    @property
    def where(self) -> str:
        """Return in words where reports are read."""
        said = "read from the queue itself, since no replica runs; a replica and Kafka add to it"
        kinds = ", ".join(f"{number} {kind.value}" for kind, number in sorted(self.left.items()))
        return f"{said}; a replica would leave these on the queue: {kinds}" if kinds else said

    async def new(self) -> Sequence[Report]:
        """Return what has arrived, after a second at most if nothing has."""
        received = await self.cloud.receive(self.url, wait_seconds=_WAIT_SECONDS, hidden_seconds=self.hidden_seconds)
        if isinstance(received, Unanswered):
            raise NoEvidence(f"the queue cannot be read: {received.right} failed ({received.detail})")
        found: list[Report] = []
        for message in received:
            reports = self._reports(message.body)
            found += reports
            if not reports:
                self.held.append(message.receipt)
                continue
            await self.cloud.delete(self.url, message.receipt)  # if it stays, it is of an unknown dispatch
        if len(self.held) > _HELD_AT_MOST:
            raise NoEvidence(f"over {_HELD_AT_MOST} other messages wait on the queue: start a replica, and try again")
        return found

    def _reports(self, body: str) -> list[Report]:
        read = read_message(body, self.allowed, self.clock.now())
        if isinstance(read, Left):
            self.left[read] += 1
        if not isinstance(read, Reports):
            return []
        return [Report(one.dispatch_id, one.kind) for one in read.feedback if one.dispatch_id in self.ours]

    async def release(self) -> None:
        """Let others receive what was held; what cannot be released comes back by itself."""
        while self.held:
            await self.cloud.release(self.url, self.held.pop())


@asynccontextmanager
async def releasing(queue: FromQueue) -> AsyncIterator[FromQueue]:
    """Yield what reads the queue, and release at the end what belongs to others."""
    try:
        yield queue
    finally:
        await queue.release()


async def replicas_in(admin: AIOKafkaAdminClient, group: str) -> int | None:
    """
    Return how many replicas are in the group, or None if we have no right to know.

    Raises:
        KafkaError, OSError, TimeoutError: No coordinator answers.
    """
    async with asyncio.timeout(_ANSWER_SECONDS):
        while True:
            try:
                return await _members(admin, group)
            except GroupAuthorizationFailedError:
                return None
            except _NOT_YET:  # in a cluster where nobody has joined a group before
                await asyncio.sleep(_AGAIN_SECONDS)


async def _members(admin: AIOKafkaAdminClient, group: str) -> int:
    (answer,) = await admin.describe_consumer_groups([group])
    (described,) = answer.to_object()["groups"]
    if described["error_code"] == _NO_ERROR:
        return len(described["members"])
    raise for_code(described["error_code"])(group)
