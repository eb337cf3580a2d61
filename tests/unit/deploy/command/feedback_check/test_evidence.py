"""Where reports are read from."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import pytest

from consumers.feedback.messages import AllowList, Left
from deploy.command.feedback_check.cloud import Message, Right
from deploy.command.feedback_check.evidence import (
    FromQueue,
    FromTopic,
    NoEvidence,
    Report,
    releasing,
)
from deploy.command.feedback_check.probe import email
from runtime.kafka.fetching import Fetched
from runtime.kafka.records import Place, Record
from schemas.feedback import Feedback, FeedbackKind, feedback_json
from schemas.headers import Headers
from schemas.signatures import NO_KEYS, SigningKeys
from tests.fakes.clock import START, FakeClock
from tests.signing import KEYS
from tests.unit.deploy.command.feedback_check.cloud import QUEUE_URL, FakeCloud, denied, reports

ID = "0" * 31 + "a"
OTHER = "0" * 31 + "b"
PLACE = Place("pause-notifications.feedback.v1", 0)


def _queue(cloud: FakeCloud) -> FromQueue:
    return FromQueue(cloud, QUEUE_URL, AllowList(1), hidden_seconds=120, ours={ID}, clock=FakeClock())


async def test_only_messages_of_the_check_are_deleted() -> None:
    """Messages about our e-mails are deleted; each other one is held, and released at the end."""
    cloud = FakeCloud()
    await cloud.send(email(ID))
    cloud.waiting += [Message("strange", "s"), Message(reports(email(OTHER))[0], "o")]

    async with releasing(_queue(cloud)) as queue:
        found = await queue.new()
        assert [] == cloud.released

    assert [Report(ID, FeedbackKind.SEND), Report(ID, FeedbackKind.DELIVERY)] == found
    assert (["1-0", "1-1"], {"s", "o"}) == (cloud.deleted, set(cloud.released))


async def test_others_are_released_after_an_error() -> None:
    """What was held is released, whatever happens."""
    cloud = FakeCloud(waiting=[Message("strange", "s")])

    async def reading() -> None:
        async with releasing(_queue(cloud)) as queue:
            await queue.new()
            cloud.unreadable = denied(Right.RECEIVE)
            await queue.new()

    with pytest.raises(NoEvidence):
        await reading()
    assert ["s"] == cloud.released


async def test_a_backlog_is_not_read_through() -> None:
    """Above 500 messages of others the check gives up, since each is received for nothing."""
    queue = _queue(FakeCloud(waiting=[Message("strange", f"{number}") for number in range(600)]))

    for _ in range(50):
        await queue.new()

    with pytest.raises(NoEvidence, match="start a replica"):
        await queue.new()
    assert 510 == len(queue.held)


async def test_an_unreadable_queue_names_the_right() -> None:
    """Without the right to receive there is no evidence, and the error names it."""
    with pytest.raises(NoEvidence, match="sqs:ReceiveMessage"):
        await _queue(FakeCloud(unreadable=denied(Right.RECEIVE))).new()


@dataclass
class Polled:
    """A reader that returns its records once."""

    records: list[Record] = field(default_factory=list)

    async def poll(self, *, timeout_ms: int = 0, max_records: int | None = None) -> Fetched:
        """Return the records."""
        assert (1000, None) == (timeout_ms, max_records)
        records, self.records = self.records, []
        return Fetched(records={PLACE: records})


def _record(value: bytes | None, *, key: str = ID, keys: SigningKeys = KEYS) -> Record:
    headers: Headers = keys.signed(PLACE.topic, key.encode(), value, [])
    return Record(*PLACE, 0, key.encode(), value, headers, START, 0)


def _feedback(kind: FeedbackKind) -> bytes:
    return feedback_json(Feedback(dispatch_id=ID, recipient="doctor", message_id="m", kind=kind, at=START))


async def test_records_of_feedback_are_reports() -> None:
    """A record of feedback is a report; an unreadable one is none."""
    reader = Polled([_record(b"{"), _record(None), _record(_feedback(FeedbackKind.SEND), key=OTHER)])
    reader.records += [_record(_feedback(FeedbackKind.SEND)), _record(_feedback(FeedbackKind.DELIVERY))]
    topic = FromTopic(reader, PLACE, KEYS)

    assert [Report(ID, FeedbackKind.SEND), Report(ID, FeedbackKind.DELIVERY)] == await topic.new()
    assert 0 == topic.unproven


@pytest.mark.parametrize(("keys", "unproven"), [(KEYS, 1), (NO_KEYS, 0)])
async def test_unproven_records_are_counted(keys: SigningKeys, unproven: int) -> None:
    """A record that no known key signed still shows the time, and is counted; without keys nobody can tell."""
    topic = FromTopic(Polled([_record(_feedback(FeedbackKind.SEND), keys=NO_KEYS)]), PLACE, keys)

    assert ([Report(ID, FeedbackKind.SEND)], unproven) == (await topic.new(), topic.unproven)


async def test_each_strange_message_is_received_once() -> None:
    """A message of somebody else is hidden for the whole check: its redrive policy counts one receive."""
    cloud = FakeCloud(clock=FakeClock(), waiting=[Message("strange", "s")])
    queue = _queue(cloud)

    await queue.new()

    assert ([], ["s"]) == (cloud.released, queue.held)


async def test_what_a_replica_would_leave_is_counted() -> None:
    """A message that a replica does not take is named by its kind, and one that it deletes is only held."""
    foreign = json.dumps({"eventType": "Send", "mail": {}})
    validation = "Successfully validated SNS topic for Amazon SES event publishing."
    queue = _queue(FakeCloud(waiting=[Message(body, body[:8]) for body in (foreign, "[" * 100_000, validation)]))

    assert [] == await queue.new()
    assert {Left.UNREADABLE: 1, Left.UNTAGGED: 1} == queue.left
    assert queue.where.endswith("leave these on the queue: 1 unreadable, 1 untagged")
    assert 3 == len(queue.held)
