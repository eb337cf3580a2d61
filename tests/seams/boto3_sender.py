"""The sender's twin: boto3's client as its users call it, in threads. It shows what SesSender must come to."""

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

_MARGIN_SECONDS = 0.5  # beyond boto3's own time-outs, for threads to hand over


class Boto3Sender:
    """Hands e-mails to SES by ``client.send_email``; an EmailSender."""

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
        """Hand *email* to SES and give its message id."""
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
        """Begin no more sends and wait at most *deadline* seconds for those under way."""
        await self._calls.aclose(deadline=deadline)

    def _send(self, email: Email) -> str | EmailError:
        try:
            answer = self._client.send_email(**self._sender.arguments(), **arguments_of(email))
        except Exception as error:  # noqa: BLE001 - a value, so that those of an abandoned send are not reported as lost
            may_have_left = not _died_in_handshake(error)
            return email_error(
                error, sender=self._sender.address, may_have_left=may_have_left, on_unknown=self._on_unknown
            )
        return answer.get("MessageId") or AnswerLost("an answer without a message id")


def _died_in_handshake(error: BaseException) -> bool:
    """Return whether TLS never came about, so that no request left; urllib3 reports it like a broken answer."""
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
