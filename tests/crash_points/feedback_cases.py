"""The cases about feedback: SES says what became of its e-mails, and replicas are killed while they take it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from deploy.local.ses.mails import Mail
from runtime.kafka.reader import Reader
from schemas.contacts import Contact
from schemas.dispatch import Dispatch
from schemas.events import UNDELIVERED
from schemas.feedback import Feedback, most_severe, parse_feedback
from tests.crash_points.helpers import (
    MENTOR,
    ONCE,
    SETTLED,
    Outcome,
    events_of_one_mentor,
    outcomes_of,
    publish_in_order,
    start_successor,
    trapped,
)
from tests.stage import Stage
from tests.waiting import until

NOT_SENT_AGAIN = Outcome(mails=(0, 1), statuses=("suppressed", "sent"))
_REPORTED_SECONDS = 60.0
_AFTER_THE_OUTCOME = {"event_delay_seconds": 5}


async def feedback_recorded(stage: Stage) -> None:
    """It is killed when reports are durable and their messages are not deleted: they come again, none is lost."""
    (event,) = events_of_one_mentor(1)
    await stage.ses.set(**_AFTER_THE_OUTCOME)
    # The first message is the line that SES puts on a new queue.
    async with trapped(stage, "feedback_recorded:2") as doomed:
        await doomed.ready()
        await publish_in_order(stage, [event])
        await doomed.dead()

    await start_successor(stage)

    assert [ONCE] == await outcomes_of(stage, [event])
    reports = await all_reported(stage)
    assert 1 < max(Counter(report.identity for report in reports).values())


async def lost_answer_settled(stage: Stage) -> None:
    """It is killed when feedback has settled a lost answer: nothing is sent again, and the first e-mail counts."""
    (event,) = events_of_one_mentor(1)
    await stage.ses.set(accept_then_drop_share=1)
    async with trapped(stage, "settled:1") as doomed:
        await doomed.ready()
        await publish_in_order(stage, [event])
        await doomed.dead()
    await stage.ses.set()

    await start_successor(stage)

    assert [SETTLED] == await outcomes_of(stage, [event])
    recorded = {one.message_id for one in stage.dispatches[event.dispatch_id].recipients}
    assert {mail.message_id for mail in stage.ses.mails} == recorded


async def mentor_not_reached(stage: Stage, *, at: str) -> None:
    """It is killed after what follows a bounce: the coordinator is told once, and the address gets no e-mail more."""
    first, later = events_of_one_mentor(2)
    await stage.put_contact(_bouncing(stage.contacts))
    async with trapped(stage, at) as doomed:
        await doomed.ready()
        await publish_in_order(stage, [first])
        await doomed.dead()

    await start_successor(stage)

    assert [ONCE] == await outcomes_of(stage, [first])
    await all_reported(stage)
    (told,) = await until(lambda: _escalations(stage), within=30, what="the escalation")
    assert [(UNDELIVERED.type, 1)] == [
        (told.event_type, count) for count in stage.ses.sent_to(told.dispatch_id).values()
    ]
    await publish_in_order(stage, [later])
    assert [NOT_SENT_AGAIN] == await outcomes_of(stage, [later])
    assert [told.dispatch_id] == [one.dispatch_id for one in _escalations(stage)]


def _bouncing(contacts: Sequence[Contact]) -> Contact:
    mentor = next(one for one in contacts if one.id == MENTOR)
    return mentor.model_copy(update={"email": "bounce+mentor-001@example.org"})


def _escalations(stage: Stage) -> list[Dispatch]:
    stage.check()
    return [one for one in stage.dispatches.values() if one.event_type == UNDELIVERED.type and one.final]


async def all_reported(stage: Stage) -> list[Feedback]:
    """
    Wait until all that SES says of its e-mails is on the topic and handled, and return it.

    The reports of each e-mail must combine to the state in which SES has it.
    """
    if stage.queue is None:
        return []
    complete = await until(lambda: _if_complete(stage), within=_REPORTED_SECONDS, what="all reports of SES")
    assert complete is not None
    mails, reports = complete
    folded = {
        mail.message_id: most_severe(one for one in reports if one.message_id == mail.message_id) for mail in mails
    }
    assert {mail.message_id: mail.state for mail in mails} == {
        message_id: None if report is None else report.state for message_id, report in folded.items()
    }
    return reports


async def _if_complete(stage: Stage) -> tuple[list[Mail], list[Feedback]] | None:
    """Return the e-mails so far with all their reports, if none is missing, no message is left, and all are handled."""
    stage.check()
    assert stage.queue is not None
    mails = list(stage.ses.mails)  # that which tells of a bounce may be sent while the others' reports are read
    if not all(mail.reports for mail in mails) or await stage.queue.left():
        return None
    expected = {(mail.message_id, "send") for mail in mails}
    expected |= {(mail.message_id, str(report.outcome.kind)) for mail in mails for report in mail.reports}
    reports = await _on_the_topic(stage)
    return (mails, reports) if expected <= {(one.message_id, str(one.kind)) for one in reports} else None


async def _on_the_topic(stage: Stage) -> list[Feedback]:
    """Return the reports on the topic, or none if the group has not handled all of them."""
    places = await stage.asker.partitions(stage.topics.feedback)
    ends, handled = await stage.asker.end_offsets(places), await stage.committed()
    if any(handled.get(place, 0) < end for place, end in ends.items() if end):
        return []
    found: list[Feedback] = []
    async with Reader({"bootstrap_servers": stage.bootstrap_servers}) as reader:
        reader.follow(dict.fromkeys(places, 0))
        while any((reader.position(place) or 0) < end for place, end in ends.items()):
            for records in (await reader.poll(timeout_ms=100)).records.values():
                found += filter(None, (parse_feedback(record.key, record.value) for record in records))
    return found
