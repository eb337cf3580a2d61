"""The local SQS: what boto3 sees of it and of moto's is the same, and events arrive in it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx
import pytest
from botocore.exceptions import ClientError
from moto.server import ThreadedMotoServer

from deploy.local.sqs.names import ACCOUNT, DEAD_LETTER_QUEUE, REGION, endpoint, queue_url
from deploy.local.sqs.queue import Full, Queue
from tests.unit.deploy.local.event_queues import event_in
from tests.unit.deploy.local.ses_client import boto3_client, email
from tests.unit.deploy.local.sqs_programs import local_sqs, program, sqs_client
from tests.waiting import until

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient


@pytest.fixture(name="port", scope="module")
def _port() -> Iterator[int]:
    """Run a local SQS, and return its port."""
    with local_sqs() as port:
        yield port


class Sqs:
    """The queue of events and its dead-letter queue, of one server."""

    def __init__(self, client: SQSClient, url: str, dead_letters: str) -> None:
        self.client = client
        self.url = url
        self.dead_letters = dead_letters

    def send(self, *bodies: str) -> None:
        """Send messages in one batch."""
        entries: Any = [{"Id": str(number), "MessageBody": body} for number, body in enumerate(bodies)]
        assert len(bodies) == len(self.client.send_message_batch(QueueUrl=self.url, Entries=entries)["Successful"])

    def receive(self, *, of: str | None = None, **arguments: Any) -> list[Any]:
        """Receive up to ten messages."""
        return self.client.receive_message(
            QueueUrl=of or self.url,
            MaxNumberOfMessages=10,
            MessageSystemAttributeNames=["ApproximateReceiveCount", "SentTimestamp"],
            **arguments,
        ).get("Messages", [])

    def show(self, message: Any) -> None:
        """End a message's invisibility."""
        self.client.change_message_visibility(
            QueueUrl=self.url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0
        )


@pytest.fixture(name="local", scope="module")
def _local(port: int) -> Iterator[Sqs]:
    client = sqs_client(endpoint(port))
    yield Sqs(client, queue_url(port), queue_url(port, DEAD_LETTER_QUEUE))
    client.close()


@pytest.fixture(name="moto", scope="module")
def _moto() -> Iterator[SQSClient]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    client = sqs_client(f"http://{host}:{port}")
    yield client
    client.close()
    server.stop()


@pytest.fixture(name="sqs", params=["local", "moto"])
def _sqs(request: pytest.FixtureRequest) -> Sqs:
    """Return each server in turn, with empty queues; moto purges none twice in a minute."""
    if request.param == "local":
        return emptied(request.getfixturevalue("local"))
    client, name = request.getfixturevalue("moto"), uuid4().hex
    dead_letters = client.create_queue(QueueName=f"{name}-dead-letters")["QueueUrl"]
    redrive = {"deadLetterTargetArn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}-dead-letters", "maxReceiveCount": 5}
    url = client.create_queue(QueueName=name, Attributes={"RedrivePolicy": json.dumps(redrive)})["QueueUrl"]
    return Sqs(client, url, dead_letters)


def emptied(sqs: Sqs) -> Sqs:
    """Return it without messages."""
    for url in (sqs.url, sqs.dead_letters):
        sqs.client.purge_queue(QueueUrl=url)
    return sqs


class TestOperations:
    """What boto3 sees."""

    def test_received_messages_are_hidden_until_deleted(self, sqs: Sqs) -> None:
        """Messages come in order, once, with their bodies and numbers of receives."""
        sqs.send("first", "zweite ü")

        found = sqs.receive()

        assert ["first", "zweite ü"] == [message["Body"] for message in found]
        assert ["1", "1"] == [message["Attributes"]["ApproximateReceiveCount"] for message in found]
        assert int(found[0]["Attributes"]["SentTimestamp"]) > 1_700_000_000_000
        assert [] == sqs.receive()

    def test_a_message_that_is_not_deleted_comes_again(self, sqs: Sqs) -> None:
        """It comes again when its time of invisibility ends, and counts."""
        sqs.send("message")
        sqs.show(sqs.receive()[0])

        again = sqs.receive(WaitTimeSeconds=5)

        assert [("message", "2")] == [(one["Body"], one["Attributes"]["ApproximateReceiveCount"]) for one in again]

    def test_a_short_time_of_invisibility_ends_a_long_wait(self, sqs: Sqs) -> None:
        """A receiver that waits gets a message as soon as it is visible again."""
        sqs.send("message")
        sqs.receive(VisibilityTimeout=1)

        assert ["message"] == [message["Body"] for message in sqs.receive(WaitTimeSeconds=10)]

    def test_deleted_messages_are_gone(self, sqs: Sqs) -> None:
        """A deleted message does not come again, and to delete it twice is no error."""
        sqs.send("first", "second")
        found = sqs.receive()
        entries: Any = [{"Id": str(n), "ReceiptHandle": one["ReceiptHandle"]} for n, one in enumerate(found)]

        answers = [sqs.client.delete_message_batch(QueueUrl=sqs.url, Entries=entries) for _ in range(2)]
        sqs.client.delete_message(QueueUrl=sqs.url, ReceiptHandle=found[0]["ReceiptHandle"])

        assert [[], []] == [answer.get("Failed", []) for answer in answers]
        assert [2, 2] == [len(answer["Successful"]) for answer in answers]
        assert [] == sqs.receive()

    def test_poison_becomes_a_dead_letter(self, sqs: Sqs) -> None:
        """After five receives a message is in the dead-letter queue."""
        sqs.send("poison")
        for _ in range(5):
            sqs.show(sqs.receive()[0])

        assert [] == sqs.receive()
        assert ["poison"] == [message["Body"] for message in sqs.receive(of=sqs.dead_letters)]

    def test_a_receiver_that_waits_gets_the_next_message(self, sqs: Sqs) -> None:
        """A long poll ends with the first message."""
        with ThreadPoolExecutor(1) as threads:
            waiting = threads.submit(sqs.receive, WaitTimeSeconds=20)
            sqs.send("message")

            assert ["message"] == [message["Body"] for message in waiting.result(10)]

    def test_attributes(self, sqs: Sqs) -> None:
        """The queue has its numbers, and leads to its dead-letter queue."""
        sqs.send("first", "second", "third")
        sqs.client.receive_message(QueueUrl=sqs.url)

        found = sqs.client.get_queue_attributes(QueueUrl=sqs.url, AttributeNames=["All"])["Attributes"]

        assert ("2", "1") == (found["ApproximateNumberOfMessages"], found["ApproximateNumberOfMessagesNotVisible"])
        redrive = json.loads(found["RedrivePolicy"])
        assert (f"arn:aws:sqs:{REGION}:{ACCOUNT}:{sqs.dead_letters.rpartition('/')[2]}", 5) == (
            redrive["deadLetterTargetArn"],
            redrive["maxReceiveCount"],
        )

    def test_an_unknown_queue_is_an_error(self, sqs: Sqs) -> None:
        """A queue that does not exist is boto3's QueueDoesNotExist."""
        with pytest.raises(sqs.client.exceptions.QueueDoesNotExist):
            sqs.client.receive_message(QueueUrl=f"{sqs.url}-not")

    @pytest.mark.parametrize("count", [0, 11])
    def test_a_batch_has_one_to_ten_entries(self, sqs: Sqs, count: int) -> None:
        """Another number of entries is an error."""
        with pytest.raises(ClientError, match=r"EmptyBatchRequest|TooManyEntriesInBatchRequest"):
            sqs.send(*["message"] * count)


def test_a_receiver_that_is_gone_receives_nothing(port: int, local: Sqs) -> None:
    """A message goes to nobody whose connection is closed, so that a killed replica holds none."""
    sqs = emptied(local)
    headers = {"X-Amz-Target": "AmazonSQS.ReceiveMessage"}
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(endpoint(port), json={"QueueUrl": sqs.url, "WaitTimeSeconds": 20}, headers=headers, timeout=0.2)

    sqs.send("message")

    assert ["1"] == [one["Attributes"]["ApproximateReceiveCount"] for one in sqs.receive(WaitTimeSeconds=5)]


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"QueueUrl": 3}', b"\xff"])
@pytest.mark.parametrize("operation", ["ReceiveMessage", "SendMessageBatch", "Unknown"])
def test_other_requests_are_refused(port: int, operation: str, body: bytes) -> None:
    """What boto3 would not send is an error, not a crash."""
    answer = httpx.post(endpoint(port), content=body, headers={"X-Amz-Target": f"AmazonSQS.{operation}"})

    assert 400 == answer.status_code
    assert answer.json()["__type"]


class TestQueue:
    """The queue itself, with a clock that stands still."""

    def test_is_bounded(self) -> None:
        """A message that finds no place is refused, and deleting one makes room."""
        queue = Queue(lambda: 0, most=1)
        queue.put("first")

        with pytest.raises(Full):
            queue.put("second")
        queue.delete(queue.receive(1, visibility=30)[0].receipt)

        assert "third" == queue.put("third").body

    def test_hidden_until_the_last_word(self) -> None:
        """Of several times of invisibility the last one counts."""
        now = [0.0]
        queue = Queue(lambda: now[0])
        queue.put("message")
        receipt = queue.receive(1, visibility=30)[0].receipt
        queue.hide(receipt, 60)

        now[0] = 30
        early = queue.receive(1, visibility=30)
        now[0] = 60

        assert ([], 1) == (early, len(queue.receive(1, visibility=30)))

    def test_only_what_was_received_can_be_hidden(self) -> None:
        """A visible or a deleted message is not in flight."""
        queue = Queue(lambda: 0)
        message = queue.put("message")
        visible = queue.hide(message.receipt, 30)
        queue.delete(queue.receive(1, visibility=30)[0].receipt)

        assert (False, False) == (visible, queue.hide(message.receipt, 30))
        assert (0, 0) == queue.counts()


async def test_events_arrive_in_the_queue(port: int, local: Sqs) -> None:
    """An accepted mail gives a Send and a Delivery event that boto3 reads from the queue."""
    sqs = emptied(local)
    found: list[dict[str, Any]] = []

    def complete() -> bool:
        events = [event_in(message["Body"]) for message in sqs.receive(WaitTimeSeconds=1)]
        found.extend(event for event in events if event is not None)
        return len(found) >= 2

    with program("deploy.local.ses", "--port", "0", "--events-queue", queue_url(port)) as process:
        assert process.stdout
        ses = boto3_client(process.stdout.readline().split()[-1])
        message_id = ses.send_email(**email(ConfigurationSetName="notices"))["MessageId"]
        ses.close()
        await until(complete, within=20, what="both events")

    assert [("Send", message_id), ("Delivery", message_id)] == [
        (record["eventType"], record["mail"]["messageId"]) for record in found
    ]


def test_another_queue_can_be_created(local: Sqs) -> None:
    """A run of tests has a queue of its own; creating it again finds it."""
    urls = {local.client.create_queue(QueueName="own")["QueueUrl"] for _ in range(2)}
    (url,) = urls
    local.client.send_message(QueueUrl=url, MessageBody="here")

    assert ["here"] == [message["Body"] for message in local.receive(of=url)]


def test_a_queue_with_a_wrong_name_is_refused(local: Sqs) -> None:
    """As SQS refuses it."""
    with pytest.raises(ClientError):
        local.client.create_queue(QueueName="no name")
