"""SES's events for measurements, and what puts them on a queue at a fixed rate."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator, Sequence
from typing import Any

import aiohttp

from deploy.local.sqs.names import CONFIGURATION_SET
from schemas.placement import partition_for
from tests import ses_events
from tests.bench.cluster import PARTITIONS, BenchFailed
from tests.load import Load

PAST_MESSAGE_ID = "0100019a00000000-00000000-0000-4000-a000-000000000000-000000"
"""The message id of all e-mails of `cold_start.ended`."""
_GOOD_NEWS = ("Send", "Delivery")
_HEADERS = [
    {"name": f"X-Header-{number}", "value": "as long as most headers are, more or less"} for number in range(12)
]
_JSON = "application/x-amz-json-1.0"
_BATCH = 10
_CALLS_AT_ONCE = 4


def good_news(load: Load, count: int) -> list[str]:
    """Return messages about the past dispatches of *load*: that SES took the e-mail, and that it was delivered."""
    return [message(load, n // len(_GOOD_NEWS), _GOOD_NEWS[n % len(_GOOD_NEWS)]) for n in range(count)]


def message(load: Load, n: int, kind: str) -> str:
    """Return a message about the mentor's e-mail of event *n*, in the envelope of SNS."""
    event, mentor = load.event(n % load.events), load.mentor_id(n % load.events)
    report = ses_events.event(
        kind,
        message_id=PAST_MESSAGE_ID,
        dispatch_id=event.dispatch_id,
        recipient=mentor,
        partition=partition_for(mentor, PARTITIONS),
        address=f"{mentor}@example.org",
    )
    report["mail"]["tags"]["ses:configuration-set"] = [CONFIGURATION_SET]
    report["mail"]["headers"] += _HEADERS
    return ses_events.in_sns(report)


class Feeder:
    """Puts messages on a queue of the local SQS, which checks no signature."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url

    async def put(self, bodies: Sequence[str], *, per_second: float | None = None) -> None:
        """Put messages, at most *per_second*; raise BenchFailed if the queue takes them more slowly."""
        calls, began = asyncio.Semaphore(_CALLS_AT_ONCE), time.monotonic()
        async with asyncio.TaskGroup() as together:
            for number, batch in enumerate(_batches(bodies)):
                if per_second is not None:
                    await asyncio.sleep(max(began + number * _BATCH / per_second - time.monotonic(), 0))
                await calls.acquire()
                together.create_task(self._send(batch, calls))

    async def _send(self, batch: Sequence[str], calls: asyncio.Semaphore) -> None:
        try:
            entries = [{"Id": str(number), "MessageBody": body} for number, body in enumerate(batch)]
            answer = await self.ask("SendMessageBatch", QueueUrl=self._url, Entries=entries)
            if answer["Failed"]:
                raise BenchFailed("the queue refuses messages")
        finally:
            calls.release()

    async def ask(self, operation: str, **request: Any) -> Any:
        """Call the queue's server."""
        headers = {"Content-Type": _JSON, "X-Amz-Target": f"AmazonSQS.{operation}"}
        async with self._session.post(self._url, data=json.dumps(request), headers=headers) as answer:
            return json.loads(await answer.read())


def _batches(bodies: Sequence[str]) -> Iterator[Sequence[str]]:
    return (bodies[first : first + _BATCH] for first in range(0, len(bodies), _BATCH))
