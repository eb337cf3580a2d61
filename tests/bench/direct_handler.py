"""The plain peer of the facade: a FastAPI handler that calls boto3 itself, and answers after SES.

Nothing is durable: the caller must repeat what SES refuses, throttles or does not answer in time. It is built to be
fast: both e-mails are sent in parallel, by a pool of threads with one connection each.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import uvicorn
from fastapi import FastAPI

from runtime.environment import read_settings
from runtime.settings import ReplicaSettings
from schemas.events import EVENTS, Event, EventData, EventType
from schemas.times import format_seconds
from tests.chaos.peers.boto import SENDS_PER_EVENT, ses_client
from tests.chaos.peers.mail_builder import Mailing
from tests.chaos.peers.startup import mailing_for

if TYPE_CHECKING:
    from mypy_boto3_sesv2 import SESV2Client

PREFIX = "/api/v1/pause-notifications"
PORT = "DIRECT_PORT"
_HANDLERS = 40
"""Calls at once: Starlette's number of threads for handlers that are not coroutines."""


def application(mailing: Mailing, client: SESV2Client, threads: ThreadPoolExecutor) -> FastAPI:
    """Make the app with the contract's four endpoints."""
    app = FastAPI()
    for kind in EVENTS:
        app.post(f"{PREFIX}/{kind.name}")(_handler(kind, mailing, client, threads))
    app.get("/livez")(lambda: {"ok": True})
    return app


def _handler(
    kind: EventType, mailing: Mailing, client: SESV2Client, threads: ThreadPoolExecutor
) -> Callable[[EventData], dict[str, Any]]:
    def notify(data: EventData) -> dict[str, Any]:
        event = Event(kind, str(uuid4()), "/direct", data)
        requests = mailing.requests_of(event, partition=0, timestamp_ms=int(time.time() * 1000))
        answers = threads.map(lambda request: client.send_email(**request), requests)
        sent = [
            {
                "recipient": request["EmailTags"][1]["Value"],
                "channel": "email",
                "status": "sent",
                "message_id": answer["MessageId"],
            }
            for request, answer in zip(requests, answers, strict=True)
        ]
        at = format_seconds(datetime.now(UTC))
        return {"mentor_id": data.mentor_id, "notifications_dispatched": sent, "dispatched_at": at}

    notify.__annotations__["data"] = kind.model
    return notify


def main() -> None:
    """Serve until SIGTERM."""
    settings = read_settings(ReplicaSettings, os.environ)
    mailing = asyncio.run(mailing_for(settings))
    sends = SENDS_PER_EVENT * _HANDLERS
    with ThreadPoolExecutor(sends, thread_name_prefix="ses") as threads:
        app = application(mailing, ses_client(sends=sends), threads)
        uvicorn.run(app, host="127.0.0.1", port=int(os.environ[PORT]), access_log=False, log_level="warning")


if __name__ == "__main__":
    main()
