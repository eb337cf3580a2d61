"""AWS as the check sees it, with a sound way of feedback that a test can break; time passes by its clock alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from consumers.email import Email, EmailError
from deploy.command.feedback_check.cloud import (
    Destination,
    Message,
    Queue,
    Refusal,
    Right,
    Subscription,
    Unanswered,
)
from deploy.command.feedback_check.destination import EVENT_TYPES
from tests.fakes.clock import FakeClock

SET = "pause-notifications"
TOPIC = "arn:aws:sns:eu-central-1:111122223333:feedback"
QUEUE_ARN = "arn:aws:sqs:eu-central-1:111122223333:feedback"
QUEUE_URL = "https://sqs.eu-central-1.amazonaws.com/111122223333/feedback"
DEAD_LETTERS_ARN = f"{QUEUE_ARN}-dead-letters"
DEAD_LETTERS_URL = f"{QUEUE_URL}-dead-letters"

DESTINATION = Destination(name="all", enabled=True, types=EVENT_TYPES, topic=TOPIC)
SUBSCRIPTION = Subscription("sqs", QUEUE_ARN, confirmed=True)
POLICY = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": "sns.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": QUEUE_ARN,
            "Condition": {"ArnEquals": {"aws:SourceArn": TOPIC}},
        }
    ],
}
QUEUE = Queue(
    arn=QUEUE_ARN,
    waiting=0,
    in_flight=0,
    visibility_seconds=60,
    policy=json.dumps(POLICY),
    dead_letter_arn=DEAD_LETTERS_ARN,
    max_receives=5,
)
DEAD_LETTERS = replace(QUEUE, arn=DEAD_LETTERS_ARN, dead_letter_arn=None, max_receives=None)


def denied(right: Right) -> Unanswered:
    """Return the answer to a question that IAM does not allow."""
    return Unanswered(right, Refusal.DENIED, "AccessDenied")


def missing(right: Right) -> Unanswered:
    """Return the answer to a question about what is not there."""
    return Unanswered(right, Refusal.MISSING, "NotFoundException")


def reports(email: Email) -> list[str]:
    """Return what SES publishes about an e-mail that arrives: Send and Delivery, in the envelope of SNS."""
    tags = {name: [value] for name, value in email.tags.items()} | {"ses:configuration-set": [SET]}
    mail = {
        "timestamp": "2026-03-26T08:30:00.000Z",
        "messageId": "m",
        "sendingAccountId": "111122223333",
        "destination": [email.to],
        "tags": tags,
    }
    delivery = {"timestamp": "2026-03-26T08:30:01.000Z", "recipients": [email.to]}
    events = [
        {"eventType": "Send", "mail": mail, "send": {}},
        {"eventType": "Delivery", "mail": mail, "delivery": delivery},
    ]
    return [json.dumps({"Type": "Notification", "TopicArn": TOPIC, "Message": json.dumps(one)}) for one in events]


@dataclass
class FakeCloud:
    """Answers each question, and puts what SES reports about an e-mail on the queue at once."""

    clock: FakeClock = field(default_factory=FakeClock)
    found_destinations: Sequence[Destination] | Unanswered = (DESTINATION,)
    found_subscriptions: Sequence[Subscription] | Unanswered = (SUBSCRIPTION,)
    queues: dict[str, Queue | Unanswered] = field(
        default_factory=lambda: {QUEUE_URL: QUEUE, DEAD_LETTERS_URL: DEAD_LETTERS}
    )
    age: float | Unanswered | None = None
    refusal: EmailError | None = None
    unreadable: Unanswered | None = None
    reporting: Callable[[Email], list[str]] = reports
    waiting: list[Message] = field(default_factory=list)
    sent: list[Email] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    released: list[str] = field(default_factory=list)

    async def destinations(self, configuration_set: str) -> Sequence[Destination] | Unanswered:
        """Return the event destinations of the one configuration set."""
        assert SET == configuration_set
        return self.found_destinations

    async def subscriptions(self, topic: str) -> Sequence[Subscription] | Unanswered:
        """Return the subscriptions of the one topic."""
        assert TOPIC == topic
        return self.found_subscriptions

    async def queue(self, url: str) -> Queue | Unanswered:
        """Return a queue."""
        return self.queues[url]

    async def oldest_age(self, queue_name: str) -> float | Unanswered | None:
        """Return the age of the oldest message."""
        assert "feedback" == queue_name
        return self.age

    async def receive(self, url: str, *, wait_seconds: int, hidden_seconds: int) -> Sequence[Message] | Unanswered:
        """Return up to ten messages, each once; wait if there are none."""
        assert (QUEUE_URL, True) == (url, hidden_seconds > wait_seconds)
        if self.unreadable is not None:
            return self.unreadable
        if not self.waiting:
            await self.clock.sleep(wait_seconds)
        received, self.waiting = self.waiting[:10], self.waiting[10:]
        return received

    async def delete(self, url: str, receipt: str) -> Unanswered | None:
        """Note that a message was deleted."""
        assert QUEUE_URL == url
        self.deleted.append(receipt)
        return None

    async def release(self, url: str, receipt: str) -> Unanswered | None:
        """Note that a message was released."""
        assert QUEUE_URL == url
        self.released.append(receipt)
        return None

    async def send(self, email: Email) -> str:
        """Take an e-mail, and report on it; or refuse it."""
        if self.refusal is not None:
            raise self.refusal
        self.sent.append(email)
        self.waiting += [
            Message(body, f"{len(self.sent)}-{number}") for number, body in enumerate(self.reporting(email))
        ]
        return "m"
