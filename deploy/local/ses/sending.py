"""SendEmail without HTTP: from a parsed request to an accepted mail and what happens to its answer."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any

from deploy.local.ses.errors import SesError
from deploy.local.ses.mails import Answer, Mail
from deploy.local.ses.message_ids import message_id
from deploy.local.ses.reading import read_email

if TYPE_CHECKING:
    from collections.abc import Callable

    from deploy.local.ses.account import Account
    from deploy.local.ses.events import Events
    from deploy.local.ses.mail_log import MailLog
    from deploy.local.ses.mails import Mailbox
    from deploy.local.ses.stats import Stats


class Sending:
    """Accept mails: each is logged first, then kept and counted, and answered before anything becomes of it."""

    def __init__(
        self,
        *,
        account: Account,
        events: Events,
        mailbox: Mailbox,
        log: MailLog | None,
        stats: Stats,
        clock: Callable[[], float],
    ) -> None:
        self._account = account
        self._events = events
        self._mailbox = mailbox
        self._log = log
        self._stats = stats
        self._clock = clock
        self._random = Random()  # noqa: S311 - ids must be unique, not secret

    def send_email(self, request: dict[str, Any], region: str) -> tuple[dict[str, Any], Answer]:
        """Accept one mail; return SES's response and what happens to it. Raise SesError if SES would refuse it."""
        try:
            answer = self._account.draw_answer()
            email = read_email(request)
            self._account.check_may_send(email.configuration_set)
            self._account.check_identities(email, region)
            self._account.spend(email)
        except SesError as error:
            self._stats.refused(error)
            raise

        now = self._clock()
        mail = Mail(message_id(now, self._random), now, email, answer)
        if self._log is not None:
            self._log(mail)
        self._mailbox.add(mail)
        self._stats.accepted(answer, now)
        self._events.accepted(mail)
        return {"MessageId": mail.message_id}, answer
