"""What the owner of a partition does with feedback: it settles lost answers, suppresses addresses and escalates."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from consumers.delivery import decisions
from consumers.ledger.ledger import Ledger
from runtime.kafka.records import Place, Record
from runtime.kafka.topics import Topics
from runtime.settings import LostAnswerPolicy
from schemas.cloudevents import decode
from schemas.contacts import Contact
from schemas.dead_letters import DeadLetterReason
from schemas.dispatch import Dispatch, Reason, Recipient, Status, parse_dispatch
from schemas.events import REPLICA_SOURCE, UNDELIVERED, Cause, Event, Role
from schemas.feedback import Feedback, FeedbackKind, address_digest, feedback_json
from schemas.signatures import Proof
from tests.fakes.email import ACCEPT, LOSE_ANSWER, THROTTLE, refuse
from tests.signing import KEYS
from tests.unit.consumers.stage import NUMBER, Stage, a_stage, event_of

TOPIC = Topics().feedback
MENTOR, COORDINATOR = "mentor-042", "coordinator-007"
ADDRESSES = {MENTOR: "m@example.org", COORDINATOR: "c@example.org"}


def report(stage: Stage, kind: FeedbackKind, *, of: Dispatch | None = None, to: str = MENTOR, **more: Any) -> Feedback:
    """Return feedback about the newest dispatch, or about *of*."""
    dispatch = of or stage.last
    message_id = more.pop("message_id", None) or recipient(dispatch, to).message_id or "m-late"
    known = {"dispatch_id": dispatch.dispatch_id, "recipient": to, "message_id": message_id, "kind": kind}
    if kind is FeedbackKind.BOUNCE:
        more = {"type": "Permanent", "subtype": "General", **more}
    return Feedback(**{**known, "at": stage.clock.now(), "address": address_digest(to, ADDRESSES[to]), **more})


def appended(stage: Stage, feedback: Feedback, *, signed: bool = True) -> Record:
    """Append the record of feedback."""
    key, value = feedback.dispatch_id.encode(), feedback_json(feedback)
    headers = KEYS.signed(TOPIC, key, value, []) if signed else []
    return stage.put(Place(TOPIC, NUMBER), key=key, value=value, headers=headers)


async def tell(stage: Stage, *reports: Feedback) -> None:
    """Append feedback and have it handled."""
    await stage.process(*(appended(stage, one) for one in reports))


def recipient(dispatch: Dispatch, contact_id: str = MENTOR) -> Recipient:
    """Return one recipient of a dispatch."""
    return next(one for one in dispatch.recipients if one.contact_id == contact_id)


def escalations(stage: Stage) -> list[Event]:
    """Return the events that tell a coordinator, as they were published."""
    records = [record for record in stage.publisher.records if record.topic == UNDELIVERED.topic]
    return [event for one in records if (event := decode(one.headers, one.value)).kind is UNDELIVERED]


def settle_beside(stage: Stage, record: Record) -> None:
    """Settle the mentor's lost answer at the moment at which the next intent is written."""
    written = parse_dispatch(record.value) if record.topic == Topics().dispatches else None
    if written is not None and recipient(written).answers_lost and recipient(written).status is Status.SENDING:
        settled = written.with_recipients([decisions.sent(recipient(written), "m-late", stage.clock.now())])
        stage.former_owner_writes(settled)


class TestLostAnswers:
    """Feedback shows what an answer would have shown."""

    async def test_an_unknown_outcome_becomes_sent(self) -> None:
        """Late evidence of a send settles it, with SES's own id."""
        async with a_stage(lost_answer_policy=LostAnswerPolicy.HOLD) as stage:
            stage.sender.will(LOSE_ANSWER)
            await stage.process(stage.append(event_of()))
            assert Status.UNKNOWN is recipient(stage.last).status

            await tell(stage, report(stage, FeedbackKind.SEND, message_id="m-late"))

            settled = recipient(stage.last)
            assert (Status.SENT, "m-late") == (settled.status, settled.message_id)

    async def test_a_send_that_feedback_shows_is_not_repeated(self) -> None:
        """Under `reconcile` a recipient waits for feedback, and gets one e-mail."""
        async with a_stage(lost_answer_policy=LostAnswerPolicy.RECONCILE) as stage:
            stage.sender.will(LOSE_ANSWER)
            await stage.process(stage.append(event_of()), seconds=2)
            assert Reason.ANSWER_LOST is recipient(stage.last).reason

            await tell(stage, report(stage, FeedbackKind.DELIVERY, message_id="m-late"))
            await stage.clock.advance(40)

            assert "m-late" == recipient(stage.last).message_id
            assert 2 == len(stage.sender.calls)  # one to each of the two
            assert 1 == stage.sample("lost_answers_settled_total", by="feedback")

    async def test_without_feedback_it_is_repeated_when_the_time_is_over(self) -> None:
        """What is not settled in time is sent again, and is marked."""
        async with a_stage(lost_answer_policy=LostAnswerPolicy.RECONCILE, reconcile=timedelta(seconds=10)) as stage:
            stage.sender.will(LOSE_ANSWER)
            await stage.process(stage.append(event_of()), seconds=9)
            assert Status.PENDING is recipient(stage.last).status

            await stage.clock.advance(5)

            again = recipient(stage.last)
            assert (Status.SENT, 1) == (again.status, again.answers_lost)
            assert 1 == stage.sample("lost_answers_settled_total", by="resending")

    async def test_it_is_not_repeated_either_if_the_next_try_was_not_accepted(self) -> None:
        """Evidence of the first e-mail counts although the second one was throttled since."""
        async with a_stage(lost_answer_policy=LostAnswerPolicy.RESEND) as stage:
            stage.sender.will(LOSE_ANSWER, ACCEPT)
            stage.sender.always = THROTTLE
            await stage.process(stage.append(event_of()), seconds=5)
            assert Reason.THROTTLED is recipient(stage.last).reason

            await tell(stage, report(stage, FeedbackKind.SEND, message_id="m-late"))
            stage.sender.always = ACCEPT
            await stage.clock.advance(40)

            assert "m-late" == recipient(stage.last).message_id
            assert 2 == len(stage.sender.accepted)  # one to each of the two

    async def test_what_it_settles_is_ended_by_the_lane_of_its_event(self) -> None:
        """The outcome says which delivery it ends, even if feedback made it final while no e-mail could be composed."""
        async with a_stage(lost_answer_policy=LostAnswerPolicy.RESEND) as stage:
            answer = stage.sender.hold()
            stage.sender.will(LOSE_ANSWER)
            event = stage.append(event_of())
            await stage.process(event)
            stage.suppressions.current = False
            answer.set()
            await stage.clock.advance(2)
            assert Reason.ANSWER_LOST is recipient(stage.last).reason

            await tell(stage, report(stage, FeedbackKind.SEND, message_id="m-late"))
            await stage.clock.advance(40)

            assert stage.last.has_seen(event.topic, event.offset)

    async def test_a_new_owner_reads_what_there_is_before_it_sends_again(self) -> None:
        """The time to wait may be over when it opens the partition, and the evidence lies in the log unread."""
        async with a_stage(lost_answer_policy=LostAnswerPolicy.RECONCILE, reconcile=timedelta(seconds=10)) as stage:
            stage.sender.will(LOSE_ANSWER)
            event = stage.append(event_of())
            await stage.process(event)
            evidence = appended(stage, report(stage, FeedbackKind.SEND, message_id="m-late"))
            left = stage.last
            await stage.assignment.close(0)
            stage.heartbeat = 20.0
            await stage.clock.advance(20)

            successor = stage.assigned(Ledger(max_entries=10))
            successor.ledger.add_read(len(stage.dispatches) - 1, left)
            successor.feedback = evidence.place, 1
            successor.opened_at = stage.clock.monotonic()
            stage.assignment = successor
            await stage.process(event, seconds=3)
            await stage.process(evidence, seconds=3)

            assert "m-late" == recipient(stage.last).message_id
            assert 2 == len(stage.sender.accepted)  # one to each of the two

    async def test_evidence_that_comes_while_the_intent_is_written_spares_the_call(self) -> None:
        """What is settled by then is not sent to again."""
        async with a_stage(lost_answer_policy=LostAnswerPolicy.RESEND) as stage:
            stage.sender.will(LOSE_ANSWER)
            stage.publisher.replica = lambda record: settle_beside(stage, record)
            await stage.process(stage.append(event_of()), seconds=30)

            assert "m-late" == recipient(stage.last).message_id
            assert 2 == len(stage.sender.calls)

    async def test_feedback_that_is_faster_than_the_answer_waits_for_it(self) -> None:
        """Evidence of a send under way is kept, so that it settles the send if the answer is lost."""
        async with a_stage(lost_answer_policy=LostAnswerPolicy.HOLD) as stage:
            answer = stage.sender.hold()
            stage.sender.will(LOSE_ANSWER)
            await stage.process(stage.append(event_of()))
            assert Status.SENDING is recipient(stage.last).status

            await tell(stage, report(stage, FeedbackKind.SEND, message_id="m-late"))
            assert 1 == stage.assignment.lanes.held_of(Place(TOPIC, NUMBER))

            answer.set()
            await stage.clock.advance(2)
            assert "m-late" == recipient(stage.last).message_id
            assert 0 == stage.assignment.lanes.held_of(Place(TOPIC, NUMBER))


class TestWhoIsBelieved:
    """Only what is proven, and about an e-mail of ours, changes anything."""

    async def test_an_unsigned_record_changes_nothing(self) -> None:
        """Nobody can suppress a person by writing to the topic."""
        async with a_stage() as stage:
            await stage.process(stage.append(event_of()))
            await stage.process(appended(stage, report(stage, FeedbackKind.BOUNCE), signed=False))

            assert [] == list(stage.suppressions.entries())
            assert 1 == stage.sample("feedback_ignored_total", reason="unproven")

    async def test_without_keys_every_record_counts(self) -> None:
        """As with every other record, nobody can tell then."""
        async with a_stage(keys=type(KEYS)()) as stage:
            await stage.process(stage.append(event_of()))
            await stage.process(appended(stage, report(stage, FeedbackKind.BOUNCE), signed=False))

            assert 1 == len(stage.suppressions.entries())

    async def test_a_record_that_is_no_feedback_becomes_a_dead_letter(self) -> None:
        """It is kept for a person, and its offset is committed."""
        async with a_stage() as stage:
            value, place = b"{}", Place(TOPIC, NUMBER)
            await stage.process(stage.put(place, key=b"k", value=value, headers=KEYS.signed(TOPIC, b"k", value, [])))

            assert [DeadLetterReason.INVALID_FEEDBACK] == [letter.reason for letter in stage.letters]
            assert {place: 1} == stage.assignment.lanes.committable()

    @pytest.mark.parametrize("changes", [{"dispatch_id": "f" * 32}, {"recipient": "somebody"}])
    async def test_feedback_of_nobody_known_is_counted(self, changes: dict[str, str]) -> None:
        """An unknown dispatch or recipient changes nothing."""
        async with a_stage() as stage:
            await stage.process(stage.append(event_of()))
            found = report(stage, FeedbackKind.BOUNCE)
            fields = {name: getattr(found, name) for name in found.__struct_fields__}
            await tell(stage, Feedback(**{**fields, **changes}))

            assert 1 == stage.sample("feedback_ignored_total", reason="unknown_dispatch")
            assert [] == list(stage.suppressions.entries())

    async def test_feedback_of_another_email_is_ignored(self) -> None:
        """A recipient who was sent an e-mail is concerned by feedback of that e-mail alone."""
        async with a_stage() as stage:
            await stage.process(stage.append(event_of()))
            await tell(stage, report(stage, FeedbackKind.BOUNCE, message_id="another"))

            assert 1 == stage.sample("feedback_ignored_total", reason="another_email")
            assert [] == escalations(stage)


class TestGoodNews:
    """Nearly all feedback says that an e-mail went out as it should."""

    async def test_nothing_is_read_back_for_it(self) -> None:
        """It is counted, and the dispatch is not read."""
        async with a_stage() as stage:
            await stage.process(stage.append(event_of()))
            reads = stage.reads
            await tell(stage, report(stage, FeedbackKind.SEND), report(stage, FeedbackKind.DELIVERY))

            assert reads == stage.reads
            assert 1 == stage.sample("feedback_total", state="delivered", type="")

    async def test_it_is_not_passed_over_after_another_owner_left_a_doubt(self) -> None:
        """A ledger knows which dispatches have a recipient at `unknown`, also of a record that it has only read."""
        async with a_stage(lost_answer_policy=LostAnswerPolicy.HOLD) as stage:
            stage.sender.will(LOSE_ANSWER)
            await stage.process(stage.append(event_of()))
            successor = stage.assigned(Ledger(max_entries=10))
            successor.ledger.add_read(len(stage.dispatches) - 1, stage.last)
            stage.assignment = successor

            await tell(stage, report(stage, FeedbackKind.SEND, message_id="m-late"))
            assert "m-late" == recipient(stage.last).message_id


class TestSuppression:
    """Bounces and complaints suppress an address."""

    async def test_the_next_event_of_a_mentor_whose_mail_bounced_is_suppressed(self) -> None:
        """Nothing is sent to the mentor; the coordinator still hears."""
        async with a_stage() as stage:
            await stage.process(stage.append(event_of()))
            await tell(stage, report(stage, FeedbackKind.BOUNCE))
            await stage.process(stage.append(event_of(event_id="2")))

            suppressed, coordinator = recipient(stage.last), recipient(stage.last, COORDINATOR)
            assert (Status.SUPPRESSED, Reason.BOUNCED) == (suppressed.status, suppressed.reason)
            assert Status.SENT is coordinator.status

    async def test_a_second_copy_writes_nothing(self) -> None:
        """SES delivers its events at least once."""
        async with a_stage() as stage:
            await stage.process(stage.append(event_of()))
            bounce = report(stage, FeedbackKind.BOUNCE, type="Transient", subtype="MailboxFull")
            await tell(stage, bounce, bounce)

            written = [record for record in stage.publisher.records if record.topic == Topics().suppressions]
            assert 1 == len(written)
            assert Proof.PROVEN is KEYS.check(written[0].topic, written[0].key, written[0].value, written[0].headers)

    async def test_a_contact_whose_address_changes_is_free(self) -> None:
        """It is the address that is suppressed."""
        async with a_stage() as stage:
            await stage.process(stage.append(event_of()))
            await tell(stage, report(stage, FeedbackKind.BOUNCE))
            stage.add_contact(Contact(id=MENTOR, role=Role.MENTOR, email="new@example.org", coordinator_id=COORDINATOR))
            await stage.process(stage.append(event_of(event_id="2")))

            assert Status.SENT is recipient(stage.last).status

    async def test_a_delivery_ends_a_row_of_bounces(self) -> None:
        """Three transient bounces in a row suppress; a delivery between them begins anew."""
        async with a_stage() as stage:
            for number in range(4):
                await stage.process(stage.append(event_of(event_id=str(number))))
                kind = FeedbackKind.DELIVERY if number == 1 else FeedbackKind.BOUNCE
                more: dict[str, Any] = {} if number == 1 else {"type": "Transient", "subtype": "MailboxFull"}
                await tell(stage, report(stage, kind, **more))

            await stage.process(stage.append(event_of(event_id="last")))
            assert Status.SENT is recipient(stage.last).status


class TestEscalation:
    """The coordinator is told when a mentor could not be reached."""

    async def test_a_bounce_is_told_once(self) -> None:
        """The event has an identity of its own, so repetitions are the same event."""
        async with a_stage() as stage:
            await stage.process(stage.append(event_of()))
            bounced = stage.last.dispatch_id
            await tell(stage, *[report(stage, FeedbackKind.BOUNCE)] * 2)

            (event,) = escalations(stage)
            assert (f"undelivered-{bounced}", REPLICA_SOURCE) == (event.id, event.source)
            assert {"mentor_id": MENTOR, "notice": "mentor.pause.activated.v1", "cause": Cause.BOUNCED} == dict(
                event.data
            )

    async def test_the_coordinator_gets_one_mail(self) -> None:
        """The event goes the way of all events."""
        async with a_stage() as stage:
            await stage.process(stage.append(event_of()))
            await tell(stage, report(stage, FeedbackKind.BOUNCE))
            published = [record for record in stage.publisher.records if record.topic == UNDELIVERED.topic]
            await stage.process(*published)

            assert [COORDINATOR] == [one.contact_id for one in stage.last.recipients]
            assert Status.SENT is recipient(stage.last, COORDINATOR).status

    async def test_once_it_was_told_nothing_more_is_published(self) -> None:
        """Not even for another cause."""
        async with a_stage() as stage:
            await stage.process(stage.append(event_of()))
            first = stage.last
            await tell(stage, report(stage, FeedbackKind.BOUNCE))
            published = [record for record in stage.publisher.records if record.topic == UNDELIVERED.topic]
            await stage.process(*published)
            await tell(stage, report(stage, FeedbackKind.REJECT, of=first))

            assert 1 == len(escalations(stage))

    async def test_a_refusal_is_told(self) -> None:
        """SES itself refuses the mentor's copy."""
        async with a_stage() as stage:
            stage.sender.will(refuse())
            await stage.process(stage.append(event_of()))

            assert [Cause.REFUSED] == [event.data.cause for event in escalations(stage)]  # type: ignore[attr-defined]

    async def test_a_suppressed_mentor_is_told_where_no_copy_says_it(self) -> None:
        """A reminder has no copy for the coordinator; of the other notices, the copy says it."""
        async with a_stage() as stage:
            await stage.process(stage.append(event_of()))
            await tell(stage, report(stage, FeedbackKind.COMPLAINT, type="abuse"))
            await stage.process(stage.append(event_of(event_id="2")))
            assert [] == escalations(stage)

            await stage.process(stage.append(event_of("cert-expiry-reminder", event_id="3")))
            assert [Cause.SUPPRESSED] == [event.data.cause for event in escalations(stage)]  # type: ignore[attr-defined]

    @pytest.mark.parametrize("kind", [FeedbackKind.SEND, FeedbackKind.DELIVERY, FeedbackKind.COMPLAINT])
    async def test_what_arrived_is_not_told(self, kind: FeedbackKind) -> None:
        """A complaint is about an e-mail that arrived."""
        async with a_stage() as stage:
            await stage.process(stage.append(event_of()))
            await tell(stage, report(stage, kind))

            assert [] == escalations(stage)

    async def test_a_coordinators_bounce_is_not_told_to_anybody(self) -> None:
        """Only the mentor's copy is escalated."""
        async with a_stage() as stage:
            await stage.process(stage.append(event_of()))
            await tell(stage, report(stage, FeedbackKind.BOUNCE, to=COORDINATOR))

            assert [] == escalations(stage)

    async def test_it_can_be_turned_off(self) -> None:
        """A setting decides."""
        async with a_stage(escalate=False) as stage:
            await stage.process(stage.append(event_of()))
            await tell(stage, report(stage, FeedbackKind.BOUNCE))

            assert [] == escalations(stage)

    async def test_a_mentor_without_a_coordinator_is_a_dead_letter(self) -> None:
        """Nobody else is left to tell."""
        async with a_stage() as stage:
            stage.add_contact(Contact(id=MENTOR, role=Role.MENTOR, email="m@example.org"))
            await stage.process(stage.append(event_of()))
            await tell(stage, report(stage, FeedbackKind.BOUNCE))

            assert [] == escalations(stage)
            assert 1 == stage.sample("escalations_total", outcome="no_coordinator")
            assert [DeadLetterReason.COORDINATOR_UNREACHABLE] == [letter.reason for letter in stage.letters]

    async def test_it_never_loops(self) -> None:
        """A coordinator who cannot be reached either is a metric and a dead letter."""
        async with a_stage() as stage:
            await stage.process(stage.append(event_of()))
            await tell(stage, report(stage, FeedbackKind.BOUNCE))
            await stage.process(*(one for one in stage.publisher.records if one.topic == UNDELIVERED.topic))
            await stage.clock.advance(1)
            await tell(stage, report(stage, FeedbackKind.BOUNCE, to=COORDINATOR))

            assert 1 == len(escalations(stage))
            assert [DeadLetterReason.COORDINATOR_UNREACHABLE] == [letter.reason for letter in stage.letters]
            assert 1 == stage.sample("escalations_total", outcome="coordinator_unreachable")
