"""The local SES as an ASGI application: the SES v2 API, an admin API and a mailbox page."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from deploy.local.mailbox.page import load_page
from deploy.local.mailbox.people import People
from deploy.local.ses import admin, api
from deploy.local.ses.account import Account
from deploy.local.ses.admin import Admin
from deploy.local.ses.api import SesApi
from deploy.local.ses.events import Events
from deploy.local.ses.faults import Faults
from deploy.local.ses.mail_api import MailApi
from deploy.local.ses.mails import Mailbox
from deploy.local.ses.outbox import Outbox
from deploy.local.ses.replies import Disconnected, Reply, json_reply, read_body, write_reply
from deploy.local.ses.sending import Sending
from deploy.local.ses.stats import Stats
from deploy.local.ses.suppression_api import SuppressionApi
from deploy.local.ses.suppression_list import SuppressionList
from deploy.local.ses.timers import Timers
from deploy.local.ses.waits import Waits

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.types import Receive, Scope, Send

    from deploy.local.ses.mail_file import MailFile
    from deploy.local.ses.mail_log import MailLog
    from deploy.local.ses.outbox import EventQueue

FACADE = "http://127.0.0.1:8000"
KEEP = 50_000
KEEP_CHARACTERS = 256 * 1024 * 1024


class LocalSes:
    """Route each request to the API, the admin endpoints or the page."""

    def __init__(
        self,
        *,
        ses: SesApi,
        admin_api: Admin,
        events: Events,
        mailbox: Mailbox,
        page: dict[str, Reply],
        waits: Waits,
    ) -> None:
        self._ses = ses
        self._admin = admin_api
        self._events = events
        self._mailbox = mailbox
        self._page = page
        self._waits = waits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        if scope["type"] != "http":
            raise NotImplementedError("the local SES supports HTTP only")

        try:
            if scope["path"].startswith(api.PREFIX):
                await self._ses(scope, receive, send)
            else:
                body = await read_body(receive)
                await write_reply(send, await self._reply(scope, body))
        except Disconnected:
            return

    async def _reply(self, scope: Scope, body: bytes) -> Reply:
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        path = scope["path"]
        if path.startswith(admin.PREFIX):
            return await self._admin.reply(method, path, scope["query_string"].decode("latin-1"), body)
        if path == "/livez":
            return json_reply({"status": "ok"})
        if path not in self._page:
            return json_reply({"message": "No such path; the mailbox page is at /."}, 404)
        return (
            self._page[path] if method == "GET" else json_reply({"message": "The page can only be read with GET."}, 405)
        )

    def begin(self) -> None:
        """Start what is done between requests; a loop must run."""
        self._events.begin()

    async def end(self) -> None:
        """Release all delayed requests, hung ones without an answer, because the server stops; drop events."""
        self._waits.end_all()
        await self._events.end()
        self._mailbox.close()


def create_app(
    *,
    faults: Faults | None = None,
    log: MailLog | None = None,
    queue: EventQueue | None = None,
    keep: int = KEEP,
    keep_characters: int = KEEP_CHARACTERS,
    mail_file: MailFile | None = None,
    names: Mapping[str, str] | None = None,
    facade: str = FACADE,
    clock: Callable[[], float] = time.time,
    ticks: Callable[[], float] = time.monotonic,
) -> LocalSes:
    """Build a local SES; serve it with ``deploy.local.ses.server``.

    It starts with *faults*, and a reset returns to them. *log* gets each accepted mail; *queue* gets events, if a mail
    names a configuration set. The newest *keep* mails stay in memory, or fewer if their text has more than
    *keep_characters*; *mail_file* keeps them over a restart. The page shows *names* beside addresses, and a command to
    try the *facade*. *clock* returns seconds since the epoch, *ticks* monotonic seconds.
    """
    account = Account(faults or Faults(), clock=clock, ticks=ticks)
    mailbox = Mailbox(keep=keep, keep_characters=keep_characters, file=mail_file)
    stats, waits, suppressions = Stats(), Waits(), SuppressionList()
    events = Events(
        account=account,
        mailbox=mailbox,
        suppressions=suppressions,
        timers=Timers(),
        outbox=None if queue is None else Outbox(queue),
        clock=clock,
    )
    sending = Sending(account=account, events=events, mailbox=mailbox, log=log, stats=stats, clock=clock)
    list_api = SuppressionApi(account=account, suppressions=suppressions, clock=clock)
    return LocalSes(
        ses=SesApi(account=account, events=events, sending=sending, stats=stats, suppressions=list_api, waits=waits),
        admin_api=Admin(
            account=account, mails=MailApi(mailbox, events, People(names or {})), events=events, stats=stats
        ),
        events=events,
        mailbox=mailbox,
        page=load_page(facade),
        waits=waits,
    )
