"""One suite over the queue in memory and over SQS as moto serves it: what is not deleted comes again."""

from __future__ import annotations

import socket
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto.server import ThreadedMotoServer

from consumers.feedback.queue import MOST_MESSAGES, EventQueue, Message, QueueUnavailable, SqsQueue, sqs_client
from runtime.clock import SystemClock
from tests.fakes.event_queue import FakeQueue


class Stage(ABC):
    """A queue, and its other end."""

    queue: EventQueue
    received: tuple[str, ...] = ()
    """What deletes the messages that were received last."""

    @abstractmethod
    def put(self, *bodies: str) -> None:
        """Put messages on the queue."""

    @abstractmethod
    def end_visibility(self) -> None:
        """Let what was received and not deleted come again."""


class InMemory(Stage):
    """The fake."""

    def __init__(self) -> None:
        self.queue: FakeQueue = FakeQueue()

    def put(self, *bodies: str) -> None:
        """Put messages on the queue."""
        self.queue.put(*bodies)

    def end_visibility(self) -> None:
        """Let what was received and not deleted come again."""
        self.queue.end_visibility()


class OverSqs(Stage):
    """SQS, whose visibility ends by the clock."""

    def __init__(self, client: Any, url: str) -> None:
        self.client = client
        self.url = url
        self.queue: SqsQueue = SqsQueue(client, url, SystemClock(), pollers=2)

    def put(self, *bodies: str) -> None:
        """Put messages on the queue."""
        for body in bodies:
            self.client.send_message(QueueUrl=self.url, MessageBody=body)

    def end_visibility(self) -> None:
        """Let what was received and not deleted come again: moto has no clock to move."""
        for receipt in self.received:
            with suppress(ClientError):  # it is deleted
                self.client.change_message_visibility(QueueUrl=self.url, ReceiptHandle=receipt, VisibilityTimeout=0)


@pytest.fixture(name="endpoint", scope="module")
def _endpoint() -> Iterator[str]:
    """Yield the address of moto's server."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(name="stage", params=["memory", "sqs"])
async def _stage(request: pytest.FixtureRequest, namespace: str) -> AsyncIterator[Stage]:
    """Yield each queue in turn."""
    if request.param == "memory":
        yield InMemory()
        return
    client = sqs_client(_session(), pollers=2, endpoint_url=request.getfixturevalue("endpoint"))
    url = client.create_queue(QueueName=namespace)["QueueUrl"]
    stage = OverSqs(client, url)
    yield stage
    await stage.queue.aclose(deadline=5)
    client.close()


def _session() -> boto3.Session:
    return boto3.Session(aws_access_key_id="test", aws_secret_access_key="test", region_name="us-east-1")  # noqa: S106 - nothing checks it


async def received(stage: Stage) -> list[Message]:
    """Receive once."""
    found = list(await stage.queue.receive())
    stage.received = tuple(message.receipt for message in found)
    return found


async def test_messages_come_in_batches(stage: Stage) -> None:
    """A call returns at most as many as the queue allows, with their bodies as they were put."""
    bodies = [f"message {number} ü" for number in range(MOST_MESSAGES + 2)]
    stage.put(*bodies)

    first, second = await received(stage), await received(stage)

    assert MOST_MESSAGES == len(first)
    assert sorted(bodies) == sorted(message.body for message in (*first, *second))


async def test_what_is_deleted_does_not_come_again(stage: Stage) -> None:
    """Of two messages the one that is not deleted comes again, and says how often it came."""
    stage.put("one", "two")
    (one, two) = sorted(await received(stage), key=lambda message: message.body)
    assert 0 == await stage.queue.delete([one])
    stage.end_visibility()

    (again,) = await received(stage)
    assert (two.id, "two", 2) == (again.id, again.body, again.receives)


async def test_sqs_that_is_away_is_an_error_of_its_own(endpoint: str) -> None:
    """No error of boto3 leaves the seam."""
    client = sqs_client(_session(), pollers=1, endpoint_url=endpoint)
    queue = SqsQueue(client, f"{endpoint}/123456789012/missing", SystemClock(), pollers=1)
    try:
        with pytest.raises(QueueUnavailable, match="Queue"):
            await queue.receive()
    finally:
        await queue.aclose(deadline=5)
        client.close()


async def test_a_call_that_hangs_ends() -> None:
    """A queue that takes the connection and says nothing is unavailable after the read time-out."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        client = sqs_client(_session(), pollers=1, endpoint_url=url)
        queue = SqsQueue(client, f"{url}/123456789012/q", SystemClock(), pollers=1)
        try:
            with pytest.raises(QueueUnavailable, match="ReadTimeoutError"):
                await queue.receive()
        finally:
            await queue.aclose(deadline=5)
            client.close()


async def test_a_message_can_be_hidden(stage: Stage) -> None:
    """What nobody can read does not come again and again."""
    stage.put("junk")
    (junk,) = await received(stage)
    await stage.queue.hide(junk, 600)
    stage.put("next")

    assert ["next"] == [message.body for message in await received(stage)]
