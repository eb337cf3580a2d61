"""The local SQS under requests at once: moto alone loses messages."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from werkzeug.test import Client
from werkzeug.wrappers import Response

from deploy.local.sqs.one_at_a_time import OneAtATime

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


class _Queue:
    """An application with a queue; it counts the requests that it is asked at once."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        self.waits: list[int] = []
        self.at_once = 0
        self.most_at_once = 0

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        self.at_once += 1
        self.most_at_once = max(self.at_once, self.most_at_once)
        threading.Event().wait(0.001)  # another thread may run
        asked = json.loads(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
        answer: dict[str, Any] = {}
        if "Body" in asked:
            self.messages.append(asked["Body"])
        else:
            self.waits.append(asked["WaitTimeSeconds"])
            answer = {"Messages": self.messages} if self.messages else {}
        self.at_once -= 1
        return Response(json.dumps(answer))(environ, start_response)


def _send(app: OneAtATime, body: str) -> None:
    Client(app).post("/", json={"Body": body}, headers={"X-Amz-Target": "AmazonSQS.SendMessage"})


def _receive(app: OneAtATime, seconds: int) -> Any:
    asked = {"WaitTimeSeconds": seconds}
    return Client(app).post("/", json=asked, headers={"X-Amz-Target": "AmazonSQS.ReceiveMessage"}).get_json(force=True)


async def test_a_queue_is_never_changed_by_two_requests() -> None:
    """Requests from many threads are answered one after another."""
    queue = _Queue()
    app = OneAtATime(queue)

    await asyncio.gather(*(asyncio.to_thread(_send, app, str(number)) for number in range(20)))

    assert 1 == queue.most_at_once
    assert {str(number) for number in range(20)} == set(queue.messages)


async def test_who_waits_for_messages_keeps_nobody_out() -> None:
    """A message that is sent meanwhile is received."""
    queue = _Queue()
    app = OneAtATime(queue)

    received, _ = await asyncio.gather(asyncio.to_thread(_receive, app, 20), asyncio.to_thread(_send, app, "hello"))

    assert {"Messages": ["hello"]} == received
    assert {0} == set(queue.waits)


async def test_who_waits_in_vain_is_answered() -> None:
    """The wait ends when it was asked to."""
    assert {} == await asyncio.to_thread(_receive, OneAtATime(_Queue()), 0)
