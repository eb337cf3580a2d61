"""The questions to AWS, against botocore's own models of the services."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError
from botocore.stub import Stubber

from consumers.email import Halted, HaltReason
from consumers.ses.request import SenderIdentity, arguments_of
from deploy.command.feedback_check.aws import Aws, Clients, unanswered
from deploy.command.feedback_check.cloud import Message, Refusal, Right, Subscription, Unanswered
from deploy.command.feedback_check.probe import email
from tests.fakes.clock import START, FakeClock
from tests.unit.deploy.command.feedback_check.cloud import (
    DESTINATION,
    QUEUE,
    QUEUE_ARN,
    QUEUE_URL,
    SET,
    TOPIC,
    denied,
)

SENDER = SenderIdentity("Notices <no-reply@example.org>", configuration_set=SET)
LOCAL_QUEUE = "http://127.0.0.1:5000/123456789012/feedback"


class Stubs:
    """The four services, each with the answers that a test gives it."""

    def __init__(self) -> None:
        session = boto3.Session("none", "none")

        def built(service: Any) -> Any:
            return session.client(service, region_name="eu-central-1")

        ses, sqs, sns, cloudwatch = (built(service) for service in ("sesv2", "sqs", "sns", "cloudwatch"))
        self.clients = Clients(ses, sqs, sns, cloudwatch)
        self.ses, self.sqs = Stubber(ses), Stubber(sqs)
        self.sns, self.cloudwatch = Stubber(sns), Stubber(cloudwatch)
        self.all = (self.ses, self.sqs, self.sns, self.cloudwatch)
        self.aws = Aws(self.clients, SENDER, FakeClock())


@pytest.fixture(name="stubs")
def _stubs() -> Iterator[Stubs]:
    """Return stubs that refuse what is not expected, and all of whose answers must be asked for."""
    stubs = Stubs()
    for one in stubs.all:
        one.activate()
    yield stubs
    for one in stubs.all:
        one.assert_no_pending_responses()
    stubs.clients.close()


async def test_destinations(stubs: Stubs) -> None:
    """A destination has its types and its topic; one without a topic is not an error."""
    answer = {
        "EventDestinations": [
            {
                "Name": "all",
                "Enabled": True,
                "MatchingEventTypes": sorted(DESTINATION.types),
                "SnsDestination": {"TopicArn": TOPIC},
            },
            {
                "Name": "bus",
                "MatchingEventTypes": ["SEND"],
                "EventBridgeDestination": {"EventBusArn": "arn:aws:events:eu-central-1:111122223333:event-bus/default"},
            },
        ]
    }
    stubs.ses.add_response("get_configuration_set_event_destinations", answer, {"ConfigurationSetName": SET})

    found = await stubs.aws.destinations(SET)

    assert not isinstance(found, Unanswered)
    assert [DESTINATION, False, None] == [found[0], found[1].enabled, found[1].topic]


@pytest.mark.parametrize(
    ("code", "refusal"),
    [
        ("NotFoundException", Refusal.MISSING),
        ("AccessDeniedException", Refusal.DENIED),
        ("TooManyRequestsException", Refusal.FAILED),
    ],
)
async def test_a_refused_question_is_a_value(stubs: Stubs, code: str, refusal: Refusal) -> None:
    """A refusal names the right and the code, and not the text, which may name somebody."""
    stubs.ses.add_client_error("get_configuration_set_event_destinations", code, "User: arn:aws:iam::1:user/amara ...")

    assert Unanswered(Right.DESTINATIONS, refusal, code) == await stubs.aws.destinations(SET)


async def test_subscriptions_of_all_pages(stubs: Stubs) -> None:
    """All pages are read; a subscription without an ARN is not confirmed."""
    one = {"SubscriptionArn": f"{TOPIC}:1", "Owner": "111122223333", "Protocol": "sqs", "Endpoint": QUEUE_ARN}
    pending = one | {"SubscriptionArn": "PendingConfirmation", "Protocol": "email", "Endpoint": "a@example.org"}
    first, second = {"Subscriptions": [pending], "NextToken": "more"}, {"Subscriptions": [one]}
    stubs.sns.add_response("list_subscriptions_by_topic", first, {"TopicArn": TOPIC})
    stubs.sns.add_response("list_subscriptions_by_topic", second, {"TopicArn": TOPIC, "NextToken": "more"})

    assert [
        Subscription("email", "a@example.org", confirmed=False),
        Subscription("sqs", QUEUE_ARN, confirmed=True),
    ] == await stubs.aws.subscriptions(TOPIC)


async def test_endless_subscriptions_end(stubs: Stubs) -> None:
    """At most ten pages are read."""
    for _ in range(10):
        stubs.sns.add_response("list_subscriptions_by_topic", {"Subscriptions": [], "NextToken": "more"})

    assert [] == await stubs.aws.subscriptions(TOPIC)


async def test_queue(stubs: Stubs) -> None:
    """A queue's attributes are asked for all together."""
    attributes = {
        "QueueArn": QUEUE_ARN,
        "ApproximateNumberOfMessages": "0",
        "ApproximateNumberOfMessagesNotVisible": "0",
        "VisibilityTimeout": "60",
        "Policy": QUEUE.policy,
        "RedrivePolicy": f'{{"deadLetterTargetArn": "{QUEUE.dead_letter_arn}", "maxReceiveCount": 5}}',
    }
    asked = {"QueueUrl": QUEUE_URL, "AttributeNames": ["All"]}
    stubs.sqs.add_response("get_queue_attributes", {"Attributes": attributes}, asked)

    assert QUEUE == await stubs.aws.queue(QUEUE_URL)


async def test_a_queue_that_is_not_there(stubs: Stubs) -> None:
    """SQS's own name of a missing queue is understood."""
    stubs.sqs.add_client_error("get_queue_attributes", "AWS.SimpleQueueService.NonExistentQueue")

    found = await stubs.aws.queue(QUEUE_URL)

    assert isinstance(found, Unanswered)
    assert Refusal.MISSING is found.refusal


async def test_unreadable_attributes_are_an_answer(stubs: Stubs) -> None:
    """Attributes that cannot be read are no answer, and no crash."""
    stubs.sqs.add_response("get_queue_attributes", {"Attributes": {"RedrivePolicy": "{"}})

    assert Unanswered(Right.ATTRIBUTES, Refusal.FAILED, "JSONDecodeError") == await stubs.aws.queue(QUEUE_URL)


async def test_the_latest_age_counts(stubs: Stubs) -> None:
    """CloudWatch is asked about the last quarter of an hour, and its points come in any order."""
    points = [{"Timestamp": START - timedelta(minutes=minutes), "Maximum": 100.0 * minutes} for minutes in (9, 1, 5)]
    asked = {
        "Namespace": "AWS/SQS",
        "MetricName": "ApproximateAgeOfOldestMessage",
        "Dimensions": [{"Name": "QueueName", "Value": "feedback"}],
        "StartTime": START - timedelta(minutes=15),
        "EndTime": START,
        "Period": 60,
        "Statistics": ["Maximum"],
    }
    stubs.cloudwatch.add_response("get_metric_statistics", {"Datapoints": points}, asked)
    stubs.cloudwatch.add_response("get_metric_statistics", {"Datapoints": []})

    assert (100.0, None) == (await stubs.aws.oldest_age("feedback"), await stubs.aws.oldest_age("feedback"))


async def test_messages_are_received_deleted_and_released(stubs: Stubs) -> None:
    """Messages are hidden for as long as asked, and can be deleted or released by their receipts."""
    receiving = {"QueueUrl": QUEUE_URL, "MaxNumberOfMessages": 10, "WaitTimeSeconds": 1, "VisibilityTimeout": 120}
    stubs.sqs.add_response("receive_message", {"Messages": [{"Body": "b", "ReceiptHandle": "r"}]}, receiving)
    stubs.sqs.add_response("delete_message", {}, {"QueueUrl": QUEUE_URL, "ReceiptHandle": "r"})
    releasing = {"QueueUrl": QUEUE_URL, "ReceiptHandle": "r", "VisibilityTimeout": 0}
    stubs.sqs.add_response("change_message_visibility", {}, releasing)
    stubs.sqs.add_response("receive_message", {}, receiving)

    assert [Message("b", "r")] == await stubs.aws.receive(QUEUE_URL, wait_seconds=1, hidden_seconds=120)
    assert await stubs.aws.delete(QUEUE_URL, "r") is None
    assert await stubs.aws.release(QUEUE_URL, "r") is None
    assert [] == await stubs.aws.receive(QUEUE_URL, wait_seconds=1, hidden_seconds=120)


async def test_an_email_is_sent_as_a_replica_sends_it(stubs: Stubs) -> None:
    """The request has our sender, the configuration set and the three tags."""
    expected = {**SENDER.arguments(), **arguments_of(email("0" * 32))}
    stubs.ses.add_response("send_email", {"MessageId": "m"}, expected)

    assert "m" == await stubs.aws.send(email("0" * 32))
    assert {"dispatch_id": "0" * 32, "recipient": "doctor", "partition": "0"} == {
        tag["Name"]: tag["Value"] for tag in expected["EmailTags"]
    }


async def test_a_refused_email_is_an_email_error(stubs: Stubs) -> None:
    """SES's errors mean what they mean to a replica."""
    stubs.ses.add_client_error("send_email", "NotFoundException", "Configuration set does not exist", 404)

    with pytest.raises(Halted) as refused:
        await stubs.aws.send(email("0" * 32))
    assert HaltReason.CONFIGURATION_SET_MISSING is refused.value.halt


async def test_a_local_queue_is_no_reason_to_ask_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    """For a queue that is not at AWS, neither SNS nor CloudWatch at AWS is asked."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    clients = Clients.for_queue(LOCAL_QUEUE)
    aws = Aws(clients, SENDER, FakeClock())

    found = [await aws.subscriptions(TOPIC), await aws.oldest_age("feedback")]

    assert (None, None) == (clients.sns, clients.cloudwatch)
    assert all(isinstance(one, Unanswered) and "the queue is not at AWS" in one.detail for one in found)
    assert [Refusal.ELSEWHERE] * 2 == [one.refusal for one in found if isinstance(one, Unanswered)]
    await aws.aclose()


def test_a_broken_way_is_named_by_its_class() -> None:
    """What is no answer of AWS is named by its class alone, without an address of the network."""
    error = EndpointConnectionError(endpoint_url="https://sqs.eu-central-1.amazonaws.com")

    assert Unanswered(Right.ATTRIBUTES, Refusal.FAILED, "EndpointConnectionError") == unanswered(
        Right.ATTRIBUTES, error
    )


async def test_after_its_end_nothing_is_asked(stubs: Stubs) -> None:
    """A question after the end is unanswered."""
    await stubs.aws.aclose()

    found = await stubs.aws.queue(QUEUE_URL)

    assert Refusal.FAILED is (found if isinstance(found, Unanswered) else denied(Right.AGE)).refusal
