"""
A small SQS for faults and measurements: ``python -m tests.sqs_server --port 9324``.

moto's SQS looks at all messages for each one that it returns, so with a few hundred of them it takes most of a core.
This one has what a replica and the local SES ask for, in constant time. Any credentials work.
"""

from __future__ import annotations

import argparse
import asyncio
import heapq
import json
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import uvloop
from aiohttp import web

from deploy.local.ports import HOST
from deploy.local.sqs.names import queue_url

_JSON = "application/x-amz-json-1.0"
_TARGET = "X-Amz-Target"
_MOST = 10
_VISIBILITY_SECONDS = 30
_MOST_BYTES = 2 * 1024 * 1024

Asked = dict[str, Any]


@dataclass
class _Message:
    body: str
    sent_at: float
    id: str = field(default_factory=lambda: str(uuid4()))
    receives: int = 0
    visible_at: float = 0.0


class _Queue:
    """Messages: those that can be received, and those that are hidden until a time."""

    def __init__(self) -> None:
        self._messages: dict[str, _Message] = {}
        self._visible: deque[str] = deque()
        self._hidden: list[tuple[float, str]] = []
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        return len(self._messages)

    def put(self, body: str) -> str:
        message = _Message(body, time.time())
        self._messages[message.id] = message
        self._visible.append(message.id)
        self._changed.set()
        return message.id

    async def receive(self, most: int, *, wait: float, hide: float) -> list[_Message]:
        ends = time.time() + wait
        while not (found := self._take(most, hide)) and (left := ends - time.time()) > 0:
            self._changed.clear()
            again = min(left, self._hidden[0][0] - time.time()) if self._hidden else left
            await asyncio.wait([asyncio.ensure_future(self._changed.wait())], timeout=max(again, 0.001))
        return found

    def _take(self, most: int, hide: float) -> list[_Message]:
        now = time.time()
        while self._hidden and self._hidden[0][0] <= now:
            at, one = heapq.heappop(self._hidden)
            known = self._messages.get(one)
            if known is not None and known.visible_at == at:
                self._visible.append(one)
        found: list[_Message] = []
        while self._visible and len(found) < most:
            message = self._messages.get(self._visible.popleft())
            if message is not None:
                message.receives += 1
                self._hide(message, hide)
                found.append(message)
        return found

    def delete(self, receipt: str) -> None:
        self._messages.pop(receipt, None)

    def hide(self, receipt: str, seconds: float) -> None:
        message = self._messages.get(receipt)
        if message is not None:
            self._hide(message, seconds)
            self._changed.set()

    def _hide(self, message: _Message, seconds: float) -> None:
        message.visible_at = time.time() + seconds
        heapq.heappush(self._hidden, (message.visible_at, message.id))


class _Sqs:
    """The queues by URL, and the requests that they answer."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._queues: dict[str, _Queue] = {}
        self._answers: dict[str, Callable[[Asked], Any]] = {
            "CreateQueue": self._create,
            "SendMessageBatch": self._send,
            "DeleteMessageBatch": self._delete,
            "ChangeMessageVisibility": self._hide,
            "GetQueueAttributes": self._count,
        }

    async def answer(self, request: web.Request) -> web.Response:
        """Answer one request."""
        asked: Asked = json.loads(await request.read() or b"{}")
        operation = request.headers.get(_TARGET, "").rpartition(".")[2]
        try:
            if operation == "ReceiveMessage":
                return _json(await self._receive(asked))
            return _json(self._answers[operation](asked))
        except KeyError as missing:
            return _json({"__type": "com.amazonaws.sqs#QueueDoesNotExist", "message": str(missing)}, status=400)

    def _create(self, asked: Asked) -> Any:
        url = queue_url(self._port, asked["QueueName"])
        self._queues.setdefault(url, _Queue())
        return {"QueueUrl": url}

    def _send(self, asked: Asked) -> Any:
        queue = self._queues[asked["QueueUrl"]]
        sent = [{"Id": one["Id"], "MessageId": queue.put(one["MessageBody"])} for one in asked["Entries"]]
        return {"Successful": sent, "Failed": []}

    async def _receive(self, asked: Asked) -> Any:
        found = await self._queues[asked["QueueUrl"]].receive(
            min(asked.get("MaxNumberOfMessages", 1), _MOST),
            wait=asked.get("WaitTimeSeconds", 0),
            hide=asked.get("VisibilityTimeout", _VISIBILITY_SECONDS),
        )
        return {"Messages": [_shown(message) for message in found]} if found else {}

    def _delete(self, asked: Asked) -> Any:
        queue = self._queues[asked["QueueUrl"]]
        for one in asked["Entries"]:
            queue.delete(one["ReceiptHandle"])
        return {"Successful": [{"Id": one["Id"]} for one in asked["Entries"]], "Failed": []}

    def _hide(self, asked: Asked) -> Any:
        self._queues[asked["QueueUrl"]].hide(asked["ReceiptHandle"], asked["VisibilityTimeout"])
        return {}

    def _count(self, asked: Asked) -> Any:
        return {"Attributes": {"ApproximateNumberOfMessages": str(len(self._queues[asked["QueueUrl"]]))}}


def _shown(message: _Message) -> Asked:
    attributes = {"ApproximateReceiveCount": str(message.receives), "SentTimestamp": str(int(message.sent_at * 1000))}
    return {"MessageId": message.id, "ReceiptHandle": message.id, "Body": message.body, "Attributes": attributes}


def _json(answer: Any, *, status: int = 200) -> web.Response:
    return web.Response(body=json.dumps(answer).encode(), content_type=_JSON, status=status)


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until a signal."""
    parser = argparse.ArgumentParser(prog="python -m tests.sqs_server", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    port: int = parser.parse_args(arguments).port

    async def livez(_request: web.Request) -> web.Response:
        return web.Response(text="ok")

    app = web.Application(client_max_size=_MOST_BYTES)
    app.add_routes([web.get("/livez", livez), web.post("/{any:.*}", _Sqs(port).answer)])
    web.run_app(app, host=HOST, port=port, print=None, access_log=None, loop=uvloop.new_event_loop())


if __name__ == "__main__":
    main()
