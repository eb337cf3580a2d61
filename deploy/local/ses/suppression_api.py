"""The operations of SES v2 on the account's suppression list."""

from __future__ import annotations

import base64
import binascii
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from deploy.local.ses.addresses import bare_address
from deploy.local.ses.errors import SesError, bad_request

if TYPE_CHECKING:
    from collections.abc import Callable

    from deploy.local.ses.account import Account
    from deploy.local.ses.suppression_list import Suppressed, SuppressionList

PATH = "/v2/email/suppression/addresses"
REASONS = ("BOUNCE", "COMPLAINT")
MAX_PAGE = 1_000


class SuppressionApi:
    """Answer Put-, Get-, Delete- and ListSuppressedDestination(s)."""

    def __init__(self, *, account: Account, suppressions: SuppressionList, clock: Callable[[], float]) -> None:
        self._account = account
        self._suppressions = suppressions
        self._clock = clock

    def answer(self, method: str, path: str, query: str, body: bytes) -> dict[str, Any]:
        """Return the response to one call; raise SesError."""
        address = path.removeprefix(PATH).removeprefix("/")
        if address and method == "GET":
            return self._get(address)
        if address and method == "DELETE":
            return self._delete(address)
        if not address and method == "GET":
            return self._list(parse_qs(query))
        if not address and method == "PUT":
            return self._put(body)
        raise SesError("UnknownOperationException")

    def _put(self, body: bytes) -> dict[str, Any]:
        if self._account.faults.sandbox:
            raise bad_request("The suppression list cannot be changed while the account is in the sandbox.")
        try:
            request = json.loads(body)
        except (ValueError, RecursionError):
            raise SesError("SerializationException") from None
        if not isinstance(request, dict):
            raise SesError("SerializationException")

        address = bare_address(request.get("EmailAddress"))
        self._suppressions.add(address, _reason(request.get("Reason")), self._clock())
        return {}

    def _get(self, address: str) -> dict[str, Any]:
        found = self._suppressions.get(address)
        if found is None:
            raise _not_on_the_list(address)

        ids = {"MessageId": found.message_id, "FeedbackId": found.feedback_id}
        attributes = {name: value for name, value in ids.items() if value is not None}
        return {"SuppressedDestination": _summary(found) | ({"Attributes": attributes} if attributes else {})}

    def _delete(self, address: str) -> dict[str, Any]:
        if not self._suppressions.remove(address):
            raise _not_on_the_list(address)
        return {}

    def _list(self, query: dict[str, list[str]]) -> dict[str, Any]:
        reasons = [_reason(reason) for reason in query.get("Reason", REASONS)]
        since, until = _time(query, "StartDate", default=0), _time(query, "EndDate", default=float("inf"))
        size = _page_size(query)
        entries = self._suppressions.after(_read_token(query))
        found = [entry for entry in entries if entry.reason in reasons and since <= entry.at <= until]
        page = {"SuppressedDestinationSummaries": [_summary(entry) for entry in found[:size]]}
        return page | ({"NextToken": _write_token(found[size - 1].address)} if len(found) > size else {})


def _summary(entry: Suppressed) -> dict[str, Any]:
    return {"EmailAddress": entry.address, "Reason": entry.reason, "LastUpdateTime": round(entry.at, 3)}


def _not_on_the_list(address: str) -> SesError:
    return SesError("NotFoundException", f"Email address {address} does not exist on your suppression list.")


def _reason(given: Any) -> str:
    if given not in REASONS:
        raise bad_request(f"Reason must be one of {', '.join(REASONS)}.")
    return str(given)


def _time(query: dict[str, list[str]], name: str, *, default: float) -> float:
    if name not in query:
        return default
    try:
        time = datetime.fromisoformat(query[name][0])
    except ValueError:
        raise bad_request(f"{name} is not a time.") from None
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()


def _page_size(query: dict[str, list[str]]) -> int:
    text = query.get("PageSize", [str(MAX_PAGE)])[0]
    size = int(text) if text.isascii() and text.isdigit() and len(text) <= len(str(MAX_PAGE)) else 0
    if not 1 <= size <= MAX_PAGE:
        raise bad_request(f"PageSize must be from 1 to {MAX_PAGE}.")
    return size


def _write_token(address: str) -> str:
    return base64.urlsafe_b64encode(address.encode()).decode()


def _read_token(query: dict[str, list[str]]) -> str:
    token = query.get("NextToken", [""])[0]
    try:
        return base64.b64decode(token, altchars=b"-_", validate=True).decode()
    except (ValueError, binascii.Error):
        raise bad_request("The specified NextToken is invalid.") from None
