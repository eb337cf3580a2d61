"""SES's own list of suppressed addresses: that of the account, in one region."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Protocol, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from consumers.ses.account import NOT_ALLOWED
from consumers.ses.boto_client import ses_client
from consumers.ses.errors import error_code
from runtime.redaction import redact_text

if TYPE_CHECKING:
    from mypy_boto3_sesv2 import SESV2Client
    from mypy_boto3_sesv2.type_defs import ListSuppressedDestinationsResponseTypeDef

T = TypeVar("T")

_SECONDS = 5.0
_PAGE = 1000
_TRIES = 5
_AGAIN_SECONDS = 1.1
"""SES allows one such call a second."""
_TOO_FAST = frozenset({"TooManyRequestsException", "TooManyRequests", "Throttling", "ThrottlingException"})
_NOT_FOUND = "NotFoundException"


class NotAvailable(Exception):
    """SES's list cannot be read or changed; the message says why and what to do, and has no address."""


class _NotOnIt(NotAvailable):
    """SES knows no such entry."""


@dataclass(frozen=True)
class AccountEntry:
    """An address on SES's list."""

    address: str
    reason: str
    """`BOUNCE` or `COMPLAINT`."""
    since: datetime
    message_id: str | None = None
    """The e-mail that caused it, if SES knows one and the entry was asked for by itself."""


class AccountList(Protocol):
    """SES's list, as far as the command uses it. All methods raise NotAvailable."""

    def entries(self) -> Iterator[AccountEntry]:
        """Yield all entries, without the e-mails that caused them."""

    def find(self, address: str) -> AccountEntry | None:
        """Return the entry of an address, or None."""

    def add(self, address: str) -> None:
        """Put an address on the list."""

    def remove(self, address: str) -> bool:
        """Take an address off the list; return whether it was on it."""


class SesAccountList:
    """The list of the account that boto3's client finds."""

    def __init__(self, client: SESV2Client, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._client = client
        self._sleep = sleep

    def entries(self) -> Iterator[AccountEntry]:
        """Yield all entries, page by page."""
        token = ""
        while True:
            page = self._ask(partial(self._page, token))
            for one in page["SuppressedDestinationSummaries"]:
                yield AccountEntry(one["EmailAddress"], one["Reason"], one["LastUpdateTime"].astimezone(UTC))
            token = page.get("NextToken", "")
            if not token:
                return

    def _page(self, token: str) -> ListSuppressedDestinationsResponseTypeDef:
        if token:
            return self._client.list_suppressed_destinations(PageSize=_PAGE, NextToken=token)
        return self._client.list_suppressed_destinations(PageSize=_PAGE)

    def find(self, address: str) -> AccountEntry | None:
        """Return the entry of an address, with the e-mail that caused it, or None."""
        try:
            found = self._ask(partial(self._client.get_suppressed_destination, EmailAddress=address))[
                "SuppressedDestination"
            ]
        except _NotOnIt:
            return None
        message_id = found.get("Attributes", {}).get("MessageId")
        return AccountEntry(found["EmailAddress"], found["Reason"], found["LastUpdateTime"].astimezone(UTC), message_id)

    def add(self, address: str) -> None:
        """Put an address on the list, as a complaint: SES has no third reason, and it is the nearest one."""
        self._ask(partial(self._client.put_suppressed_destination, EmailAddress=address, Reason="COMPLAINT"))

    def remove(self, address: str) -> bool:
        """Take an address off the list; return whether it was on it."""
        try:
            self._ask(partial(self._client.delete_suppressed_destination, EmailAddress=address))
        except _NotOnIt:
            return False
        return True

    def _ask(self, question: Callable[[], T]) -> T:
        """Return SES's answer; raise NotAvailable. Ask again if it was asked too fast."""
        for left in reversed(range(_TRIES)):
            try:
                return question()
            except ClientError as error:
                if error_code(error) == _NOT_FOUND:
                    raise _NotOnIt(self._why(error)) from error
                if error_code(error) not in _TOO_FAST or not left:
                    raise NotAvailable(self._why(error)) from error
            except BotoCoreError as error:
                raise NotAvailable(_unreachable(error)) from error
            self._sleep(_AGAIN_SECONDS)
        raise AssertionError  # the last try returned or raised

    def _why(self, error: ClientError) -> str:
        code, operation = error_code(error), error.operation_name
        if code in NOT_ALLOWED:
            return f"{operation} is not allowed: grant ses:{operation} to these credentials"
        if code == _NOT_FOUND:
            return f"{operation}: SES has no such list or entry"
        sandbox = "; the account is in the sandbox, where SES does not change its list" if self._in_sandbox() else ""
        message = redact_text(str(error.response.get("Error", {}).get("Message", "")))
        return f"SES refused {operation}: {code}: {message}{sandbox}"

    def _in_sandbox(self) -> bool:
        try:
            return not self._client.get_account()["ProductionAccessEnabled"]
        except (BotoCoreError, ClientError):
            return False


def _unreachable(error: BotoCoreError) -> str:
    return (
        f"SES cannot be asked: {redact_text(str(error)).rstrip('.')}; "
        "set AWS_REGION or AWS_DEFAULT_REGION, and credentials as for any AWS client"
    )


def account_list() -> AccountList:
    """Return the list of the account that AWS's own settings name; raise NotAvailable."""
    try:
        return SesAccountList(ses_client(timeout_seconds=_SECONDS, max_in_flight=1))
    except (BotoCoreError, ValueError) as error:
        why = str(error).rstrip(".")
        raise NotAvailable(f"SES cannot be asked: {why}; set AWS_REGION or AWS_DEFAULT_REGION") from error
