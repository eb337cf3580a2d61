"""The senders that one suite runs on, each with a way to cause outcomes and to see what it accepted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import boto3
import httpx
import pytest

from consumers.delivery.email_headers import EmailHeaders
from consumers.email import Email, EmailError, EmailSender, Halted, HaltReason, NotSent, Refused
from consumers.ses.boto_client import ses_client
from consumers.ses.endpoint import endpoint_of
from consumers.ses.request import SenderIdentity
from consumers.ses.sender import SesSender
from deploy.local.ses.app import create_app
from deploy.local.ses.server import running
from runtime.clock import SystemClock
from schemas.dispatch import Reason
from tests.fakes import email as fake
from tests.seams.boto3_sender import Boto3Sender
from tests.unit.consumers.stage import event_of

if TYPE_CHECKING:
    from mypy_boto3_sesv2 import SESV2Client

FROM = "Mentoring Büro <notices@example.com>"
REPLY_TO = "Büro <help@example.com>"
TIMEOUT_SECONDS = 1.5
EMAIL = Email(
    to="mentor-042@example.org",
    subject="Your pause, Zoë",
    text="Hello Zoë 🎉",
    html="<p>Hello Zoë 🎉</p>",
    tags={"dispatch_id": "0123456789abcdef0123456789abcdef", "recipient": "mentor-042", "partition": "7"},
    headers=EmailHeaders("example.com", "leave+me@example.com").of(event_of()),
)

E = TypeVar("E", bound=EmailError)

# outcome: the outcome of the fake, and the faults of the local SES that cause it
OUTCOMES: dict[str, tuple[fake.Outcome, dict[str, Any]]] = {
    "throttled": (fake.THROTTLE, {"throttle_share": 1}),
    "throttled, otherwise named": (fake.THROTTLE, {"refuse_all": "ThrottlingException"}),
    "internal failure": (fake.UNREACHABLE, {"error_share": 1}),
    "unavailable": (fake.UNREACHABLE, {"refuse_all": "ServiceUnavailable"}),
    "rejected": (fake.refuse(), {"refuse_all": "MessageRejected"}),
    "bad request": (fake.refuse(Reason.BAD_REQUEST), {"refuse_all": "BadRequestException"}),
    "sandbox": (fake.refuse(Reason.RECIPIENT_NOT_VERIFIED), {"sandbox": True}),
    "no right to the recipient": (
        fake.refuse(Reason.RECIPIENT_NOT_ALLOWED),
        {"refuse": {"mentor-042@example.org": "AccessDeniedException"}},
    ),
    "no right at all": (fake.halt(HaltReason.CREDENTIALS), {"refuse_all": "AccessDeniedException"}),
    "suspended": (fake.halt(HaltReason.ACCOUNT_SUSPENDED), {"suspended": True}),
    "paused": (fake.halt(HaltReason.SENDING_PAUSED), {"paused": True}),
    "unverified sender": (fake.halt(HaltReason.SENDER_NOT_VERIFIED), {"unverified_senders": ["example.com"]}),
    "unverified sender in the sandbox": (
        fake.halt(HaltReason.SENDER_NOT_VERIFIED),
        {"unverified_senders": ["notices@example.com"], "sandbox": True},
    ),
    "unverified MAIL FROM": (
        fake.halt(HaltReason.SENDER_NOT_VERIFIED),
        {"refuse_all": "MailFromDomainNotVerifiedException"},
    ),
    "expired credentials": (fake.halt(HaltReason.CREDENTIALS), {"refuse_all": "ExpiredTokenException"}),
    "bad signature": (fake.halt(HaltReason.CREDENTIALS), {"refuse_all": "InvalidSignatureException"}),
    "no configuration set": (fake.halt(HaltReason.CONFIGURATION_SET_MISSING), {"configuration_sets": []}),
    "daily quota": (fake.halt(HaltReason.DAILY_QUOTA), {"max_24_hour_send": 0}),
    "limit exceeded": (fake.halt(HaltReason.LIMIT_EXCEEDED), {"refuse_all": "LimitExceededException"}),
    "dropped": (fake.LOSE_ANSWER, {"accept_then_drop_share": 1}),
    "hung": (fake.LOSE_ANSWER, {"accept_then_hang_share": 1}),
}


class Stage(Protocol):
    """A sender under test, and the provider behind it."""

    sender: EmailSender

    def arrange(self, outcome: str) -> None:
        """Set the outcome of all sends from now on to one of `OUTCOMES`."""

    def recover(self) -> None:
        """Accept all sends from now on."""

    def calls(self) -> int:
        """Return the number of attempts."""

    def accepted(self) -> list[Email]:
        """Return the accepted e-mails, oldest first."""

    @contextmanager
    def answers_held(self) -> Iterator[None]:
        """Delay answers within the block."""


class FakeStage:
    """The sender in memory."""

    def __init__(self) -> None:
        self.fake = fake.FakeSender()
        self.sender: EmailSender = self.fake

    def arrange(self, outcome: str) -> None:
        """Set the outcome of the fake."""
        self.fake.always = OUTCOMES[outcome][0]

    def recover(self) -> None:
        """Let the fake accept."""
        self.fake.always = fake.ACCEPT

    def calls(self) -> int:
        """Return the number of calls of the fake."""
        return len(self.fake.calls)

    def accepted(self) -> list[Email]:
        """Return the e-mails of the fake."""
        return list(self.fake.accepted)

    @contextmanager
    def answers_held(self) -> Iterator[None]:
        """Hold the answers of the fake."""
        held = self.fake.hold()
        yield
        held.set()


class SesStage:
    """A sender over SES, and the local SES."""

    def __init__(self, sender: EmailSender, http: httpx.Client) -> None:
        self.sender = sender
        self.address = str(http.base_url).rstrip("/")
        self.http = http

    def arrange(self, outcome: str) -> None:
        """Set the faults that cause the outcome."""
        self.faults(**OUTCOMES[outcome][1])

    def recover(self) -> None:
        """Remove all faults."""
        self.http.delete("/admin/faults").raise_for_status()

    def faults(self, **faults: Any) -> None:
        """Set faults of the local SES."""
        self.http.patch("/admin/faults", json=faults).raise_for_status()

    def calls(self) -> int:
        """Return the number of requests that SES received."""
        return int(self.http.get("/admin/stats").raise_for_status().json()["calls"])

    def mails(self) -> list[dict[str, Any]]:
        """Return the accepted e-mails with all fields, oldest first."""
        found = self.http.get("/admin/mails").raise_for_status().json()["mails"]
        ids = [mail["message_id"] for mail in reversed(found)]
        return [self.http.get(f"/admin/mails/{message_id}").raise_for_status().json() for message_id in ids]

    def accepted(self) -> list[Email]:
        """Return the accepted e-mails as SES parsed them."""
        return [
            Email(
                to=mail["to"][0],
                subject=mail["subject"],
                text=mail["text"],
                html=mail["html"],
                tags=dict(mail["tags"]),
                headers={header["name"]: header["value"] for header in mail["headers"]},
            )
            for mail in self.mails()
        ]

    @contextmanager
    def answers_held(self) -> Iterator[None]:
        """Delay answers, within the time-out."""
        self.faults(latency_ms=200)
        yield
        self.faults(latency_ms=0)


@cache
def known_session() -> boto3.Session:
    """Return a session with fixed credentials and region."""
    return boto3.Session(aws_access_key_id="local", aws_secret_access_key="local", region_name="eu-central-1")  # noqa: S106 - not a secret


Build = Callable[..., "Boto3Sender | SesSender"]


def boto3_sender(client: SESV2Client, session: boto3.Session, **changes: Any) -> Boto3Sender:
    """Build boto3's sender."""
    return Boto3Sender(client, **{**_DEFAULTS, **changes})


def ses_sender(client: SESV2Client, session: boto3.Session, **changes: Any) -> SesSender:
    """Build our sender."""
    found = {"find_credentials": session.get_credentials, "clock": SystemClock()}
    return SesSender(endpoint_of(client), **{**found, **_DEFAULTS, **changes})


_DEFAULTS: dict[str, Any] = {
    "sender": SenderIdentity(FROM, reply_to=[REPLY_TO], configuration_set="notices"),
    "deadline_seconds": TIMEOUT_SECONDS,
    "max_in_flight": 4,
}
BUILDS: dict[str, Build] = {"boto3": boto3_sender, "ses": ses_sender}


@asynccontextmanager
async def built(
    build: Build = ses_sender, *, session: boto3.Session | None = None, **changes: Any
) -> AsyncIterator[Boto3Sender | SesSender]:
    """Yield a sender to AWS_ENDPOINT_URL_SESV2; *changes* are its arguments."""
    session = session or known_session()
    client = ses_client(timeout_seconds=TIMEOUT_SECONDS, max_in_flight=4, session=session)
    sender = build(client, session, **changes)
    try:
        yield sender
    finally:
        await sender.aclose(deadline=5)
        await asyncio.to_thread(client.close)


@asynccontextmanager
async def ses_stage(address: str, build: Build = ses_sender, **changes: Any) -> AsyncIterator[SesStage]:
    """Yield a sender over the local SES at *address*, which AWS_ENDPOINT_URL_SESV2 must name."""
    async with built(build, **changes) as sender:
        with httpx.Client(base_url=address, timeout=5) as http:
            yield SesStage(sender, http)


@contextmanager
def local_ses() -> Iterator[str]:
    """Run a local SES and yield its address."""
    with running(create_app()) as address:
        yield address


async def failure(sender: EmailSender, kind: type[E], email: Email = EMAIL) -> E:
    """Return the error of the given kind that sending an e-mail raises."""
    with pytest.raises(kind) as caught:
        await sender.send(email)
    return caught.value


def meaning(error: EmailError) -> tuple[object, ...]:
    """Return everything in an error that a caller acts on."""
    return (
        type(error),
        error.unreachable if isinstance(error, NotSent) else None,
        error.reason if isinstance(error, Refused) else None,
        error.halt if isinstance(error, Halted) else None,
    )
