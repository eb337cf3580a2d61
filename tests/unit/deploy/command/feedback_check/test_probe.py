"""E-mails to the simulator, and the time that reports take."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from consumers.email import AnswerLost, EmailError, Halted, HaltReason
from deploy.command.feedback_check.evidence import NoEvidence, Report
from deploy.command.feedback_check.probe import (
    GAP_SECONDS,
    SIMULATOR,
    WAIT_SECONDS,
    Measured,
    Probe,
    email,
    new_ids,
    proposed_seconds,
    way_findings,
)
from deploy.command.findings import State
from schemas.feedback import FeedbackKind
from tests.unit.deploy.command.feedback_check.cloud import FakeCloud

SEND, DELIVERY = FeedbackKind.SEND, FeedbackKind.DELIVERY
IDS = [f"{number:032x}" for number in range(3)]
REFUSED = Halted("AccessDenied", halt=HaltReason.CREDENTIALS)
LOST = AnswerLost("SES did not answer in time")


@dataclass
class Late:
    """Reports on each e-mail after some seconds, and looks each second."""

    cloud: FakeCloud
    seconds: dict[FeedbackKind, float]
    error: Exception | None = None
    where: str = "read from a fake"
    reported: set[Report] = field(default_factory=set)
    began: dict[str, float] = field(default_factory=dict)

    async def new(self) -> Sequence[Report]:
        """Return what is due by now."""
        if self.error is not None:
            raise self.error
        await self.cloud.clock.sleep(0.1)
        now = self.cloud.clock.monotonic()
        for one in self.cloud.sent:
            self.began.setdefault(one.tags["dispatch_id"], now)
        due = {
            Report(dispatch_id, kind)
            for dispatch_id, began in self.began.items()
            for kind, seconds in self.seconds.items()
            if now >= began + seconds
        }
        found, self.reported = due - self.reported, due
        return [*found, *found, Report("f" * 32, SEND)]  # twice, and one of somebody else


async def _measured(cloud: FakeCloud, late: Late, ids: Sequence[str] = IDS) -> Measured:
    """Measure while the clock passes as fast as it can."""
    measuring = asyncio.create_task(Probe(cloud, late, cloud.clock, ids).measure())
    while not measuring.done():
        await cloud.clock.advance(0.1)
    return await measuring


async def test_each_report_is_timed() -> None:
    """Every e-mail is sent, a second apart, and both reports about each are timed from its call on."""
    cloud = FakeCloud()

    measured = await _measured(cloud, Late(cloud, {SEND: 0.4, DELIVERY: 2.0}))

    assert IDS == [one.tags["dispatch_id"] for one in cloud.sent]
    assert ([SIMULATOR] * 3, True) == ([one.to for one in cloud.sent], measured.complete)
    assert [0.5] * 3 == [pytest.approx(one, abs=0.2) for one in measured.of(SEND)]
    assert [2.1] * 3 == [pytest.approx(one, abs=0.2) for one in measured.of(DELIVERY)]
    assert measured.first == measured.of(SEND)
    assert 2 * GAP_SECONDS + 2 < cloud.clock.monotonic() < 2 * GAP_SECONDS + 3


async def test_silence_ends() -> None:
    """Without reports the check ends a minute after the last e-mail."""
    cloud = FakeCloud()

    measured = await _measured(cloud, Late(cloud, {}))

    assert ([], False) == (measured.first, measured.complete)
    assert WAIT_SECONDS + 2 * GAP_SECONDS == pytest.approx(cloud.clock.monotonic(), abs=1)


@pytest.mark.parametrize(("refusal", "sent"), [(REFUSED, 0), (LOST, 1)])
async def test_sending_ends_at_the_first_refusal(refusal: EmailError, sent: int) -> None:
    """After a refusal no further e-mail is sent; one whose answer was lost may still be reported."""
    cloud = FakeCloud(refusal=refusal)

    measured = await _measured(cloud, Late(cloud, {}))

    assert (sent, refusal) == (len(measured.seconds), measured.refused)


async def test_what_cannot_be_read_ends_the_sending() -> None:
    """If reports cannot be read, the error is raised at once, and no task is left."""
    cloud = FakeCloud()
    before = asyncio.all_tasks()

    with pytest.raises(NoEvidence):
        await Probe(cloud, Late(cloud, {}, NoEvidence("no right")), cloud.clock, IDS).measure()

    assert before == asyncio.all_tasks()


@pytest.mark.parametrize(
    ("first", "seconds"),
    [
        ([0.2], 5),
        ([0.2, 4.1], 13),
        ([0.1] * 99 + [50.0], 5),
        ([0.1] * 98 + [50.0] * 2, 150),
        ([400.0], 900),
    ],
)
def test_proposal(first: list[float], seconds: int) -> None:
    """Three times what 99 of 100 took is proposed: at least 5 s, and no more than the setting allows."""
    assert seconds == proposed_seconds(first)


def _timed(*seconds: dict[FeedbackKind, float], refused: EmailError | None = None) -> Measured:
    return Measured({f"{number}": found for number, found in enumerate(seconds)}, refused)


@pytest.mark.parametrize(
    ("measured", "states", "says"),
    [
        (_timed({SEND: 1, DELIVERY: 2}), [State.OK, State.OK], "send of 1 after 1.0 to 1.0 s, delivery of 1 after 2.0"),
        (_timed({SEND: 11, DELIVERY: 9}), [State.OK, State.OK], "read from a fake"),
        (_timed({SEND: 11}), [State.WARN, State.WARN], "send of 1 after 11.0 to 11.0 s; read"),
        (_timed({SEND: 1, DELIVERY: 2}, {}), [State.FAIL], "of 2 e-mails"),
        (_timed(refused=REFUSED), [State.FAIL], "no e-mail could be sent: AccessDenied"),
        (_timed({}, refused=LOST), [State.FAIL], "no e-mail could be sent: SES did not answer"),
        (_timed({SEND: 1, DELIVERY: 2}, refused=REFUSED), [State.WARN, State.OK], "1 e-mail to"),
    ],
)
def test_findings(measured: Measured, states: list[State], says: str) -> None:
    """Silence is a failure, a report that is missing a warning, and so is a time that is set too short."""
    findings = way_findings(measured, "read from a fake", 30)

    assert (states, True) == ([one.state for one in findings], says in findings[0].detail)


def test_a_time_that_is_too_short_has_the_better_one() -> None:
    """If evidence may come later than a replica waits for it, the advice has the setting and its value."""
    found = way_findings(_timed({SEND: 12, DELIVERY: 13}), "read from a fake", 30)[1]

    assert found.advice.startswith("set PAUSE_NOTIFICATIONS_RECONCILE_SECONDS=36")


def test_ids_are_those_of_dispatches_and_random() -> None:
    """The check's ids have the form of dispatch ids, and no two are alike."""
    ids = new_ids(100)

    assert (100, {32}) == (len(set(ids)), {len(one) for one in ids})


def test_the_email_has_the_tags_of_any_other() -> None:
    """The e-mail has the three tags by which reports are attributed, and names no recipient of ours."""
    assert {"dispatch_id": IDS[0], "recipient": "doctor", "partition": "0"} == email(IDS[0]).tags
