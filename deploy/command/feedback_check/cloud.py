"""What the check of feedback asks AWS, in our own words; each question names the right that it needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from consumers.email import Email


class Right(StrEnum):
    """An action that IAM must allow."""

    DESTINATIONS = "ses:GetConfigurationSetEventDestinations"
    SUBSCRIPTIONS = "sns:ListSubscriptionsByTopic"
    ATTRIBUTES = "sqs:GetQueueAttributes"
    RECEIVE = "sqs:ReceiveMessage"
    DELETE = "sqs:DeleteMessage"
    RELEASE = "sqs:ChangeMessageVisibility"
    AGE = "cloudwatch:GetMetricStatistics"


class Refusal(StrEnum):
    """Why there is no answer to a question."""

    DENIED = "denied"
    MISSING = "missing"
    FAILED = "failed"
    ELSEWHERE = "elsewhere"
    """The queue is not at AWS, so AWS knows nothing of it and is not asked."""


@dataclass(frozen=True)
class Unanswered:
    """A question that AWS did not answer; *detail* has no address and no text of a stranger."""

    right: Right
    refusal: Refusal
    detail: str


@dataclass(frozen=True)
class Destination:
    """Where a configuration set publishes its events: *topic* is None if it is no SNS topic."""

    name: str
    enabled: bool
    types: frozenset[str]
    topic: str | None


@dataclass(frozen=True)
class Subscription:
    """Who gets what is published to a topic."""

    protocol: str
    endpoint: str
    confirmed: bool


@dataclass(frozen=True)
class Queue:
    """The attributes of a queue that matter here."""

    arn: str
    waiting: int
    in_flight: int
    visibility_seconds: int
    policy: str | None = None
    dead_letter_arn: str | None = None
    max_receives: int | None = None
    kms_key: str | None = None


@dataclass(frozen=True)
class Message:
    """A message that was received, and the receipt to delete or to release it with."""

    body: str
    receipt: str


class Cloud(Protocol):
    """Asks AWS. Each call has a deadline, and returns why there is no answer instead of raising."""

    async def destinations(self, configuration_set: str) -> Sequence[Destination] | Unanswered:
        """Return the event destinations of a configuration set."""

    async def subscriptions(self, topic: str) -> Sequence[Subscription] | Unanswered:
        """Return the first thousand subscriptions of a topic."""

    async def queue(self, url: str) -> Queue | Unanswered:
        """Return the attributes of a queue."""

    async def oldest_age(self, queue_name: str) -> float | Unanswered | None:
        """Return the age of a queue's oldest message in seconds, or None if it was not measured lately."""

    async def receive(self, url: str, *, wait_seconds: int, hidden_seconds: int) -> Sequence[Message] | Unanswered:
        """Return up to ten messages, and hide them from others for some time."""

    async def delete(self, url: str, receipt: str) -> Unanswered | None:
        """Delete a message."""

    async def release(self, url: str, receipt: str) -> Unanswered | None:
        """Let others receive a message at once."""

    async def send(self, email: Email) -> str:
        """
        Send an e-mail as a replica does, and return its message id.

        Raises:
            EmailError: and nothing else.
        """


def parse_queue(attributes: Mapping[str, str], redrive: Mapping[str, object]) -> Queue:
    """Return a queue from SQS's attributes and its parsed redrive policy; raise LookupError or ValueError."""
    target, receives = redrive.get("deadLetterTargetArn"), redrive.get("maxReceiveCount")
    return Queue(
        arn=attributes["QueueArn"],
        waiting=int(attributes["ApproximateNumberOfMessages"]),
        in_flight=int(attributes["ApproximateNumberOfMessagesNotVisible"]),
        visibility_seconds=int(attributes["VisibilityTimeout"]),
        policy=attributes.get("Policy") or None,
        dead_letter_arn=None if target is None else str(target),
        max_receives=None if receives is None else int(str(receives)),
        kms_key=attributes.get("KmsMasterKeyId") or None,
    )
