"""Recipients that this environment does not send to, and events that are too old to be sent."""

from __future__ import annotations

from datetime import timedelta

import pytest

from schemas.allowed_recipients import AllowedRecipients
from schemas.dispatch import Dispatch, Reason, Status
from schemas.events import REPLICA_SOURCE
from schemas.times import format_instant
from tests.fakes.clock import START
from tests.unit.consumers.stage import a_stage, event_of

MENTOR, COORDINATOR = "m@example.org", "c@example.org"
LIMIT = timedelta(hours=2)


def statuses(dispatch: Dispatch) -> list[tuple[Status, Reason | None]]:
    """Return the status and reason of each recipient."""
    return [(recipient.status, recipient.reason) for recipient in dispatch.recipients]


class TestAllowed:
    """An environment with a list."""

    async def test_others_get_nothing(self) -> None:
        """SES is called for the recipient on the list alone; the other is suppressed, and needs no dead letter."""
        async with a_stage(recipients_allowed=AllowedRecipients(MENTOR)) as stage:
            await stage.process(stage.append(event_of()))

            assert [(Status.SENT, None), (Status.SUPPRESSED, Reason.NOT_ALLOWED_HERE)] == statuses(stage.last)
            assert [MENTOR] == [email.to for email in stage.sender.accepted]
            assert [] == [one for one in stage.journal if "dead letter" in one]

    async def test_an_escalation_to_nobody_needs_no_dead_letter(self) -> None:
        """If the coordinator is not on the list, the notice about an unreached mentor just ends."""
        async with a_stage(recipients_allowed=AllowedRecipients("acme.eu")) as stage:
            await stage.process(stage.append(event_of("notice-undelivered", source=REPLICA_SOURCE)))

            assert [] == [one for one in stage.journal if "dead letter" in one]


class TestAge:
    """An age limit for all events."""

    @pytest.mark.parametrize(("age", "ends"), [(LIMIT - timedelta(minutes=1), "sent"), (LIMIT * 1.1, "expired")])
    async def test_an_old_event_expires(self, age: timedelta, ends: str) -> None:
        """An event older than the limit is not sent, and ends as too late; it counts from its first append."""
        async with a_stage(max_age=LIMIT) as stage:
            await stage.process(stage.append(event_of(), APPENDED_AT=format_instant(START - age)))

            assert {ends} == {one.status for one in stage.last.recipients}

    async def test_an_outage_counts(self) -> None:
        """What waits at a closed gate for longer than the limit expires when the gate opens."""
        async with a_stage(max_age=LIMIT) as stage:
            stage.gate.set_share(0, 12)
            await stage.process(stage.append(event_of()))
            stage.clock.jump(LIMIT.total_seconds() + 60)
            stage.heartbeat = stage.clock.monotonic()
            stage.gate.set_share(12, 12)
            await stage.clock.advance(1)

            assert {(Status.EXPIRED, Reason.TOO_LATE)} == set(statuses(stage.last))
