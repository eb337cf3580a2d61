"""What every EmailSender does, on the fake, boto3's client and ours; then what only SES's protocol can show."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from email.header import decode_header, make_header
from typing import Any

import boto3
import pytest

from consumers.email import AnswerLost, Email, EmailError, Halted, HaltReason, NotSent, Refused, recipient_tag
from consumers.ses import sender as sender_module
from consumers.ses import signing
from consumers.ses.request import SenderIdentity
from deploy.local.ses.server import listen
from schemas.dispatch import Reason
from tests.seams.email_senders import (
    BUILDS,
    FROM,
    OUTCOMES,
    REPLY_TO,
    Build,
    FakeStage,
    SesStage,
    Stage,
    built,
    local_ses,
    meaning,
    ses_stage,
)
from tests.waiting import until

EMAIL = Email(
    to="mentor-042@example.org",
    subject="Your pause, Zoë",
    text="Hello Zoë 🎉",
    html="<p>Hello Zoë 🎉</p>",
    tags={"dispatch_id": "0123456789abcdef0123456789abcdef", "recipient": "mentor-042", "partition": "7"},
)


@pytest.fixture(name="address", scope="module")
def _address() -> Iterator[str]:
    """Run one local SES for all of the module."""
    with local_ses() as address:
        yield address


@pytest.fixture(name="build", params=BUILDS)
def _build(request: pytest.FixtureRequest) -> Build:
    """Return what makes boto3's sender, and ours."""
    return BUILDS[request.param]


@asynccontextmanager
async def _well_and_empty(address: str, build: Build, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SesStage]:
    """Yield a sender over the local SES, once that is well and empty."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_SESV2", address)
    async with ses_stage(address, build) as stage:
        for path in ("/admin/faults", "/admin/mails", "/admin/stats"):
            stage.http.delete(path).raise_for_status()
        yield stage


@pytest.fixture(name="both")
async def _both(address: str, build: Build, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SesStage]:
    """Return boto3's sender, and ours, over a local SES that is well and empty."""
    async with _well_and_empty(address, build, monkeypatch) as stage:
        yield stage


@pytest.fixture(name="ses")
async def _ses(address: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SesStage]:
    """Return our sender over a local SES that is well and empty."""
    async with _well_and_empty(address, BUILDS["ses"], monkeypatch) as stage:
        yield stage


@pytest.fixture(name="stage", params=["fake", *BUILDS])
async def _stage(request: pytest.FixtureRequest, address: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stage]:
    """Return each sender in turn."""
    if request.param == "fake":
        yield FakeStage()
        return
    async with _well_and_empty(address, BUILDS[request.param], monkeypatch) as stage:
        yield stage


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
        assert meaning(expected.error()) == meaning(caught.value)
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

        stage.recover()

        assert await stage.sender.send(EMAIL)


class TestOverSes:
    """What needs SES's protocol to be shown, and is the same with boto3's client and with ours."""

    async def test_the_sender_and_its_configuration_set_go_along(self, both: SesStage) -> None:
        """From and Reply-To have their names encoded, the charset is said, the configuration set is named."""
        await both.sender.send(EMAIL)

        (mail,) = both.mails()
        assert mail["from"].isascii()
        assert FROM == str(make_header(decode_header(mail["from"])))
        assert [REPLY_TO] == [str(make_header(decode_header(address))) for address in mail["reply_to"]]
        assert "notices" == mail["configuration_set"]
        assert [] == mail["charset_doubts"]

    @pytest.mark.parametrize(
        "email",
        [
            pytest.param(replace(EMAIL, to="mentor 042@example.org"), id="address"),
            pytest.param(replace(EMAIL, subject="Pause\nBcc: all@example.org"), id="subject"),
            pytest.param(replace(EMAIL, tags={"recipient": "mentor:042"}), id="tag"),
        ],
    )
    async def test_what_ses_would_not_take_is_refused(self, both: SesStage, email: Email) -> None:
        """A malformed e-mail is that e-mail's fault."""
        with pytest.raises(Refused) as caught:
            await both.sender.send(email)

        assert Reason.BAD_REQUEST == caught.value.reason

    async def test_a_value_of_the_wrong_type_is_refused(self, both: SesStage) -> None:
        """A value of the wrong type is that e-mail's fault."""
        with pytest.raises(Refused) as caught:
            await both.sender.send(replace(EMAIL, subject=None))  # type: ignore[arg-type] # the point

        assert Reason.BAD_REQUEST == caught.value.reason

    async def test_a_tag_made_of_any_id_is_accepted(self, both: SesStage) -> None:
        """An id outside SES's alphabet gets through as its tag."""
        tags = {"recipient": recipient_tag("mentor:042@example.org")}

        await both.sender.send(replace(EMAIL, tags=tags))

        assert [tags] == [mail["tags"] for mail in both.mails()]

    async def test_the_error_of_an_unverified_recipient_names_nobody(self, both: SesStage) -> None:
        """What the error says may be logged: SES's text, which has the address, is left out."""
        both.faults(sandbox=True)

        with pytest.raises(Refused) as caught:
            await both.sender.send(EMAIL)

        assert "MessageRejected (HTTP 400" in str(caught.value)
        assert "@" not in str(caught.value)
        assert caught.value.__context__ is None

    async def test_nothing_listening_is_unreachable(self, build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
        """A refused connection is surely not a sent mail."""
        with listen("127.0.0.1", 0) as bound:  # bound and not listening: it refuses, and nobody else takes the port
            address = f"http://127.0.0.1:{bound.getsockname()[1]}"
            monkeypatch.setenv("AWS_ENDPOINT_URL_SESV2", address)
            async with built(build) as sender:
                with pytest.raises(NotSent) as caught:
                    await sender.send(EMAIL)

        assert caught.value.unreachable

    async def test_a_handshake_that_fails_is_unreachable(
        self, ses: SesStage, build: Build, address: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A server that does not speak TLS has got no mail, though the connection was made."""
        monkeypatch.setenv("AWS_ENDPOINT_URL_SESV2", address.replace("http:", "https:"))
        async with built(build) as sender:
            with pytest.raises(NotSent) as caught:
                await sender.send(EMAIL)

        assert caught.value.unreachable
        assert 0 == ses.calls()

    async def test_a_handshake_that_hangs_is_unreachable(self, build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
        """A time-out during the handshake is no lost answer."""
        with listen("127.0.0.1", 0) as bound:
            bound.listen()
            address = f"https://127.0.0.1:{bound.getsockname()[1]}"
            monkeypatch.setenv("AWS_ENDPOINT_URL_SESV2", address)
            async with built(build) as sender:
                with pytest.raises(NotSent) as caught:
                    await sender.send(EMAIL)

        assert caught.value.unreachable

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
        """Whatever is not a message id after the request was taken may mean that SES has it."""

        async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            """Take the request's head and answer badly."""
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
        """No credentials anywhere means no mail now."""
        _without_credentials(monkeypatch)
        monkeypatch.setenv("AWS_ENDPOINT_URL_SESV2", address)
        async with built(build, session=boto3.Session(region_name="eu-central-1")) as sender:
            with pytest.raises(Halted) as caught:
                await sender.send(EMAIL)

        assert HaltReason.CREDENTIALS == caught.value.halt


class TestOurs:
    """What is ours alone."""

    async def test_whatever_is_in_the_way_of_credentials_halts(
        self, ses: SesStage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Where a token's file is not there it is not SES that cannot be reached, and nobody's attempts are used up."""
        _without_credentials(monkeypatch)
        monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::1:role/r")
        monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", "/nonexistent")
        async with built(session=boto3.Session(region_name="eu-central-1")) as sender:
            with pytest.raises(Halted) as caught:
                await sender.send(EMAIL)

        assert (HaltReason.CREDENTIALS, []) == (caught.value.halt, ses.accepted())

    @pytest.mark.parametrize(
        ("part", "method", "expected", "accepted"),
        [(signing.Signer, "headers", NotSent, []), (sender_module, "message_id", AnswerLost, [EMAIL])],
    )
    async def test_an_unforeseen_error_is_judged_by_whether_the_request_left(
        self,
        ses: SesStage,
        monkeypatch: pytest.MonkeyPatch,
        part: object,
        method: str,
        expected: type[EmailError],
        accepted: list[Email],
    ) -> None:
        """A bug in the client surely sent nothing before the request left, and may have later; it is counted."""
        unknown: list[str] = []

        def stumble(*_: Any) -> None:
            """Fail as no table foresees."""
            raise RuntimeError("a bug")

        async with built(on_unknown=unknown.append) as sender:
            monkeypatch.setattr(part, method, stumble)
            with pytest.raises(EmailError) as caught:
                await sender.send(EMAIL)

        assert expected is type(caught.value)
        assert accepted == ses.accepted()
        assert ["RuntimeError"] == unknown

    async def test_a_send_that_no_connection_took_is_not_sent(self, ses: SesStage) -> None:
        """Where every connection waits for an answer, a further send is given up surely, not as a lost answer."""
        ses.faults(latency_ms=2_000)
        async with built(max_in_flight=1, deadline_seconds=0.6) as sender:
            first = asyncio.create_task(sender.send(EMAIL))
            await until(lambda: ses.calls() == 1, what="the only connection to be taken")
            with pytest.raises(NotSent):
                await sender.send(replace(EMAIL, to="mentor-043@example.org"))
            with pytest.raises(AnswerLost):
                await first

        assert [EMAIL] == ses.accepted()

    async def test_closing_waits_for_sends_under_way_and_takes_no_more(self, address: str, ses: SesStage) -> None:
        """A send under way at the close ends well; one that comes after is surely not sent."""
        ses.faults(latency_ms=200)
        async with ses_stage(address) as stage:
            sending = asyncio.create_task(stage.sender.send(EMAIL))
            await until(lambda: ses.calls() == 1, what="the call to begin")

        assert await sending
        with pytest.raises(NotSent):
            await stage.sender.send(EMAIL)
        assert 1 == ses.calls()

    async def test_a_send_still_out_at_the_end_of_the_close_has_lost_its_answer(self, ses: SesStage) -> None:
        """A close waits no longer than it may; what SES may have by then is a lost answer."""
        ses.faults(latency_ms=2_000)
        async with built(deadline_seconds=5) as sender:
            sending = asyncio.create_task(sender.send(EMAIL))
            await until(lambda: ses.calls() == 1, what="the call to begin")
            await sender.aclose(deadline=0.05)
            with pytest.raises(AnswerLost):
                await sending

        assert [EMAIL] == ses.accepted()


@pytest.mark.parametrize(
    "address", ["", "notices", "notices@", "Büro <büro@example.com>", "a@example.com\nBcc: b@c.de"]
)
def test_a_sender_without_a_proper_address_is_refused_at_once(address: str) -> None:
    """An address that SES would refuse stops the start instead of every mail."""
    with pytest.raises(ValueError, match="must be an e-mail address"):
        SenderIdentity(address)


def _without_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave no place to find credentials in."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, "/nonexistent")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
