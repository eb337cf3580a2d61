"""The plain peer: what one would write without durability in mind, to compare with.

A batch of records is taken, all their mails are sent side by side by boto3 in threads, the batch is committed. It keeps
no ledger, renders no template, retries nothing, and sends a crashed batch again whole.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import boto3
from aiokafka import AIOKafkaConsumer
from aiokafka.structs import ConsumerRecord
from botocore.config import Config

BATCH = 64
THREADS = 64
_HTML = "<html><body><p>{mentor}: {what}</p>{filling}</body></html>"
_FILLING = "<p style='margin:0 0 16px'>A sentence of the usual length that a notice says to its reader.</p>\n" * 30


def mails(record: ConsumerRecord) -> list[dict[str, Any]]:
    """Give the arguments of one event's two sends."""
    mentor = json.loads(record.value)["mentor_id"]
    what = dict(record.headers)["ce_type"].decode()
    body = {
        "Text": {"Data": f"{mentor}: {what}", "Charset": "UTF-8"},
        "Html": {"Data": _HTML.format(mentor=mentor, what=what, filling=_FILLING), "Charset": "UTF-8"},
    }
    return [
        {
            "FromEmailAddress": "no-reply@example.org",
            "Destination": {"ToAddresses": [f"{role}-{mentor}@example.org"]},
            "Content": {"Simple": {"Subject": {"Data": what, "Charset": "UTF-8"}, "Body": body}},
        }
        for role in ("mentor", "coordinator")
    ]


async def consume(servers: str, topics: list[str]) -> None:
    """Consume until killed."""
    client = boto3.client("sesv2", config=Config(max_pool_connections=THREADS, retries={"total_max_attempts": 1}))
    loop, threads = asyncio.get_running_loop(), ThreadPoolExecutor(THREADS)
    options = {"enable_auto_commit": False, "auto_offset_reset": "earliest"}
    consumer = AIOKafkaConsumer(*topics, bootstrap_servers=servers, group_id=f"peer-{topics[0]}", **options)
    await consumer.start()
    while True:
        batches = await consumer.getmany(timeout_ms=200, max_records=BATCH)
        sends = [partial(client.send_email, **mail) for batch in batches.values() for r in batch for mail in mails(r)]
        await asyncio.gather(*(loop.run_in_executor(threads, send) for send in sends))
        if sends:
            await consumer.commit()


if __name__ == "__main__":
    asyncio.run(consume(os.environ["PEER_SERVERS"], sys.argv[1:]))
