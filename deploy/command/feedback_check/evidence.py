"""Where the check sees the reports about its own e-mails: the topic of feedback, or the queue if no replica runs."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from aiokafka.admin import AIOKafkaAdminClient

from deploy.command.feedback_check.cloud import Cloud, Unanswered
from runtime.kafka.fetching import Fetched
from runtime.kafka.records import Place
from runtime.signing_keys import checked
from schemas.feedback import FeedbackKind, parse_feedback
from schemas.signatures import Proof, SigningKeys

PARTITION = 0
"""The partition that the check's e-mails name."""

_HELD_AT_MOST = 500
_WAIT_SECONDS = 1
_NO_ERROR = 0
_DISPATCH_ID = re.compile(r"[0-9a-f]{32}")
_KINDS = {"Send": FeedbackKind.SEND, "Delivery": FeedbackKind.DELIVERY}


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
            proof, _ = checked(record, self.keys)
            self.unproven += not proof.proven and proof is not Proof.NO_KEYS
            found.append(Report(feedback.dispatch_id, feedback.kind))
        return found


@dataclass
class FromQueue:
    """
    Reads the queue itself. Deletes only messages about *ours*; all others are hidden once, and released at the end.

    Each message is received once: to release a strange one at once would receive it again and again, until the queue's
    redrive policy takes it for poison.
    """

    cloud: Cloud
    url: str
    hidden_seconds: int
    ours: set[str]
    held: list[str] = field(default_factory=list)

    @property
    def where(self) -> str:
        """Return in words where reports are read."""
        return "read from the queue itself, since no replica runs; a replica and Kafka add to it"

    async def new(self) -> Sequence[Report]:
        """Return what has arrived, after a second at most if nothing has."""
        received = await self.cloud.receive(self.url, wait_seconds=_WAIT_SECONDS, hidden_seconds=self.hidden_seconds)
        if isinstance(received, Unanswered):
            raise NoEvidence(f"the queue cannot be read: {received.right} failed ({received.detail})")
        found = []
        for message in received:
            dispatch_id, kind = tagged(message.body)
            if dispatch_id not in self.ours:
                self.held.append(message.receipt)
                continue
            if kind is not None:
                found.append(Report(dispatch_id, kind))
            await self.cloud.delete(self.url, message.receipt)  # if it stays, it is of an unknown dispatch
        if len(self.held) > _HELD_AT_MOST:
            raise NoEvidence(f"over {_HELD_AT_MOST} other messages wait on the queue: start a replica, and try again")
        return found

    async def release(self) -> None:
        """Let others receive what was held; what cannot be released comes back by itself."""
        while self.held:
            await self.cloud.release(self.url, self.held.pop())


@asynccontextmanager
async def from_queue(cloud: Cloud, url: str, *, hidden_seconds: int, ours: set[str]) -> AsyncIterator[FromQueue]:
    """Yield what reads the queue, and release at the end what belongs to others."""
    reading = FromQueue(cloud, url, hidden_seconds, ours)
    try:
        yield reading
    finally:
        await reading.release()


def tagged(body: str) -> tuple[str, FeedbackKind | None]:
    """
    Return the tag `dispatch_id` of a message of SES, or an empty text, and whether it reports a Send or a Delivery.

    A message is an envelope of SNS, an event of EventBridge, or what is in either.
    """
    outer = _object(body)
    inner = _object(outer["Message"]) if isinstance(outer.get("Message"), str) else outer
    report = inner["detail"] if isinstance(inner.get("detail"), dict) else inner
    mail = report.get("mail")
    tags = mail.get("tags") if isinstance(mail, dict) else None
    values = tags.get("dispatch_id") if isinstance(tags, dict) else None
    first = values[0] if isinstance(values, list) and values else None
    if not isinstance(first, str) or _DISPATCH_ID.fullmatch(first) is None:
        return "", None
    kind = report.get("eventType")
    return first, _KINDS.get(kind) if isinstance(kind, str) else None


def _object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


async def replicas_in(admin: AIOKafkaAdminClient, group: str) -> int | None:
    """Return how many replicas are in the group, or None if the brokers do not tell; raise KafkaError or OSError."""
    (answer,) = await admin.describe_consumer_groups([group])
    (described,) = answer.to_object()["groups"]
    return len(described["members"]) if described["error_code"] == _NO_ERROR else None
