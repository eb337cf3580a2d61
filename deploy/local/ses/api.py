"""The SES v2 operations over HTTP, with simulated delays and lost answers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from deploy.local.ses import suppression_api
from deploy.local.ses.connection import connection_of
from deploy.local.ses.errors import SesError, bad_request
from deploy.local.ses.limits import MESSAGE_BYTES
from deploy.local.ses.mails import Answer
from deploy.local.ses.replies import REQUEST_BYTES, Reply, json_reply, read_body, write_reply

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from deploy.local.ses.account import Account
    from deploy.local.ses.events import Events
    from deploy.local.ses.sending import Sending
    from deploy.local.ses.stats import Stats
    from deploy.local.ses.suppression_api import SuppressionApi
    from deploy.local.ses.waits import Waits

PREFIX = "/v2/"
SEND_EMAIL = "/v2/email/outbound-emails"
GET_ACCOUNT = "/v2/email/account"
GET_EMAIL_IDENTITY = "/v2/email/identities/"
CONFIGURATION_SETS = "/v2/email/configuration-sets/"
EVENT_DESTINATIONS = "/event-destinations"

DEFAULT_REGION = "us-east-1"


class SesApi:
    """Answer the calls of botocore's ``sesv2`` client; signatures are not checked."""

    def __init__(
        self,
        *,
        account: Account,
        events: Events,
        sending: Sending,
        stats: Stats,
        suppressions: SuppressionApi,
        waits: Waits,
    ) -> None:
        self._account = account
        self._events = events
        self._sending = sending
        self._suppressions = suppressions
        self._stats = stats
        self._waits = waits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one call, unless its answer is to be lost."""
        method, path = scope["method"], scope["path"]
        if method == "POST" and path == SEND_EMAIL:
            self._stats.begin_call()
            try:
                await self._send(scope, receive, send)
            finally:
                self._stats.end_call()
        else:
            body = await read_body(receive)
            await write_reply(send, self._control(method, path, scope["query_string"].decode("latin-1"), body))

    async def _send(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await read_body(receive)
        try:
            result, answer = self._accept(scope, body)
            reply = json_reply(result, headers=_request_id())
        except SesError as error:
            reply, answer = _error_reply(error), Answer.NORMAL

        connection = connection_of(scope)
        if latency := self._account.draw_latency():
            await self._waits.hold(connection, latency)
        if answer is Answer.HUNG:
            seconds = self._account.faults.hang_seconds
            await self._waits.hold(connection, seconds)
            answer = Answer.DROPPED if seconds is None or self._waits.are_over else answer
        if answer is Answer.DROPPED:
            connection.drop()
            await _until_closed(receive)
        else:
            await write_reply(send, reply)

    def _accept(self, scope: Scope, body: bytes) -> tuple[dict[str, Any], Answer]:
        if len(body) > REQUEST_BYTES:
            raise bad_request(f"Message length is more than {MESSAGE_BYTES} bytes long.")
        try:
            request = json.loads(body)
        except (ValueError, RecursionError):
            raise SesError("SerializationException") from None
        if not isinstance(request, dict):
            raise SesError("SerializationException")

        return self._sending.send_email(request, _region(scope))

    def _control(self, method: str, path: str, query: str, body: bytes) -> Reply:
        try:
            if path == suppression_api.PATH or path.startswith(f"{suppression_api.PATH}/"):
                answer = self._suppressions.answer(method, path, query, body)
            elif method == "GET":
                answer = self._describe(path)
            else:
                raise SesError("UnknownOperationException")  # noqa: TRY301 - one place turns errors into replies
        except SesError as error:
            return _error_reply(error)
        return json_reply(answer, headers=_request_id())

    def _describe(self, path: str) -> dict[str, Any]:
        if path.startswith(CONFIGURATION_SETS) and path.endswith(EVENT_DESTINATIONS):
            name = path.removeprefix(CONFIGURATION_SETS).removesuffix(EVENT_DESTINATIONS)
            self._account.check_configuration_set(name)
            return {"EventDestinations": self._events.destinations()}
        if path != GET_ACCOUNT and not path.startswith(GET_EMAIL_IDENTITY):
            raise SesError("UnknownOperationException")

        self._account.draw_account_error()
        if path == GET_ACCOUNT:
            return self._account.describe()
        return self._account.identity(path.removeprefix(GET_EMAIL_IDENTITY))


async def _until_closed(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _error_reply(error: SesError) -> Reply:
    headers = [(b"x-amzn-errortype", error.name.encode()), *_request_id()]
    return json_reply({"message": error.message}, error.status, headers)


def _request_id() -> list[tuple[bytes, bytes]]:
    return [(b"x-amzn-requestid", str(uuid4()).encode())]


def _region(scope: Scope) -> str:
    """Return the region of the signature: Credential=<key>/<day>/<region>/ses/aws4_request."""
    authorization = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
    credential = authorization.partition(b"Credential=")[2].split(b"/", 3)
    return credential[2].decode("latin-1") if len(credential) > 3 else DEFAULT_REGION  # noqa: PLR2004 - key, day and region come before the rest
