"""Recipients whose address is suppressed: nothing is sent to them, and somebody else is told."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from consumers.ledger.ledger import Ledger
from schemas.contacts import Contact
from schemas.dispatch import Dispatch, Reason, Status, Verdict, dispatch_json, verdict
from schemas.events import REPLICA_SOURCE, UNDELIVERED, Event, Role
from schemas.suppressions import SuppressionList, SuppressionReason, suppression_key
from tests.fakes.email import FAIL, refuse
from tests.unit.consumers.stage import Stage, a_stage, event_of

MENTOR, COORDINATOR = "m@example.org", "c@example.org"
TOLD_ANOTHER_WAY = "Please tell them in another way"


@pytest.fixture(name="stage")
async def _stage() -> AsyncIterator[Stage]:
    """Yield a partition in use; mentor-042 and their coordinator are known."""
    async with a_stage() as stage:
        yield stage


def statuses(dispatch: Dispatch) -> list[tuple[Status, Reason | None]]:
    """Return the status and reason of each recipient."""
    return [(recipient.status, recipient.reason) for recipient in dispatch.recipients]


def sent_to(stage: Stage) -> list[str]:
    """Return the addresses that got an e-mail."""
    return [email.to for email in stage.sender.accepted]


def escalation() -> Event:
    """Return an event that a replica publishes."""
    return event_of("notice-undelivered", source=REPLICA_SOURCE)


def escalations(stage: Stage) -> int:
    """Count the escalations that were published."""
    return sum(record.topic == UNDELIVERED.topic for record in stage.publisher.records)


class TestRecipients:
    """Who gets an e-mail, and how the others end."""

    async def test_the_coordinator_reads_that_a_mentor_without_address_was_not_told(self, stage: Stage) -> None:
        """The coordinator's copy does not say that there is nothing to do: nobody else can tell the mentor."""
        stage.add_contact(Contact(id="mentor-042", role=Role.MENTOR, coordinator_id="coordinator-007"))
        await stage.process(stage.append(event_of()))

        assert ["no e-mail address is known" in email.text for email in stage.sender.accepted] == [True]

    @pytest.mark.parametrize("reason", list(SuppressionReason))
    async def test_a_suppressed_mentor_gets_nothing_and_the_coordinator_is_told(
        self, stage: Stage, reason: SuppressionReason
    ) -> None:
        """SES is not called for the mentor; the coordinator's copy has a sentence about it, and no letter is needed."""
        stage.suppress("mentor-042", MENTOR, reason, bounces=("1", "2", "3"))
        await stage.process(stage.append(event_of()))

        assert ["suppressed sending", "ses", "suppressed sent"] == stage.journal
        assert [(Status.SUPPRESSED, Reason(reason.value)), (Status.SENT, None)] == statuses(stage.last)
        assert [COORDINATOR] == sent_to(stage)
        assert TOLD_ANOTHER_WAY in stage.sender.accepted[0].text

    async def test_a_suppressed_coordinator_costs_the_mentor_nothing(self, stage: Stage) -> None:
        """The mentor's copy says nothing of it."""
        stage.suppress("coordinator-007", COORDINATOR)
        await stage.process(stage.append(event_of()))

        assert [(Status.SENT, None), (Status.SUPPRESSED, Reason.BOUNCED)] == statuses(stage.last)
        assert [MENTOR] == sent_to(stage)
        assert TOLD_ANOTHER_WAY not in stage.sender.accepted[0].text

    async def test_with_nobody_to_send_to_it_ends_at_once(self, stage: Stage) -> None:
        """There is one record, final and without a dead letter; it is no failure of the service."""
        stage.suppress("mentor-042", MENTOR)
        stage.suppress("coordinator-007", COORDINATOR, "complained")
        await stage.process(stage.append(event_of()))

        assert ["dead letter coordinator_unreachable", "suppressed suppressed"] == stage.journal
        assert Verdict.ENDED is verdict(stage.last)
        assert 1 == stage.sample("outcomes_total", status="suppressed", reason="complained")

    async def test_the_coordinator_is_told_later_as_well(self, stage: Stage) -> None:
        """If the coordinator's copy is tried again, it still says that the mentor was not told."""
        stage.suppress("mentor-042", MENTOR)
        stage.sender.will(FAIL)
        await stage.process(stage.append(event_of()), seconds=0.1)
        stage.suppressions.take(suppression_key(SuppressionList.HARD, "mentor-042"), None)
        await stage.clock.advance(5)

        assert [(Status.SUPPRESSED, Reason.BOUNCED), (Status.SENT, None)] == statuses(stage.last)
        assert TOLD_ANOTHER_WAY in stage.sender.accepted[0].text

    async def test_another_address_is_free(self, stage: Stage) -> None:
        """The contact's address has changed since."""
        stage.suppress("mentor-042", "old@example.org")
        await stage.process(stage.append(event_of()))

        assert [MENTOR, COORDINATOR] == sent_to(stage)

    async def test_one_mailbox_of_two_contacts_is_two_entries(self, stage: Stage) -> None:
        """An entry is a contact's: another contact with the same address still gets the e-mail."""
        stage.add_contact(Contact(id="coordinator-007", role=Role.COORDINATOR, email=MENTOR))
        stage.suppress("mentor-042", MENTOR)
        await stage.process(stage.append(event_of()))

        assert [Status.SUPPRESSED, Status.SENT] == [status for status, _ in statuses(stage.last)]

    async def test_an_entry_ends(self, stage: Stage) -> None:
        """From the instant `until` on the address gets e-mail again."""
        stage.suppress("mentor-042", MENTOR, until=stage.clock.now() + timedelta(seconds=10))
        await stage.process(stage.append(event_of()))
        await stage.clock.advance(10)
        await stage.process(stage.append(event_of(event_id="2")))

        assert [Status.SENT, Status.SENT] == [status for status, _ in statuses(stage.last)]

    async def test_nothing_is_sent_until_the_topic_is_read(self, stage: Stage) -> None:
        """While the suppressions are read, a dispatch stays pending."""
        stage.suppressions.current = False
        await stage.process(stage.append(event_of()))
        assert [] == stage.journal

        stage.suppressions.current = True
        await stage.clock.advance(1)
        assert "sent sent" == stage.journal[-1]


class TestReplay:
    """A person took the address off the list."""

    async def test_a_replay_reaches_an_address_that_was_freed(self, stage: Stage) -> None:
        """It sends to the mentor, and not again to the coordinator."""
        stage.suppress("mentor-042", MENTOR)
        await stage.process(stage.append(event_of()))
        carried = dispatch_json(stage.last).decode()
        stage.suppressions.take(suppression_key(SuppressionList.HARD, "mentor-042"), None)
        await stage.process(stage.append(event_of(), REPLAY=carried))

        assert [(Status.SENT, None)] * 2 == statuses(stage.last)
        assert [COORDINATOR, MENTOR] == sent_to(stage)

    async def test_a_replay_too_early_sends_nothing(self, stage: Stage) -> None:
        """The address is still on the list, so the outcome is the same."""
        stage.suppress("mentor-042", MENTOR)
        await stage.process(stage.append(event_of()))
        await stage.process(stage.append(event_of(), REPLAY=dispatch_json(stage.last).decode()))

        assert [(Status.SUPPRESSED, Reason.BOUNCED), (Status.SENT, None)] == statuses(stage.last)
        assert [COORDINATOR] == sent_to(stage)

    async def test_any_other_delivery_changes_nothing(self, stage: Stage) -> None:
        """A repeated call is answered as before, whether or not the address was freed."""
        stage.suppress("mentor-042", MENTOR)
        await stage.process(stage.append(event_of()))
        stage.suppressions.take(suppression_key(SuppressionList.HARD, "mentor-042"), None)
        await stage.process(stage.append(event_of()))

        assert [(Status.SUPPRESSED, Reason.BOUNCED), (Status.SENT, None)] == statuses(stage.last)

    async def test_a_replay_that_forgets_an_earlier_mail_does_not_send_it_again(self, stage: Stage) -> None:
        """A recipient who is suppressed since the replay cannot prove their first e-mail stays so."""
        await stage.process(stage.append(event_of()))
        carried = dispatch_json(stage.last).decode()
        for _ in range(2):
            stage.assignment = stage.assigned(Ledger(max_entries=10))
            await stage.process(stage.append(event_of(), REPLAY=carried))

        assert [(Status.SUPPRESSED, Reason.SENT_EARLIER)] * 2 == statuses(stage.last)
        assert 2 == len(stage.sender.calls)


class TestEscalation:
    """The event that a mentor could not be reached."""

    async def test_only_the_coordinator_is_told(self, stage: Stage) -> None:
        """One e-mail to the coordinator, who reads the mentor's name in its subject."""
        await stage.process(stage.append(escalation()))

        assert ["sending", "ses", "sent"] == stage.journal
        assert [COORDINATOR] == sent_to(stage)
        assert "Not reached by e-mail: mentor-042" == stage.sender.accepted[0].subject

    @pytest.mark.parametrize("coordinator", [None, "mentor-042"])
    async def test_without_a_coordinator_it_is_a_dead_letter(self, stage: Stage, coordinator: str | None) -> None:
        """It ends without recipients; a person must hear of it in another way."""
        stage.add_contact(Contact(id="mentor-042", role=Role.MENTOR, email=MENTOR, coordinator_id=coordinator))
        await stage.process(stage.append(escalation()))

        assert ["dead letter coordinator_unreachable", "unknown_mentor"] == stage.journal
        assert (True, ()) == (stage.last.final, stage.last.recipients)
        assert stage.finished()

    async def test_with_a_coordinator_at_last_a_replay_tells_them(self, stage: Stage) -> None:
        """The coordinator is looked up again."""
        stage.add_contact(Contact(id="mentor-042", role=Role.MENTOR, email=MENTOR))
        await stage.process(stage.append(escalation()))
        stage.add_contact(Contact(id="mentor-042", role=Role.MENTOR, email=MENTOR, coordinator_id="coordinator-007"))
        await stage.process(stage.append(escalation(), REPLAY=dispatch_json(stage.last).decode()))

        assert [COORDINATOR] == sent_to(stage)

    async def test_a_suppressed_coordinator_is_a_dead_letter(self, stage: Stage) -> None:
        """Nobody else is left to tell; no further e-mail is made of it."""
        stage.suppress("coordinator-007", COORDINATOR)
        await stage.process(stage.append(escalation()))

        assert ["dead letter coordinator_unreachable", "suppressed"] == stage.journal
        assert UNDELIVERED.type == stage.last.event_type

    async def test_a_coordinator_whose_mail_is_refused_is_a_dead_letter(self, stage: Stage) -> None:
        """It failed, as any e-mail may."""
        stage.sender.will(refuse())
        await stage.process(stage.append(escalation()))

        assert "dead letter failed" in stage.journal

    async def test_a_suppressed_mentor_of_a_reminder_is_escalated(self, stage: Stage) -> None:
        """No copy of the coordinator says it, so an event of its own does."""
        stage.suppress("mentor-042", MENTOR)
        await stage.process(stage.append(event_of("cert-expiry-reminder")))

        assert 1 == escalations(stage)

    async def test_a_mentor_who_was_sent_to_earlier_is_not_escalated(self, stage: Stage) -> None:
        """A replay that cannot prove the first e-mail suppresses a second one: the mentor has been reached."""
        await stage.process(stage.append(event_of("cert-expiry-reminder")))
        carried = dispatch_json(stage.last).decode()
        stage.assignment = stage.assigned(Ledger(max_entries=10))
        await stage.process(stage.append(event_of("cert-expiry-reminder"), REPLAY=carried))

        assert [(Status.SUPPRESSED, Reason.SENT_EARLIER)] == statuses(stage.last)
        assert 0 == escalations(stage)

    async def test_nobody_else_can_escalate(self, stage: Stage) -> None:
        """Without a signature of ours it is a dead letter, whatever its source."""
        await stage.process(stage.append(event_of("notice-undelivered")))

        assert ["dead letter unproven_source"] == stage.journal
