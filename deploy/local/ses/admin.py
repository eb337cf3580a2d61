"""The admin endpoints: faults, accepted mails and counters, all in JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from deploy.local.ses.admin_request import AdminError, json_object
from deploy.local.ses.faults import Faults
from deploy.local.ses.replies import Reply, json_reply

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from deploy.local.ses.account import Account
    from deploy.local.ses.events import Events
    from deploy.local.ses.mail_api import MailApi
    from deploy.local.ses.stats import Stats

PREFIX = "/admin/"
MAIL = "/admin/mails/"


class Admin:
    """Show the account and the mailbox, and change them."""

    def __init__(self, *, account: Account, mails: MailApi, events: Events, stats: Stats) -> None:
        self._account = account
        self._mails = mails
        self._events = events
        self._stats = stats
        self._routes: dict[str, dict[str, Callable[[str, bytes], Awaitable[Any]]]] = {
            "/admin/faults": {
                "GET": self._show_faults,
                "PUT": self._replace_faults,
                "PATCH": self._change_faults,
                "DELETE": self._reset_faults,
            },
            "/admin/faults/schema": {"GET": self._show_faults_schema},
            "/admin/mails": {"GET": mails.list, "DELETE": mails.clear},
            "/admin/stats": {"GET": self._show_stats, "DELETE": self._reset_stats},
        }

    async def reply(self, method: str, path: str, query: str, body: bytes) -> Reply:
        """Answer one request."""
        try:
            if path.startswith(MAIL):
                return self._mails.reply(method, path.removeprefix(MAIL), query, body)
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
        return self._set_faults(json_object(body))

    async def _change_faults(self, _query: str, body: bytes) -> Any:
        return self._set_faults(self._account.faults.model_dump() | json_object(body))

    async def _reset_faults(self, _query: str, _body: bytes) -> Any:
        self._account.reset()
        return self._account.faults.model_dump()

    def _set_faults(self, values: dict[str, Any]) -> Any:
        try:
            self._account.change(Faults.model_validate(values))
        except ValidationError as invalid:
            raise AdminError(422, "; ".join(map(_problem, invalid.errors()))) from None
        return self._account.faults.model_dump()

    async def _show_stats(self, _query: str, _body: bytes) -> Any:
        return self._stats.report() | {
            **self._mails.counters(),
            "events": self._events.counters(),
            "active_faults": self._account.active_faults(),
        }

    async def _reset_stats(self, _query: str, _body: bytes) -> Any:
        self._stats.reset()
        return self._stats.report()


def _problem(error: Any) -> str:
    where = ".".join(map(str, error["loc"])) or "faults"
    return f"{where}: {error['msg']}"
