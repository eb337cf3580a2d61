"""The sender of e-mails through AWS SES v2: one recipient and exactly one attempt for each call."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog
from botocore.credentials import Credentials, ReadOnlyCredentials
from botocore.exceptions import ClientError

from consumers.email import Email, EmailError, Halted, HaltReason, NotSent
from consumers.ses.boto_client import CONNECT_SECONDS
from consumers.ses.credentials import CachedCredentials
from consumers.ses.endpoint import Endpoint
from consumers.ses.errors import credentials_error, email_error, error_code
from consumers.ses.request import SenderIdentity, body_of
from consumers.ses.response import message_id
from consumers.ses.server_clock import ServerClock
from consumers.ses.signing import Signer
from consumers.ses.transport import Outgoing, Transport
from runtime.clock import Clock

log = structlog.get_logger(__name__)

IDLE_SECONDS = 5.0
"""How long an idle connection is kept. AWS closes idle connections, some after ten seconds, and a request that meets
the close is a lost answer."""


class SesSender:
    """
    Hands e-mails to SES; an EmailSender. Construct it inside a running event loop.

    Run each send in a task that nobody cancels, since that would cut its call off. `aclose` waits for the sends in
    progress, up to its deadline.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        find_credentials: Callable[[], Credentials | None],
        sender: SenderIdentity,
        clock: Clock,
        *,
        deadline_seconds: float,
        max_in_flight: int,
        on_unknown: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._credentials = CachedCredentials(find_credentials, clock, deadline_seconds=deadline_seconds / 2)
        self._signer = Signer(endpoint)
        self._clock = ServerClock(clock)
        self._sender = sender.address
        self._common = sender.arguments()
        self._deadline = deadline_seconds
        self._on_unknown = on_unknown
        self._transport = Transport(
            endpoint,
            {"User-Agent": endpoint.user_agent, "Accept-Encoding": "identity"},
            max_in_flight=max_in_flight,
            idle_seconds=IDLE_SECONDS,
            # includes the wait for a free connection and TLS, so that time is left
            connect_seconds=min(CONNECT_SECONDS, deadline_seconds / 2),
        )
        self._in_progress: set[asyncio.Timeout] = set()
        self._all_ended = asyncio.Event()
        self._closed = False

    async def send(self, email: Email) -> str:
        """
        Hand *email* to SES and return its message id, within the deadline.

        Raises:
            EmailError: and nothing else.
        """
        outcome = NotSent("the sender is closed") if self._closed else await self._outcome(email)
        if isinstance(outcome, EmailError):
            raise outcome
        return outcome

    async def aclose(self, *, deadline: float) -> None:
        """Refuse new sends, wait at most *deadline* seconds for those in progress, and time the rest out."""
        self._closed = True
        if self._in_progress:
            try:
                async with asyncio.timeout(deadline):
                    await self._all_ended.wait()
            except TimeoutError:
                now = asyncio.get_running_loop().time()
                for timeout in [each for each in self._in_progress if not each.expired()]:
                    timeout.reschedule(now)
                await self._all_ended.wait()
        await self._credentials.aclose(deadline=deadline)
        await self._transport.aclose()

    async def _outcome(self, email: Email) -> str | EmailError:
        """Send, and return errors as values: raised later, they carry no context that could show an address."""
        outgoing, timeout = Outgoing(b""), asyncio.timeout(self._deadline)
        self._in_progress.add(timeout)
        try:
            outgoing.body = body_of(self._common, email)
            async with timeout:
                return await self._post(outgoing)
        except Exception as error:  # noqa: BLE001 - whatever it is, the contract promises an EmailError
            return self._email_error(error, may_have_left=outgoing.may_have_left)
        finally:
            self._in_progress.discard(timeout)
            if self._closed and not self._in_progress:
                self._all_ended.set()

    async def _post(self, outgoing: Outgoing) -> str:
        credentials = await self._known_credentials()
        signed_at = self._clock.now()
        try:
            head = self._transport.head(self._signer.headers(outgoing.body, credentials, signed_at))
        except ValueError as error:  # a line break, or half a character, in a key
            raise Halted(f"no header can hold them ({type(error).__name__})", halt=HaltReason.CREDENTIALS) from error
        response = await self._transport.post(head, outgoing)
        try:
            return message_id(response.status, response.headers, response.body)
        except ClientError as error:
            if self._clock.correct(error_code(error), response.headers.get("Date"), signed_at):
                log.warning("ses.clock_off", seconds=self._clock.offset.total_seconds())
                raise NotSent("our clock is off; the next request is signed with SES's time") from None
            raise

    async def _known_credentials(self) -> ReadOnlyCredentials:
        try:
            return await self._credentials.get()
        except Exception as error:  # any error of a file, a program or a service that the user configured
            raise credentials_error(error) from error

    def _email_error(self, error: BaseException, *, may_have_left: bool) -> EmailError:
        return email_error(error, sender=self._sender, may_have_left=may_have_left, on_unknown=self._on_unknown)
