"""The account's suppression list of the local SES, with boto3."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from botocore.exceptions import ClientError

from deploy.local.ses.app import create_app
from deploy.local.ses.faults import Faults
from deploy.local.ses.server import running
from deploy.local.ses.suppression_list import SuppressionList
from tests.unit.deploy.local.event_queues import FakeQueue
from tests.unit.deploy.local.ses_client import LocalSesClient, boto3_client
from tests.waiting import until

START = datetime(2026, 3, 1, tzinfo=UTC)
ADDRESS = "Ada+notices@example.org"


class Clock:
    """A clock that goes on by a day at each call of `next_day`."""

    def __init__(self) -> None:
        self.now = START.timestamp()

    def __call__(self) -> float:
        """Return the time in seconds since the epoch."""
        return self.now

    def next_day(self) -> None:
        """Go on by a day."""
        self.now += timedelta(days=1).total_seconds()


@pytest.fixture(name="clock")
def _clock() -> Clock:
    return Clock()


@pytest.fixture(name="queue")
def _queue() -> FakeQueue:
    return FakeQueue()


@pytest.fixture(name="ses")
def _ses(clock: Clock, queue: FakeQueue) -> Iterator[LocalSesClient]:
    """Run a local SES with an empty list."""
    app = create_app(clock=clock, queue=queue, faults=Faults(outcome_seconds=0))
    with running(app) as address, httpx.Client(base_url=address, timeout=5) as http:
        ses = boto3_client(address)
        yield LocalSesClient(address, ses, http)
        ses.close()


def listed(ses: LocalSesClient, **query: Any) -> list[str]:
    """Return the addresses on the list."""
    return [
        entry["EmailAddress"]
        for entry in ses.ses.list_suppressed_destinations(**query)["SuppressedDestinationSummaries"]
    ]


class TestOperations:
    """Put, get, list and delete."""

    def test_put_and_get(self, ses: LocalSesClient) -> None:
        """An address that a person adds has a reason and a time, and no mail that caused it."""
        ses.ses.put_suppressed_destination(EmailAddress=ADDRESS, Reason="COMPLAINT")

        found = ses.ses.get_suppressed_destination(EmailAddress=ADDRESS.lower())["SuppressedDestination"]

        assert {"EmailAddress": ADDRESS, "Reason": "COMPLAINT", "LastUpdateTime": START} == found

    def test_delete(self, ses: LocalSesClient) -> None:
        """A deleted address is not on the list."""
        ses.ses.put_suppressed_destination(EmailAddress=ADDRESS, Reason="BOUNCE")

        ses.ses.delete_suppressed_destination(EmailAddress=ADDRESS)

        assert [] == listed(ses)

    @pytest.mark.parametrize("name", ["get_suppressed_destination", "delete_suppressed_destination"])
    def test_an_unknown_address_is_not_found(self, ses: LocalSesClient, name: str) -> None:
        """An address that is not on the list is a NotFoundException."""
        with pytest.raises(ses.ses.exceptions.NotFoundException, match="does not exist on your suppression list"):
            getattr(ses.ses, name)(EmailAddress=ADDRESS)

    def test_list_by_reason_and_time(self, ses: LocalSesClient, clock: Clock) -> None:
        """The list can be narrowed by reasons, start and end."""
        reasons: list[tuple[str, Any]] = [("a", "BOUNCE"), ("b", "COMPLAINT"), ("c", "BOUNCE")]
        for name, reason in reasons:
            ses.ses.put_suppressed_destination(EmailAddress=f"{name}@example.org", Reason=reason)
            clock.next_day()

        second_day = START + timedelta(hours=12)

        assert ["a@example.org", "c@example.org"] == listed(ses, Reasons=["BOUNCE"])
        assert ["b@example.org", "c@example.org"] == listed(ses, StartDate=second_day)
        assert ["a@example.org"] == listed(ses, EndDate=second_day)
        assert 3 == len(listed(ses, Reasons=["BOUNCE", "COMPLAINT"]))

    def test_list_by_pages(self, ses: LocalSesClient) -> None:
        """The pages have each address once, also if one is deleted between two pages."""
        addresses = [f"{number}@example.org" for number in range(5)]
        for address in addresses:
            ses.ses.put_suppressed_destination(EmailAddress=address, Reason="BOUNCE")

        found: list[str] = []
        token: dict[str, Any] = {}
        while True:
            page = ses.ses.list_suppressed_destinations(PageSize=2, **token)
            found += [entry["EmailAddress"] for entry in page["SuppressedDestinationSummaries"]]
            if "NextToken" not in page:
                break
            token = {"NextToken": page["NextToken"]}
            if len(found) == 2:
                ses.ses.delete_suppressed_destination(EmailAddress=found[0])

        assert addresses == found

    @pytest.mark.parametrize("query", [{"PageSize": 0}, {"PageSize": 1001}, {"NextToken": "?"}, {"Reasons": ["SPAM"]}])
    def test_refuses_invalid_queries(self, ses: LocalSesClient, query: dict[str, Any]) -> None:
        """A page size, a token or a reason that SES does not know is a BadRequestException."""
        with pytest.raises(ses.ses.exceptions.BadRequestException):
            ses.ses.list_suppressed_destinations(**query)

    @pytest.mark.parametrize("address", ["no at sign", "jörg@example.com"])
    def test_refuses_what_is_no_address(self, ses: LocalSesClient, address: str) -> None:
        """An invalid address is a BadRequestException."""
        with pytest.raises(ses.ses.exceptions.BadRequestException):
            ses.ses.put_suppressed_destination(EmailAddress=address, Reason="BOUNCE")

    def test_refuses_changes_in_the_sandbox(self, ses: LocalSesClient) -> None:
        """In the sandbox nothing can be added."""
        ses.set_faults(sandbox=True)

        with pytest.raises(ses.ses.exceptions.BadRequestException, match="sandbox"):
            ses.ses.put_suppressed_destination(EmailAddress=ADDRESS, Reason="BOUNCE")

    @pytest.mark.parametrize(
        ("method", "path"), [("PUT", "/a@b.org"), ("POST", ""), ("DELETE", ""), ("GET", "?StartDate=x")]
    )
    def test_refuses_other_requests(self, ses: LocalSesClient, method: str, path: str) -> None:
        """A method that no operation has, or a query that is none, is an error of SES."""
        answer = ses.http.request(method, f"/v2/email/suppression/addresses{path}")

        assert answer.headers["x-amzn-errortype"] in {"UnknownOperationException", "BadRequestException"}

    def test_is_bounded(self) -> None:
        """The list has a limited number of entries: the oldest is removed for a new one."""
        suppressions = SuppressionList(most=2)
        for name in ("a", "b", "a", "c"):
            suppressions.add(f"{name}@example.org", "BOUNCE", 0)

        assert [True, False, True] == [suppressions.holds(f"{name}@example.org") for name in ("a", "b", "c")]


class TestSuppression:
    """What the list does to mails, and mails to the list."""

    async def test_mail_to_an_address_on_the_list_bounces(self, ses: LocalSesClient, queue: FakeQueue) -> None:
        """It is accepted, and bounces because of the list; the entry stays as it is."""
        ses.ses.put_suppressed_destination(EmailAddress=ADDRESS, Reason="COMPLAINT")

        message_id = ses.send(to=ADDRESS.lower(), ConfigurationSetName="notices")
        await until(lambda: len(queue.records()) == 2, what="Send and Bounce")

        bounce = queue.records()[1]["bounce"]
        assert ("Permanent", "OnAccountSuppressionList") == (bounce["bounceType"], bounce["bounceSubType"])
        assert "bounced" == ses.mail(message_id)["state"]
        assert (
            "COMPLAINT" == ses.ses.get_suppressed_destination(EmailAddress=ADDRESS)["SuppressedDestination"]["Reason"]
        )

    @pytest.mark.parametrize(("name", "reason"), [("bounce", "BOUNCE"), ("complaint", "COMPLAINT")])
    def test_bounce_or_complaint_adds_an_ordinary_address(self, ses: LocalSesClient, name: str, reason: str) -> None:
        """The entry has the mail that caused it."""
        message_id = ses.send(to=ADDRESS)

        ses.http.post(f"/admin/mails/{message_id}/reports", json={"report": name}).raise_for_status()

        found = ses.ses.get_suppressed_destination(EmailAddress=ADDRESS)["SuppressedDestination"]
        assert (reason, message_id) == (found["Reason"], found["Attributes"]["MessageId"])
        assert found["Attributes"]["FeedbackId"]

    @pytest.mark.parametrize(
        ("to", "name"),
        [
            (ADDRESS, "soft_bounce"),
            (ADDRESS, "out_of_office"),
            (ADDRESS, "delivery"),
            ("bounce+x@example.org", "bounce"),
            ("complaint@simulator.amazonses.com", "complaint"),
        ],
    )
    def test_nothing_else_adds_an_address(self, ses: LocalSesClient, to: str, name: str) -> None:
        """Neither a soft bounce nor a name of the simulator adds an address."""
        message_id = ses.send(to=to)

        ses.http.post(f"/admin/mails/{message_id}/reports", json={"report": name}).raise_for_status()

        with pytest.raises(ClientError, match="NotFoundException"):
            ses.ses.get_suppressed_destination(EmailAddress=to)
