"""The first part of the way: from the configuration set to an SNS topic, and from there to the queue."""

from __future__ import annotations

from collections.abc import Sequence

from deploy.command.feedback_check.cloud import Destination, Subscription, Unanswered
from deploy.command.feedback_check.wording import TEMPLATE, unanswered_finding
from deploy.command.findings import Finding, State
from runtime.settings import env_name
from schemas.feedback import FeedbackKind

SET = "feedback destination"
SUBSCRIPTION = "feedback subscription"

EVENT_TYPES = frozenset(kind.value.upper() for kind in FeedbackKind)
"""SES's names of all that the service reads."""
_INDISPENSABLE = frozenset(
    kind.value.upper()
    for kind in (FeedbackKind.SEND, FeedbackKind.DELIVERY, FeedbackKind.BOUNCE, FeedbackKind.COMPLAINT)
)


def chosen(destinations: Sequence[Destination], topic: str | None) -> Destination | None:
    """Return the enabled destination with an SNS topic that fits best: *topic* if it is set, then the most types."""
    usable = [one for one in destinations if one.enabled and one.topic is not None]
    return max(usable, key=lambda one: (one.topic == topic, len(one.types & EVENT_TYPES), one.name), default=None)


def destination_finding(
    configuration_set: str, destinations: Sequence[Destination] | Unanswered, topic: str | None
) -> Finding:
    """Return the finding about the configuration set's event destinations; *topic* is the one of the settings."""
    if isinstance(destinations, Unanswered):
        return unanswered_finding(SET, f"the configuration set {configuration_set}", destinations)
    found = chosen(destinations, topic)
    if found is None:
        disabled = [one.name for one in destinations if not one.enabled and one.topic is not None]
        if disabled:
            detail = f"{configuration_set} has an event destination, {disabled[0]}, but it is disabled: nothing comes"
            return Finding(SET, State.FAIL, detail, "enable it in the SES console")
        detail = f"{configuration_set} has no event destination with an SNS topic: nothing comes"
        return Finding(SET, State.FAIL, detail, TEMPLATE)
    if topic is not None and found.topic != topic:
        detail = f"{configuration_set} publishes to {found.topic}, whose events are not taken: see the setting"
        return Finding(SET, State.FAIL, detail, f"set {env_name('ses_events_topic_arn')}={found.topic}")
    return _types_finding(configuration_set, found)


def _types_finding(configuration_set: str, found: Destination) -> Finding:
    missing = EVENT_TYPES - found.types
    if missing:
        state = State.FAIL if missing & _INDISPENSABLE else State.WARN
        detail = f"{configuration_set} does not publish {', '.join(sorted(missing))}"
        return Finding(SET, state, detail, f"add them to its event destination {found.name}")
    return Finding(SET, State.OK, f"{configuration_set} publishes all {len(EVENT_TYPES)} types to {found.topic}")


def subscription_finding(topic: str, subscriptions: Sequence[Subscription] | Unanswered, queue_arn: str) -> Finding:
    """Return the finding about whether the queue gets what is published to the topic."""
    if isinstance(subscriptions, Unanswered):
        return unanswered_finding(SUBSCRIPTION, f"the subscriptions of {topic}", subscriptions)
    ours = [one for one in subscriptions if one.protocol == "sqs" and one.endpoint == queue_arn]
    if any(one.confirmed for one in ours):
        return Finding(SUBSCRIPTION, State.OK, "the queue is subscribed to the topic")
    if ours:
        detail = "the queue's subscription is not confirmed, so nothing is delivered to it"
        return Finding(SUBSCRIPTION, State.FAIL, detail, "subscribe it again as the owner of the queue")
    detail = f"the queue {queue_arn} is not subscribed to {topic}"
    return Finding(SUBSCRIPTION, State.FAIL, detail, TEMPLATE)
