"""The bytes on the wire: requests and the meaning of answers are boto3's, signatures are botocore's."""

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
from tests.seams.email_senders import BUILDS, EMAIL, Build, built, failure, meaning
from tests.seams.recorder import ACCEPTED, Recorder, Request, recording, time_of
from tests.waiting import until

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
    headers=st.dictionaries(
        st.from_regex(r"[!-9;-~]{1,20}", fullmatch=True), st.from_regex(r"[ -~]{1,99}", fullmatch=True), max_size=15
    ),
    reply_to=st.none() | st.just("coordinator-007@example.org"),
)
FIFTY_TAGS = {f"name-{number}": "v" * 256 for number in range(50)}


@pytest.fixture(name="recorder")
async def _recorder(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Recorder]:
    """Run a recorder as SES, without a proxy."""
    monkeypatch.setenv("NO_PROXY", "*")
    async with recording() as recorder:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SESV2", recorder.address)
        yield recorder


@pytest.fixture(name="both")
async def _both(recorder: Recorder) -> AsyncIterator[list[EmailSender]]:
    """Yield boto3's sender and ours."""
    async with both_senders() as senders:
        yield senders


@asynccontextmanager
async def both_senders(session: boto3.Session | None = None) -> AsyncIterator[list[EmailSender]]:
    """Yield boto3's sender and ours."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(built(build, session=session)) for build in BUILDS.values()]


class TestRequest:
    """The request."""

    @settings(
        max_examples=60,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],  # each example clears the recorder
    )
    @given(email=EMAILS)
    @example(replace(EMAIL, subject="", text="", html="", tags={}))
    @example(replace(EMAIL, subject='Zoë 🎉 \u2028\x00\x7f\\"', tags=FIFTY_TAGS))
    @example(replace(EMAIL, html="<p>🎉</p>" * 50_000))
    async def test_it_equals_boto3s(self, recorder: Recorder, both: list[EmailSender], email: Email) -> None:
        """For any e-mail, target, headers, signed headers, scope and parsed body are those of boto3's client."""
        recorder.requests.clear()

        for sender in both:
            await sender.send(email)

        theirs, ours = recorder.requests
        assert _compared(theirs) == _compared(ours)
        assert orjson.loads(theirs.body) == orjson.loads(ours.body)

    @pytest.mark.parametrize("token", [None, "IQoJb3JpZ2luX2VjE//+/" * 20])
    async def test_its_signature_equals_botocores(self, recorder: Recorder, token: str | None) -> None:
        """Botocore signs the received body and headers in the same way; the token of a session is signed too."""
        session = boto3.Session("AKID", "secret/+", token, region_name="ap-southeast-2")
        async with both_senders(session) as senders:
            for sender in senders:
                await sender.send(EMAIL)

        theirs, ours = recorder.requests
        assert _compared(theirs) == _compared(ours)
        assert ("x-amz-security-token" in ours.headers) is (token is not None)
        for request in (theirs, ours):
            assert request.signed_by_botocore("AKID", "secret/+") == request.authorization()["Signature"]

    async def test_half_a_surrogate_is_refused_before_it_leaves(self, recorder: Recorder) -> None:
        """Text that is no Unicode refuses the e-mail; boto3 would send a meaningless escape."""
        async with built() as sender:
            error = await failure(sender, Refused, replace(EMAIL, text="\ud83c"))

        assert Reason.BAD_REQUEST == error.reason
        assert [] == recorder.requests


class TestAnswer:
    """The meaning of an answer."""

    @pytest.mark.parametrize("name", [*ERRORS, "RequestTimeTooSkewed", "InternalServiceErrorException", "Unheard"])
    @pytest.mark.parametrize("spelled", ["header", "header with its origin", "__type", "code"])
    async def test_an_error_means_the_same_as_to_boto3(
        self, recorder: Recorder, both: list[EmailSender], name: str, spelled: str
    ) -> None:
        """Wherever SES puts the name of an error, meaning and text are those of boto3's parser."""
        status, text = ERRORS.get(name, (403, "Something is wrong."))
        headers = {"header": name, "header with its origin": f"{name}:http://internal.amazon.com/coral/"}
        body = {"message": text}
        if spelled in {"__type", "code"}:
            body |= {spelled: f"com.amazonaws.sesv2#{name}" if spelled == "__type" else name}
        recorder.answer = lambda _: _answer(status, orjson.dumps(body), errortype=headers.get(spelled))

        theirs, ours = [await failure(sender, EmailError) for sender in both]

        assert meaning(theirs) == meaning(ours)
        assert str(theirs) == str(ours)
        assert 2 == len(recorder.requests)

    @pytest.mark.parametrize("status", [302, 307, 400, 403, 404, 413, 429, 500, 502, 503])
    @pytest.mark.parametrize("body", [b"", b"<html>no</html>", b"[]", b"{}", b'{"Message": 7}'])
    async def test_an_error_of_an_intermediary_means_the_same_as_to_boto3(
        self, recorder: Recorder, both: list[EmailSender], status: int, body: bytes
    ) -> None:
        """The status decides the meaning of a load balancer's or proxy's answer; no redirect is followed."""
        recorder.answer = lambda _: _answer(status, body, location=f"{recorder.address}/elsewhere")

        theirs, ours = [await failure(sender, EmailError) for sender in both]

        assert meaning(theirs) == meaning(ours)
        assert str(theirs) == str(ours)
        assert 2 == len(recorder.requests)


class TestConnection:
    """Exactly one attempt, on kept connections."""

    async def test_it_is_kept(self, recorder: Recorder) -> None:
        """Consecutive sends share a connection."""
        async with built() as sender:
            for _ in range(3):
                await sender.send(EMAIL)

        assert 3 == len(recorder.requests)
        assert 1 == recorder.connections

    @pytest.mark.parametrize("before", [0, 1])
    async def test_a_close_after_the_request_is_a_lost_answer(self, recorder: Recorder, before: int) -> None:
        """A request without an answer is not sent again, on a new connection or a kept one."""
        async with built() as sender:
            for _ in range(before):
                await sender.send(EMAIL)
            recorder.answer = lambda _: b""
            with pytest.raises(AnswerLost):
                await sender.send(EMAIL)

        assert before + 1 == len(recorder.requests)
        assert 1 == recorder.connections

    async def test_a_closed_one_is_not_used_again(self, recorder: Recorder) -> None:
        """After the server closed an idle connection, the next send opens a new one."""
        async with built() as sender:
            await sender.send(EMAIL)
            recorder.hang_up()
            pool = _connector(sender)._conns
            await until(
                lambda: not any(protocol.is_connected() for kept in pool.values() for protocol, _ in kept),
                what="the close",
            )
            await sender.send(EMAIL)

        assert 2 == len(recorder.requests)
        assert 2 == recorder.connections

    async def test_one_closed_before_the_first_byte_sent_nothing(
        self, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """If a connection closes before anything is written to it, the e-mail is certainly not sent."""
        async with built() as sender:
            await sender.send(EMAIL)
            connector = _connector(sender)

            async def closed_once_taken(get: Callable[..., Any], *arguments: Any) -> Any:
                """Return a connection that closes."""
                connection = await get(*arguments)
                connection.transport.close()
                return connection

            monkeypatch.setattr(connector, "_get", partial(closed_once_taken, connector._get))
            with pytest.raises(NotSent):
                await sender.send(EMAIL)

        assert 1 == len(recorder.requests)

    async def test_one_with_unasked_data_sends_nothing(self, recorder: Recorder) -> None:
        """Unasked data is no answer: taken for one, it would report `sent` for an e-mail that was not sent."""
        async with built() as sender:
            await sender.send(EMAIL)
            recorder.send_unasked(ACCEPTED)
            pool = _connector(sender)._conns
            await until(
                lambda: any(protocol.should_close for kept in pool.values() for protocol, _ in kept),
                what="the unasked data",
            )
            with pytest.raises(NotSent):
                await sender.send(EMAIL)
            await sender.send(EMAIL)

        assert 2 == len(recorder.requests)
        assert 2 == recorder.connections

    @pytest.mark.parametrize(
        "hint", [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nlink: </>\r\n\r\n"]
    )
    async def test_interim_responses_are_skipped(self, recorder: Recorder, hint: bytes) -> None:
        """An interim response says nothing about the e-mail (RFC 9110, 15.2)."""
        recorder.answer = lambda _: hint + ACCEPTED
        async with built() as sender:
            assert "m1" == await sender.send(EMAIL)

    @pytest.mark.parametrize("more", ["\r\nX-More: 1", "\n", "\r", "\ud800", "\u00e9"])
    @pytest.mark.parametrize("place", [0, 2])
    async def test_a_key_that_no_header_can_hold_halts(self, recorder: Recorder, place: int, more: str) -> None:
        """Credentials with a line break, pasted by mistake, halt: no e-mail is at fault."""
        key, secret, token = (
            text + more * (number == place) for number, text in enumerate(["AKID", "secret", "token"])
        )
        async with built(session=boto3.Session(key, secret, token, region_name="ap-southeast-2")) as sender:
            error = await failure(sender, Halted)

        assert HaltReason.CREDENTIALS == error.halt
        assert [] == recorder.requests

    async def test_one_with_an_early_answer_is_not_used_again(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The rest of the request would precede the next one."""
        async with server_that_reads_only_heads(monkeypatch, ACCEPTED) as heads, built() as sender:
            for _ in range(2):
                await sender.send(replace(EMAIL, html="x" * 10_000_000))

        assert 2 == len(heads)

    async def test_a_request_that_was_not_read_to_its_end_is_a_lost_answer(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A server that reads only the head may just be slow: at the deadline the answer is lost."""
        async with server_that_reads_only_heads(monkeypatch, b"") as heads, built() as sender:
            with pytest.raises(AnswerLost):
                await sender.send(replace(EMAIL, html="x" * 10_000_000))

        assert 1 == len(heads)


class TestClock:
    """A clock that is wrong."""

    async def test_ses_corrects_it(self, recorder: Recorder) -> None:
        """The first send is not sent; the next one is signed with SES's time, hours from ours, and accepted."""
        now = datetime.now(UTC) + timedelta(hours=7)
        recorder.answer = partial(_answer_by_time, lambda: now)
        async with built() as sender:
            error = await failure(sender, NotSent)
            await sender.send(EMAIL)

        assert not error.unreachable
        assert timedelta(minutes=1) > abs(time_of(recorder.requests[1]) - now)

    async def test_all_sends_before_the_correction_are_not_sent(self, recorder: Recorder) -> None:
        """Every send that was signed before the correction is tried again; none halts."""
        now = datetime.now(UTC) - timedelta(days=2)
        recorder.answer = partial(_answer_by_time, lambda: now)
        async with built() as sender:
            outcomes = await asyncio.gather(*(sender.send(EMAIL) for _ in range(4)), return_exceptions=True)

        assert [NotSent] * 4 == [type(outcome) for outcome in outcomes]

    async def test_it_is_corrected_again(self, recorder: Recorder) -> None:
        """A clock that is set right later costs one more attempt."""
        off = timedelta(hours=1)
        recorder.answer = partial(_answer_by_time, lambda: datetime.now(UTC) + off)
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
        """A signature that is refused at the right time, or at an unknown time, means wrong credentials."""
        sent = format_datetime(datetime.now(UTC), usegmt=True) if date == "now" else date
        recorder.answer = lambda _: _answer(403, b"{}", errortype="InvalidSignatureException", date=sent)
        async with built() as sender:
            error = await failure(sender, Halted)

        assert HaltReason.CREDENTIALS == error.halt


class TestProxy:
    """The proxies that boto3 uses."""

    async def test_http_goes_to_it(self, recorder: Recorder, build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
        """A request to a plain endpoint goes to the proxy with the whole URL and the proxy's credentials."""
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
        """A TLS endpoint is reached by CONNECT; if the proxy refuses, SES is unreachable."""
        _proxied(monkeypatch, recorder, "HTTPS_PROXY")
        monkeypatch.delenv("AWS_ENDPOINT_URL_SESV2")
        recorder.answer = lambda _: _answer(403, b"")
        async with built(build) as sender:
            error = await failure(sender, NotSent)

        assert error.unreachable
        (request,) = recorder.requests
        assert "CONNECT" == request.method
        assert "email.eu-central-1.amazonaws.com:443" == request.target
        assert "Basic bWU6cHdk" == request.headers["proxy-authorization"]

    async def test_no_proxy_bypasses_it(
        self, recorder: Recorder, build: Build, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A request to an endpoint in NO_PROXY goes there directly."""
        _proxied(monkeypatch, recorder, "HTTP_PROXY")
        monkeypatch.setenv("NO_PROXY", "localhost,127.0.0.1")
        async with built(build) as sender:
            await sender.send(EMAIL)

        assert ["/v2/email/outbound-emails"] == [request.target for request in recorder.requests]


def _compared(request: Request) -> tuple[object, ...]:
    """Return what two requests for one e-mail have in common."""
    headers = {name: value for name, value in request.headers.items() if name not in NOT_COMPARED}
    canonical = [line for line in request.canonical() if not line.startswith("x-amz-date:")]
    authorization = request.authorization()
    return headers, canonical, authorization["Credential"], authorization["SignedHeaders"]


@asynccontextmanager
async def server_that_reads_only_heads(monkeypatch: pytest.MonkeyPatch, answer: bytes) -> AsyncIterator[list[bytes]]:
    """Run a server as SES that reads the head of a request, writes *answer*, and reads no more until the end."""
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
    """Return the connector of a sender."""
    return sender._transport._connector


def _answer(status: int, body: bytes, *, errortype: str | None = None, **headers: str | None) -> bytes:
    """Return an HTTP response."""
    given = {"x-amzn-errortype": errortype, "x-amzn-requestid": "r-1", **headers}
    lines = [f"{name}: {value}\r\n" for name, value in given.items() if value is not None]
    return f"HTTP/1.1 {status} No\r\ncontent-length: {len(body)}\r\n{''.join(lines)}\r\n".encode() + body


def _answer_by_time(now: Callable[[], datetime], request: Request) -> bytes:
    """Answer as SES does at *now*: refuse a signature that is more than five minutes old or ahead."""
    if abs(time_of(request) - now()) < timedelta(minutes=5):
        return ACCEPTED
    date = format_datetime(now(), usegmt=True)
    return _answer(403, b'{"message": "Signature expired"}', errortype="InvalidSignatureException", date=date)


def _proxied(monkeypatch: pytest.MonkeyPatch, recorder: Recorder, variable: str) -> None:
    """Make the recorder the proxy, with user and password."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv(variable, recorder.address.replace("http://", "http://me:pwd@"))
