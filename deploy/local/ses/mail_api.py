"""The admin endpoints of the accepted mails: list and search them, read, mark, report and delete them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from deploy.local.mailbox.colour_scheme import ColourScheme, in_scheme
from deploy.local.mailbox.mime import mime_message
from deploy.local.mailbox.search import Query, search
from deploy.local.ses.admin_request import AdminError, json_object
from deploy.local.ses.mails import MAX_REPORTS
from deploy.local.ses.outcomes import BY_NAME
from deploy.local.ses.replies import Reply, json_reply

if TYPE_CHECKING:
    from deploy.local.mailbox.people import People
    from deploy.local.ses.events import Events
    from deploy.local.ses.mails import Mail, Mailbox

MAX_MAILS = 1_000  # on one page

# The mailbox page shows a mail's HTML in a frame: without scripts, without requests, and without an origin.
MAIL_POLICY = b"sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'"
_NOSNIFF = (b"x-content-type-options", b"nosniff")


class MailApi:
    """Show the mailbox, and change it."""

    def __init__(self, mailbox: Mailbox, events: Events, people: People) -> None:
        self._mailbox = mailbox
        self._events = events
        self._people = people
        self._actions = {
            ("GET", ""): self._show,
            ("PATCH", ""): self._change,
            ("DELETE", ""): self._remove,
            ("GET", "html"): self._html,
            ("GET", "eml"): self._eml,
            ("POST", "reports"): self._report,
        }

    def counters(self) -> dict[str, Any]:
        """Return how many mails are kept, whether any has changed, and why none will survive a restart, for JSON."""
        mailbox = self._mailbox
        return {"kept": len(mailbox), "mails_version": str(mailbox.version), "mail_file_fault": mailbox.fault}

    async def list(self, query: str, _body: bytes) -> Any:
        """Return a page of the mails that match *query*."""
        total, mails = await search(self._mailbox.newest_first(), _read_query(query), self._people)
        return {
            "total": total,
            "kept": len(self._mailbox),
            "unread": self._mailbox.unread,
            "mails": [mail.summary() | {"people": self._people.of(mail.email)} for mail in mails],
        }

    async def clear(self, _query: str, _body: bytes) -> Any:
        """Remove all mails."""
        self._mailbox.clear()
        return {"kept": 0}

    def reply(self, method: str, path: str, query: str, body: bytes) -> Reply:
        """Answer one request about one mail; *path* begins with its message id."""
        message_id, _, part = path.partition("/")
        action = self._actions.get((method, part))
        if action is None:
            allowed = [allowed for allowed, known in self._actions if known == part]
            raise AdminError(405, f"This path allows only {', '.join(allowed)}.") if allowed else _no_such_mail()
        mail = self._mailbox.get(message_id)
        if mail is None:
            raise _no_such_mail()

        return action(mail, query, body)

    def _show(self, mail: Mail, _query: str, _body: bytes) -> Reply:
        return json_reply(mail.full() | {"people": self._people.of(mail.email)})

    def _change(self, mail: Mail, _query: str, body: bytes) -> Reply:
        request = json_object(body)
        read = request.get("read")
        if not isinstance(read, bool) or len(request) > 1:
            raise AdminError(422, 'Only this can be changed: {"read": true} or {"read": false}.')

        self._mailbox.mark(mail, read=read)
        return json_reply({"read": read})

    def _remove(self, mail: Mail, _query: str, _body: bytes) -> Reply:
        self._mailbox.remove(mail.message_id)
        return json_reply({"kept": len(self._mailbox)})

    def _html(self, mail: Mail, query: str, _body: bytes) -> Reply:
        html, scheme = mail.email.html or "", parse_qs(query).get("scheme", [""])[0]
        if scheme in set(ColourScheme):
            html = in_scheme(html, ColourScheme(scheme))
        elif scheme:
            raise AdminError(422, f"scheme: must be {' or '.join(ColourScheme)}.")
        headers = [(b"content-type", b"text/html; charset=utf-8"), (b"content-security-policy", MAIL_POLICY), _NOSNIFF]
        return Reply(200, headers, html.encode(errors="replace"))

    def _eml(self, mail: Mail, _query: str, _body: bytes) -> Reply:
        attachment = b'attachment; filename="%b.eml"' % mail.message_id.encode("ascii")
        headers = [(b"content-type", b"message/rfc822"), (b"content-disposition", attachment), _NOSNIFF]
        return Reply(200, headers, mime_message(mail))

    def _report(self, mail: Mail, _query: str, body: bytes) -> Reply:
        request = json_object(body)
        outcome = BY_NAME.get(str(request.get("report")))
        if outcome is None or len(request) > 1:
            raise AdminError(422, f'Name one report as in {{"report": "bounce"}}: {", ".join(BY_NAME)}.')
        if len(mail.reports) >= MAX_REPORTS:
            raise AdminError(409, f"The mail has {MAX_REPORTS} reports, and keeps no more.")

        published = self._events.report(mail, outcome)
        return json_reply({"state": mail.state, "published": published})


def _no_such_mail() -> AdminError:
    return AdminError(404, "No such mail: it was deleted, or removed to make room for newer ones.")


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
