"""The local SQS and the local SES as processes: events through a real queue."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import boto3
import httpx
import pytest

from deploy.local.ports import free_ports
from deploy.local.sqs.names import CREDENTIALS, DEAD_LETTER_QUEUE, REGION, endpoint, queue_url
from tests.unit.deploy.local.event_queues import event_in
from tests.unit.deploy.local.ses_client import boto3_client, email
from tests.waiting import until

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient


@contextmanager
def program(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run a module of Python, and kill it at the end."""
    command = [sys.executable, "-m", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture(name="port", scope="module")
def _port() -> Iterator[int]:
    """Run a local SQS, and return its port."""
    (port,) = free_ports(1)
    with program("deploy.local.sqs", "--port", str(port)):
        yield port


@pytest.fixture(name="sqs")
async def _sqs(port: int) -> SQSClient:
    """Return a client of the local SQS once it answers."""

    def answers() -> bool:
        try:
            return httpx.get(f"{endpoint(port)}/moto-api/", trust_env=False).is_success
        except httpx.TransportError:
            return False

    await until(answers, within=30, what="the local SQS")
    return boto3.client(
        "sqs",
        endpoint_url=endpoint(port),
        region_name=REGION,
        aws_access_key_id=CREDENTIALS,
        aws_secret_access_key=CREDENTIALS,
    )


def receive(sqs: SQSClient, port: int) -> list[dict[str, Any]]:
    """Receive messages, delete them, and return the events in them."""
    url = queue_url(port)
    messages = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=1).get("Messages", [])
    if messages:
        entries = [{"Id": str(n), "ReceiptHandle": one["ReceiptHandle"]} for n, one in enumerate(messages)]
        assert not sqs.delete_message_batch(QueueUrl=url, Entries=entries).get("Failed")  # type: ignore[arg-type]  # a list of what it takes
    return [record for record in (event_in(message["Body"]) for message in messages) if record is not None]


def test_the_queue_has_a_dead_letter_queue(sqs: SQSClient, port: int) -> None:
    """Both queues exist as soon as the local SQS answers, and the first leads to the second."""
    attributes = sqs.get_queue_attributes(QueueUrl=queue_url(port), AttributeNames=["All"])["Attributes"]
    dead = sqs.get_queue_attributes(QueueUrl=queue_url(port, DEAD_LETTER_QUEUE), AttributeNames=["QueueArn"])

    redrive = json.loads(attributes["RedrivePolicy"])

    assert dead["Attributes"]["QueueArn"] == redrive["deadLetterTargetArn"]
    assert 5 == redrive["maxReceiveCount"]


async def test_events_arrive_in_the_queue(sqs: SQSClient, port: int) -> None:
    """An accepted mail gives a Send and a Delivery event that boto3 reads from the queue."""
    with program("deploy.local.ses", "--port", "0", "--events-queue", queue_url(port)) as process:
        assert process.stdout
        ses = boto3_client(process.stdout.readline().split()[-1])
        message_id = ses.send_email(**email(ConfigurationSetName="notices"))["MessageId"]
        ses.close()
        found: list[dict[str, Any]] = []

        def complete() -> bool:
            found.extend(receive(sqs, port))
            return len(found) >= 2

        await until(complete, what="both events")

    assert [("Send", message_id), ("Delivery", message_id)] == [
        (record["eventType"], record["mail"]["messageId"]) for record in found
    ]
