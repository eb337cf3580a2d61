"""The admin endpoints: faults, accepted mails and counters, all in JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from pydantic import ValidationError

from deploy.local.mailbox.search import Query, search
from deploy.local.ses.faults import Faults
from deploy.local.ses.mails import MAX_REPORTS
from deploy.local.ses.outcomes import BY_NAME
from deploy.local.ses.replies import Reply, json_reply

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from deploy.local.ses.account import Account
    from deploy.local.ses.events import Events
    from deploy.local.ses.mails import Mail, Mailbox
    from deploy.local.ses.stats import Stats

PREFIX = "/admin/"
MAIL = "/admin/mails/"
HTML = "/html"
REPORTS = "/reports"
MAX_MAILS = 1_000  # on one page

# The mailbox page shows a mail's HTML in a frame: without scripts, without requests, and without an origin.
MAIL_POLICY = b"sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'"


class AdminError(Exception):
    """Answer with this status and message."""

    def __init__(self, status: int, message: str) -> None:
        self.status = status
        self.message = message
        super().__init__(status, message)


class Admin:
    """Show the account and the mailbox, and change them."""

    def __init__(self, *, account: Account, events: Events, mailbox: Mailbox, stats: Stats) -> None:
        self._account = account
        self._events = events
        self._mailbox = mailbox
        self._stats = stats
        self._routes: dict[str, dict[str, Callable[[str, bytes], Awaitable[Any]]]] = {
            "/admin/faults": {
                "GET": self._show_faults,
                "PUT": self._replace_faults,
                "PATCH": self._change_faults,
                "DELETE": self._reset_faults,
            },
            "/admin/faults/schema": {"GET": self._show_faults_schema},
            "/admin/mails": {"GET": self._list_mails, "DELETE": self._empty_mailbox},
            "/admin/stats": {"GET": self._show_stats, "DELETE": self._reset_stats},
        }

    async def reply(self, method: str, path: str, query: str, body: bytes) -> Reply:
        """Answer one request."""
        try:
            if path.startswith(MAIL):
                return self._answer_mail(method, path.removeprefix(MAIL), body)
            return json_reply(await self._handler(method, path)(query, body))
        except AdminError as error:
            return json_reply({"message": error.message}, error.status)

    def _handler(self, method: str, path: str) -> Callable[[str, bytes], Awaitable[Any]]:
        methods = self._routes.get(path)
        if methods is None:
            raise AdminError(404, f"No such path; the paths are {', '.join(self._routes)} and {MAIL}<message id>.")
        if method not in methods:
            raise AdminError(405, f"{path} allows only {', '.join(methods)}.")

        return methods[method]

    async def _show_faults(self, _query: str, _body: bytes) -> Any:
        return self._account.faults.model_dump()

    async def _show_faults_schema(self, _query: str, _body: bytes) -> Any:
        return Faults.model_json_schema()

    async def _replace_faults(self, _query: str, body: bytes) -> Any:
        return self._set_faults(_object(body))

    async def _change_faults(self, _query: str, body: bytes) -> Any:
        return self._set_faults(self._account.faults.model_dump() | _object(body))

    async def _reset_faults(self, _query: str, _body: bytes) -> Any:
        self._account.reset()
        return self._account.faults.model_dump()

    def _set_faults(self, values: dict[str, Any]) -> Any:
        try:
            self._account.change(Faults.model_validate(values))
        except ValidationError as invalid:
            raise AdminError(422, "; ".join(map(_problem, invalid.errors()))) from None
        return self._account.faults.model_dump()

    async def _list_mails(self, query: str, _body: bytes) -> Any:
        total, mails = await search(self._mailbox.newest_first(), _read_query(query))
        return {"total": total, "kept": len(self._mailbox), "mails": [mail.summary() for mail in mails]}

    async def _empty_mailbox(self, _query: str, _body: bytes) -> Any:
        self._mailbox.clear()
        return {"kept": 0}

    async def _show_stats(self, _query: str, _body: bytes) -> Any:
        return self._stats.report() | {
            "kept": len(self._mailbox),
            "events": self._events.counters(),
            "active_faults": self._account.active_faults(),
        }

    async def _reset_stats(self, _query: str, _body: bytes) -> Any:
        self._stats.reset()
        return self._stats.report()

    def _answer_mail(self, method: str, name: str, body: bytes) -> Reply:
        allowed = "POST" if name.endswith(REPORTS) else "GET"
        if method != allowed:
            raise AdminError(405, f"This path allows only {allowed}.")
        mail = self._mailbox.get(name.removesuffix(HTML).removesuffix(REPORTS))
        if mail is None:
            raise AdminError(404, "No such mail: it was deleted, or removed to make room for newer ones.")

        if name.endswith(REPORTS):
            return json_reply(self._report(mail, _object(body)))
        if name.endswith(HTML):
            headers = [(b"content-type", b"text/html; charset=utf-8"), (b"content-security-policy", MAIL_POLICY)]
            return Reply(200, headers, (mail.email.html or "").encode(errors="replace"))
        return json_reply(mail.full())

    def _report(self, mail: Mail, request: dict[str, Any]) -> dict[str, Any]:
        outcome = BY_NAME.get(str(request.get("report")))
        if outcome is None or len(request) > 1:
            raise AdminError(422, f'Name one report as in {{"report": "bounce"}}: {", ".join(BY_NAME)}.')
        if len(mail.reports) >= MAX_REPORTS:
            raise AdminError(409, f"The mail has {MAX_REPORTS} reports, and keeps no more.")

        published = self._events.report(mail, outcome)
        return {"state": mail.state, "published": published}


def _object(body: bytes) -> dict[str, Any]:
    try:
        values = json.loads(body)
    except (ValueError, RecursionError):
        raise AdminError(400, "The body is not JSON.") from None
    if not isinstance(values, dict):
        raise AdminError(400, 'The body is not a JSON object such as {"paused": true}.')

    return values


def _problem(error: Any) -> str:
    where = ".".join(map(str, error["loc"])) or "faults"
    return f"{where}: {error['msg']}"


def _read_query(query: str) -> Query:
    given = parse_qs(query)
    tags = {}
    for tag in given.get("tag", []):
        name, colon, value = tag.partition(":")
        if not colon:
            raise AdminError(422, "tag: write it as name:value.")
        tags[name] = value
    return Query(
        text=given.get("q", [""])[0].strip(),
        to=given.get("to", [""])[0].strip(),
        tags=tags,
        limit=_number(given, "limit", default=50, maximum=MAX_MAILS),
        offset=_number(given, "offset", default=0, maximum=None),
    )


def _number(given: dict[str, list[str]], name: str, *, default: int, maximum: int | None) -> int:
    text = given.get(name, [str(default)])[0]
    if not (text.isascii() and text.isdigit()) or (maximum is not None and int(text) > maximum):
        raise AdminError(422, f"{name}: must be a whole number{'' if maximum is None else f' up to {maximum}'}.")
    return int(text)
