"""A queue of SQS, over the real protocol; only a local SES that has a queue imports boto3."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from deploy.local.sqs.names import CREDENTIALS, REGION

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mypy_boto3_sqs.type_defs import SendMessageBatchRequestEntryTypeDef

TIMEOUT_SECONDS = 2  # a stop may wait for a call under way


class SqsQueue:
    """The queue with that URL, at the address that the URL begins with."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._url = url
        self._answers = True
        self._client = boto3.client(
            "sqs",
            endpoint_url=f"{parts.scheme}://{parts.netloc}",
            region_name=REGION,
            aws_access_key_id=CREDENTIALS,
            aws_secret_access_key=CREDENTIALS,
            config=Config(
                connect_timeout=TIMEOUT_SECONDS,
                read_timeout=TIMEOUT_SECONDS,
                retries={"total_max_attempts": 1, "mode": "standard"},
                proxies={},
            ),
        )

    def send(self, messages: Sequence[str]) -> Sequence[str]:
        """Send up to ten messages, and return those to try again; one that SQS refuses for itself is gone."""
        entries: list[SendMessageBatchRequestEntryTypeDef] = [
            {"Id": str(number), "MessageBody": message} for number, message in enumerate(messages)
        ]
        try:
            answer = self._client.send_message_batch(QueueUrl=self._url, Entries=entries)
        except (BotoCoreError, ClientError) as error:
            self._report(f"The queue takes no events: {error}")
            return messages

        self._answers = True
        failed = answer.get("Failed", [])
        return [messages[int(entry["Id"])] for entry in failed if not entry["SenderFault"]]

    def _report(self, problem: str) -> None:
        if self._answers:  # once for each time that it is away
            print(problem, file=sys.stderr, flush=True)  # noqa: T201 - the log of the local SES
        self._answers = False
