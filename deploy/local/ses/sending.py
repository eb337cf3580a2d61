"""SendEmail and SendBulkEmail without HTTP: from a parsed request to accepted mails and the fate of the answer."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any

from deploy.local.ses.bulk import BulkRequest, RenderingFailure
from deploy.local.ses.errors import SesError
from deploy.local.ses.mails import Answer, Email, Mail
from deploy.local.ses.message_ids import message_id
from deploy.local.ses.reading import read_email

if TYPE_CHECKING:
    from collections.abc import Callable

    from deploy.local.ses.account import Account
    from deploy.local.ses.mail_log import MailLog
    from deploy.local.ses.mails import Mailbox
    from deploy.local.ses.stats import Stats


class Sending:
    """Accepts mails: logged first, then kept and counted, before anything is answered."""

    def __init__(
        self, *, account: Account, mailbox: Mailbox, log: MailLog, stats: Stats, clock: Callable[[], float]
    ) -> None:
        self._account = account
        self._mailbox = mailbox
        self._log = log
        self._stats = stats
        self._clock = clock
        self._random = Random()  # noqa: S311 - ids need be unique, not secret

    def send_email(self, request: dict[str, Any], region: str) -> tuple[dict[str, Any], Answer]:
        """Accept one mail; give SES's answer and what is to become of it. Raises SesError."""
        try:
            answer = self._account.draw_answer()
            email = read_email(request)
            self._account.check_may_send(email.configuration_set)
            self._account.check_identities(email, region)
            self._account.spend(email)
        except SesError as error:
            self._stats.refused(error)
            raise

        mail = self._mail(email, answer)
        self._accept([mail])
        return {"MessageId": mail.message_id}, answer

    def send_bulk_email(self, request: dict[str, Any], size: int, region: str) -> tuple[dict[str, Any], Answer]:
        """Accept a mail per entry; give SES's answer and what is to become of it. Raises SesError.

        What concerns the account refuses the call; what concerns an entry is that entry's result. Throttled entries
        are results too, unless none is let through: how SES draws that line is not documented.
        """
        try:
            answer = self._account.draw_answer()
            bulk = BulkRequest(request, size)
            self._account.check_may_send(request.get("ConfigurationSetName"))
        except SesError as error:
            self._stats.refused(error)
            raise

        outcomes = [self._try_entry(bulk, entry, answer, region) for entry in bulk.entries]
        refusals = [outcome for outcome in outcomes if isinstance(outcome, SesError)]
        for refusal in refusals:
            self._stats.refused(refusal)
        if len(refusals) == len(outcomes) and all(error.name == "TooManyRequestsException" for error in refusals):
            raise refusals[0]

        self._accept([outcome for outcome in outcomes if isinstance(outcome, Mail)])
        return {"BulkEmailEntryResults": [_entry_result(outcome) for outcome in outcomes]}, answer

    def _try_entry(
        self, bulk: BulkRequest, entry: dict[str, Any], answer: Answer, region: str
    ) -> Mail | SesError | str:
        """Return the mail, the error, or the bare id of a mail that SES would accept and then fail to render."""
        try:
            email = bulk.email(entry)
            self._account.check_identities(email, region)
            self._account.spend(email)
        except SesError as error:
            return error
        except RenderingFailure:
            self._stats.rendering_failed()
            return message_id(self._clock(), self._random)

        return self._mail(email, answer)

    def _mail(self, email: Email, answer: Answer) -> Mail:
        now = self._clock()
        return Mail(message_id(now, self._random), now, email, answer)

    def _accept(self, mails: list[Mail]) -> None:
        self._log.write(mails)
        for mail in mails:
            self._mailbox.add(mail)
            self._stats.accepted(mail.answer, mail.accepted_at)


def _entry_result(outcome: Mail | SesError | str) -> dict[str, str]:
    if isinstance(outcome, SesError):
        return {"Status": outcome.entry_status, "Error": outcome.message}

    return {"Status": "SUCCESS", "MessageId": outcome if isinstance(outcome, str) else outcome.message_id}
