"""The SES account: how fast it may send, and whether it may at all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from botocore.exceptions import ClientError

from consumers.email import EmailError, HaltReason, NotSent
from consumers.ses.blocking import BlockingCalls, NotStarted, StillRunning
from consumers.ses.errors import email_error, error_code

if TYPE_CHECKING:
    from mypy_boto3_sesv2 import SESV2Client

T = TypeVar("T")

SHUTDOWN = "SHUTDOWN"
NOT_ALLOWED = frozenset({"AccessDenied", "AccessDeniedException"})


@dataclass(frozen=True)
class Account:
    """The result of GetAccount. Quotas count recipients; None means no limit."""

    max_send_rate: float
    max_24_hour_send: float | None
    sent_last_24_hours: float
    sending_enabled: bool
    enforcement: str
    production_access: bool


def halt_of(account: Account) -> HaltReason | None:
    """Return why the account cannot send now, or None if it can."""
    if account.enforcement == SHUTDOWN:
        return HaltReason.ACCOUNT_SUSPENDED
    if not account.sending_enabled:
        return HaltReason.SENDING_PAUSED
    if account.max_24_hour_send is not None and account.sent_last_24_hours >= account.max_24_hour_send:
        return HaltReason.DAILY_QUOTA
    return None


class SesAccount:
    """Asks SES about the account, one question at a time. SES allows one a second; we ask once a minute."""

    def __init__(self, client: SESV2Client, *, deadline_seconds: float) -> None:
        self._client = client
        self._deadline = deadline_seconds
        self._calls = BlockingCalls(threads=1, name="ses-account")

    async def read(self) -> Account:
        """
        Return the present state of the account.

        Raises:
            EmailError: NotSent (unreachable, or Throttled) if it cannot be read, Halted for credentials.
        """
        return await self._ask(self._read)

    async def identity_verified(self, identity: str) -> bool | None:
        """
        Return whether an address or its domain may send, or None if we are not allowed to ask.

        Raises:
            EmailError: as `read`.
        """
        return await self._ask(lambda: self._verified(identity))

    async def aclose(self, *, deadline: float) -> None:
        """Refuse new questions, and wait at most *deadline* seconds for the one in progress."""
        await self._calls.aclose(deadline=deadline)

    async def _ask(self, question: Callable[[], T]) -> T:
        def asked() -> T | EmailError:
            try:
                return question()
            except Exception as error:  # noqa: BLE001 - whatever it is, the contract promises an EmailError
                return email_error(error, sender="", may_have_left=False)  # a lost answer to a question loses no mail

        try:
            answer = await self._calls.call(asked, deadline=self._deadline)
        except (NotStarted, StillRunning):
            raise NotSent("SES did not answer about the account in time", unreachable=True) from None
        if isinstance(answer, EmailError):
            raise answer
        return answer

    def _read(self) -> Account:
        answer = self._client.get_account()
        quota = answer["SendQuota"]
        most = quota["Max24HourSend"]
        return Account(
            max_send_rate=quota["MaxSendRate"],
            max_24_hour_send=None if most < 0 else most,
            sent_last_24_hours=quota["SentLast24Hours"],
            sending_enabled=answer["SendingEnabled"],
            enforcement=answer["EnforcementStatus"],
            production_access=answer["ProductionAccessEnabled"],
        )

    def _verified(self, identity: str) -> bool | None:
        domain = identity.rpartition("@")[2]
        try:
            return any(self._may_send(name) for name in dict.fromkeys((identity, domain)))
        except ClientError as error:
            if error_code(error) in NOT_ALLOWED:
                return None
            raise

    def _may_send(self, name: str) -> bool:
        try:
            return self._client.get_email_identity(EmailIdentity=name)["VerifiedForSendingStatus"]
        except ClientError as error:
            if error_code(error) == "NotFoundException":
                return False
            raise
