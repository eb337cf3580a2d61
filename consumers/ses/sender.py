"""The sender over AWS SES v2: one keep-alive pool, one recipient and exactly one attempt a call."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog
from botocore.credentials import Credentials, ReadOnlyCredentials
from botocore.exceptions import ClientError

from consumers.email import AnswerLost, Email, EmailError, Halted, HaltReason, NotSent
from consumers.ses.boto_client import CONNECT_SECONDS
from consumers.ses.credentials import KnownCredentials
from consumers.ses.endpoint import Endpoint
from consumers.ses.errors import error_code, mapped, without_credentials
from consumers.ses.request import Sender, body_of
from consumers.ses.response import message_id
from consumers.ses.server_clock import SesTime
from consumers.ses.signing import Signer
from consumers.ses.transport import Outgoing, Pool
from runtime.clock import Clock

log = structlog.get_logger(__name__)

IDLE_SECONDS = 5.0
"""How long a connection is kept for the next send: AWS closes idle ones unasked, some after ten, and a request that
meets that close is a lost answer."""


class SesSender:
    """
    Hands e-mails to SES; an EmailSender. Make it where a loop runs.

    A send is never cancelled: where the task that awaits it is, the call goes on without it, and its outcome is
    nobody's. ``aclose`` waits for such calls, within bounds.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        find_credentials: Callable[[], Credentials | None],
        sender: Sender,
        clock: Clock,
        *,
        deadline_seconds: float,
        max_in_flight: int,
        on_unknown: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._credentials = KnownCredentials(find_credentials, clock, deadline_seconds=deadline_seconds / 2)
        self._signer = Signer(endpoint)
        self._time = SesTime(clock)
        self._sender = sender.address
        self._common = sender.arguments()
        self._deadline = deadline_seconds
        self._on_unknown = on_unknown
        self._pool = Pool(
            endpoint,
            {"User-Agent": endpoint.user_agent, "Accept-Encoding": "identity"},
            max_in_flight=max_in_flight,
            idle_seconds=IDLE_SECONDS,
            # a place in the pool and TLS included, so that time is left
            connect_seconds=min(CONNECT_SECONDS, deadline_seconds / 2),
        )
        self._under_way: set[asyncio.Task[str | EmailError]] = set()
        self._closed = False

    async def send(self, email: Email) -> str:
        """
        Hand *email* to SES and give its message id, within the deadline.

        Raises:
            EmailError: and nothing else.
        """
        outcome = await self._outcome(email)
        if isinstance(outcome, EmailError):
            raise outcome
        return outcome

    async def aclose(self, *, deadline: float) -> None:
        """Begin no more sends, wait at most *deadline* seconds for those under way, and give the others up."""
        self._closed = True
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=deadline)
        for task in self._under_way:
            task.cancel()
        if self._under_way:
            await asyncio.wait(self._under_way)
        await self._credentials.aclose(deadline=deadline)
        await self._pool.aclose()

    async def _outcome(self, email: Email) -> str | EmailError:
        if self._closed:
            return NotSent("the sender is closed")
        try:
            outgoing = Outgoing(body_of(self._common, email))
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller is promised an EmailError
            return self._mapped(error, left=False)
        task = asyncio.create_task(self._send(outgoing), name="ses-send")
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

        try:
            return await asyncio.shield(task)  # whatever happens here, it is not cancelled
        except asyncio.CancelledError:
            us = asyncio.current_task()
            if not task.cancelled() or (us is not None and us.cancelling()):
                raise
            return AnswerLost("given up at the close") if outgoing.left else NotSent("given up at the close")

    async def _send(self, outgoing: Outgoing) -> str | EmailError:
        """Send; errors are values here, so that those of an abandoned send are not reported as lost."""
        try:
            async with asyncio.timeout(self._deadline):
                return await self._post(outgoing)
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller is promised an EmailError
            return self._mapped(error, left=outgoing.left)

    async def _post(self, outgoing: Outgoing) -> str:
        credentials = await self._known_credentials()
        signed_at = self._time.now()
        try:
            head = self._pool.head(self._signer.headers(outgoing.body, credentials, signed_at))
        except ValueError as error:  # the end of a line, or half a character, pasted along with a key
            raise Halted(f"no header holds them ({type(error).__name__})", halt=HaltReason.CREDENTIALS) from error
        answer = await self._pool.post(head, outgoing)
        try:
            return message_id(answer.status, answer.headers, answer.body)
        except ClientError as error:
            if self._time.learn(error_code(error), answer.headers.get("Date"), signed_at):
                log.warning("ses.clock_off", seconds=self._time.off.total_seconds())
                raise NotSent("our clock is off; the next request is signed by SES's") from None
            raise

    async def _known_credentials(self) -> ReadOnlyCredentials:
        try:
            return await self._credentials.get()
        except Exception as error:  # whatever a file, a program or a service of the user's raises
            raise without_credentials(error) from error

    def _mapped(self, error: BaseException, *, left: bool) -> EmailError:
        return mapped(error, sender=self._sender, left=left, on_unknown=self._on_unknown)
