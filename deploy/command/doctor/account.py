"""The checks of the SES account and of the sender."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from consumers.email import EmailError
from consumers.ses.account import Account, SesAccount, halt_of
from consumers.ses.boto_client import ses_client
from deploy.command.findings import Finding, State
from deploy.command.ses_place import place_findings
from runtime.from_address import parse_named_address
from runtime.settings import ReplicaSettings, env_name

_SES_SECONDS = 5.0
_REGION = "AWS_REGION or AWS_DEFAULT_REGION"
_LOCAL = "`make run` prints the doctor line with the environment of its own SES"

T = TypeVar("T")


async def check_account(settings: ReplicaSettings) -> list[Finding]:
    """Return the findings about region, endpoint, account and sender."""
    try:
        client = ses_client(timeout_seconds=_SES_SECONDS, max_in_flight=1)
    except (BotoCoreError, ClientError, ValueError) as error:
        advice = f"set {_REGION}, and credentials as for any AWS client; {_LOCAL}"
        return [Finding("SES", State.FAIL, str(error), advice)]
    async with AsyncExitStack() as undo:
        undo.callback(client.close)
        sender = parse_named_address(settings.ses_from_address).address
        place = list(place_findings(region=client.meta.region_name, url=client.meta.endpoint_url, sender=sender))
        account = SesAccount(client, deadline_seconds=_SES_SECONDS)
        undo.push_async_callback(account.aclose, deadline=_SES_SECONDS)
        state = await _ask(account.read)
        if isinstance(state, Finding):
            return [*place, state]
        verified = await _ask(lambda: account.identity_verified(sender))
        return [
            *place,
            *account_findings(state),
            verified if isinstance(verified, Finding) else identity_finding(verified),
        ]


async def _ask(question: Callable[[], Awaitable[T]]) -> T | Finding:
    try:
        return await question()
    except EmailError as error:
        return Finding(
            "SES",
            State.FAIL,
            f"the account cannot be read: {error}",
            f"check {_REGION}, the credentials, the way out to SES, and that ses:GetAccount is allowed; {_LOCAL}",
        )


def account_findings(account: Account) -> list[Finding]:
    """Return the findings about the account as GetAccount describes it."""
    limit = "no daily limit" if account.max_24_hour_send is None else f"{account.max_24_hour_send:,.0f} a day"
    rates = f"{account.max_send_rate:g} e-mails/s, {limit}, {account.sent_last_24_hours:,.0f} sent in the last 24 hours"
    halt = halt_of(account)
    if halt is not None:
        advice = "no e-mail is lost, they wait; look at the account in the SES console"
        findings = [Finding("SES account", State.FAIL, f"sends nothing now ({halt.value}); {rates}", advice)]
    else:
        findings = [Finding("SES account", State.OK, rates)]
    if not account.production_access:
        findings.append(
            Finding(
                "SES sandbox",
                State.WARN,
                "the account is in the sandbox: only verified recipients get e-mail",
                "request production access in the SES console",
            )
        )
    return findings


def identity_finding(verified: bool | None) -> Finding:  # noqa: FBT001 - the only input
    """Return the finding about the From address."""
    setting = env_name("ses_from_address")
    if verified is None:
        advice = "allow ses:GetEmailIdentity so that this can be checked"
        return Finding("SES sender", State.WARN, f"not allowed to check whether {setting} is verified", advice)
    if not verified:
        advice = "verify the address or its domain in this region, or set another address"
        return Finding("SES sender", State.FAIL, f"{setting} is not verified: SES refuses every e-mail", advice)
    return Finding("SES sender", State.OK, f"{setting} is verified")
