"""The server span of a request, whatever the caller writes."""

from __future__ import annotations

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind

from service.traced_requests import TracedRequests
from tests.fakes.facade import BASE, fake_facade
from tests.unit.runtime.tracing.spans import recording

CALLER = f"00-{'a' * 32}-{'b' * 16}-01"
PERSON = "mentor-042@example.org"


async def spans_of(method: str, path: str, **headers: str) -> tuple[httpx.Response, ReadableSpan]:
    """Make a call to a facade that is traced; return the answer and the span."""
    tracer, kept = recording()
    async with fake_facade() as setup:
        transport = httpx.ASGITransport(TracedRequests(setup.facade.app, tracer=tracer))
        async with httpx.AsyncClient(transport=transport, base_url="http://facade") as client:
            answer = await client.request(method, path, headers=headers)
    (span,) = kept.get_finished_spans()
    return answer, span


async def test_a_request_is_the_callers_child() -> None:
    """The span has the caller's as its parent, and the problem its trace."""
    answer, span = await spans_of("POST", f"{BASE}/pause-lifted", traceparent=CALLER)

    assert (SpanKind.SERVER, f"POST {BASE}/pause-lifted") == (span.kind, span.name)
    assert span.parent is not None
    assert "b" * 16 == f"{span.parent.span_id:016x}"
    assert "a" * 32 == answer.json()["trace_id"]


async def test_a_request_without_a_trace_begins_one() -> None:
    """A header that is no trace context is ignored, and the problem names the trace that was begun."""
    answer, span = await spans_of("POST", f"{BASE}/pause-lifted", traceparent=PERSON)

    assert span.context is not None
    assert f"{span.context.trace_id:032x}" == answer.json()["trace_id"]
    assert span.parent is None


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("GET", f"/{PERSON}", "GET"),
        ("GET", f"{BASE}/dispatches/{PERSON}?at={PERSON}", f"GET {BASE}/dispatches/{{dispatch_id}}"),
        (PERSON.upper(), "/", "HTTP /"),
    ],
)
async def test_a_span_holds_nothing_that_a_caller_wrote(method: str, path: str, name: str) -> None:
    """Path, query, method and headers of a caller are in no span; its route is one of ours."""
    _, span = await spans_of(method, path, traceparent=PERSON, **{"user-agent": PERSON})

    assert name == span.name
    assert PERSON not in span.to_json().lower()


async def test_an_error_of_ours_is_a_failed_span() -> None:
    """A 5xx fails the span by its status."""

    async def app(_scope: object, _receive: object, send: object) -> None:
        await send({"type": "http.response.start", "status": 503, "headers": []})  # type: ignore[operator]
        await send({"type": "http.response.body", "body": b""})  # type: ignore[operator]

    tracer, kept = recording()
    transport = httpx.ASGITransport(TracedRequests(app, tracer=tracer))
    async with httpx.AsyncClient(transport=transport, base_url="http://facade") as client:
        await client.get("/")
    (span,) = kept.get_finished_spans()

    assert "503" == (span.attributes or {})["error.type"]


@given(st.binary(max_size=300))
async def test_any_bytes_are_a_header(header: bytes) -> None:
    """Whatever bytes `traceparent` holds, and however often it is there, the app gets exactly one valid context."""
    seen: list[list[tuple[bytes, bytes]]] = []

    async def app(scope: dict[str, list[tuple[bytes, bytes]]], _receive: object, _send: object) -> None:
        seen.append([pair for pair in scope["headers"] if pair[0] == b"traceparent"])

    tracer, _ = recording()
    scope = {"type": "http", "method": "GET", "path": "/", "headers": [(b"traceparent", header)] * 2}
    await TracedRequests(app, tracer=tracer)(scope, None, None)  # type: ignore[arg-type]

    assert [[55]] == [[len(value) for _, value in found] for found in seen]
