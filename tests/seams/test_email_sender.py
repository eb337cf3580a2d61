"""The contract of every EmailSender, on the fake, on boto3's client and on ours; then the protocol of SES."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from email.header import decode_header, make_header
from typing import Any

import boto3
import pytest

from consumers.email import AnswerLost, Email, EmailError, Halted, HaltReason, NotSent, Refused
from consumers.ses import sender as sender_module
from consumers.ses import signing
from consumers.ses.request import SenderIdentity
from deploy.local.ses.server import listen
from schemas.dispatch import Reason
from schemas.feedback import recipient_tag
from tests.seams.email_senders import (
    BUILDS,
    EMAIL,
    FROM,
    OUTCOMES,
    REPLY_TO,
    Build,
    FakeStage,
    SesStage,
    Stage,
    built,
    failure,
    local_ses,
    meaning,
    ses_stage,
)
from tests.waiting import until


@pytest.fixture(name="address", scope="module")
def _address() -> Iterator[str]:
    """Run one local SES for the module."""
    with local_ses() as address:
        yield address


@asynccontextmanager
async def fresh_stage(address: str, build: Build, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SesStage]:
    """Yield a sender over the local SES, without faults and e-mails."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_SESV2", address)
    async with ses_stage(address, build) as stage:
        for path in ("/admin/faults", "/admin/mails", "/admin/stats"):
            stage.http.delete(path).raise_for_status()
        yield stage


@pytest.fixture(name="both")
async def _both(address: str, build: Build, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SesStage]:
    """Yield boto3's sender, then ours, over a fresh local SES."""
    async with fresh_stage(address, build, monkeypatch) as stage:
        yield stage


@pytest.fixture(name="ses")
async def _ses(address: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SesStage]:
    """Yield our sender over a fresh local SES."""
    async with fresh_stage(address, BUILDS["ses"], monkeypatch) as stage:
        yield stage


@pytest.fixture(name="stage", params=["fake", *BUILDS])
async def _stage(request: pytest.FixtureRequest, address: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stage]:
    """Yield each sender in turn."""
    if request.param == "fake":
        yield FakeStage()
        return
    async with fresh_stage(address, BUILDS[request.param], monkeypatch) as stage:
        yield stage


class TestEverySender:
    """The contract of an EmailSender."""

    async def test_an_accepted_email_arrives_as_it_was_given(self, stage: Stage) -> None:
        """Recipient, subject, both bodies and all tags arrive unchanged, also beyond ASCII."""
        await stage.sender.send(EMAIL)

        assert [EMAIL] == stage.accepted()

    async def test_each_email_has_an_id_of_its_own(self, stage: Stage) -> None:
        """The same e-mail, sent three times at once, gets three ids."""
        ids = await asyncio.gather(*(stage.sender.send(EMAIL) for _ in range(3)))

        assert 3 == len(set(ids))
        assert all(ids)

    @pytest.mark.parametrize("outcome", OUTCOMES)
    async def test_each_outcome_is_raised_as_its_error(self, stage: Stage, outcome: str) -> None:
        """Each answer of SES raises the error in the table of outcomes, after exactly one call."""
        expected, _ = OUTCOMES[outcome]
        stage.arrange(outcome)

        error = await failure(stage.sender, EmailError)

        assert expected.error is not None
        assert meaning(expected.error()) == meaning(error)
        assert ([EMAIL] if expected.accepted else []) == stage.accepted()
        assert 1 == stage.calls()

    async def test_a_send_continues_when_its_waiter_is_cancelled(self, stage: Stage) -> None:
        """An e-mail that has reached the provider is accepted once, though its task is cancelled."""
        with stage.answers_held():
            sending = asyncio.create_task(stage.sender.send(EMAIL))
            await until(lambda: stage.calls() == 1, what="the call")
            sending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sending

        assert [EMAIL] == stage.accepted()
        assert 1 == stage.calls()

    async def test_a_send_works_after_a_failed_one(self, stage: Stage) -> None:
        """A lost answer does not affect the next e-mail."""
        stage.arrange("dropped")
        with pytest.raises(AnswerLost):
            await stage.sender.send(EMAIL)

        stage.recover()

        assert await stage.sender.send(EMAIL)


class TestOverSes:
    """The protocol of SES, which is the same with boto3's client and with ours."""

    async def test_the_sender_and_its_configuration_set_arrive(self, both: SesStage) -> None:
        """From and Reply-To have encoded names, and charset and configuration set arrive."""
        await both.sender.send(EMAIL)

        (mail,) = both.mails()
        assert mail["from"].isascii()
        assert FROM == str(make_header(decode_header(mail["from"])))
        assert [REPLY_TO] == [str(make_header(decode_header(address))) for address in mail["reply_to"]]
        assert "notices" == mail["configuration_set"]
        assert [] == mail["charset_doubts"]

    async def test_headers_arrive(self, both: SesStage) -> None:
        """Automatic mail says that it is, names its conversation, and how to get no more."""
        await both.sender.send(EMAIL)

        (mail,) = both.mails()
        arrived = {header["name"]: header["value"] for header in mail["headers"]}
        assert dict(EMAIL.headers) == arrived
        assert "auto-generated" == arrived["Auto-Submitted"]
        assert "<mailto:leave%2Bme@example.com?subject=unsubscribe>" == arrived["List-Unsubscribe"]

    async def test_an_email_has_its_own_reply_address(self, both: SesStage) -> None:
        """Replies go where the e-mail says, instead of to the address of all e-mails."""
        await both.sender.send(replace(EMAIL, reply_to="coordinator-007@example.org"))

        (mail,) = both.mails()
        assert ["coordinator-007@example.org"] == mail["reply_to"]

    @pytest.mark.parametrize(
        "email",
        [
            pytest.param(replace(EMAIL, to="mentor 042@example.org"), id="address"),
            pytest.param(replace(EMAIL, subject="Pause\nBcc: all@example.org"), id="subject"),
            pytest.param(replace(EMAIL, tags={"recipient": "mentor:042"}), id="tag"),
            pytest.param(replace(EMAIL, headers={"Message-ID": "<a@example.com>"}), id="header"),
        ],
    )
    async def test_a_malformed_email_is_refused(self, both: SesStage, email: Email) -> None:
        """A malformed address, subject or tag refuses that e-mail only."""
        error = await failure(both.sender, Refused, email)

        assert Reason.BAD_REQUEST == error.reason

    async def test_a_value_of_the_wrong_type_is_refused(self, both: SesStage) -> None:
        """A value of the wrong type refuses that e-mail only."""
        error = await failure(both.sender, Refused, replace(EMAIL, subject=None))  # type: ignore[arg-type] # the point

        assert Reason.BAD_REQUEST == error.reason

    async def test_a_tag_made_of_any_id_is_accepted(self, both: SesStage) -> None:
        """An id with characters that SES refuses arrives as its tag."""
        tags = {"recipient": recipient_tag("mentor:042@example.org")}

        await both.sender.send(replace(EMAIL, tags=tags))

        assert [tags] == [mail["tags"] for mail in both.mails()]

    async def test_the_error_of_an_unverified_recipient_names_nobody(self, both: SesStage) -> None:
        """The error may be logged: it leaves out the text of SES, which contains the address."""
        both.faults(sandbox=True)

        error = await failure(both.sender, Refused)

        assert "MessageRejected (HTTP 400" in str(error)
        assert "@" not in str(error)
        assert error.__context__ is None

    async def test_nothing_listening_is_unreachable(self, build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
        """After a refused connection the e-mail is certainly not sent."""
        with listen("127.0.0.1", 0) as bound:  # bound but not listening: it refuses, and nobody else gets the port
            address = f"http://127.0.0.1:{bound.getsockname()[1]}"
            monkeypatch.setenv("AWS_ENDPOINT_URL_SESV2", address)
            async with built(build) as sender:
                error = await failure(sender, NotSent)

        assert error.unreachable

    async def test_a_handshake_that_fails_is_unreachable(
        self, ses: SesStage, build: Build, address: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A server that does not speak TLS has no e-mail, although the connection was opened."""
        monkeypatch.setenv("AWS_ENDPOINT_URL_SESV2", address.replace("http:", "https:"))
        async with built(build) as sender:
            error = await failure(sender, NotSent)

        assert error.unreachable
        assert 0 == ses.calls()

    async def test_a_handshake_that_hangs_is_unreachable(self, build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
        """A time-out in the handshake is no lost answer."""
        with listen("127.0.0.1", 0) as bound:
            bound.listen()
            address = f"https://127.0.0.1:{bound.getsockname()[1]}"
            monkeypatch.setenv("AWS_ENDPOINT_URL_SESV2", address)
            async with built(build) as sender:
                error = await failure(sender, NotSent)

        assert error.unreachable

    @pytest.mark.parametrize(
        "answer",
        [
            pytest.param(b'HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{"Messag', id="cut short"),
            pytest.param(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n<ok>", id="not JSON"),
            pytest.param(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}", id="no message id"),
            pytest.param(b"HTTP/1.1 200 OK\r\ncontent-le", id="broken header"),
            pytest.param(b"", id="nothing"),
        ],
    )
    async def test_an_unreadable_answer_is_a_lost_one(
        self, build: Build, monkeypatch: pytest.MonkeyPatch, answer: bytes
    ) -> None:
        """Without a readable message id SES may still have the e-mail."""

        async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            """Read the head of the request and write *answer*."""
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            writer.close()
            await writer.wait_closed()

        server = await asyncio.start_server(respond, "127.0.0.1", 0)
        async with server:
            address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            monkeypatch.setenv("AWS_ENDPOINT_URL_SESV2", address)
            async with built(build) as sender:
                with pytest.raises(AnswerLost):
                    await sender.send(EMAIL)

    async def test_missing_credentials_halt(self, build: Build, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without credentials no e-mail can be sent now."""
        _without_credentials(monkeypatch)
        monkeypatch.setenv("AWS_ENDPOINT_URL_SESV2", address)
        async with built(build, session=boto3.Session(region_name="eu-central-1")) as sender:
            error = await failure(sender, Halted)

        assert HaltReason.CREDENTIALS == error.halt


class TestSesSender:
    """Our sender only."""

    async def test_an_error_in_the_search_for_credentials_halts(
        self, ses: SesStage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A missing token file does not make SES unreachable, and uses up no attempts."""
        _without_credentials(monkeypatch)
        monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::1:role/r")
        monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", "/nonexistent")
        async with built(session=boto3.Session(region_name="eu-central-1")) as sender:
            error = await failure(sender, Halted)

        assert HaltReason.CREDENTIALS == error.halt
        assert [] == ses.accepted()

    @pytest.mark.parametrize(
        ("part", "method", "expected", "accepted"),
        [(signing.Signer, "headers", NotSent, []), (sender_module, "message_id", AnswerLost, [EMAIL])],
    )
    async def test_the_meaning_of_an_unknown_error_depends_on_whether_the_request_left(
        self,
        ses: SesStage,
        monkeypatch: pytest.MonkeyPatch,
        part: object,
        method: str,
        expected: type[EmailError],
        accepted: list[Email],
    ) -> None:
        """Before the request leaves, an unknown error sent nothing; later the answer is lost. It is counted."""
        unknown: list[str] = []

        def fail(*_: Any) -> None:
            """Raise an error that is in no table."""
            raise RuntimeError("a bug")

        async with built(on_unknown=unknown.append) as sender:
            monkeypatch.setattr(part, method, fail)
            error = await failure(sender, EmailError)

        assert expected is type(error)
        assert accepted == ses.accepted()
        assert ["RuntimeError"] == unknown

    async def test_a_send_without_a_free_connection_is_not_sent(self, ses: SesStage) -> None:
        """If every connection waits for an answer, another send is certainly not sent at its deadline."""
        ses.faults(latency_ms=2_000)
        async with built(max_in_flight=1, deadline_seconds=0.6) as sender:
            first = asyncio.create_task(sender.send(EMAIL))
            await until(lambda: ses.calls() == 1, what="the only connection to be busy")
            with pytest.raises(NotSent):
                await sender.send(replace(EMAIL, to="mentor-043@example.org"))
            with pytest.raises(AnswerLost):
                await first

        assert [EMAIL] == ses.accepted()

    async def test_closing_waits_for_sends_in_progress_and_refuses_new_ones(self, address: str, ses: SesStage) -> None:
        """A send in progress at the close succeeds; a later one is certainly not sent."""
        ses.faults(latency_ms=200)
        async with ses_stage(address) as stage:
            sending = asyncio.create_task(stage.sender.send(EMAIL))
            await until(lambda: ses.calls() == 1, what="the call")

        assert await sending
        with pytest.raises(NotSent):
            await stage.sender.send(EMAIL)
        assert 1 == ses.calls()

    async def test_a_send_that_outlasts_the_close_loses_its_answer(self, ses: SesStage) -> None:
        """A close waits until its deadline; then the answer of a send in progress is lost."""
        ses.faults(latency_ms=2_000)
        async with built(deadline_seconds=5) as sender:
            sending = asyncio.create_task(sender.send(EMAIL))
            await until(lambda: ses.calls() == 1, what="the call")
            await sender.aclose(deadline=0.05)
            with pytest.raises(AnswerLost):
                await sending

        assert [EMAIL] == ses.accepted()


@pytest.mark.parametrize(
    "address", ["", "notices", "notices@", "Büro <büro@example.com>", "a@example.com\nBcc: b@c.de"]
)
def test_a_sender_with_an_invalid_address_is_refused_at_once(address: str) -> None:
    """An address that SES would refuse stops the start instead of every e-mail."""
    with pytest.raises(ValueError, match="must be an e-mail address"):
        SenderIdentity(address)


def _without_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove every place where credentials can be found."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, "/nonexistent")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
