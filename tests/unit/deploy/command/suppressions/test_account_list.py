"""SES's list over boto3: the calls' real shapes, and what is said if it cannot be had."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError
from botocore.stub import Stubber

from consumers.ses.boto_client import ses_client
from deploy.command.suppressions.account_list import AccountEntry, NotAvailable, SesAccountList, account_list
from tests.seams.email_senders import known_session

ADDRESS = "m@example.org"
SINCE = datetime(2026, 3, 26, 8, 30, tzinfo=UTC)
SUMMARY = {"EmailAddress": ADDRESS, "Reason": "BOUNCE", "LastUpdateTime": SINCE}


class Setup:
    """A list over a client whose answers the test chooses, and how long it slept."""

    def __init__(self, client: Any, stub: Stubber) -> None:
        self.stub = stub
        self.slept: list[float] = []
        self.list = SesAccountList(client, sleep=self.slept.append)

    def refuse(self, method: str, code: str, message: str = "") -> None:
        """Answer the next call with an error."""
        self.stub.add_client_error(method, code, message)

    def production(self, *, access: bool) -> None:
        """Answer the next call of GetAccount."""
        self.stub.add_response("get_account", {"ProductionAccessEnabled": access})


@pytest.fixture(name="ses")
def _ses() -> Iterator[Setup]:
    """Yield the list; in the end every answer must have been asked for."""
    client = ses_client(timeout_seconds=1, max_in_flight=1, session=known_session())
    with Stubber(client) as stub:
        yield Setup(client, stub)
        stub.assert_no_pending_responses()
    client.close()


def test_all_pages_are_read(ses: Setup) -> None:
    """Each page names the next one."""
    page = {"SuppressedDestinationSummaries": [SUMMARY]}
    ses.stub.add_response("list_suppressed_destinations", {**page, "NextToken": "2"}, {"PageSize": 1000})
    other = {"SuppressedDestinationSummaries": [{**SUMMARY, "EmailAddress": "c@example.org", "Reason": "COMPLAINT"}]}
    ses.stub.add_response("list_suppressed_destinations", other, {"PageSize": 1000, "NextToken": "2"})

    assert [
        AccountEntry(ADDRESS, "BOUNCE", SINCE),
        AccountEntry("c@example.org", "COMPLAINT", SINCE),
    ] == list(ses.list.entries())


@pytest.mark.parametrize(
    ("attributes", "message_id"), [({"Attributes": {"MessageId": "msg-1", "FeedbackId": "f-1"}}, "msg-1"), ({}, None)]
)
def test_an_entry_has_the_mail_that_caused_it(ses: Setup, attributes: Any, message_id: str | None) -> None:
    """SES knows it, unless somebody put the address on the list."""
    answer = {"SuppressedDestination": {**SUMMARY, **attributes}}
    ses.stub.add_response("get_suppressed_destination", answer, {"EmailAddress": ADDRESS})

    assert AccountEntry(ADDRESS, "BOUNCE", SINCE, message_id) == ses.list.find(ADDRESS)


def test_an_address_that_is_not_on_the_list(ses: Setup) -> None:
    """It is not found, and there is nothing to remove."""
    ses.refuse("get_suppressed_destination", "NotFoundException", f"{ADDRESS} is not on your list")
    ses.refuse("delete_suppressed_destination", "NotFoundException", f"{ADDRESS} is not on your list")

    assert ses.list.find(ADDRESS) is None
    assert not ses.list.remove(ADDRESS)


def test_an_address_is_removed_and_added(ses: Setup) -> None:
    """SES has two reasons; a person's wish is nearest to a complaint."""
    ses.stub.add_response("delete_suppressed_destination", {}, {"EmailAddress": ADDRESS})
    ses.stub.add_response("put_suppressed_destination", {}, {"EmailAddress": ADDRESS, "Reason": "COMPLAINT"})

    assert ses.list.remove(ADDRESS)
    ses.list.add(ADDRESS)


def test_without_the_right_the_right_is_named(ses: Setup) -> None:
    """What to grant stands in the message."""
    ses.refuse("list_suppressed_destinations", "AccessDeniedException", "no identity-based policy allows it")

    with pytest.raises(NotAvailable, match="grant ses:ListSuppressedDestinations"):
        list(ses.list.entries())


@pytest.mark.parametrize(("production", "says"), [(False, True), (True, False)])
def test_in_the_sandbox_it_says_so(ses: Setup, *, production: bool, says: bool) -> None:
    """SES refuses changes there; the message repeats no address."""
    ses.refuse("put_suppressed_destination", "BadRequestException", f"{ADDRESS} cannot be added")
    ses.production(access=production)

    with pytest.raises(NotAvailable) as refused:
        ses.list.add(ADDRESS)
    assert says == ("the account is in the sandbox" in str(refused.value))
    assert ADDRESS not in str(refused.value)


def test_it_asks_again_if_it_was_too_fast(ses: Setup) -> None:
    """SES allows one such call a second."""
    ses.refuse("delete_suppressed_destination", "TooManyRequestsException")
    ses.stub.add_response("delete_suppressed_destination", {}, {"EmailAddress": ADDRESS})

    assert ses.list.remove(ADDRESS)
    assert 1 == len(ses.slept)


def test_it_does_not_ask_for_ever(ses: Setup) -> None:
    """After some tries it gives up."""
    for _ in range(5):
        ses.refuse("delete_suppressed_destination", "TooManyRequestsException")
    ses.production(access=True)

    with pytest.raises(NotAvailable, match="TooManyRequestsException"):
        ses.list.remove(ADDRESS)
    assert 4 == len(ses.slept)


def test_without_a_region_it_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the doctor does."""
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/none")

    with pytest.raises(NotAvailable, match=r"[a-z]; set AWS_REGION or AWS_DEFAULT_REGION"):
        account_list()


def test_a_client_that_cannot_ask_says_so_in_one_sentence(ses: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client's own sentence may end with a full stop."""

    class WithoutCredentials(BotoCoreError):
        fmt = "Unable to locate credentials."

    def ask(**_: object) -> None:
        raise WithoutCredentials

    monkeypatch.setattr(ses.list._client, "get_suppressed_destination", ask)

    with pytest.raises(NotAvailable, match="credentials; set AWS_REGION"):
        ses.list.find(ADDRESS)
