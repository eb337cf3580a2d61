"""Headers of notices, and who gets the replies."""

from __future__ import annotations

from email.headerregistry import HeaderRegistry

import pytest

from consumers.delivery.email_headers import EmailHeaders
from schemas.contacts import Contact
from schemas.events import ALL_EVENTS, REPLICA_SOURCE, Role
from tests.unit.consumers.stage import Stage, a_stage, event_of

HEADERS = EmailHeaders("example.org")
COORDINATOR = "c@example.org"


def reference(name: str, **data: str) -> str:
    """Return the conversation that an event's notices belong to."""
    return HEADERS.of(event_of(name, **data))["References"]


async def replies(stage: Stage, name: str = "pause-activated") -> dict[str, str | None]:
    """Return who gets the replies to the e-mails of an event, by recipient."""
    await stage.process(stage.append(event_of(name)))
    return {email.tags["recipient"]: email.reply_to for email in stage.sender.accepted}


class TestHeaders:
    """The headers."""

    def test_say_that_nobody_wrote(self) -> None:
        """Auto-responders are asked for no reply, and Exchange for none but that of a message that came back."""
        headers = HEADERS.of(event_of())

        assert "auto-generated" == headers["Auto-Submitted"]
        assert "NDR" not in headers["X-Auto-Response-Suppress"].split(", ")

    def test_one_pause_is_one_conversation(self) -> None:
        """A pause, its end, and the news that the mentor was not reached answer to the same message, which none is."""
        about_a_pause = reference("notice-undelivered", notice="mentor.pause.lifted.v1")

        assert {reference("pause-activated")} == {reference("pause-lifted"), about_a_pause}
        assert reference("pause-activated") == HEADERS.of(event_of("pause-lifted"))["In-Reply-To"]

    def test_other_matters_are_other_conversations(self) -> None:
        """A certification and another mentor's pause stand apart; a notice about a certification goes with it."""
        of_certification = reference("cert-expiry")

        assert reference("cert-expiry-reminder") == of_certification
        assert reference("notice-undelivered", notice="mentor.certification.expired.v1") == of_certification
        assert reference("pause-activated") != of_certification
        assert reference("pause-activated") != reference("pause-activated", mentor_id="mentor-043")

    def test_a_way_out_only_where_one_is(self) -> None:
        """List-Unsubscribe needs an address; its parts that a link cannot hold are encoded."""
        given = EmailHeaders("example.org", '"no more"@example.org').of(event_of())

        assert "List-Unsubscribe" not in HEADERS.of(event_of())
        assert "<mailto:%22no%20more%22@example.org?subject=unsubscribe>" == given["List-Unsubscribe"]

    @pytest.mark.parametrize("name", [kind.name for kind in ALL_EVENTS])
    def test_are_headers(self, name: str) -> None:
        """Every header is one that a mail library reads without a defect, in the length that SES takes."""
        for header, value in EmailHeaders("example.org", "leave@example.org").of(event_of(name)).items():
            assert () == HeaderRegistry()(header, value).defects
            assert value.isascii()
            assert len(header) + len(value) <= 996


class TestReplies:
    """The address for replies."""

    async def test_the_coordinator_gets_them_if_set(self) -> None:
        """A mentor's reply goes to the coordinator; the coordinator's own e-mail has the address of all e-mails."""
        async with a_stage(reply_to_coordinator=True) as stage:
            assert {"mentor-042": COORDINATOR, "coordinator-007": None} == await replies(stage)

    async def test_nobody_sees_the_coordinators_address_otherwise(self) -> None:
        """By default all replies go to the address of all e-mails."""
        async with a_stage() as stage:
            assert {"mentor-042": None, "coordinator-007": None} == await replies(stage)

    async def test_a_coordinator_whose_mail_comes_back_gets_none(self) -> None:
        """If e-mails to the coordinator do not arrive, the address of all e-mails gets the replies."""
        async with a_stage(reply_to_coordinator=True) as stage:
            stage.suppress("coordinator-007", COORDINATOR)

            assert {"mentor-042": None} == await replies(stage)

    @pytest.mark.parametrize("coordinator_id", [None, "mentor-042", "nobody"])
    async def test_without_a_coordinator(self, coordinator_id: str | None) -> None:
        """A mentor without a coordinator, or who is their own, or whose coordinator is unknown, replies to all's."""
        async with a_stage(reply_to_coordinator=True) as stage:
            mentor = Contact(id="mentor-042", role=Role.MENTOR, email="m@example.org", coordinator_id=coordinator_id)
            stage.add_contact(mentor)

            assert {"mentor-042": None} == await replies(stage)

    async def test_an_escalation_has_the_address_of_all(self) -> None:
        """The coordinator's notice about an unreached mentor is answered like any other of theirs."""
        async with a_stage(reply_to_coordinator=True) as stage:
            await stage.process(stage.append(event_of("notice-undelivered", source=REPLICA_SOURCE)))

            assert [None] == [email.reply_to for email in stage.sender.accepted]
