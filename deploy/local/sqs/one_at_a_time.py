"""Call moto's SQS for one request at a time: if threads change a queue at once, it loses messages."""

from __future__ import annotations

import io
import json
import time
from http import HTTPStatus
from threading import Lock
from typing import TYPE_CHECKING, Any

from werkzeug.wrappers import Request, Response

if TYPE_CHECKING:
    from collections.abc import Iterable

    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_TARGET = "HTTP_X_AMZ_TARGET"
_RECEIVE = "AmazonSQS.ReceiveMessage"
_LOOK_SECONDS = 0.05


class OneAtATime:
    """
    A WSGI application that calls another one for one request at a time.

    A request that waits for messages is made again and again without its wait, so that others have their turn.
    """

    def __init__(self, app: WSGIApplication) -> None:
        self._app = app
        self._turn = Lock()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        body = Request(environ).get_data()
        if environ.get(_TARGET) == _RECEIVE:
            return self._receive(environ, json.loads(body))(environ, start_response)
        return self._ask(environ, body)(environ, start_response)

    def _receive(self, environ: WSGIEnvironment, asked: dict[str, Any]) -> Response:
        ends = time.monotonic() + float(asked.get("WaitTimeSeconds", 0))
        at_once = json.dumps({**asked, "WaitTimeSeconds": 0}).encode()
        while True:
            answer = self._ask(environ, at_once)
            if time.monotonic() >= ends or not _is_empty(answer):
                return answer
            time.sleep(_LOOK_SECONDS)

    def _ask(self, environ: WSGIEnvironment, body: bytes) -> Response:
        own = {**environ, "wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body))}
        with self._turn:
            return Response.from_app(self._app, own, buffered=True)


def _is_empty(answer: Response) -> bool:
    return answer.status_code == HTTPStatus.OK and not json.loads(answer.get_data()).get("Messages")
