"""What becomes of accepted mails: events as SES publishes them, states, and simulated faults of events."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from deploy.local.ses.app import create_app
from deploy.local.ses.faults import Faults
from deploy.local.ses.server import running
from deploy.local.sqs.names import ACCOUNT, TOPIC_ARN
from tests.unit.deploy.local.event_queues import FakeQueue
from tests.unit.deploy.local.ses_client import DISPATCH_ID, LocalSesClient, boto3_client
from tests.waiting import until

SET = "notices"


@contextmanager
def publishing(queue: FakeQueue | None) -> Iterator[LocalSesClient]:
    """Run a local SES that publishes to *queue*, and at once."""
    app = create_app(queue=queue, faults=Faults(outcome_seconds=0))
    with running(app) as address, httpx.Client(base_url=address, timeout=5) as http:
        ses = boto3_client(address)
        yield LocalSesClient(address, ses, http)
        ses.close()


@pytest.fixture(name="queue")
def _queue() -> FakeQueue:
    return FakeQueue()


@pytest.fixture(name="ses")
def _ses(queue: FakeQueue) -> Iterator[LocalSesClient]:
    with publishing(queue) as ses:
        yield ses


def send(ses: LocalSesClient, **changes: Any) -> str:
    """Send an e-mail with a configuration set, and return its message id."""
    return ses.send(**{"ConfigurationSetName": SET, **changes})


def report(ses: LocalSesClient, message_id: str, name: object) -> httpx.Response:
    """Report an outcome of a mail."""
    return ses.http.post(f"/admin/mails/{message_id}/reports", json={"report": name})


async def events(queue: FakeQueue, count: int) -> list[dict[str, Any]]:
    """Wait for that many events, and return them."""
    await until(lambda: len(queue.records()) >= count, what=f"{count} events")
    return queue.records()


class TestRecords:
    """The shape of events."""

    async def test_send_and_delivery(self, ses: LocalSesClient, queue: FakeQueue) -> None:
        """An ordinary address gets a Send, then a Delivery, with the mail's tags and the configuration set."""
        message_id = send(ses, headers=[{"Name": "Auto-Submitted", "Value": "auto-generated"}])

        sent, delivered = await events(queue, 2)

        assert ("Send", {}) == (sent["eventType"], sent["send"])
        assert "Delivery" == delivered["eventType"]
        assert ["mentor-042@example.com"] == delivered["delivery"]["recipients"]
        assert sent["mail"] == delivered["mail"]
        mail = sent["mail"]
        assert (message_id, ACCOUNT) == (mail["messageId"], mail["sendingAccountId"])
        assert ["mentor-042@example.com"] == mail["destination"]
        assert [DISPATCH_ID] == mail["tags"]["dispatch_id"]
        assert [SET] == mail["tags"]["ses:configuration-set"]
        assert {"name": "Auto-Submitted", "value": "auto-generated"} in mail["headers"]
        assert "Your pause has begun" == mail["commonHeaders"]["subject"]
        assert ses.mail(message_id)["accepted_at"] == mail["timestamp"]

    async def test_envelope_is_that_of_sns(self, ses: LocalSesClient, queue: FakeQueue) -> None:
        """A message is SNS's envelope; the first one has a line of text, as a new destination has."""
        send(ses)
        await events(queue, 2)

        first, second, *_ = [json.loads(message) for message in queue.messages]

        assert "Successfully validated SNS topic for Amazon SES event publishing." == first["Message"]
        assert ("Notification", TOPIC_ARN) == (second["Type"], second["TopicArn"])
        assert {"MessageId", "Timestamp", "SignatureVersion", "Signature", "SigningCertURL"} < set(second)

    @pytest.mark.parametrize(
        ("name", "types", "state"),
        [
            ("success", ["Send", "Delivery"], "delivered"),
            ("bounce", ["Send", "Bounce"], "bounced"),
            ("softbounce", ["Send", "Bounce"], "bounced"),
            ("complaint", ["Send", "Delivery", "Complaint"], "complained"),
            ("ooto", ["Send", "Delivery", "Bounce"], "delivered"),
            ("suppressionlist", ["Send", "Bounce"], "bounced"),
        ],
    )
    @pytest.mark.parametrize("address", ["{}@simulator.amazonses.com", "{}+mentor-051@example.org"])
    async def test_names_of_the_simulator(
        self, ses: LocalSesClient, queue: FakeQueue, address: str, name: str, types: list[str], state: str
    ) -> None:
        """A name of the simulator has its outcome at any domain, with or without a label; the mail has that state."""
        message_id = send(ses, to=address.format(name))

        await events(queue, len(types))

        assert types == queue.types()
        assert state == ses.mail(message_id)["state"]

    @pytest.mark.parametrize(
        ("name", "expected"),
        [
            ("bounce", ("Permanent", "General", "failed", "5.1.1", "smtp; 550 5.1.1 user unknown")),
            ("softbounce", ("Transient", "MailboxFull", "failed", "5.2.2", "smtp; 552 5.2.2 mailbox full")),
            ("ooto", ("Transient", "General", None, None, None)),
        ],
    )
    async def test_bounces(
        self, ses: LocalSesClient, queue: FakeQueue, name: str, expected: tuple[str | None, ...]
    ) -> None:
        """A bounce has its types and the status of its recipient; an out-of-office reply has no status."""
        send(ses, to=f"{name}@example.org")
        await until(lambda: "Bounce" in queue.types(), what="the bounce")

        bounce = queue.records()[-1]["bounce"]
        recipient = bounce["bouncedRecipients"][0]

        said = (recipient.get("action"), recipient.get("status"), recipient.get("diagnosticCode"))
        assert expected == (bounce["bounceType"], bounce["bounceSubType"], *said)
        assert f"{name}@example.org" == recipient["emailAddress"]
        assert 60 == len(bounce["feedbackId"])

    async def test_complaint(self, ses: LocalSesClient, queue: FakeQueue) -> None:
        """A complaint is one of abuse."""
        send(ses, to="complaint@example.org")
        *_, complained = await events(queue, 3)

        complaint = complained["complaint"]

        assert ("abuse", None) == (complaint["complaintFeedbackType"], complaint["complaintSubType"])
        assert [{"emailAddress": "complaint@example.org"}] == complaint["complainedRecipients"]

    async def test_one_record_covers_recipients_that_fare_alike(self, ses: LocalSesClient, queue: FakeQueue) -> None:
        """A mail to several recipients has a report for each outcome, with all of its recipients."""
        send(ses, Destination={"ToAddresses": ["a@b.org", "bounce@b.org", "c@b.org"]})

        records = await events(queue, 3)

        found = {record["eventType"]: record for record in records}
        assert ["a@b.org", "c@b.org"] == found["Delivery"]["delivery"]["recipients"]
        assert 1 == len(found["Bounce"]["bounce"]["bouncedRecipients"])

    async def test_long_headers_are_cut(self, ses: LocalSesClient, queue: FakeQueue) -> None:
        """Headers of more than 10 KB are cut, and the record has a mark."""
        send(ses, headers=[{"Name": f"X{number}", "Value": "v" * 990} for number in range(15)])

        mail = (await events(queue, 1))[0]["mail"]

        assert mail["headersTruncated"]
        assert len(json.dumps(mail["headers"])) < 12_000

    @pytest.mark.parametrize(
        ("name", "event_type", "member"),
        [
            ("delay", "DeliveryDelay", "deliveryDelay"),
            ("reject", "Reject", "reject"),
            ("rendering_failure", "Rendering Failure", "failure"),
            ("send", "Send", "send"),
        ],
    )
    async def test_other_reports(
        self, ses: LocalSesClient, queue: FakeQueue, name: str, event_type: str, member: str
    ) -> None:
        """The other kinds come on demand, each with its own part of the record."""
        report(ses, send(ses), name).raise_for_status()

        last = (await events(queue, 3))[-1]

        assert event_type == last["eventType"]
        assert member in last


class TestDestinations:
    """Where events go, as SES describes it."""

    def test_a_configuration_set_leads_to_the_topic(self, ses: LocalSesClient) -> None:
        """With a queue each configuration set has an enabled destination for all events."""
        found = ses.ses.get_configuration_set_event_destinations(ConfigurationSetName=SET)["EventDestinations"]

        assert [(True, TOPIC_ARN)] == [(one["Enabled"], one["SnsDestination"]["TopicArn"]) for one in found]
        assert {"SEND", "DELIVERY", "BOUNCE", "RENDERING_FAILURE"} < set(found[0]["MatchingEventTypes"])

    def test_an_unknown_configuration_set_is_not_found(self, ses: LocalSesClient) -> None:
        """A configuration set that does not exist is a NotFoundException."""
        ses.set_faults(configuration_sets=["other"])

        with pytest.raises(ses.ses.exceptions.NotFoundException):
            ses.ses.get_configuration_set_event_destinations(ConfigurationSetName=SET)

    def test_without_a_queue_there_is_none(self) -> None:
        """Without a queue a configuration set has no destination."""
        with publishing(None) as ses:
            found = ses.ses.get_configuration_set_event_destinations(ConfigurationSetName=SET)

        assert [] == found["EventDestinations"]


class TestReports:
    """Reports on demand, and the state of a mail."""

    async def test_state_is_the_most_severe(self, ses: LocalSesClient, queue: FakeQueue) -> None:
        """A later report of less weight changes nothing."""
        message_id = send(ses)
        await events(queue, 2)

        states = [report(ses, message_id, name).json()["state"] for name in ("delay", "bounce", "delivery")]

        assert ["delivered", "bounced", "bounced"] == states
        assert ["bounced"] == [mail["state"] for mail in ses.mails()]
        details = [entry["detail"] for entry in ses.mail(message_id)["reports"]]
        assert [None, "TransientCommunicationFailure", "Permanent/General", None] == details

    def test_without_a_configuration_set_nothing_is_published(self, ses: LocalSesClient, queue: FakeQueue) -> None:
        """A mail without a configuration set stays accepted; a report shows on the page only."""
        message_id = ses.send()
        before = ses.mail(message_id)["state"]

        answer = report(ses, message_id, "complaint").json()

        assert "accepted" == before
        assert {"state": "complained", "published": False} == answer
        assert [] == queue.records()

    async def test_without_a_queue_mails_have_states(self) -> None:
        """Without a queue nothing is published, and the page shows what becomes of a mail."""
        with publishing(None) as ses:
            message_id = send(ses, to="bounce@example.org")

            await until(lambda: ses.mail(message_id)["state"] == "bounced", what="the bounce")

            assert {"state": "complained", "published": False} == report(ses, message_id, "complaint").json()

    @pytest.mark.parametrize("body", [{}, {"report": "spam"}, {"report": None}, {"report": "bounce", "at": 1}])
    def test_refuses_what_is_no_report(self, ses: LocalSesClient, body: dict[str, Any]) -> None:
        """An unknown report gets 422 and the names of all."""
        answer = ses.http.post(f"/admin/mails/{send(ses)}/reports", json=body)

        assert 422 == answer.status_code
        assert "complaint" in answer.json()["message"]

    def test_reports_of_a_mail_are_bounded(self, ses: LocalSesClient) -> None:
        """A mail takes a limited number of reports, and a mail that is not kept takes none."""
        message_id = ses.send()

        statuses = [report(ses, message_id, "delivery").status_code for _ in range(21)]

        assert [200] * 20 + [409] == statuses
        assert 404 == report(ses, "unknown", "delivery").status_code
        assert 405 == ses.http.get(f"/admin/mails/{message_id}/reports").status_code


class TestFaults:
    """Delay, copies, disorder and loss of events."""

    async def test_lost_events(self, ses: LocalSesClient, queue: FakeQueue) -> None:
        """A lost event is not published; the mail has its state nevertheless."""
        ses.set_faults(event_loss_share=1)
        message_id = send(ses, to="bounce@example.org")

        await until(lambda: ses.mail(message_id)["state"] == "bounced", what="the bounce")

        assert [] == queue.records()
        assert 2 == ses.stats()["events"]["lost"]

    async def test_duplicated_events(self, ses: LocalSesClient, queue: FakeQueue) -> None:
        """Both copies of an event are the same SNS notification."""
        ses.set_faults(event_duplicate_share=1)
        send(ses)

        await events(queue, 4)

        notifications = [json.loads(message)["MessageId"] for message in queue.messages[1:]]
        assert 4 == len(notifications)
        assert 2 == len(set(notifications))
        numbers = ses.stats()["events"]
        assert (2, 0, 0) == (numbers["duplicated"], numbers["lost"], numbers["dropped"])
        await until(lambda: ses.stats()["events"]["sent"] == 5, what="the count of four events and the first line")

    async def test_delayed_events(self, ses: LocalSesClient, queue: FakeQueue) -> None:
        """A delayed event waits, without delaying the mail's state or the answer to another mail."""
        ses.set_faults(event_delay_seconds=600)
        message_id = send(ses)

        await until(lambda: ses.mail(message_id)["state"] == "delivered", what="the delivery")

        assert [] == queue.records()
        assert 2 == ses.stats()["events"]["waiting"]

    async def test_events_out_of_order(self, ses: LocalSesClient, queue: FakeQueue) -> None:
        """Events that are held back are published after later ones."""
        ses.set_faults(event_disorder_share=1, event_disorder_seconds=0.2, seed=1)
        ids = [send(ses) for _ in range(20)]

        records = await events(queue, 40)

        assert [(sent, kind) for sent in ids for kind in ("Send", "Delivery")] != [
            (record["mail"]["messageId"], record["eventType"]) for record in records
        ]
        assert set(ids) == {record["mail"]["messageId"] for record in records}

    async def test_queue_that_is_away(self, ses: LocalSesClient, queue: FakeQueue) -> None:
        """Events wait for a queue that is away, and arrive when it is back."""
        queue.away = True
        send(ses)
        await until(lambda: ses.stats()["events"]["waiting"] >= 2, what="waiting events")

        queue.away = False

        assert ["Send", "Delivery"] == [record["eventType"] for record in await events(queue, 2)]

    async def test_a_slow_queue_delays_no_answer(self, ses: LocalSesClient, queue: FakeQueue) -> None:
        """While the queue blocks, mails are accepted and answered."""
        queue.open.clear()
        try:
            ids = [send(ses) for _ in range(5)]
        finally:
            queue.open.set()

        assert 5 == len(set(ids))
        assert 10 == len(await events(queue, 10))
