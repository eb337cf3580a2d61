"""The findings about configuration set, topic and subscription."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from deploy.command.feedback_check.cloud import Destination, Refusal, Right, Subscription, Unanswered
from deploy.command.feedback_check.destination import (
    EVENT_TYPES,
    chosen,
    destination_finding,
    subscription_finding,
)
from deploy.command.findings import State
from tests.unit.deploy.command.feedback_check.cloud import (
    DESTINATION,
    QUEUE_ARN,
    SET,
    SUBSCRIPTION,
    TOPIC,
    denied,
    missing,
)

OTHER = "arn:aws:sns:eu-central-1:111122223333:other"


@pytest.mark.parametrize(
    ("destinations", "state", "says"),
    [
        ([DESTINATION], State.OK, "publishes all 7 types"),
        ([replace(DESTINATION, types=EVENT_TYPES | {"OPEN"})], State.OK, "publishes all 7 types"),
        ([replace(DESTINATION, types=EVENT_TYPES - {"SEND"})], State.FAIL, "does not publish SEND"),
        ([replace(DESTINATION, types=EVENT_TYPES - {"REJECT"})], State.WARN, "does not publish REJECT"),
        ([replace(DESTINATION, enabled=False)], State.FAIL, "it is disabled"),
        ([replace(DESTINATION, topic=None)], State.FAIL, "no event destination with an SNS topic"),
        ([], State.FAIL, "no event destination with an SNS topic"),
        ([replace(DESTINATION, topic=OTHER)], State.FAIL, f"publishes to {OTHER}"),
        (missing(Right.DESTINATIONS), State.FAIL, f"{SET} does not exist"),
        (denied(Right.DESTINATIONS), State.WARN, "needs ses:GetConfigurationSetEventDestinations"),
    ],
)
def test_destination(destinations: Sequence[Destination] | Unanswered, state: State, says: str) -> None:
    """An enabled destination must publish all types to the topic of the settings."""
    found = destination_finding(SET, destinations, TOPIC)

    assert (state, True) == (found.state, says in found.detail)


def test_without_a_topic_in_the_settings_any_will_do() -> None:
    """If the settings name no topic, the destination's own is taken."""
    assert State.OK is destination_finding(SET, [replace(DESTINATION, topic=OTHER)], None).state


def test_of_several_destinations_the_settings_topic_counts() -> None:
    """The topic of the settings goes before a destination with more types."""
    wanted = replace(DESTINATION, name="ours", types=frozenset({"SEND"}))

    assert wanted == chosen([replace(DESTINATION, topic=OTHER), wanted], TOPIC)


@pytest.mark.parametrize(
    ("subscriptions", "state", "says"),
    [
        ([SUBSCRIPTION], State.OK, "is subscribed"),
        ([Subscription("email", "a@example.org", confirmed=True), SUBSCRIPTION], State.OK, "is subscribed"),
        ([replace(SUBSCRIPTION, confirmed=False)], State.FAIL, "is not confirmed"),
        ([replace(SUBSCRIPTION, endpoint=f"{QUEUE_ARN}-2")], State.FAIL, "is not subscribed"),
        ([replace(SUBSCRIPTION, protocol="lambda")], State.FAIL, "is not subscribed"),
        (missing(Right.SUBSCRIPTIONS), State.FAIL, "does not exist"),
        (denied(Right.SUBSCRIPTIONS), State.WARN, "needs sns:ListSubscriptionsByTopic"),
        (
            Unanswered(Right.SUBSCRIPTIONS, Refusal.ELSEWHERE, "the queue is not at AWS"),
            State.OK,
            f"not checked away from AWS: the subscriptions of {TOPIC} (the queue is not at AWS)",
        ),
    ],
)
def test_subscription(subscriptions: Sequence[Subscription] | Unanswered, state: State, says: str) -> None:
    """The queue must be subscribed to the topic, and the subscription confirmed."""
    found = subscription_finding(TOPIC, subscriptions, QUEUE_ARN)

    assert (state, True) == (found.state, says in found.detail)


def test_no_address_of_a_subscriber_is_printed() -> None:
    """A finding never has the endpoint of somebody else."""
    found = subscription_finding(TOPIC, [Subscription("email", "amara@example.org", confirmed=True)], QUEUE_ARN)

    assert "amara" not in f"{found}"
