"""Process one record to its final dispatch: the order of durable steps, and the effect of each failure."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from msgspec import structs

from consumers.admission.gate import UNREACHABLE
from consumers.delivery.attempt import Attempt
from consumers.delivery.decisions import Delivery, new_dispatch
from consumers.delivery.work import Work
from consumers.email import HaltReason
from consumers.ledger.ledger import Ledger
from runtime.kafka.publisher import NotPublished, PublishUnknown
from runtime.kafka.records import Record
from runtime.settings import LostAnswerPolicy
from schemas.contacts import Contact
from schemas.dispatch import Dispatch, Reason, Recipient, Status, dispatch_json
from schemas.events import CERTIFICATIONS_TOPIC, FACADE_SOURCE, PAUSES_TOPIC, Role
from schemas.headers import APPENDED_AT, MOVED_FROM, header
from schemas.signatures import Proof
from schemas.times import format_instant
from tests.fakes.clock import START
from tests.fakes.email import ACCEPT, FAIL, LOSE_ANSWER, THROTTLE, halt, refuse
from tests.fakes.publisher import Failure
from tests.signing import KEYS
from tests.unit.consumers.stage import NUMBER, Stage, a_stage, event_of
from tests.unit.dispatches import COORDINATOR, MENTOR, changed

NEVER = NotPublished("as states")
PERHAPS = PublishUnknown("as states")
CALL: dict[str, Any] = {"REQUEST_ID": "r-1", "CALLER": "anonymous", "KEYLESS": "1"}


@pytest.fixture(name="stage")
async def _stage() -> AsyncIterator[Stage]:
    """Yield a partition in use; mentor-042 and their coordinator are known."""
    async with a_stage() as stage:
        yield stage


def left_behind(stage: Stage, *states: Recipient) -> tuple[Record, Dispatch]:
    """Append the first event, and have the ledger read its dispatch as a former owner left it."""
    record = stage.append(event_of())
    delivery = Delivery(event=event_of(), origin=record.origin, appended_at=record.appended_at)
    dispatch = structs.replace(new_dispatch(delivery), recipients=states)
    stage.former_owner_writes(dispatch)
    return record, dispatch


def statuses(dispatch: Dispatch) -> list[tuple[Status, Reason | None]]:
    """Return the status and reason of each recipient."""
    return [(recipient.status, recipient.reason) for recipient in dispatch.recipients]


class TestOrder:
    """Every step is durable before the next."""

    async def test_the_intent_then_ses_then_the_outcome(self, stage: Stage) -> None:
        """Both recipients share one intent and one outcome; their e-mails are sent side by side."""
        await stage.process(stage.append(event_of()))

        assert ["sending sending", "ses", "ses", "sent sent"] == stage.journal
        assert stage.finished()
        assert ["m@example.org", "c@example.org"] == [email.to for email in stage.sender.accepted]

    async def test_nothing_is_written_before_the_gate_opens(self, stage: Stage) -> None:
        """A dispatch that waits at the gate is still pending, so a crash leaves no doubt about it."""
        stage.gate.set_share(0, 12)
        await stage.process(stage.append(event_of()))
        assert [] == stage.journal
        assert 1 == stage.gate.waiting

        stage.gate.set_share(12, 12)
        await stage.clock.advance(1)
        assert "sent sent" == stage.journal[-1]

    async def test_a_failure_is_dead_lettered_before_it_is_final(self, stage: Stage) -> None:
        """The dead letter is durable first, so that no failure is overlooked."""
        stage.sender.will_meet("c@example.org", refuse())

        await stage.process(stage.append(event_of()))

        assert ["sending sending", "ses", "ses", "dead letter failed", "sent failed"] == stage.journal
        assert Reason.MESSAGE_REJECTED == stage.last.recipients[1].reason
        assert stage.letters[0].dispatch == stage.last

    async def test_the_final_record_names_the_delivery_that_was_processed(self, stage: Stage) -> None:
        """So its redelivery is recognized."""
        record = stage.append(event_of())
        await stage.process(record)

        assert stage.last.has_seen(record.topic, record.offset)
        assert not stage.dispatches[0].has_seen(record.topic, record.offset)
        assert stage.last.ended_at is not None

    async def test_a_redelivery_does_nothing(self, stage: Stage) -> None:
        """A lost commit causes neither an e-mail nor a record."""
        record = stage.append(event_of())
        await stage.process(record)
        stage.assignment = stage.assigned(stage.assignment.ledger)
        await stage.process(record)

        assert 2 == len(stage.dispatches)
        assert 2 == len(stage.sender.calls)
        assert stage.finished()

    async def test_a_mentors_events_follow_one_another(self, stage: Stage) -> None:
        """The second event waits until the first is final."""
        held = stage.sender.hold()
        records = [stage.append(event_of()), stage.append(event_of("pause-lifted", event_id="2"))]
        await stage.process(*records)
        assert 2 == len(stage.sender.calls)

        held.set()
        await stage.clock.advance(1)
        assert 4 == len(stage.sender.calls)
        assert stage.finished()


class TestDurability:
    """Nothing counts until it is durable."""

    @pytest.mark.parametrize("failure", [Failure(NEVER), Failure(PERHAPS), Failure(PERHAPS, durable=True)])
    async def test_without_a_durable_intent_ses_is_not_called(self, stage: Stage, failure: Failure) -> None:
        """Even if the intent may be in the log, a new one is written first."""
        stage.publisher.will_fail(failure)
        await stage.process(stage.append(event_of()), seconds=0.5)
        assert [] == stage.sender.calls

        await stage.clock.advance(2)
        assert ["sending sending", "ses", "ses", "sent sent"] == stage.journal[-4:]
        assert 2 == len(stage.sender.calls)
        assert 2 == stage.last.recipients[0].send

    async def test_an_intent_that_may_be_in_the_log_is_withdrawn(self, stage: Stage) -> None:
        """SES was not called, and the next owner must not count a lost answer."""
        stage.publisher.will_fail(Failure(PERHAPS, durable=True))
        await stage.process(stage.append(event_of()), seconds=0.5)

        assert ["sending sending", "pending pending"] == stage.journal
        assert [] == stage.sender.calls
        assert Reason.NOT_CALLED == stage.last.recipients[0].reason

    @pytest.mark.parametrize("failure", [Failure(NEVER), Failure(PERHAPS), Failure(PERHAPS, durable=True)])
    async def test_an_outcome_is_written_until_it_is_durable(self, stage: Stage, failure: Failure) -> None:
        """SES has the e-mail: it is not sent again, and the record is not finished before the outcome is durable."""
        held = stage.sender.hold()
        await stage.process(stage.append(event_of()))
        stage.publisher.will_fail(failure, failure)
        held.set()
        await stage.clock.advance(0.05)
        assert not stage.finished()

        await stage.clock.advance(5)
        assert 2 == len(stage.sender.calls)
        assert stage.finished()
        assert Status.SENT == stage.last.recipients[0].status

    async def test_without_a_durable_dead_letter_nothing_is_final(self, stage: Stage) -> None:
        """The final record waits for the dead letter."""
        stage.sender.always = refuse()
        held = stage.sender.hold()
        await stage.process(stage.append(event_of()))
        stage.publisher.will_fail(Failure(NEVER))
        held.set()
        await stage.clock.advance(0.05)
        assert ["sending sending"] == stage.journal

        await stage.clock.advance(1)
        assert [PAUSES_TOPIC, "dead letter failed", "failed failed"] == stage.journal[-3:]

    async def test_an_outcome_is_written_until_it_is_durable_also_when_closing(self, stage: Stage) -> None:
        """A short failure of the broker does not turn a known answer into a lost one."""
        held = stage.sender.hold()
        await stage.process(stage.append(event_of()))
        closing = asyncio.create_task(stage.assignment.close(20))
        await stage.clock.advance(0.01)
        stage.publisher.will_fail(Failure(NEVER), Failure(PERHAPS))
        held.set()
        await stage.clock.advance(5)
        await closing

        assert ["sending sending", "sent sent"] == stage.journal
        assert stage.finished()

    async def test_an_outcome_that_cannot_be_written_is_abandoned_at_the_end_of_the_drain(self, stage: Stage) -> None:
        """The next owner finds the intent and counts a lost answer."""
        held = stage.sender.hold()
        await stage.process(stage.append(event_of()))
        closing = asyncio.create_task(stage.assignment.close(0.05))
        await stage.clock.advance(0.01)
        stage.publisher.will_fail(*[Failure(NEVER)] * 100)
        held.set()
        await stage.clock.advance(1)
        await closing

        assert ["sending sending"] == stage.journal
        assert stage.assignment.gone
        assert not stage.finished()

    async def test_closing_lets_what_passed_the_gate_finish(self, stage: Stage) -> None:
        """The send ends, its outcome is durable, and its record is finished."""
        held = stage.sender.hold()
        await stage.process(stage.append(event_of()))
        closing = asyncio.create_task(stage.assignment.close(20))
        await stage.clock.advance(0.01)
        held.set()
        await stage.clock.advance(0.01)
        await closing

        assert ["sending sending", "sent sent"] == stage.journal
        assert stage.finished()

    async def test_closing_interrupts_what_waits_at_the_gate(self, stage: Stage) -> None:
        """The dispatch is still pending; the next owner processes it."""
        stage.gate.set_share(0, 12)
        await stage.process(stage.append(event_of()))
        await stage.assignment.close(20)

        assert [] == stage.journal
        assert 0 == stage.gate.waiting
        assert 0 == stage.gate.in_flight


class TestZombie:
    """A replica that may no longer own the partition sends nothing."""

    async def test_without_a_heartbeat_nothing_is_written_or_sent(self, stage: Stage) -> None:
        """Everything waits for the next heartbeat: another owner may have ended the dispatch already."""
        await stage.clock.advance(31)
        await stage.process(stage.append(event_of()), seconds=0.5)
        assert [] == stage.journal
        assert [] == stage.sender.calls

        stage.heartbeat = stage.clock.monotonic()
        await stage.clock.advance(2)
        assert ["sending sending", "ses", "ses", "sent sent"] == stage.journal

    async def test_a_replica_that_loses_its_partition_after_the_intent_sends_nothing(self, stage: Stage) -> None:
        """Ownership is checked once more after the intent, at the last moment; the intent is withdrawn."""
        written = stage.publisher.replica

        def gone(record: Record) -> None:
            """Revoke the partition."""
            written(record)
            stage.assignment.gone = True

        stage.publisher.replica = gone
        await stage.process(stage.append(event_of()), seconds=0.5)

        assert ["sending sending", "pending pending"] == stage.journal
        assert [] == stage.sender.calls
        assert [(Status.PENDING, Reason.NOT_CALLED)] * 2 == statuses(stage.last)


class TestContacts:
    """Who gets an e-mail."""

    async def test_an_unknown_mentor_has_a_grace(self, stage: Stage) -> None:
        """The grace is two seconds from when the record is taken; then the dispatch is dead-lettered and final."""
        stage.contacts.take(b"mentor-042", None)
        await stage.process(stage.append(event_of()), seconds=1.9)
        assert [] == stage.journal

        await stage.clock.advance(0.2)
        assert ["dead letter unknown_mentor", "unknown_mentor"] == stage.journal
        assert stage.finished()
        assert stage.last.unknown_mentor
        assert 2 == stage.follower.reads

    async def test_a_late_contact_is_waited_for(self, stage: Stage) -> None:
        """An event may arrive before a contact that was written earlier."""
        stage.contacts.take(b"mentor-042", None)
        stage.follower.late_contact = Contact(id="mentor-042", role=Role.MENTOR, email="late@example.org")
        await stage.process(stage.append(event_of()), seconds=3)

        assert ["late@example.org"] == [email.to for email in stage.sender.accepted]

    async def test_unknown_mentors_take_up_no_room_during_their_grace(self, stage: Stage) -> None:
        """Records that only wait are parked until their grace ends."""
        stage.contacts.take(b"mentor-042", None)
        record = stage.append(event_of())
        await stage.process(record)
        assert 1 == stage.assignment.lanes.parked_of(record.place)
        assert 1 == stage.assignment.lanes.held

        await stage.clock.advance(2)
        assert 0 == stage.assignment.lanes.parked_of(record.place)
        assert 0 == stage.assignment.lanes.held

    async def test_a_contact_that_was_written_before_its_event_costs_no_grace(self, stage: Stage) -> None:
        """The first look at the contacts topic finds it."""
        stage.contacts.take(b"mentor-042", None)
        stage.follower.late_contact = Contact(id="mentor-042", role=Role.MENTOR, email="late@example.org")
        stage.follower.reads = 1
        await stage.process(stage.append(event_of()), seconds=0.1)

        assert ["late@example.org"] == [email.to for email in stage.sender.accepted]

    async def test_another_delivery_looks_an_unknown_mentor_up_again(self, stage: Stage) -> None:
        """Once the contact is known, the e-mails are sent."""
        mentor = stage.contacts.get("mentor-042")
        stage.contacts.take(b"mentor-042", None)
        await stage.process(stage.append(event_of()), seconds=3)
        assert isinstance(mentor, Contact)
        stage.add_contact(mentor)
        await stage.process(stage.append(event_of()))

        assert ["sending sending", "ses", "ses", "sent sent"] == stage.journal[2:]
        assert not stage.last.unknown_mentor

    async def test_a_coordinator_without_contact_fails_alone(self, stage: Stage) -> None:
        """The mentor still gets the e-mail."""
        stage.contacts.take(b"coordinator-007", None)
        await stage.process(stage.append(event_of()))

        assert [(Status.SENT, None), (Status.FAILED, Reason.UNKNOWN_CONTACT)] == statuses(stage.last)
        assert ["sending failed", "ses", "dead letter failed", "sent failed"] == stage.journal

    async def test_without_a_usable_contact_there_is_no_intent(self, stage: Stage) -> None:
        """Nothing is sent, and the dispatch ends at once."""
        stage.add_contact(Contact(id="mentor-042", role=Role.MENTOR))
        await stage.process(stage.append(event_of()))

        assert ["dead letter failed", "failed"] == stage.journal
        assert [(Status.FAILED, Reason.NO_ADDRESS)] == statuses(stage.last)

    @pytest.mark.parametrize(
        ("coordinator", "whom"),
        [
            ("coordinator-007", "your mentoring coordinator, Mei-Ling."),
            ("nobody", "your mentoring coordinator."),
            ("mentor-042", "your mentoring coordinator."),
        ],
    )
    async def test_a_mentor_reads_whom_to_ask(self, stage: Stage, coordinator: str, whom: str) -> None:
        """The mentor's e-mail names the coordinator that contacts know, unless that is the mentor."""
        stage.add_contact(Contact(id="coordinator-007", role=Role.COORDINATOR, email="c@example.org", name="Mei-Ling"))
        stage.add_contact(
            Contact(id="mentor-042", role=Role.MENTOR, name="Amara", email="m@example.org", coordinator_id=coordinator)
        )
        await stage.process(stage.append(event_of()))

        assert f"please contact {whom}\n" in next(mail.text for mail in stage.sender.accepted if "m@" in mail.to)

    async def test_the_coordinator_is_told_when_the_mentors_contact_is_invalid(self, stage: Stage) -> None:
        """Dispatch and dead letter name the invalid field of the mentor, but not its value."""
        stage.contacts.take(
            b"mentor-042",
            b'{"id":"mentor-042","role":"mentor","email":"secret","name":"Amara","coordinator_id":"coordinator-007"}',
        )
        await stage.process(stage.append(event_of()))

        assert [(Status.FAILED, Reason.INVALID_CONTACT), (Status.SENT, None)] == statuses(stage.last)
        assert ["email", None] == [recipient.field for recipient in stage.last.recipients]
        assert ["mentor: invalid_contact: email"] == [letter.detail for letter in stage.letters]
        assert ["Mentoring pause started: Amara"] == [email.subject for email in stage.sender.accepted]

    async def test_a_replay_reaches_a_corrected_contact(self, stage: Stage) -> None:
        """A reopened recipient no longer names an invalid field."""
        stage.contacts.take(b"mentor-042", b'{"id":"mentor-042","role":"mentor","email":"secret"}')
        await stage.process(stage.append(event_of()))
        stage.add_contact(Contact(id="mentor-042", role=Role.MENTOR, email="m@example.org"))
        await stage.process(stage.append(event_of(), REPLAY="1"))

        assert [(Status.SENT, None)] == statuses(stage.last)
        assert [None] == [recipient.field for recipient in stage.last.recipients]

    @pytest.mark.parametrize(
        "wrong",
        [
            b'"timezone":null',
            b'"timezone":""',
            b'"timezone":"Mars/Olympus"',
            b'"locale":null',
            b'"locale":7',
            b'"name":null',
            b'"name":"a\\nb"',
            b'"name":"\\u200b"',
        ],
    )
    async def test_a_cosmetic_field_silences_nobody(self, stage: Stage, wrong: bytes) -> None:
        """An invalid language, time zone or name keeps no notice from the mentor or the coordinator."""
        stage.contacts.take(
            b"mentor-042",
            b'{"id":"mentor-042","role":"mentor","email":"m@example.org","coordinator_id":"coordinator-007",%s}'
            % wrong,
        )
        await stage.process(stage.append(event_of()))

        assert [(Status.SENT, None), (Status.SENT, None)] == statuses(stage.last)

    async def test_an_invalid_coordinator_id_becomes_a_dead_letter(self, stage: Stage) -> None:
        """The mentor gets the e-mail; a dead letter shows that the coordinator did not."""
        stage.contacts.take(
            b"mentor-042", b'{"id":"mentor-042","role":"mentor","email":"m@example.org","coordinator_id":7}'
        )
        await stage.process(stage.append(event_of()))

        assert [(Status.SENT, None), (Status.FAILED, Reason.UNKNOWN_CONTACT)] == statuses(stage.last)
        assert stage.last.recipients[1].contact_id.startswith("invalid-")

    async def test_one_mailbox_of_two_contacts_gets_two_mails(self, stage: Stage) -> None:
        """Mentor and coordinator each get their e-mail, even at the same address."""
        stage.add_contact(Contact(id="coordinator-007", role=Role.COORDINATOR, email="m@example.org"))
        await stage.process(stage.append(event_of()))

        assert ["m@example.org", "m@example.org"] == [email.to for email in stage.sender.accepted]
        assert 2 == len({email.subject for email in stage.sender.accepted})


class TestExpiry:
    """A notice that is no longer true is not sent."""

    async def test_expiry_is_checked_after_the_gate(self, stage: Stage) -> None:
        """A reminder that waited too long expires when it passes the gate, without a dead letter."""
        stage.gate.set_share(0, 12)
        await stage.process(stage.append(event_of("cert-expiry-reminder", days_remaining=0)))
        stage.clock.jump(timedelta(days=1).total_seconds())
        stage.heartbeat = stage.clock.monotonic()
        stage.gate.set_share(12, 12)
        await stage.clock.advance(1)

        assert ["expired"] == stage.journal
        assert [(Status.EXPIRED, Reason.TOO_LATE)] == statuses(stage.last)

    @pytest.mark.parametrize("days", [0, 1])
    async def test_a_moved_reminder_counts_from_its_first_append(self, stage: Stage, days: int) -> None:
        """Moving a record does not make its notice true again."""
        first = format_instant(START - timedelta(days=1, hours=1))
        await stage.process(stage.append(event_of("cert-expiry-reminder", days_remaining=days), APPENDED_AT=first))

        assert ["expired" if days == 0 else "sent"] == stage.journal[-1:]


class TestRetry:
    """A send that failed."""

    async def test_only_the_one_who_failed_is_sent_to_again(self, stage: Stage) -> None:
        """The failed recipient is durably pending while it waits; the other is not sent to again."""
        stage.sender.will(FAIL)
        await stage.process(stage.append(event_of()), seconds=0.9)
        assert ["sending sending", "ses", "ses", "pending sent"] == stage.journal

        await stage.clock.advance(1)
        assert ["sending sent", "ses", "sent sent"] == stage.journal[4:]

    async def test_attempts_run_out_while_ses_accepts_other_mail(self, stage: Stage) -> None:
        """After three failures while SES accepts other mail the recipient has failed, with a dead letter."""
        stage.sender.will_meet("m@example.org", FAIL)
        stage.gate.accepted_at = 0.0
        record = stage.append(event_of("cert-expiry-reminder"))
        await stage.process(record, seconds=0)
        for _ in range(10):
            await stage.clock.advance(1)
            stage.heartbeat = stage.gate.accepted_at = stage.clock.monotonic()

        assert ["dead letter failed", "failed"] == stage.journal[-2:]
        assert Reason.ATTEMPTS_EXHAUSTED == stage.last.recipients[0].reason
        assert 3 == stage.last.recipients[0].attempts

    @pytest.mark.parametrize("outcome", [FAIL, THROTTLE, halt(HaltReason.DAILY_QUOTA)])
    async def test_an_outage_costs_no_attempts(self, stage: Stage, outcome: object) -> None:
        """While SES accepts no mail at all, no recipient fails."""
        stage.sender.always = outcome  # type: ignore[assignment]  # parametrized
        await stage.process(stage.append(event_of()))
        for _ in range(30):
            stage.heartbeat = stage.clock.monotonic()
            await stage.clock.advance(20)

        assert 3 < len(stage.sender.calls)
        assert [0, 0] == [recipient.attempts for recipient in stage.last.recipients]
        assert [] == stage.letters
        assert not stage.finished()

    async def test_nobody_backs_off_when_a_halt_ends(self, stage: Stage) -> None:
        """A halted dispatch waits at the gate, which sends a probe every five seconds at least."""
        stage.sender.always = halt(HaltReason.DAILY_QUOTA)
        await stage.process(stage.append(event_of()))
        while len(stage.sender.calls) < 20:
            stage.heartbeat = stage.clock.monotonic()
            await stage.clock.advance(1)

        stage.sender.always = ACCEPT
        await stage.clock.advance(5)
        assert stage.finished()

    @pytest.mark.parametrize(("accepted_at", "calls"), [(float("-inf"), 2), (0.5, 1)], ids=["free", "charged"])
    async def test_a_charged_try_backs_off_even_during_a_halt(
        self, stage: Stage, accepted_at: float, calls: int
    ) -> None:
        """Otherwise a recipient would use up all attempts at once while SES accepts other mail now and then."""
        stage.sender.will_meet("m@example.org", FAIL)
        stage.gate.halt_for("sends", UNREACHABLE)
        stage.gate.accepted_at = accepted_at
        await stage.process(stage.append(event_of("cert-expiry-reminder")), seconds=0)
        assert 1 == len(stage.sender.calls)

        stage.gate.resume("sends")
        await stage.clock.advance(0.5)
        assert calls == len(stage.sender.calls)

    async def test_a_refusal_is_final(self, stage: Stage) -> None:
        """A refused message is never tried again."""
        stage.sender.always = refuse(Reason.RECIPIENT_NOT_VERIFIED)
        await stage.process(stage.append(event_of()), seconds=60)

        assert 2 == len(stage.sender.calls)
        assert stage.finished()
        assert [(Status.FAILED, Reason.RECIPIENT_NOT_VERIFIED)] * 2 == statuses(stage.last)


class TestLostAnswer:
    """SES may have accepted the e-mail."""

    async def test_under_resend_it_is_sent_once_more(self, stage: Stage) -> None:
        """The answer to the second send counts."""
        stage.sender.will(LOSE_ANSWER)
        await stage.process(stage.append(event_of("cert-expiry-reminder")), seconds=5)

        assert ["sending", "ses", "pending", "sending", "ses", "sent"] == stage.journal
        assert 1 == stage.last.recipients[0].answers_lost

    async def test_the_second_is_unknown(self, stage: Stage) -> None:
        """There is no third e-mail: the recipient is unknown, with a dead letter for a person to judge."""
        stage.sender.always = LOSE_ANSWER
        await stage.process(stage.append(event_of("cert-expiry-reminder")), seconds=60)

        assert ["dead letter unknown", "unknown"] == stage.journal[-2:]
        assert 2 == len(stage.sender.calls)

    async def test_under_hold_the_first_is_unknown(self) -> None:
        """The policy prefers no e-mail to two."""
        async with a_stage(lost_answer_policy=LostAnswerPolicy.HOLD) as stage:
            stage.sender.always = LOSE_ANSWER
            await stage.process(stage.append(event_of("cert-expiry-reminder")), seconds=60)

            assert ["sending", "ses", "dead letter unknown", "unknown"] == stage.journal


class TestTakingOver:
    """What a former owner left unfinished."""

    async def test_a_lost_answer_is_counted_after_waiting(self, stage: Stage) -> None:
        """SES has ten seconds and the record three; then the answer counts as lost."""
        record, _ = left_behind(stage, changed(MENTOR, status="sending", send=1), changed(COORDINATOR, status="sent"))
        await stage.process(record, seconds=12.9)
        assert [] == stage.journal

        await stage.clock.advance(5)
        assert ["pending sent", "sending sent", "ses", "sent sent"] == stage.journal

    async def test_an_outcome_that_arrives_meanwhile_wins(self, stage: Stage) -> None:
        """The former owner was still sending: its final record counts, and nothing is sent."""
        record, dispatch = left_behind(stage, changed(MENTOR, status="sending", send=1))
        await stage.process(record, seconds=5)
        stage.former_owner_writes(
            structs.replace(dispatch, recipients=(changed(MENTOR, status="sent", send=1, message_id="theirs"),))
        )
        await stage.clock.advance(20)

        assert [] == stage.sender.calls
        assert ["sent"] == stage.journal
        assert stage.finished()
        assert "sent" == stage.last.recipients[0].status
        assert "theirs" == stage.last.recipients[0].message_id

    async def test_an_outcome_that_arrives_at_the_gate_wins(self, stage: Stage) -> None:
        """The ledger is read once more at the last moment before the intent."""
        stage.gate.set_share(0, 12)
        record, dispatch = left_behind(stage, MENTOR)
        await stage.process(record)
        stage.former_owner_writes(
            structs.replace(dispatch, recipients=(changed(MENTOR, status="sent", send=1, message_id="theirs"),))
        )
        stage.gate.set_share(12, 12)
        await stage.clock.advance(20)

        assert [] == stage.sender.calls
        assert "theirs" == stage.last.recipients[0].message_id
        assert stage.finished()

    async def test_an_intent_that_arrives_late_is_waited_for(self, stage: Stage) -> None:
        """It does not block the lane, and no e-mail is sent beside that of the former owner."""
        stage.gate.set_share(0, 12)
        record, dispatch = left_behind(stage, MENTOR)
        await stage.process(record, seconds=1)
        late = structs.replace(dispatch, recipients=(changed(MENTOR, status="sending", send=1),))
        stage.former_owner_writes(late)
        stage.gate.set_share(12, 12)
        await stage.clock.advance(10)
        assert [] == stage.sender.calls

        stage.heartbeat = stage.clock.monotonic()
        await stage.clock.advance(20)
        assert 1 == len(stage.sender.calls)
        assert stage.finished()
        assert Status.SENT == stage.last.recipients[0].status

    async def test_a_dispatch_that_two_owners_made_final_together_is_ended(self, stage: Stage) -> None:
        """Neither owner wrote a dead letter, since neither saw a final dispatch."""
        record, begun = left_behind(stage)
        for mentor, coordinator in (("unknown", "pending"), ("pending", "sent")):
            states = changed(MENTOR, status=mentor, send=1), changed(COORDINATOR, status=coordinator, send=1)
            stage.former_owner_writes(structs.replace(begun, recipients=states))
        await stage.process(record)

        assert ["dead letter unknown", "unknown sent"] == stage.journal
        assert [] == stage.sender.calls
        assert stage.finished()

    async def test_an_intent_written_long_after_the_assignment_is_waited_for(self, stage: Stage) -> None:
        """The wait begins when a frozen former owner resumes and writes its intent."""
        await stage.clock.advance(60)
        stage.heartbeat = stage.clock.monotonic()
        record, dispatch = left_behind(stage, changed(MENTOR, status="sending", send=1))
        await stage.process(record, seconds=5)
        assert [] == stage.journal

        taken_back = changed(MENTOR, status="pending", reason=Reason.NOT_CALLED, send=1)
        stage.former_owner_writes(structs.replace(dispatch, recipients=(taken_back,)))
        await stage.clock.advance(10)
        assert ["sending", "ses", "sent"] == stage.journal
        assert 0 == stage.last.recipients[0].answers_lost

    async def test_under_hold_a_lost_answer_is_unknown(self) -> None:
        """Its dead letter is written before the final record."""
        async with a_stage(lost_answer_policy=LostAnswerPolicy.HOLD) as stage:
            record, _ = left_behind(stage, changed(MENTOR, status="sending", send=1))
            await stage.process(record, seconds=20)

            assert ["dead letter unknown", "unknown"] == stage.journal
            assert [] == stage.sender.calls

    async def test_what_was_pending_is_sent_at_once(self, stage: Stage) -> None:
        """A pending recipient was surely not sent to, so there is no wait."""
        record, _ = left_behind(stage, MENTOR)
        await stage.process(record)

        assert ["sending", "ses", "sent"] == stage.journal

    async def test_a_record_that_is_gone_is_not_sent_again(self, stage: Stage) -> None:
        """The dispatch was final and its record is lost: sending again would be worse."""
        stage.assignment.ledger.add_read(99, replace_final(stage))
        record = stage.append(event_of())
        await stage.process(record)

        assert [] == stage.journal
        assert [] == stage.sender.calls
        assert stage.finished()


def replace_final(stage: Stage) -> Dispatch:
    """Return a final dispatch of the event that names no processed delivery."""
    record = stage.append(event_of(event_id="other"))
    delivery = Delivery(event=event_of(), origin=record.origin, appended_at=record.appended_at)
    return structs.replace(new_dispatch(delivery), recipients=(changed(MENTOR, status="sent", send=1),))


class TestDeliveries:
    """The same event, delivered again."""

    async def test_another_delivery_appends_the_outcome_again(self, stage: Stage) -> None:
        """A waiting caller reads it; there is no e-mail and no dead letter, and this delivery counts as processed."""
        await stage.process(stage.append(event_of()))
        again = stage.append(event_of())
        await stage.process(again)

        assert ["sending sending", "ses", "ses", "sent sent", "sent sent"] == stage.journal
        assert stage.last.has_seen(again.topic, again.offset)

    @pytest.mark.parametrize(("source", "letters"), [("/producer", 1), (FACADE_SOURCE, 0)])
    async def test_other_content_under_a_known_id(self, stage: Stage, source: str, letters: int) -> None:
        """It is never sent. The outcome is appended again, and a dead letter unless a REST caller is answered."""
        await stage.process(stage.append(event_of(source=source)))
        await stage.process(stage.append(event_of(source=source, pause_reason="another")))

        assert [*["dead letter conflicting_duplicate"][:letters], "sent sent"] == stage.journal[4:]
        assert 2 == len(stage.sender.calls)

    async def test_a_repeated_call_without_a_key_is_answered_from_the_first(self, stage: Stage) -> None:
        """Its final record has its own id and the recipients of the first; there is no e-mail and no dead letter."""
        await stage.process(stage.append(event_of(), **CALL))
        await stage.process(stage.append(event_of(event_id="2"), **{**CALL, "REQUEST_ID": "r-2"}))

        first, retry = stage.dispatches[1], stage.last
        assert ["sending sending", "ses", "ses", "sent sent", "sent sent"] == stage.journal
        assert first.dispatch_id == retry.retry_of
        assert first.recipients == retry.recipients
        assert first.dispatch_id != retry.dispatch_id

    @pytest.mark.parametrize("between", [None, "pause-lifted"])
    async def test_a_repeated_call_after_another_event_is_a_new_call(self, stage: Stage, between: str | None) -> None:
        """Activated, lifted and activated again are three events; without the second they are one."""
        await stage.process(stage.append(event_of(), **CALL))
        if between is not None:
            await stage.process(stage.append(event_of(between, event_id="b"), **CALL))
        await stage.process(stage.append(event_of(event_id="2"), **CALL))

        assert (between is None) == (stage.last.retry_of is not None)

    async def test_a_replay_sends_again_only_what_failed(self, stage: Stage) -> None:
        """With an empty ledger, the carried dispatch prevents a second e-mail, but is no proof of the first."""
        stage.sender.will_meet("c@example.org", refuse())
        await stage.process(stage.append(event_of()))
        carried = dispatch_json(stage.last).decode()
        stage.assignment = stage.assigned(Ledger(max_entries=10))
        stage.sender.will_meet("c@example.org", stage.sender.always)
        await stage.process(stage.append(event_of(), REPLAY=carried))

        assert ["suppressed sending", "ses", "suppressed sent"] == stage.journal[-3:]
        assert Reason.SENT_EARLIER == stage.last.recipients[0].reason
        assert stage.last.recipients[0].message_id is None
        assert [0, 1] == [recipient.round for recipient in stage.last.recipients]


class TestRecords:
    """Records that are not processed as events."""

    async def test_an_invalid_record_is_dead_lettered(self, stage: Stage) -> None:
        """The record is finished and blocks nothing."""
        record = replace(stage.append(event_of()), value=b"{")
        await stage.process(record)

        assert ["dead letter not_json"] == stage.journal
        assert stage.finished()
        assert b"mentor-042" == stage.letters[0].key
        assert b"{" == stage.letters[0].value

    @pytest.mark.parametrize(
        ("name", "topic", "key"),
        [
            ("pause-activated", PAUSES_TOPIC, None),
            ("pause-activated", PAUSES_TOPIC, b"other"),
            ("pause-activated", CERTIFICATIONS_TOPIC, b"mentor-042"),
        ],
    )
    async def test_a_misplaced_record_is_moved(self, stage: Stage, name: str, topic: str, key: bytes | None) -> None:
        """It is published where it belongs, with its headers and first append time; nothing is sent."""
        record = replace(stage.append(event_of(name), key=key), topic=topic)
        await stage.process(record)

        (moved,) = stage.publisher.records
        assert PAUSES_TOPIC == moved.topic
        assert NUMBER == moved.partition
        assert b"mentor-042" == moved.key
        assert record.value == moved.value
        assert [*record.headers] == [*moved.headers][:-3]
        assert Proof.PROVEN is KEYS.check(moved.topic, moved.key, moved.value, moved.headers)
        assert format_instant(record.appended_at).encode() == header(moved.headers, APPENDED_AT)
        assert f"{topic}-{NUMBER}-0".encode() == header(moved.headers, MOVED_FROM)
        assert stage.finished()
        assert [] == stage.sender.calls

    async def test_an_unreadable_time_costs_the_time(self, stage: Stage) -> None:
        """An event whose time cannot be read is sent with the time of its append, and its source is counted."""
        record = stage.append(event_of())
        unreadable = replace(record, headers=[*record.headers, ("ce_time", b"0001-01-01T00:00:00Z")])
        await stage.process(unreadable)

        assert [Status.SENT, Status.SENT] == [recipient.status for recipient in stage.last.recipients]
        assert 1 == stage.sample("unreadable_times_total", source="/tests")

    async def test_a_move_is_tried_until_it_is_durable(self, stage: Stage) -> None:
        """The original is not finished before the moved record is durable."""
        stage.publisher.will_fail(Failure(NEVER), Failure(PERHAPS))
        await stage.process(stage.append(event_of(), key=None), seconds=0.05)
        assert not stage.finished()

        await stage.clock.advance(2)
        assert stage.finished()


class TestSettle:
    """A late write to a final dispatch."""

    async def test_a_late_write_that_changes_the_outcome_is_merged(self, stage: Stage) -> None:
        """The owner appends the merged state."""
        record, begun = left_behind(stage)
        states = changed(MENTOR, status="sent", send=1), changed(COORDINATOR, status="unknown")
        dispatch = structs.replace(begun, recipients=states)
        stage.former_owner_writes(dispatch.seen(record.topic, record.offset))
        late = changed(MENTOR, status="sending", send=1), changed(COORDINATOR, status="sent", send=1)
        stage.former_owner_writes(structs.replace(dispatch, recipients=late))

        await stage.processor.store.settle(stage.assignment, dispatch.dispatch_id)

        assert ["sent sent"] == stage.journal

    async def test_a_dispatch_that_nobody_ended_is_left_to_its_lane(self, stage: Stage) -> None:
        """The records of two owners are final only when merged, and that state needs its dead letter first."""
        _, begun = left_behind(stage)
        for mentor, coordinator in (("unknown", "pending"), ("pending", "sent")):
            states = changed(MENTOR, status=mentor, send=1), changed(COORDINATOR, status=coordinator, send=1)
            stage.former_owner_writes(structs.replace(begun, recipients=states))

        await stage.processor.store.settle(stage.assignment, begun.dispatch_id)

        assert [] == stage.journal

    async def test_a_late_write_that_changes_nothing_is_forgotten(self, stage: Stage) -> None:
        """Nothing is written, and the ledger keeps one record."""
        _, dispatch = left_behind(stage, changed(MENTOR, status="sent", send=1))
        stage.former_owner_writes(structs.replace(dispatch, recipients=(changed(MENTOR, status="sending", send=1),)))

        await stage.processor.store.settle(stage.assignment, dispatch.dispatch_id)

        known = stage.assignment.ledger.get(dispatch.dispatch_id)
        assert known is not None
        assert [] == stage.journal
        assert [0] == known.offsets


class TestMeasures:
    """What is counted of an event."""

    async def test_an_event_taken_is_an_event_ended(self, stage: Stage) -> None:
        """An event counts when it is taken, and its time is that from its append; a redelivery counts in neither."""
        record = stage.append(event_of())
        await stage.clock.advance(20)
        waited = (stage.clock.now() - record.appended_at).total_seconds()
        await stage.process(record)
        await stage.process(stage.append(event_of()))

        assert 1 == stage.sample("events_taken_total", topic=PAUSES_TOPIC)
        assert 1 == stage.sample("events_of_source_total", source=event_of().source)
        assert 1 == stage.sample("dispatch_seconds_count")
        assert waited == stage.sample("dispatch_seconds_sum")

    async def test_a_further_try_is_no_further_event(self, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
        """An event whose try a bug of ours has failed is tried again, and counts once."""
        run, bugs = Attempt.run, [KeyError("ours")]

        async def failing_once(attempt: Attempt, work: Work, dispatch: Dispatch) -> Dispatch:
            if bugs:
                raise bugs.pop()
            return await run(attempt, work, dispatch)

        monkeypatch.setattr(Attempt, "run", failing_once)
        await stage.process(stage.append(event_of()), seconds=20)

        assert 1 == stage.sample("events_of_source_total", source=event_of().source)
        assert stage.finished()
