"""Around every request, if tracing is on: a server span, which is the caller's child."""

from __future__ import annotations

from opentelemetry.trace import Span, SpanKind, Tracer
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from runtime.tracing.spans import context_of, fail, read_traceparent, span, traceparent_of

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"})
_OTHER = "_OTHER"
_SERVER_ERROR = 500


class TracedRequests:
    """
    An ASGI app around the app, which sees the server span as its caller.

    The path itself is no attribute: it holds whatever a caller writes there. The route is one of ours.
    """

    def __init__(self, app: ASGIApp, *, tracer: Tracer) -> None:
        self._app = app
        self._tracer = tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        method = scope["method"] if scope["method"] in _METHODS else _OTHER
        attributes = {"http.request.method": method, "url.scheme": scope.get("scheme", "http")}
        caller = context_of(read_traceparent(Headers(scope=scope).get("traceparent")))
        name = "HTTP" if method == _OTHER else method
        with span(self._tracer, name, SpanKind.SERVER, attributes, context=caller) as opened:
            inner = {**scope, "headers": list(scope["headers"])}
            MutableHeaders(scope=inner)["traceparent"] = traceparent_of(opened)

            async def send_seen(message: Message) -> None:
                if message["type"] == "http.response.start":
                    _describe(opened, inner, name, message["status"])
                await send(message)

            await self._app(inner, receive, send_seen)


def _describe(opened: Span, scope: Scope, name: str, status: int) -> None:
    route = getattr(scope.get("route"), "path", None)
    if route is not None:
        opened.update_name(f"{name} {route}")
        opened.set_attribute("http.route", route)
    opened.set_attribute("http.response.status_code", status)
    if status >= _SERVER_ERROR:
        fail(opened, str(status))
