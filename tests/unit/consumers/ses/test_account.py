"""The state of the account, and whether it may send."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from botocore.exceptions import ClientError

from consumers.email import HaltReason, NotSent
from consumers.ses.account import Account, SesAccount, halt_of
from consumers.ses.boto_client import ses_client
from tests.seams.email_senders import known_session, local_ses

ACCOUNT = Account(
    max_send_rate=14,
    max_24_hour_send=50_000,
    sent_last_24_hours=0,
    sending_enabled=True,
    enforcement="HEALTHY",
    production_access=True,
)


class TestHaltOf:
    """Whether an account halts."""

    @pytest.mark.parametrize(
        ("changes", "halt"),
        [
            ({}, None),
            ({"enforcement": "PROBATION"}, None),
            ({"production_access": False}, None),
            ({"enforcement": "SHUTDOWN", "sending_enabled": False}, HaltReason.ACCOUNT_SUSPENDED),
            ({"sending_enabled": False}, HaltReason.SENDING_PAUSED),
            ({"sent_last_24_hours": 49_999}, None),
            ({"sent_last_24_hours": 50_000}, HaltReason.DAILY_QUOTA),
            ({"sent_last_24_hours": 10**9, "max_24_hour_send": None}, None),
        ],
    )
    def test_an_account_that_cannot_send_halts(self, changes: dict[str, Any], halt: HaltReason | None) -> None:
        """An account halts if it is suspended, paused or out of its daily quota; not on probation or in the sandbox."""
        assert halt is halt_of(replace(ACCOUNT, **changes))


@pytest.fixture(name="address", scope="module")
def _address() -> Iterator[str]:
    """Run a local SES for the module."""
    with local_ses() as address:
        yield address


@pytest.fixture(name="set_faults")
def _set_faults(address: str) -> Callable[..., None]:
    """Clear the faults of the local SES, and return what sets them."""

    def set_faults(**faults: Any) -> None:
        httpx.put(f"{address}/admin/faults", json=faults, timeout=5).raise_for_status()

    set_faults()
    return set_faults


@pytest.fixture(name="account")
async def _account(address: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SesAccount]:
    """Yield the account of the local SES."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_SESV2", address)
    client = ses_client(timeout_seconds=1, max_in_flight=1, session=known_session())
    account = SesAccount(client, deadline_seconds=2)
    yield account
    await account.aclose(deadline=2)
    client.close()


class TestSesAccount:
    """Questions to a local SES."""

    async def test_it_reads_quota_and_state(self, account: SesAccount, set_faults: Callable[..., None]) -> None:
        """Rate, daily quota, enforcement and access are those of SES."""
        set_faults(max_send_rate=14, max_24_hour_send=50_000)

        assert ACCOUNT == await account.read()

    async def test_no_daily_quota_is_none(self, account: SesAccount, set_faults: Callable[..., None]) -> None:
        """SES writes -1 for no quota."""
        set_faults(max_24_hour_send=-1)

        assert (await account.read()).max_24_hour_send is None

    @pytest.mark.parametrize(
        ("faults", "halt"),
        [
            ({"paused": True}, HaltReason.SENDING_PAUSED),
            ({"suspended": True}, HaltReason.ACCOUNT_SUSPENDED),
            ({"max_24_hour_send": 0}, HaltReason.DAILY_QUOTA),
        ],
    )
    async def test_a_halted_account_halts(
        self, account: SesAccount, set_faults: Callable[..., None], faults: dict[str, Any], halt: HaltReason
    ) -> None:
        """An account that SES has stopped halts sending."""
        set_faults(**faults)

        assert halt is halt_of(await account.read())

    async def test_an_account_that_cannot_be_read_is_unreachable(
        self, account: SesAccount, set_faults: Callable[..., None]
    ) -> None:
        """A failed GetAccount raises an EmailError, as a failed send does."""
        set_faults(account_error_share=1)

        with pytest.raises(NotSent) as caught:
            await account.read()

        assert caught.value.unreachable

    @pytest.mark.parametrize(
        ("unverified", "expected"),
        [
            ([], True),
            (["notices@example.com"], True),
            (["notices@example.com", "example.com"], False),
        ],
    )
    async def test_an_identity_is_verified_by_itself_or_by_its_domain(
        self, account: SesAccount, set_faults: Callable[..., None], unverified: list[str], *, expected: bool
    ) -> None:
        """An address may send if it or its domain is verified."""
        set_faults(unverified_senders=unverified)

        assert expected is await account.identity_verified("notices@example.com")

    async def test_without_permission_the_answer_is_unknown(
        self, account: SesAccount, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """If the role may not ask about identities, the answer is None."""
        denied: Any = {"Error": {"Code": "AccessDeniedException"}}

        def refuse(**_: Any) -> None:
            """Refuse as IAM does."""
            raise ClientError(denied, "GetEmailIdentity")

        monkeypatch.setattr(account._client, "get_email_identity", refuse)

        assert await account.identity_verified("notices@example.com") is None
