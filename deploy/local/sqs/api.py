"""The operations of SQS that a publisher and a consumer need, in boto3's JSON protocol; no signature is checked."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from typing import TYPE_CHECKING, Any

from deploy.local.ses.connection import connection_of
from deploy.local.ses.replies import Disconnected, Reply, json_reply, read_body, write_reply
from deploy.local.sqs.names import ACCOUNT, DEAD_LETTER_QUEUE, QUEUE, REGION, TOPIC_ARN
from deploy.local.sqs.queue import Full, Message, Queue

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.types import Receive, Scope, Send

    from deploy.local.ses.connection import Connection

MAX_RECEIVES = 5  # before a message becomes a dead letter
VISIBILITY_SECONDS = 30
MAX_WAIT_SECONDS = 20
MAX_ENTRIES = 10
MAX_BYTES = 1024 * 1024
MAX_QUEUES = 1000
_TARGET = b"AmazonSQS."
_CREATE = "CreateQueue"
_NAME = re.compile(r"[A-Za-z0-9_-]{1,80}")


class SqsError(Exception):
    """Answer with this error; *query* is its name in the older protocol, which boto3 shows."""

    def __init__(self, name: str, message: str, query: str | None = None) -> None:
        self.name = name
        self.message = message
        self.query = query or name
        super().__init__(name, message)


class LocalSqs:
    """An ASGI application with the queue of SES's events and its dead-letter queue."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._dead_letters = Queue(clock)
        self._queues = {DEAD_LETTER_QUEUE: self._dead_letters}
        self._create(QUEUE)
        self._receivers: set[asyncio.Future[None]] = set()
        self._operations: dict[str, Callable[[Queue, dict[str, Any], Connection], Awaitable[dict[str, Any]]]] = {
            "SendMessage": self._send,
            "SendMessageBatch": self._send_batch,
            "ReceiveMessage": self._receive,
            "DeleteMessage": self._delete,
            "DeleteMessageBatch": self._delete_batch,
            "ChangeMessageVisibility": self._hide,
            "GetQueueAttributes": self._attributes,
            "PurgeQueue": self._purge,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        if scope["type"] != "http":
            raise NotImplementedError("the local SQS supports HTTP only")

        try:
            body = await read_body(receive)
            reply = json_reply({"status": "ok"}) if scope["path"] == "/livez" else await self._answer(scope, body)
            await write_reply(send, reply)
        except Disconnected:
            return

    async def _answer(self, scope: Scope, body: bytes) -> Reply:
        target = next((value for name, value in scope["headers"] if name == b"x-amz-target"), b"")
        try:
            name = target.removeprefix(_TARGET).decode("latin-1")
            operation = self._operations.get(name)
            if operation is None and name != _CREATE:
                raise SqsError("UnsupportedOperation", f"The local SQS supports {', '.join(self._operations)}.")  # noqa: TRY301 - one place turns errors into replies
            request = _read(body)
            if operation is None:
                return json_reply(self._create_queue(scope, request))
            return json_reply(await operation(self._queue(request), request, connection_of(scope)))
        except SqsError as error:
            headers = [(b"x-amzn-query-error", f"{error.query};Sender".encode())]
            return json_reply({"__type": f"com.amazonaws.sqs#{error.name}", "message": error.message}, 400, headers)
        except (AttributeError, KeyError, TypeError, ValueError):
            return json_reply({"__type": "com.amazonaws.sqs#InvalidParameterValue", "message": "Invalid."}, 400)

    def _create_queue(self, scope: Scope, request: dict[str, Any]) -> dict[str, Any]:
        """Create a queue with the same dead-letter queue, unless there is one of the name."""
        name, host = str(request["QueueName"]), dict(scope["headers"]).get(b"host", b"").decode("latin-1")
        if not _NAME.fullmatch(name) or len(self._queues) >= MAX_QUEUES:
            raise SqsError("InvalidParameterValue", "The name is invalid, or there are too many queues.")
        self._create(name)
        return {"QueueUrl": f"http://{host}/{ACCOUNT}/{name}"}

    def _create(self, name: str) -> None:
        if name not in self._queues:
            self._queues[name] = Queue(self._clock, dead_letters=self._dead_letters, max_receives=MAX_RECEIVES)

    def _queue(self, request: dict[str, Any]) -> Queue:
        queue = self._queues.get(str(request["QueueUrl"]).rpartition("/")[2])
        if queue is None:
            name = "AWS.SimpleQueueService.NonExistentQueue"
            raise SqsError("QueueDoesNotExist", "The specified queue does not exist.", name)
        return queue

    async def _send(self, queue: Queue, request: dict[str, Any], _: Connection) -> dict[str, Any]:
        sent = self._put(queue, [request["MessageBody"]])[0]
        return {"MessageId": sent.message_id, "MD5OfMessageBody": _md5(sent.body)}

    async def _send_batch(self, queue: Queue, request: dict[str, Any], _: Connection) -> dict[str, Any]:
        entries = _entries(request)
        sent = self._put(queue, [entry["MessageBody"] for entry in entries])
        answers = [
            {"Id": entry["Id"], "MessageId": message.message_id, "MD5OfMessageBody": _md5(message.body)}
            for entry, message in zip(entries, sent, strict=True)
        ]
        return {"Successful": answers, "Failed": []}

    def _put(self, queue: Queue, bodies: list[str]) -> list[Message]:
        if sum(len(body.encode()) for body in bodies) > MAX_BYTES:
            raise SqsError("BatchRequestTooLong", f"A request may have {MAX_BYTES} bytes.")
        try:
            sent = [queue.put(body) for body in bodies]
        except Full:
            raise SqsError("OverLimit", "The local SQS keeps no more messages.") from None
        finally:
            self._wake()
        return sent

    async def _receive(self, queue: Queue, request: dict[str, Any], connection: Connection) -> dict[str, Any]:
        most = min(int(request.get("MaxNumberOfMessages", 1)), MAX_ENTRIES)
        visibility = float(request.get("VisibilityTimeout", VISIBILITY_SECONDS))
        loop = asyncio.get_running_loop()
        end = loop.time() + min(float(request.get("WaitTimeSeconds", 0)), MAX_WAIT_SECONDS)
        while not connection.transport.is_closing():  # who is gone receives nothing
            found = queue.receive(most, visibility=visibility)
            left = end - loop.time()
            if found or left <= 0:
                return {"Messages": [_received(message) for message in found]} if found else {}
            again = queue.next_visible_in()
            await self._wait(left if again is None else min(left, again), connection)
        return {}

    async def _wait(self, seconds: float, connection: Connection) -> None:
        """Wait until a message is put, a time is over or the client is gone."""
        loop = asyncio.get_running_loop()
        woken: asyncio.Future[None] = loop.create_future()
        self._receivers.add(woken)
        connection.waiting.add(woken)
        timer = loop.call_later(seconds + 0.001, _release, woken)
        try:
            await woken
        finally:
            timer.cancel()
            connection.waiting.discard(woken)
            self._receivers.discard(woken)

    def _wake(self) -> None:
        for woken in self._receivers:
            _release(woken)

    async def _delete(self, queue: Queue, request: dict[str, Any], _: Connection) -> dict[str, Any]:
        queue.delete(request["ReceiptHandle"])
        return {}

    async def _delete_batch(self, queue: Queue, request: dict[str, Any], _: Connection) -> dict[str, Any]:
        entries = _entries(request)
        for entry in entries:
            queue.delete(entry["ReceiptHandle"])
        return {"Successful": [{"Id": entry["Id"]} for entry in entries], "Failed": []}

    async def _hide(self, queue: Queue, request: dict[str, Any], _: Connection) -> dict[str, Any]:
        if not queue.hide(request["ReceiptHandle"], float(request["VisibilityTimeout"])):
            raise SqsError("MessageNotInflight", "The message is not in flight.")
        self._wake()
        return {}

    async def _purge(self, queue: Queue, _request: dict[str, Any], _: Connection) -> dict[str, Any]:
        queue.clear()
        return {}

    async def _attributes(self, queue: Queue, request: dict[str, Any], _: Connection) -> dict[str, Any]:
        asked = set(request.get("AttributeNames", ()))
        name = next(name for name, known in self._queues.items() if known is queue)
        visible, hidden = queue.counts()
        attributes = {
            "QueueArn": _arn(name),
            "ApproximateNumberOfMessages": str(visible),
            "ApproximateNumberOfMessagesNotVisible": str(hidden),
            "ApproximateNumberOfMessagesDelayed": "0",
            "VisibilityTimeout": str(VISIBILITY_SECONDS),
            "MessageRetentionPeriod": str(14 * 24 * 3600),
            "MaximumMessageSize": str(MAX_BYTES),
            "Policy": _policy(name),
        }
        if name != DEAD_LETTER_QUEUE:
            redrive = {"deadLetterTargetArn": _arn(DEAD_LETTER_QUEUE), "maxReceiveCount": MAX_RECEIVES}
            attributes["RedrivePolicy"] = json.dumps(redrive)
        return {"Attributes": {name: text for name, text in attributes.items() if "All" in asked or name in asked}}


def _policy(name: str) -> str:
    """Return the policy that lets the topic of SES's events write, as the queue at AWS has it."""
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "sns.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": _arn(name),
        "Condition": {"ArnEquals": {"aws:SourceArn": TOPIC_ARN}},
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def _received(message: Message) -> dict[str, Any]:
    times = {"SentTimestamp": message.sent_at, "ApproximateFirstReceiveTimestamp": message.first_received_at}
    return {
        "MessageId": message.message_id,
        "ReceiptHandle": message.receipt,
        "Body": message.body,
        "MD5OfBody": _md5(message.body),
        "Attributes": {
            **{name: str(round(seconds * 1000)) for name, seconds in times.items()},
            "ApproximateReceiveCount": str(message.receives),
        },
    }


def _read(body: bytes) -> dict[str, Any]:
    request = json.loads(body)
    if not isinstance(request, dict):
        raise TypeError
    return request


def _entries(request: dict[str, Any]) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = request["Entries"]
    if not entries:
        raise SqsError("EmptyBatchRequest", "There is no entry in the request.")
    if len(entries) > MAX_ENTRIES:
        raise SqsError("TooManyEntriesInBatchRequest", f"A request may have {MAX_ENTRIES} entries.")
    if len({entry["Id"] for entry in entries}) < len(entries):
        raise SqsError("BatchEntryIdsNotDistinct", "Two entries have the same id.")
    return entries


def _md5(body: str) -> str:
    return hashlib.md5(body.encode(), usedforsecurity=False).hexdigest()


def _arn(name: str) -> str:
    return f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}"


def _release(woken: asyncio.Future[None]) -> None:
    if not woken.done():
        woken.set_result(None)
