"""The findings about the queue and its dead-letter queue."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from deploy.command.feedback_check.cloud import Queue, Refusal, Right, Unanswered, parse_queue
from deploy.command.feedback_check.event_queue import dead_letter_finding, messages_finding, policy_finding
from deploy.command.findings import State
from tests.unit.deploy.command.feedback_check.cloud import DEAD_LETTERS, POLICY, QUEUE, TOPIC, denied, missing

OURS: dict[str, Any] = POLICY["Statement"][0]  # type: ignore[assignment]


def _with(*statements: Any) -> Queue:
    return replace(QUEUE, policy=json.dumps({"Statement": list(statements)}))


@pytest.mark.parametrize(
    ("queue", "state", "says"),
    [
        (QUEUE, State.OK, "not everybody"),
        (replace(QUEUE, policy=json.dumps({"Statement": OURS})), State.OK, "not everybody"),
        (_with(OURS | {"Action": ["SQS:SendMessage"]}), State.OK, "not everybody"),
        (
            _with(OURS | {"Condition": {"ArnLike": {"aws:SourceArn": ["arn:aws:sns:*:feedback"]}}}),
            State.OK,
            "not every",
        ),
        (replace(QUEUE, policy=None), State.FAIL, "nobody may write"),
        (replace(QUEUE, policy="{"), State.FAIL, "nobody may write"),
        (replace(QUEUE, policy="[" * 100_000), State.FAIL, "nobody may write"),
        (replace(QUEUE, policy="[]"), State.FAIL, "nobody may write"),
        (_with("x"), State.FAIL, "nobody may write"),
        (_with(OURS | {"Effect": "Deny"}), State.FAIL, "nobody may write"),
        (_with(OURS | {"Action": "sqs:ReceiveMessage"}), State.FAIL, "nobody may write"),
        (_with({"Effect": "Allow", "Principal": "*", "Action": "sqs:*"}), State.WARN, "anybody may write"),
        (_with({"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sqs:*"}), State.WARN, "anybody may write"),
        (_with(OURS | {"Condition": {"ArnEquals": {"aws:SourceArn": f"{TOPIC}2"}}}), State.WARN, "does not name"),
        (replace(QUEUE, kms_key="alias/aws/sqs"), State.FAIL, "SNS may not use"),
        (replace(QUEUE, kms_key="alias/ours"), State.OK, "not everybody"),
    ],
)
def test_policy(queue: Queue, state: State, says: str) -> None:
    """The topic must be allowed to write, and nobody else."""
    found = policy_finding(queue, TOPIC)

    assert (state, True) == (found.state, says in found.detail)


@pytest.mark.parametrize(
    ("queue", "age", "state", "says"),
    [
        (QUEUE, None, State.OK, "0 wait, 0 are being read"),
        (replace(QUEUE, waiting=1200), 12.0, State.OK, "1,200 wait, 0 are being read; the oldest came 12 s ago"),
        (replace(QUEUE, waiting=1200), 301.0, State.WARN, "the oldest came 301 s ago"),
        (replace(QUEUE, visibility_seconds=20), None, State.WARN, "comes again after 20 s"),
        (QUEUE, denied(Right.AGE), State.OK, "needs cloudwatch:GetMetricStatistics"),
        (QUEUE, Unanswered(Right.AGE, Refusal.FAILED, "InternalFailure"), State.OK, "unknown: InternalFailure"),
    ],
)
def test_messages(queue: Queue, age: float | Unanswered | None, state: State, says: str) -> None:
    """Messages that wait for minutes are a warning, and so is a visibility time-out that is too short."""
    found = messages_finding(queue, age)

    assert (state, True) == (found.state, says in found.detail)


@pytest.mark.parametrize(
    ("dead_letters", "receives", "state", "says"),
    [
        (DEAD_LETTERS, 5, State.OK, "it is empty; a message moves there after 5 receives"),
        (DEAD_LETTERS, 1, State.WARN, "after 1 receives"),
        (replace(DEAD_LETTERS, waiting=2, in_flight=1), 5, State.WARN, "3 messages are in it"),
        (None, None, State.WARN, "there is none"),
        (missing(Right.ATTRIBUTES), 5, State.FAIL, "does not exist"),
        (denied(Right.ATTRIBUTES), 5, State.WARN, "needs sqs:GetQueueAttributes"),
    ],
)
def test_dead_letters(dead_letters: Queue | Unanswered | None, receives: int | None, state: State, says: str) -> None:
    """There must be a dead-letter queue, and it should be empty."""
    found = dead_letter_finding(replace(QUEUE, max_receives=receives), dead_letters)

    assert (state, True) == (found.state, says in found.detail)


def test_attributes_are_read() -> None:
    """A queue is read from SQS's texts and its redrive policy, in which the number may be a text, too."""
    attributes = {
        "QueueArn": QUEUE.arn,
        "ApproximateNumberOfMessages": "7",
        "ApproximateNumberOfMessagesNotVisible": "2",
        "VisibilityTimeout": "60",
        "Policy": "",
    }

    found = parse_queue(attributes, {"deadLetterTargetArn": DEAD_LETTERS.arn, "maxReceiveCount": "5"})

    assert replace(QUEUE, waiting=7, in_flight=2, policy=None) == found
