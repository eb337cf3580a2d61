"""A local SQS for tests and chaos: one server, started when the first queue is asked for, and a queue for each run."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config

from deploy.local.ports import free_ports
from deploy.local.programs import Program, start_program
from deploy.local.sqs.names import CONFIGURATION_SET, CREDENTIALS, REGION, endpoint
from tests import processes
from tests.processes import ROOT

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.literals import QueueAttributeNameType
    from mypy_boto3_sqs.type_defs import SendMessageBatchRequestEntryTypeDef

_READY_SECONDS = 60.0


@dataclass(frozen=True)
class Queue:
    """A queue of SES's events, and what a replica needs to take them from it."""

    url: str
    address: str
    client: SQSClient

    @property
    def settings(self) -> Mapping[str, object]:
        """Return the settings with which a replica takes feedback from it."""
        return {"ses_events_queue_url": self.url, "ses_configuration_set": CONFIGURATION_SET}

    @property
    def environ(self) -> Mapping[str, str]:
        """Return the variables by which a replica finds the server."""
        return {"AWS_ENDPOINT_URL_SQS": self.address}

    async def left(self) -> int:
        """Return how many messages are not deleted."""
        return await asyncio.to_thread(self._left)

    def _left(self) -> int:
        visible: QueueAttributeNameType = "ApproximateNumberOfMessages"
        hidden: QueueAttributeNameType = "ApproximateNumberOfMessagesNotVisible"
        answer = self.client.get_queue_attributes(QueueUrl=self.url, AttributeNames=[visible, hidden])
        return sum(int(count) for count in answer["Attributes"].values())

    async def put(self, *bodies: str) -> None:
        """Put messages on the queue, ten in a call."""
        for first in range(0, len(bodies), 10):
            entries: list[SendMessageBatchRequestEntryTypeDef] = [
                {"Id": str(n), "MessageBody": body} for n, body in enumerate(bodies[first : first + 10])
            ]
            await asyncio.to_thread(self._send, entries)

    def _send(self, entries: list[SendMessageBatchRequestEntryTypeDef]) -> None:
        answer = self.client.send_message_batch(QueueUrl=self.url, Entries=entries)
        assert not answer.get("Failed"), answer


class LocalSqs:
    """The server: a child process of this one."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._starting = asyncio.Lock()
        self._server: Program | None = None
        self._address = ""

    async def queue(self, name: str) -> Queue:
        """Create a queue, and start the server first if it does not run."""
        async with self._starting:
            if self._server is None:
                await self._start()
        client = await asyncio.to_thread(self._client)
        made = await asyncio.to_thread(lambda: client.create_queue(QueueName=name))
        return Queue(made["QueueUrl"], self._address, client)

    async def _start(self) -> None:
        (port,) = free_ports(1)
        self._address = endpoint(port)
        self._server = start_program(
            "sqs",
            ["deploy.local.sqs", "--port", str(port)],
            logs=self._logs,
            cwd=ROOT,
            environ=processes.environment({}, {}),
            probe=f"{self._address}/livez",
        )
        await self._server.ready(within=_READY_SECONDS)

    def _client(self) -> SQSClient:
        return boto3.client(
            "sqs",
            endpoint_url=self._address,
            region_name=REGION,
            aws_access_key_id=CREDENTIALS,
            aws_secret_access_key=CREDENTIALS,
            config=Config(proxies={}),
        )

    def stop(self) -> None:
        """End the server, if it runs."""
        if self._server is not None:
            self._server.child.kill()


@contextmanager
def local_sqs(logs: Path) -> Iterator[LocalSqs]:
    """Yield a local SQS; its server runs from the first queue on until the context ends."""
    server = LocalSqs(logs)
    try:
        yield server
    finally:
        server.stop()
