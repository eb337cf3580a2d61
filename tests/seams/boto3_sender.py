"""A sender made of boto3's client in threads, which SesSender must agree with."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

from consumers.email import AnswerLost, Email, EmailError, NotSent
from consumers.ses.blocking import BlockingCalls, NotStarted, StillRunning
from consumers.ses.errors import email_error
from consumers.ses.request import SenderIdentity, arguments_of

if TYPE_CHECKING:
    from mypy_boto3_sesv2 import SESV2Client

_MARGIN_SECONDS = 0.5  # more than the time-outs of boto3, for the threads


class Boto3Sender:
    """Hands e-mails to SES through `client.send_email`; an EmailSender."""

    def __init__(
        self,
        client: SESV2Client,
        sender: SenderIdentity,
        *,
        deadline_seconds: float,
        max_in_flight: int,
        on_unknown: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._client = client
        self._sender = sender
        self._deadline = deadline_seconds + _MARGIN_SECONDS
        self._calls = BlockingCalls(threads=max_in_flight, name="boto3-send")
        self._on_unknown = on_unknown

    async def send(self, email: Email) -> str:
        """Hand *email* to SES and return its message id."""
        try:
            outcome = await self._calls.call(partial(self._send, email), deadline=self._deadline)
        except NotStarted:
            raise NotSent("no thread was free to send") from None
        except StillRunning:
            raise AnswerLost("no answer within the deadline") from None
        if isinstance(outcome, EmailError):
            raise outcome
        return outcome

    async def aclose(self, *, deadline: float) -> None:
        """Refuse new sends, and wait at most *deadline* seconds for those in progress."""
        await self._calls.aclose(deadline=deadline)

    def _send(self, email: Email) -> str | EmailError:
        try:
            answer = self._client.send_email(**{**self._sender.arguments(), **arguments_of(email)})
        except Exception as error:  # noqa: BLE001 - returned as a value, since nobody may be waiting
            may_have_left = not _failed_in_handshake(error)
            return email_error(
                error, sender=self._sender.address, may_have_left=may_have_left, on_unknown=self._on_unknown
            )
        return answer.get("MessageId") or AnswerLost("an answer without a message id")


def _failed_in_handshake(error: BaseException) -> bool:
    """Return whether the TLS handshake failed, so that no request left. urllib3 reports it like a broken answer."""
    return any(
        frame.f_code.co_name == "do_handshake"
        for cause in _causes(error)
        for frame, _ in traceback.walk_tb(cause.__traceback__)
    )


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__
