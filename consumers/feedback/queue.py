"""The queue of SES's events: a seam, and SQS behind it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol, TypeVar

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from consumers.ses.blocking import BlockingCalls, NotStarted, StillRunning
from runtime.clock import Clock

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import DeleteMessageBatchRequestEntryTypeDef, MessageTypeDef

T = TypeVar("T")

MOST_MESSAGES = 10
"""As many as SQS returns, and deletes, in one call."""
WAIT_SECONDS = 2
"""How long SQS waits for a message. A stop waits for it, too, since a thread cannot be interrupted."""
VISIBILITY_SECONDS = 15
"""
After how long a message comes again that is not deleted: the deadline of a record, and more.

A replica that dies takes no evidence along for longer than that, so a lost answer must wait for longer
(RECONCILE_SECONDS).
"""
_CALL_SECONDS = 10.0


class QueueUnavailable(Exception):
    """The queue did not answer, or refused. The text holds no message and may be logged."""


@dataclass(frozen=True)
class Message:
    """A message as it was received."""

    id: str
    body: str
    receipt: str
    """What deletes it, until its visibility ends."""
    receives: int = 1
    """How often it was received, this time included."""
    waited_seconds: float = 0.0
    """How long it was on the queue, by the queue's clock and ours."""


class EventQueue(Protocol):
    """Where SES's events wait. A message that is not deleted comes again."""

    async def receive(self) -> Sequence[Message]:
        """Return up to MOST_MESSAGES, after WAIT_SECONDS at most. Raise QueueUnavailable."""

    async def delete(self, messages: Sequence[Message]) -> int:
        """Delete messages and return how many were not. Raise QueueUnavailable."""

    async def hide(self, message: Message, seconds: int) -> None:
        """Do not return the message again for so long. Raise QueueUnavailable."""


class SqsQueue:
    """SQS over boto3, in threads."""

    def __init__(self, client: SQSClient, url: str, clock: Clock, *, pollers: int) -> None:
        self._client = client
        self._url = url
        self._clock = clock
        self._calls = BlockingCalls(threads=pollers, name="ses-events")

    async def receive(self) -> Sequence[Message]:
        """Return up to MOST_MESSAGES, after WAIT_SECONDS at most. Raise QueueUnavailable."""
        return await self._call(self._receive)

    async def delete(self, messages: Sequence[Message]) -> int:
        """Delete messages and return how many were not. Raise QueueUnavailable."""
        return await self._call(lambda: self._delete(messages))

    async def hide(self, message: Message, seconds: int) -> None:
        """Do not return the message again for so long. Raise QueueUnavailable."""

        def change() -> None:
            self._client.change_message_visibility(
                QueueUrl=self._url, ReceiptHandle=message.receipt, VisibilityTimeout=seconds
            )

        await self._call(change)

    async def aclose(self, *, deadline: float) -> None:
        """Refuse new calls, and wait at most *deadline* seconds for those in progress."""
        await self._calls.aclose(deadline=deadline)

    def _receive(self) -> list[Message]:
        answer = self._client.receive_message(
            QueueUrl=self._url,
            MaxNumberOfMessages=MOST_MESSAGES,
            WaitTimeSeconds=WAIT_SECONDS,
            VisibilityTimeout=VISIBILITY_SECONDS,
            MessageSystemAttributeNames=["ApproximateReceiveCount", "SentTimestamp"],
        )
        return [_message(found, self._clock.now()) for found in answer.get("Messages", [])]

    def _delete(self, messages: Sequence[Message]) -> int:
        entries: list[DeleteMessageBatchRequestEntryTypeDef] = [
            {"Id": str(number), "ReceiptHandle": one.receipt} for number, one in enumerate(messages)
        ]
        answer = self._client.delete_message_batch(QueueUrl=self._url, Entries=entries)
        return len(answer.get("Failed", []))

    async def _call(self, ask: Callable[[], T]) -> T:
        def asked() -> T | QueueUnavailable:
            try:
                return ask()
            except ClientError as error:
                return QueueUnavailable(str(error.response.get("Error", {}).get("Code", "ClientError"))[:64])
            except (BotoCoreError, OSError, KeyError, ValueError) as error:
                return QueueUnavailable(type(error).__name__)

        try:
            answer = await self._calls.call(asked, deadline=_CALL_SECONDS)
        except (NotStarted, StillRunning) as error:
            raise QueueUnavailable(type(error).__name__) from None
        if isinstance(answer, QueueUnavailable):
            raise answer
        return answer


def _message(found: MessageTypeDef, now: datetime) -> Message:
    attributes = found.get("Attributes", {})
    sent_ms = int(attributes.get("SentTimestamp", "0"))
    return Message(
        found["MessageId"],
        found["Body"],
        found["ReceiptHandle"],
        int(attributes.get("ApproximateReceiveCount", "1")),
        max(now.timestamp() - sent_ms / 1000, 0.0) if sent_ms else 0.0,
    )


def sqs_client(session: boto3.Session, *, pollers: int, endpoint_url: str | None = None) -> SQSClient:
    """Build boto3's client; raise BotoCoreError if region or profile is missing or wrong."""
    config = Config(
        retries={"total_max_attempts": 1, "mode": "standard"},
        connect_timeout=3.0,
        read_timeout=WAIT_SECONDS + 3.0,
        max_pool_connections=pollers,
        tcp_keepalive=True,
    )
    region = session.region_name or os.environ.get("AWS_REGION")
    return session.client("sqs", config=config, region_name=region, endpoint_url=endpoint_url)
