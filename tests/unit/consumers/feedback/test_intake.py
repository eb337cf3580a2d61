"""The intake writes what messages say, and deletes a message only after that is durable."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
from prometheus_client import CollectorRegistry

from consumers.feedback.intake import FeedbackIntake
from consumers.feedback.messages import AllowList
from consumers.metrics import replica_metrics
from consumers.steps import nobody_listens
from runtime.kafka.publisher import NotPublished, PublishError
from runtime.kafka.records import Place, Record
from runtime.kafka.topics import Topics
from schemas.feedback import Feedback, parse_feedback
from schemas.headers import TRACE_PARENT
from schemas.signatures import Proof
from tests.fakes.clock import FakeClock
from tests.fakes.event_queue import FakeQueue
from tests.fakes.kafka_log import FakeLog
from tests.fakes.publisher import Failure, FakePublisher
from tests.ses_events import event, in_event_bridge, in_sns, raw
from tests.signing import KEYS

TOPIC = Topics().feedback


class Stage:
    """An intake between a queue and a log."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.log = FakeLog()
        self.publisher = FakePublisher(self.log)
        self.queue = FakeQueue()
        self.registry = CollectorRegistry()
        self.account_read = 0
        self.intake = FeedbackIntake(
            self.queue,
            self.publisher,
            TOPIC,
            AllowList(12),
            KEYS,
            self.clock,
            replica_metrics(self.registry),
            lambda: 1.0,
            self._read_account,
            lambda: self.publisher.connected,
            nobody_listens,
        )

    async def _read_account(self) -> None:
        self.account_read += 1

    async def run(self, seconds: float = 1.0) -> None:
        """Let time pass."""
        await self.clock.advance(seconds)

    @property
    def records(self) -> list[Record]:
        """Return all records of feedback."""
        return [record for record in self.publisher.records if record.topic == TOPIC]

    @property
    def reports(self) -> list[Feedback]:
        """Return what they hold."""
        return [found for one in self.records if (found := parse_feedback(one.key, one.value)) is not None]

    def count(self, kind: str) -> float | None:
        """Return the metric of messages of a kind."""
        return self.registry.get_sample_value("pause_notifications_feedback_messages_total", {"kind": kind})


@pytest.fixture(name="stage")
async def _stage() -> AsyncIterator[Stage]:
    """Yield a stage whose intake runs."""
    stage = Stage()
    running = asyncio.create_task(stage.intake.run())
    yield stage
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


async def test_a_report_becomes_a_signed_record_in_the_partition_of_its_dispatch(stage: Stage) -> None:
    """The owner of the dispatch can believe it."""
    stage.queue.put(in_sns(event("Bounce", partition=7)))
    await stage.run()

    (record,) = stage.records
    assert Place(TOPIC, 7) == record.place
    assert Proof.PROVEN is KEYS.check(TOPIC, record.key, record.value, record.headers)
    assert ["bounce"] == [report.kind for report in stage.reports]
    assert 0 == stage.queue.left


async def test_many_messages_are_taken_side_by_side(stage: Stage) -> None:
    """All are written and deleted."""
    stage.queue.put(*(raw(event("Delivery", message_id=f"m-{number}")) for number in range(95)))
    for _ in range(10):
        await stage.run()

    assert {f"m-{number}" for number in range(95)} == {report.message_id for report in stage.reports}
    assert 0 == stage.queue.left


@pytest.mark.parametrize("durable", [False, True])
async def test_a_message_whose_record_is_not_acknowledged_stays(stage: Stage, durable: bool) -> None:  # noqa: FBT001 - a parameter
    """It comes again, and is written again: at least once."""
    stage.publisher.will_fail(Failure(PublishError("no answer"), durable))
    stage.queue.put(raw(event("Send")))
    await stage.run()
    assert 1 == stage.queue.left

    stage.queue.end_visibility()
    await stage.run()

    assert {"m-1"} == {report.message_id for report in stage.reports}
    assert 0 == stage.queue.left


async def test_while_kafka_is_away_nothing_is_received(stage: Stage) -> None:
    """Each receive counts, and the queue would move sound messages to its dead-letter queue."""
    stage.publisher.connected = False
    await stage.run()
    stage.queue.put(raw(event("Send")))  # for the one that waits for messages already
    await stage.run()
    stage.queue.put(raw(event("Send", message_id="m-2")))
    await stage.run(600)
    assert 1 == len(stage.queue.seen)

    stage.publisher.connected = True
    await stage.run()
    assert 0 == stage.queue.left


async def test_a_message_that_cannot_be_written_comes_ever_later(stage: Stage) -> None:
    """The evidence of a send comes again while a lost answer waits; a partition without a leader costs few receives."""
    stage.publisher.will_fail(*[Failure(NotPublished("no leader"))] * 4)
    stage.queue.put(raw(event("Send")))
    for _ in range(4):
        await stage.run()
        stage.queue.end_visibility()

    assert [15, 225, 3375, 12 * 3600] == stage.queue.hidden_seconds


async def test_only_one_waits_for_messages(stage: Stage) -> None:
    """A queue that is idle is asked by one, and a full one by all."""
    await stage.run()
    assert 1 == stage.queue.waiting

    stage.queue.put(*(raw(event("Send", message_id=f"m-{number}")) for number in range(200)))
    for _ in range(20):
        await stage.run()
    assert 0 == stage.queue.left
    assert 1 < stage.queue.most_at_once


async def test_one_message_that_cannot_be_written_keeps_no_other(stage: Stage) -> None:
    """Of a batch, what is durable is deleted."""
    stage.publisher.will_fail(Failure(NotPublished("refused")))
    stage.queue.put(raw(event("Send", message_id="m-1")), raw(event("Send", message_id="m-2")))
    await stage.run()

    assert 1 == stage.queue.left
    assert ["m-2"] == [report.message_id for report in stage.reports]


async def test_a_message_that_was_not_deleted_is_written_again(stage: Stage) -> None:
    """A copy does no harm, a loss would."""
    stage.queue.failing = {"delete"}
    stage.queue.put(raw(event("Send")))
    await stage.run()
    stage.queue.failing = set()
    stage.queue.end_visibility()
    await stage.run(60)

    assert 2 == len(stage.reports)
    assert 0 == stage.queue.left


async def test_what_is_not_ours_stays_and_is_counted(stage: Stage) -> None:
    """The queue's redrive policy moves it; nothing is written."""
    stage.queue.put("hello")
    await stage.run()

    assert ([], 1, 1.0) == (stage.records, stage.queue.left, stage.count("unreadable"))


async def test_without_a_redrive_policy_nothing_comes_for_ever(stage: Stage) -> None:
    """What comes again and again is hidden for hours, and kept."""
    stage.queue.put("hello")
    for _ in range(12):
        await stage.run()
        stage.queue.end_visibility()

    assert ["id-1"] == list(dict.fromkeys(stage.queue.hidden))
    assert 1 == stage.queue.left


async def test_a_queue_that_is_away_is_asked_again_ever_more_slowly(stage: Stage) -> None:
    """It is counted, and nothing is lost."""
    stage.queue.failing = {"receive"}
    stage.queue.put(raw(event("Send")))
    await stage.run(60)
    errors = stage.registry.get_sample_value("pause_notifications_feedback_queue_errors_total") or 0
    stage.queue.failing = set()
    await stage.run(60)

    assert 4 <= errors <= 40
    assert 0 == stage.queue.left


async def test_the_account_is_read_at_once_when_its_sending_changes(stage: Stage) -> None:
    """The event is not believed: SES itself is asked."""
    stage.queue.put(in_event_bridge({}, kind="Sending Status Disabled"))
    await stage.run()

    assert (1, 0) == (stage.account_read, stage.queue.left)


async def test_records_are_durable_before_their_messages_are_deleted(stage: Stage) -> None:
    """At the step between them, the record is in the log and the message on the queue."""
    seen: list[tuple[int, int]] = []
    stage.intake.reached = lambda _step, _of: seen.append((len(stage.records), len(stage.queue.deleted)))
    stage.queue.put(raw(event("Send")))
    await stage.run()

    assert [(1, 0)] == seen


@pytest.mark.parametrize(
    ("tag", "expected"),
    [
        (f"00-{'a' * 32}-{'b' * 16}-01", [f"00-{'a' * 32}-{'b' * 16}-01"]),
        ("mentor@example.org", []),
        ("0" * 5000, []),
        (None, []),
    ],
    ids=["a trace", "an address", "too much", "none"],
)
async def test_a_record_links_back_to_its_send(stage: Stage, tag: str | None, expected: list[str]) -> None:
    """The record has the trace context of the e-mail's tag as a header, if it is one, and still counts as signed."""
    body = event("Delivery")
    if tag is not None:
        body["mail"]["tags"]["traceparent"] = [tag]
    stage.queue.put(raw(body))
    await stage.run()
    (record,) = stage.records

    assert expected == [(value or b"").decode() for name, value in record.headers if name == TRACE_PARENT]
    assert Proof.PROVEN is KEYS.check(record.topic, record.key, record.value, record.headers)
