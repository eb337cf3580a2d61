"""The questions of the check, asked by boto3's clients."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Self, TypeVar

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from consumers.email import AnswerLost, Email, EmailError, NotSent
from consumers.ses.blocking import BlockingCalls, NotStarted, StillRunning
from consumers.ses.boto_client import CONNECT_SECONDS, ses_client
from consumers.ses.errors import email_error, error_code
from consumers.ses.request import SenderIdentity, arguments_of
from deploy.command.feedback_check.cloud import (
    Destination,
    Message,
    Queue,
    Refusal,
    Right,
    Subscription,
    Unanswered,
    parse_queue,
)
from deploy.command.feedback_check.queue_url import is_at_aws
from runtime.clock import Clock

T = TypeVar("T")

SECONDS = 5.0
"""Deadline of one question, beside the time that it waits for messages."""
_PAGES = 10  # a hundred subscriptions each
_AT_ONCE = 10
_MEASURED_EVERY = timedelta(minutes=1)
_LATELY = timedelta(minutes=15)
_DENIED = ("AccessDenied", "AuthorizationError", "UnauthorizedOperation")
_MISSING = ("NotFound", "NonExistentQueue", "QueueDoesNotExist")


def sqs_client() -> Any:
    """Build the client of SQS; raise botocore.exceptions.BotoCoreError or ValueError as `Clients.for_queue`."""
    return _client(boto3.Session(), "sqs")


def _client(session: boto3.Session, service: Any) -> Any:
    config = Config(
        retries={"total_max_attempts": 1, "mode": "standard"},
        connect_timeout=CONNECT_SECONDS,
        read_timeout=2 * SECONDS,
    )
    return session.client(service, config=config, region_name=session.region_name or os.environ.get("AWS_REGION"))


@dataclass(frozen=True)
class Clients:
    """boto3's clients; None for a service that cannot know of a queue that is not at AWS."""

    ses: Any
    sqs: Any
    sns: Any | None
    cloudwatch: Any | None

    @classmethod
    def for_queue(cls, queue_url: str) -> Self:
        """
        Build the clients as AWS users configure them, each with one attempt a call.

        Raises:
            botocore.exceptions.BotoCoreError, ValueError: region, profile or endpoint is missing or wrong.
        """
        session = boto3.Session()

        def asked(service: Any) -> Any | None:
            # A local queue is no reason to ask AWS.
            client = _client(session, service)
            return None if is_at_aws(client.meta.endpoint_url) and not is_at_aws(queue_url) else client

        ses: Any = ses_client(timeout_seconds=SECONDS, max_in_flight=1, session=session)
        return cls(ses=ses, sqs=_client(session, "sqs"), sns=asked("sns"), cloudwatch=asked("cloudwatch"))

    def close(self) -> None:
        """Close their connections."""
        for client in (self.ses, self.sqs, self.sns, self.cloudwatch):
            if client is not None:
                client.close()


class Aws:
    """Asks AWS in threads, each question with a deadline."""

    def __init__(self, clients: Clients, sender: SenderIdentity, clock: Clock) -> None:
        self._clients = clients
        self._sender = sender
        self._clock = clock
        self._calls = BlockingCalls(threads=2, name="feedback-check")  # one receives while the other sends

    async def aclose(self) -> None:
        """Wait for the questions that are being asked, for a moment."""
        await self._calls.aclose(deadline=SECONDS)
        self._clients.close()

    async def destinations(self, configuration_set: str) -> Sequence[Destination] | Unanswered:
        """Return the event destinations of a configuration set."""

        def question() -> list[Destination]:
            found = self._clients.ses.get_configuration_set_event_destinations(ConfigurationSetName=configuration_set)
            return [
                Destination(
                    name=one["Name"],
                    enabled=bool(one.get("Enabled")),
                    types=frozenset(one["MatchingEventTypes"]),
                    topic=one.get("SnsDestination", {}).get("TopicArn"),
                )
                for one in found["EventDestinations"]
            ]

        return await self._ask(Right.DESTINATIONS, question)

    async def subscriptions(self, topic: str) -> Sequence[Subscription] | Unanswered:
        """Return the first thousand subscriptions of a topic."""
        client = self._clients.sns
        if client is None:
            return _elsewhere(Right.SUBSCRIPTIONS, "AWS_ENDPOINT_URL_SNS")

        def question() -> list[Subscription]:
            found: list[Subscription] = []
            further: dict[str, str] = {}
            for _ in range(_PAGES):
                page = client.list_subscriptions_by_topic(TopicArn=topic, **further)
                found += [
                    Subscription(one["Protocol"], one["Endpoint"], confirmed=one["SubscriptionArn"].startswith("arn:"))
                    for one in page["Subscriptions"]
                ]
                if not page.get("NextToken"):
                    break
                further = {"NextToken": page["NextToken"]}
            return found

        return await self._ask(Right.SUBSCRIPTIONS, question)

    async def queue(self, url: str) -> Queue | Unanswered:
        """Return the attributes of a queue."""

        def question() -> Queue:
            found = self._clients.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
            return parse_queue(found, json.loads(found.get("RedrivePolicy") or "{}"))

        return await self._ask(Right.ATTRIBUTES, question)

    async def oldest_age(self, queue_name: str) -> float | Unanswered | None:
        """Return the age of a queue's oldest message by CloudWatch, which measures queues that were used lately."""
        client, now = self._clients.cloudwatch, self._clock.now()
        if client is None:
            return _elsewhere(Right.AGE, "AWS_ENDPOINT_URL_CLOUDWATCH")

        def question() -> float | None:
            found = client.get_metric_statistics(
                Namespace="AWS/SQS",
                MetricName="ApproximateAgeOfOldestMessage",
                Dimensions=[{"Name": "QueueName", "Value": queue_name}],
                StartTime=now - _LATELY,
                EndTime=now,
                Period=int(_MEASURED_EVERY.total_seconds()),
                Statistics=["Maximum"],
            )["Datapoints"]
            latest = max(found, key=lambda point: point["Timestamp"], default=None)
            return None if latest is None else float(latest["Maximum"])

        return await self._ask(Right.AGE, question)

    async def receive(self, url: str, *, wait_seconds: int, hidden_seconds: int) -> Sequence[Message] | Unanswered:
        """Return up to ten messages, and hide them from others for some time."""

        def question() -> list[Message]:
            found = self._clients.sqs.receive_message(
                QueueUrl=url,
                MaxNumberOfMessages=_AT_ONCE,
                WaitTimeSeconds=wait_seconds,
                VisibilityTimeout=hidden_seconds,
            )
            return [Message(one["Body"], one["ReceiptHandle"]) for one in found.get("Messages", ())]

        return await self._ask(Right.RECEIVE, question, wait_seconds=wait_seconds)

    async def delete(self, url: str, receipt: str) -> Unanswered | None:
        """Delete a message."""

        def question() -> None:
            self._clients.sqs.delete_message(QueueUrl=url, ReceiptHandle=receipt)

        return await self._ask(Right.DELETE, question)

    async def release(self, url: str, receipt: str) -> Unanswered | None:
        """Let others receive a message at once."""

        def question() -> None:
            self._clients.sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=receipt, VisibilityTimeout=0)

        return await self._ask(Right.RELEASE, question)

    async def send(self, email: Email) -> str:
        """Send an e-mail as a replica does, and return its message id; raise EmailError."""
        arguments = {**self._sender.arguments(), **arguments_of(email)}

        def sent() -> str | EmailError:
            try:
                return str(self._clients.ses.send_email(**arguments)["MessageId"])
            except Exception as error:  # noqa: BLE001 - whatever it is, the contract promises an EmailError
                return email_error(error, sender=self._sender.address)

        try:
            answer = await self._calls.call(sent, deadline=SECONDS)
        except NotStarted:
            raise NotSent("SES was not asked in time", unreachable=True) from None
        except StillRunning:
            raise AnswerLost("SES did not answer in time") from None
        if isinstance(answer, EmailError):
            raise answer
        return answer

    async def _ask(self, right: Right, question: Callable[[], T], *, wait_seconds: float = 0) -> T | Unanswered:
        def asked() -> T | Unanswered:
            try:
                return question()
            except Exception as error:  # noqa: BLE001 - the contract promises a value
                return unanswered(right, error)

        try:
            return await self._calls.call(asked, deadline=SECONDS + wait_seconds)
        except (NotStarted, StillRunning):
            return Unanswered(right, Refusal.FAILED, f"no answer within {SECONDS + wait_seconds:g} s")


def unanswered(right: Right, error: Exception) -> Unanswered:
    """Return what an error means for a question: the code of AWS's answer, and never its text."""
    if not isinstance(error, ClientError):
        return Unanswered(right, Refusal.FAILED, type(error).__name__)
    code = error_code(error)
    if any(denied in code for denied in _DENIED):
        return Unanswered(right, Refusal.DENIED, code)
    return Unanswered(right, Refusal.MISSING if any(one in code for one in _MISSING) else Refusal.FAILED, code)


def _elsewhere(right: Right, variable: str) -> Unanswered:
    return Unanswered(right, Refusal.ELSEWHERE, f"the queue is not at AWS, and {variable} is not set")
