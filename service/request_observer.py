"""Around every request: bind its trace to the logs, count its answer, and answer it even after an error."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.metrics import Metrics
from service.problems import INTERNAL_ERROR, Problem
from service.responses import problem_response
from service.trace import Trace, begin_trace

log = structlog.get_logger(__name__)

OTHER = "other"


class RequestObserver:
    """An ASGI app around the app; `scope["state"]` keeps a request's trace and endpoint, and what it asked for."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        metrics: Metrics,
        new_id: Callable[[], UUID],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._app = app
        self._metrics = metrics
        self._new_id = new_id
        self._monotonic = monotonic

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        trace = begin_trace(Headers(scope=scope).get("traceparent"), self._new_id)
        scope.setdefault("state", {}).update(trace=trace, endpoint=OTHER, asked="")
        tokens = structlog.contextvars.bind_contextvars(trace_id=trace.trace_id, request_id=trace.request_id)
        try:
            await self._answer(scope, receive, send, trace)
        finally:
            structlog.contextvars.reset_contextvars(**tokens)

    async def _answer(self, scope: Scope, receive: Receive, send: Send, trace: Trace) -> None:
        began = self._monotonic()
        status = 0

        async def send_counted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["Request-Id"] = trace.request_id
                self._count(scope["state"], status, self._monotonic() - began)
            await send(message)

        try:
            await self._app(scope, receive, send_counted)
        except Exception:
            log.exception("request.failed", endpoint=scope["state"]["endpoint"])
            if status:
                raise  # part of an answer is sent: the connection must break
            problem = Problem(INTERNAL_ERROR, "An error of this service; nothing more is known.")
            await problem_response(problem, trace, prefix=scope.get("root_path", ""))(scope, receive, send_counted)

    def _count(self, state: Mapping[str, Any], status: int, seconds: float) -> None:
        endpoint = state["endpoint"]
        self._metrics.answers.labels(endpoint, str(status), state["asked"]).inc()
        self._metrics.answer_seconds.labels(endpoint, f"{status // 100}xx").observe(seconds)
        log.debug("request.answered", endpoint=endpoint, status=status, seconds=round(seconds, 4))
