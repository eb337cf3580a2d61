"""The second part of the way: the queue, who may write to it, and what became of messages that nobody takes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

from deploy.command.feedback_check.cloud import Queue, Refusal, Unanswered
from deploy.command.feedback_check.wording import TEMPLATE, unanswered_finding
from deploy.command.findings import Finding, State

POLICY = "feedback queue policy"
MESSAGES = "feedback messages"
DEAD_LETTERS = "feedback dead-letter queue"

_LEAST_HIDDEN_SECONDS = 30
_FEWEST_RECEIVES = 3
_OLD_SECONDS = 300.0
_KEY_OF_AWS = "alias/aws/sqs"
_SENDING = frozenset({"*", "sqs:*", "sqs:sendmessage"})


def policy_finding(queue: Queue, topic: str | None) -> Finding:
    """Return the finding about who may write to the queue; *topic* is the one whose events it should get."""
    if queue.kms_key == _KEY_OF_AWS:
        detail = f"the queue is encrypted with {_KEY_OF_AWS}, which SNS may not use: nothing comes"
        return Finding(
            POLICY, State.FAIL, detail, "encrypt it with SSE-SQS, or with a key of your own that lets SNS in"
        )
    allowing = [one for one in _statements(queue.policy) if _allows_sending(one)]
    if not allowing:
        return Finding(POLICY, State.FAIL, "nobody may write to the queue: nothing comes", TEMPLATE)
    if any(_is_open(one) for one in allowing):
        advice = "allow only the topic, by a condition on aws:SourceArn"
        return Finding(POLICY, State.WARN, "anybody may write to the queue", advice)
    if topic is not None and not any(_admits(one, topic) for one in allowing):
        return Finding(POLICY, State.WARN, f"the queue's policy does not name {topic}", TEMPLATE)
    return Finding(POLICY, State.OK, "the topic may write to the queue, and not everybody")


def _statements(policy: str | None) -> Iterator[Mapping[str, Any]]:
    try:
        found = json.loads(policy or "{}")
    except (ValueError, RecursionError):
        return
    statements = found.get("Statement", []) if isinstance(found, dict) else []
    for one in statements if isinstance(statements, list) else [statements]:
        if isinstance(one, dict):
            yield one


def _allows_sending(statement: Mapping[str, Any]) -> bool:
    actions = {text.lower() for text in _texts(statement.get("Action"))}
    return statement.get("Effect") == "Allow" and not _SENDING.isdisjoint(actions)


def _is_open(statement: Mapping[str, Any]) -> bool:
    return not statement.get("Condition") and "*" in _texts(statement.get("Principal"))


def _admits(statement: Mapping[str, Any], topic: str) -> bool:
    condition = statement.get("Condition")
    return any(fnmatchcase(topic, text) for text in _texts(condition)) or condition is None


def _texts(value: Any) -> Iterator[str]:
    """Yield the texts in what a policy has: one, a list of them, or an object that holds some."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _texts(one)


def messages_finding(queue: Queue, age: float | Unanswered | None) -> Finding:
    """Return the finding about the messages that wait, by their number and the age of the oldest."""
    counted = f"{queue.waiting:,} wait, {queue.in_flight:,} are being read"
    if isinstance(age, Unanswered):
        denied = age.refusal is Refusal.DENIED
        detail = f"{counted}; their age is unknown: {f'needs {age.right}' if denied else age.detail}"
        return Finding(MESSAGES, State.OK, detail)
    counted += "" if age is None else f"; the oldest came {age:,.0f} s ago"
    if queue.visibility_seconds < _LEAST_HIDDEN_SECONDS:
        detail = (
            f"{counted}; a message comes again after {queue.visibility_seconds} s, before a replica is done with it"
        )
        return Finding(MESSAGES, State.WARN, detail, "set the queue's visibility time-out to 60 s")
    if age is not None and age > _OLD_SECONDS:
        advice = "look at the log of the replicas: is the queue set for them, may they read it, do they keep up?"
        return Finding(MESSAGES, State.WARN, counted, advice)
    return Finding(MESSAGES, State.OK, counted)


def dead_letter_finding(queue: Queue, dead_letters: Queue | Unanswered | None) -> Finding:
    """Return the finding about the dead-letter queue; *dead_letters* is None if the queue names none."""
    if dead_letters is None:
        detail = "there is none: a message that no replica takes comes again until it is 14 days old at most"
        return Finding(DEAD_LETTERS, State.WARN, detail, TEMPLATE)
    if isinstance(dead_letters, Unanswered):
        return unanswered_finding(DEAD_LETTERS, f"the queue {queue.dead_letter_arn}", dead_letters)
    held = dead_letters.waiting + dead_letters.in_flight
    if held:
        advice = "look at some (deploy/README.md, Feedback): foreign or unreadable ones, or sound ones of a long outage"
        return Finding(DEAD_LETTERS, State.WARN, f"{held:,} messages are in it", advice)
    if queue.max_receives is not None and queue.max_receives < _FEWEST_RECEIVES:
        detail = f"it is empty; a message moves there after {queue.max_receives} receives, so a short outage moves some"
        return Finding(DEAD_LETTERS, State.WARN, detail, "set maxReceiveCount to 5")
    return Finding(DEAD_LETTERS, State.OK, f"it is empty; a message moves there after {queue.max_receives} receives")
