"""What every EmailSender does, on the fake and on SES's; then what only SES's can show."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from consumers.ses.email import AnswerLost, Email, EmailError, Halted, NotSent, Refused, recipient_tag
from tests.seams.email_senders import OUTCOMES, FakeStage, SesStage, Stage, local_ses, ses_stage
from tests.waiting import until

EMAIL = Email(
    to="mentor-042@example.org",
    subject="Deine Pause läuft",
    text="Grüße, Amara 🎉",
    html="<p>Grüße, Amara 🎉</p>",
    tags={"dispatch_id": "0123456789abcdef0123456789abcdef", "recipient": "mentor-042", "partition": "7"},
)


@pytest.fixture(name="address", scope="module")
def _address() -> Iterator[str]:
    """Run one local SES for all of the module."""
    with local_ses() as address:
        yield address


@pytest.fixture(name="ses")
async def _ses(address: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SesStage]:
    """Give the sender over a local SES that is well and empty."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_SESV2", address)
    async with ses_stage(address) as stage:
        for path in ("/admin/faults", "/admin/mails", "/admin/stats"):
            stage.http.delete(path).raise_for_status()
        yield stage


@pytest.fixture(name="stage", params=["fake", "ses"])
def _stage(request: pytest.FixtureRequest) -> Stage:
    """Give each sender in turn."""
    if request.param == "fake":
        return FakeStage()
    ses: SesStage = request.getfixturevalue("ses")
    return ses


class TestEverySender:
    """The contract of an EmailSender."""

    async def test_an_accepted_email_arrives_as_it_was_given(self, stage: Stage) -> None:
        """Recipient, subject, both bodies and all tags are kept, characters beyond ASCII among them."""
        await stage.sender.send(EMAIL)

        assert [EMAIL] == stage.accepted()

    async def test_each_email_has_an_id_of_its_own(self, stage: Stage) -> None:
        """The same e-mail sent three times side by side gets three ids."""
        ids = await asyncio.gather(*(stage.sender.send(EMAIL) for _ in range(3)))

        assert 3 == len(set(ids))
        assert all(ids)

    @pytest.mark.parametrize("outcome", OUTCOMES)
    async def test_an_outcome_is_raised_as_what_to_do_about_it(self, stage: Stage, outcome: str) -> None:
        """Each thing that SES may answer is the error that the table of outcomes says, after exactly one call."""
        expected, _ = OUTCOMES[outcome]
        stage.arrange(outcome)

        with pytest.raises(EmailError) as caught:
            await stage.sender.send(EMAIL)

        assert expected.error is not None
        assert _meaning(expected.error()) == _meaning(caught.value)
        assert ([EMAIL] if expected.accepted else []) == stage.accepted()
        assert 1 == stage.calls()

    async def test_a_send_goes_on_when_its_waiter_is_cancelled(self, stage: Stage) -> None:
        """An e-mail whose sending task is cancelled is accepted all the same, once."""
        with stage.answers_held():
            sending = asyncio.create_task(stage.sender.send(EMAIL))
            await until(lambda: stage.calls() == 1, what="the call to begin")
            sending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sending

        assert [EMAIL] == stage.accepted()
        assert 1 == stage.calls()

    async def test_a_send_works_after_one_that_failed(self, stage: Stage) -> None:
        """A lost answer spoils nothing for the next e-mail."""
        stage.arrange("dropped")
        with pytest.raises(AnswerLost):
            await stage.sender.send(EMAIL)

        if isinstance(stage, SesStage):
            stage.faults(accept_then_drop_share=0)
        elif isinstance(stage, FakeStage):
            stage.fake.will(OUTCOMES_ACCEPT)

        assert await stage.sender.send(EMAIL)


def _meaning(error: EmailError) -> tuple[object, ...]:
    return (
        type(error),
        error.unreachable if isinstance(error, NotSent) else None,
        error.reason if isinstance(error, Refused) else None,
        error.halt if isinstance(error, Halted) else None,
    )
