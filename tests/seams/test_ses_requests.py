"""What goes over the wire: requests are boto3's, signatures botocore's, and answers mean what they mean there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import partial
from typing import Any

import boto3
import orjson
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from consumers.email import AnswerLost, Email, EmailError, EmailSender, Halted, HaltReason, NotSent, Refused
from deploy.local.ses.errors import ERRORS
from schemas.dispatch import Reason
from tests.seams.email_senders import BUILDS, Build, built, meaning
from tests.seams.recorder import ACCEPTED, Recorder, Request, recording, time_of
from tests.waiting import until

EMAIL = Email(to="mentor-042@example.org", subject="s", text="t", html="h", tags={"recipient": "mentor-042"})
NOT_COMPARED = {"authorization", "content-length", "x-amz-date", "amz-sdk-invocation-id", "amz-sdk-request"}

_tag = st.text("abcxyzABCXYZ019_-", min_size=1, max_size=256)
_text = st.text(st.characters(exclude_categories=["Cs"]))
_long = st.builds(lambda text, times: text * times, _text, st.integers(1, 3_000))
EMAILS = st.builds(
    Email,
    to=st.from_regex(r"[a-z0-9.+_'-]{1,40}@[a-z0-9-]{1,30}\.[a-z]{2,6}", fullmatch=True),
    subject=_text,
    text=_text | _long,
    html=_text | _long,
    tags=st.dictionaries(_tag, _tag, max_size=5),
)
FIFTY_TAGS = {f"name-{number}": "v" * 256 for number in range(50)}


@pytest.fixture(name="recorder")
async def _recorder(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Recorder]:
    """Have a recorder where SES is looked for, and no proxy on the way."""
    monkeypatch.setenv("NO_PROXY", "*")
    async with recording() as recorder:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SESV2", recorder.address)
        yield recorder


@pytest.fixture(name="build", params=BUILDS)
def _build(request: pytest.FixtureRequest) -> Build:
    """Return what makes boto3's sender, and ours."""
    return BUILDS[request.param]


@pytest.fixture(name="both")
async def _both(recorder: Recorder) -> AsyncIterator[list[EmailSender]]:
    """Return boto3's sender and ours, side by side."""
    async with _side_by_side() as senders:
        yield senders


@asynccontextmanager
async def _side_by_side(session: boto3.Session | None = None) -> AsyncIterator[list[EmailSender]]:
    """Yield boto3's sender and ours."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(built(build, session=session)) for build in BUILDS.values()]


class TestRequest:
    """What we ask."""

    @settings(
        max_examples=60,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],  # senders and recorder are emptied by each example
    )
    @given(email=EMAILS)
    @example(replace(EMAIL, subject="", text="", html="", tags={}))
    @example(replace(EMAIL, subject='Zoë 🎉 \u2028\x00\x7f\\"', tags=FIFTY_TAGS))
    @example(replace(EMAIL, html="<p>🎉</p>" * 50_000))
    async def test_it_is_boto3s(self, recorder: Recorder, both: list[EmailSender], email: Email) -> None:
        """For any e-mail, target, headers, signed headers, scope and the body's meaning are those of boto3's client."""
        recorder.requests.clear()

        for sender in both:
            await sender.send(email)

        theirs, ours = recorder.requests
        assert _compared(theirs) == _compared(ours)
        assert orjson.loads(theirs.body) == orjson.loads(ours.body)

    @pytest.mark.parametrize("token", [None, "IQoJb3JpZ2luX2VjE//+/" * 20])
    async def test_its_signature_is_botocores(self, recorder: Recorder, token: str | None) -> None:
        """Botocore signs what arrived, body and headers, just as it was signed; a session's token is signed too."""
        session = boto3.Session("AKID", "secret/+", token, region_name="ap-southeast-2")
        async with _side_by_side(session) as senders:
            for sender in senders:
                await sender.send(EMAIL)

        theirs, ours = recorder.requests
        assert _compared(theirs) == _compared(ours)
        assert ("x-amz-security-token" in ours.headers) is (token is not None)
        for request in (theirs, ours):
            assert request.signed_by_botocore("AKID", "secret/+") == request.authorization()["Signature"]

    async def test_half_a_surrogate_is_refused_before_it_leaves(self, recorder: Recorder) -> None:
        """What is no Unicode is that e-mail's fault, where boto3 would send an escape that stands for nothing."""
        async with built() as sender:
            with pytest.raises(Refused) as caught:
                await sender.send(replace(EMAIL, text="\ud83c"))

        assert Reason.BAD_REQUEST == caught.value.reason
        assert [] == recorder.requests


class TestAnswer:
    """What an answer comes to."""

    @pytest.mark.parametrize("name", [*ERRORS, "RequestTimeTooSkewed", "InternalServiceErrorException", "Unheard"])
    @pytest.mark.parametrize("spelled", ["header", "header with its origin", "__type", "code"])
    async def test_an_error_means_what_boto3_reads(
        self, recorder: Recorder, both: list[EmailSender], name: str, spelled: str
    ) -> None:
        """However SES spells an error's name, meaning and text are as boto3's parser has them."""
        status, text = ERRORS.get(name, (403, "Something is wrong."))
        headers = {"header": name, "header with its origin": f"{name}:http://internal.amazon.com/coral/"}
        body = {"message": text}
        if spelled in {"__type", "code"}:
            body |= {spelled: f"com.amazonaws.sesv2#{name}" if spelled == "__type" else name}
        recorder.answer = lambda _: _answer(status, orjson.dumps(body), errortype=headers.get(spelled))

        theirs, ours = [await _error(sender) for sender in both]

        assert (meaning(theirs), str(theirs)) == (meaning(ours), str(ours))
        assert 2 == len(recorder.requests)

    @pytest.mark.parametrize("status", [302, 307, 400, 403, 404, 413, 429, 500, 502, 503])
    @pytest.mark.parametrize("body", [b"", b"<html>no</html>", b"[]", b"{}", b'{"Message": 7}'])
    async def test_an_error_of_something_between_means_what_boto3_reads(
        self, recorder: Recorder, both: list[EmailSender], status: int, body: bytes
    ) -> None:
        """What a load balancer or proxy says is judged by its status; no redirect is followed."""
        recorder.answer = lambda _: _answer(status, body, location=f"{recorder.address}/elsewhere")

        theirs, ours = [await _error(sender) for sender in both]

        assert (meaning(theirs), str(theirs)) == (meaning(ours), str(ours))
        assert 2 == len(recorder.requests)


class TestConnection:
    """Exactly one attempt, on connections that are kept."""

    async def test_it_is_kept(self, recorder: Recorder) -> None:
        """Sends one after the other share a connection."""
        async with built() as sender:
            for _ in range(3):
                await sender.send(EMAIL)

        assert (3, 1) == (len(recorder.requests), recorder.connections)

    @pytest.mark.parametrize("before", [0, 1])
    async def test_a_close_after_the_request_is_a_lost_answer(self, recorder: Recorder, before: int) -> None:
        """A request that got no answer is not sent again, be its connection new or kept."""
        async with built() as sender:
            for _ in range(before):
                await sender.send(EMAIL)
            recorder.answer = lambda _: b""
            with pytest.raises(AnswerLost):
                await sender.send(EMAIL)

        assert (before + 1, 1) == (len(recorder.requests), recorder.connections)

    async def test_one_that_the_server_closed_is_not_used_again(self, recorder: Recorder) -> None:
        """After an idle close, seen in time, the next send has a connection of its own."""
        async with built() as sender:
            await sender.send(EMAIL)
            recorder.hang_up()
            pool = _connector(sender)._conns
            await until(
                lambda: not any(protocol.is_connected() for kept in pool.values() for protocol, _ in kept),
                what="the close to be seen",
            )
            await sender.send(EMAIL)

        assert (2, 2) == (len(recorder.requests), recorder.connections)

    async def test_one_found_closed_before_a_byte_was_written_sent_nothing(
        self, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Where the close is seen between taking a connection and writing to it, that is surely not sent."""
        async with built() as sender:
            await sender.send(EMAIL)
            connector = _connector(sender)

            async def closed_once_taken(get: Callable[..., Any], *arguments: Any) -> Any:
                """Take a connection that closes."""
                connection = await get(*arguments)
                connection.transport.close()
                return connection

            monkeypatch.setattr(connector, "_get", partial(closed_once_taken, connector._get))
            with pytest.raises(NotSent):
                await sender.send(EMAIL)

        assert 1 == len(recorder.requests)

    async def test_one_on_which_something_came_unasked_sends_nothing(self, recorder: Recorder) -> None:
        """What lies there is nobody's answer: taken for one, it would call a mail sent that was not."""
        async with built() as sender:
            await sender.send(EMAIL)
            recorder.say(ACCEPTED)
            pool = _connector(sender)._conns
            await until(
                lambda: any(protocol.should_close for kept in pool.values() for protocol, _ in kept),
                what="the words to be heard",
            )
            with pytest.raises(NotSent):
                await sender.send(EMAIL)
            await sender.send(EMAIL)

        assert (2, 2) == (len(recorder.requests), recorder.connections)

    @pytest.mark.parametrize(
        "hint", [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nlink: </>\r\n\r\n"]
    )
    async def test_the_answer_proper_is_waited_for(self, recorder: Recorder, hint: bytes) -> None:
        """Informational answers before it say nothing of the mail (RFC 9110, 15.2)."""
        recorder.answer = lambda _: hint + ACCEPTED
        async with built() as sender:
            assert "m1" == await sender.send(EMAIL)

    @pytest.mark.parametrize("more", ["\r\nX-More: 1", "\n", "\r", "\ud800", "\u00e9"])
    @pytest.mark.parametrize("place", [0, 2])
    async def test_a_key_that_no_header_holds_halts(self, recorder: Recorder, place: int, more: str) -> None:
        """Credentials with the end of a line, as one pasted with it, are not sent: nobody's mail is at fault."""
        key, secret, token = (
            text + more * (number == place) for number, text in enumerate(["AKID", "secret", "token"])
        )
        async with built(session=boto3.Session(key, secret, token, region_name="ap-southeast-2")) as sender:
            with pytest.raises(Halted) as caught:
                await sender.send(EMAIL)

        assert (HaltReason.CREDENTIALS, []) == (caught.value.halt, recorder.requests)

    async def test_one_answered_before_all_was_read_is_not_used_again(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """What is left of the request would go before the next one."""
        async with _reading_heads_alone(monkeypatch, ACCEPTED) as heads, built() as sender:
            for _ in range(2):
                await sender.send(replace(EMAIL, html="x" * 10_000_000))

        assert 2 == len(heads)

    async def test_a_request_that_was_not_read_whole_is_a_lost_answer(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A server that takes the head and no more may in truth be slow: at the deadline the answer is lost."""
        async with _reading_heads_alone(monkeypatch, b"") as heads, built() as sender:
            with pytest.raises(AnswerLost):
                await sender.send(replace(EMAIL, html="x" * 10_000_000))

        assert 1 == len(heads)


class TestClock:
    """A clock that is off."""

    async def test_it_is_put_right_by_ses(self, recorder: Recorder) -> None:
        """The first refusal is a "not sent"; the next send is signed by SES's time, hours from ours, and accepted."""
        now = datetime.now(UTC) + timedelta(hours=7)
        recorder.answer = partial(_keeping_time, lambda: now)
        async with built() as sender:
            with pytest.raises(NotSent) as caught:
                await sender.send(EMAIL)
            await sender.send(EMAIL)

        assert not caught.value.unreachable
        assert timedelta(minutes=1) > abs(time_of(recorder.requests[1]) - now)

    async def test_all_sends_that_met_it_are_not_sent(self, recorder: Recorder) -> None:
        """Those that were signed before the clock was put right are tried again too, none is a halt."""
        now = datetime.now(UTC) - timedelta(days=2)
        recorder.answer = partial(_keeping_time, lambda: now)
        async with built() as sender:
            outcomes = await asyncio.gather(*(sender.send(EMAIL) for _ in range(4)), return_exceptions=True)

        assert [NotSent] * 4 == [type(outcome) for outcome in outcomes]

    async def test_it_is_put_right_again(self, recorder: Recorder) -> None:
        """A clock that jumps back, as when it is set, costs one more try."""
        off = timedelta(hours=1)
        recorder.answer = partial(_keeping_time, lambda: datetime.now(UTC) + off)
        async with built() as sender:
            with pytest.raises(NotSent):
                await sender.send(EMAIL)
            await sender.send(EMAIL)
            off = timedelta()
            with pytest.raises(NotSent):
                await sender.send(EMAIL)
            await sender.send(EMAIL)

        assert 4 == len(recorder.requests)

    @pytest.mark.parametrize("date", ["now", None, "once upon a time"])
    async def test_a_wrong_key_still_halts(self, recorder: Recorder, date: str | None) -> None:
        """A signature refused at the right time, or at no time known, is a matter of credentials."""
        told = format_datetime(datetime.now(UTC), usegmt=True) if date == "now" else date
        recorder.answer = lambda _: _answer(403, b"{}", errortype="InvalidSignatureException", date=told)
        async with built() as sender:
            with pytest.raises(Halted) as caught:
                await sender.send(EMAIL)

        assert HaltReason.CREDENTIALS == caught.value.halt


class TestProxy:
    """The proxies that boto3 heeds."""

    async def test_http_is_asked_of_it(self, recorder: Recorder, build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
        """A plain endpoint's request goes to the proxy whole, with the proxy's credentials."""
        _proxied(monkeypatch, recorder, "HTTP_PROXY")
        monkeypatch.setenv("AWS_ENDPOINT_URL_SESV2", "http://ses.example.com")
        async with built(build) as sender:
            await sender.send(EMAIL)

        (request,) = recorder.requests
        assert "http://ses.example.com/v2/email/outbound-emails" == request.target
        assert "ses.example.com" == request.headers["host"]
        assert "Basic bWU6cHdk" == request.headers["proxy-authorization"]

    async def test_https_goes_through_it(
        self, recorder: Recorder, build: Build, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A TLS endpoint is reached by CONNECT; a proxy that will not is the same as a SES that is not there."""
        _proxied(monkeypatch, recorder, "HTTPS_PROXY")
        monkeypatch.delenv("AWS_ENDPOINT_URL_SESV2")
        recorder.answer = lambda _: _answer(403, b"")
        async with built(build) as sender:
            with pytest.raises(NotSent) as caught:
                await sender.send(EMAIL)

        assert caught.value.unreachable
        (request,) = recorder.requests
        assert ("CONNECT", "email.eu-central-1.amazonaws.com:443") == (request.method, request.target)
        assert "Basic bWU6cHdk" == request.headers["proxy-authorization"]

    async def test_no_proxy_goes_past_it(
        self, recorder: Recorder, build: Build, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """An endpoint that NO_PROXY names is spoken to itself."""
        _proxied(monkeypatch, recorder, "HTTP_PROXY")
        monkeypatch.setenv("NO_PROXY", "localhost,127.0.0.1")
        async with built(build) as sender:
            await sender.send(EMAIL)

        assert ["/v2/email/outbound-emails"] == [request.target for request in recorder.requests]


def _compared(request: Request) -> tuple[object, ...]:
    """Return all of a request that is the same in two of one e-mail."""
    headers = {name: value for name, value in request.headers.items() if name not in NOT_COMPARED}
    canonical = [line for line in request.canonical() if not line.startswith("x-amz-date:")]
    authorization = request.authorization()
    return headers, canonical, authorization["Credential"], authorization["SignedHeaders"]


@asynccontextmanager
async def _reading_heads_alone(monkeypatch: pytest.MonkeyPatch, answer: bytes) -> AsyncIterator[list[bytes]]:
    """Have a server where SES is looked for that reads a request's head, answers so, and reads no more till the end."""
    heads: list[bytes] = []
    hold = asyncio.Event()

    async def take_the_head(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answer)
        await hold.wait()
        writer.close()

    async with await asyncio.start_server(take_the_head, "127.0.0.1", 0, limit=1024) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SESV2", f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        try:
            yield heads
        finally:
            hold.set()


def _connector(sender: Any) -> Any:
    """Return a sender's pool."""
    return sender._transport._connector


async def _error(sender: EmailSender) -> EmailError:
    """Return the error that a send ends with."""
    with pytest.raises(EmailError) as caught:
        await sender.send(EMAIL)
    return caught.value


def _answer(status: int, body: bytes, *, errortype: str | None = None, **headers: str | None) -> bytes:
    """Make an HTTP answer."""
    given = {"x-amzn-errortype": errortype, "x-amzn-requestid": "r-1", **headers}
    lines = [f"{name}: {value}\r\n" for name, value in given.items() if value is not None]
    return f"HTTP/1.1 {status} No\r\ncontent-length: {len(body)}\r\n{''.join(lines)}\r\n".encode() + body


def _keeping_time(now: Callable[[], datetime], request: Request) -> bytes:
    """Answer as SES does at that time: what was signed more than five minutes off is refused."""
    if abs(time_of(request) - now()) < timedelta(minutes=5):
        return ACCEPTED
    date = format_datetime(now(), usegmt=True)
    return _answer(403, b'{"message": "Signature expired"}', errortype="InvalidSignatureException", date=date)


def _proxied(monkeypatch: pytest.MonkeyPatch, recorder: Recorder, variable: str) -> None:
    """Name the recorder as the proxy, by user and password."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv(variable, recorder.address.replace("http://", "http://me:pwd@"))
