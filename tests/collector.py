"""A collector of traces for tests: a real receiver of OTLP over HTTP, which decodes the real protobufs."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span as Encoded
from opentelemetry.proto.trace.v1.trace_pb2 import Status

HOST = "127.0.0.1"


@dataclass(frozen=True)
class CollectedSpan:
    """A span as the collector got it; ids are hexadecimal, and a missing parent is empty."""

    service: str
    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str
    failed: bool
    attributes: dict[str, str | int]
    events: tuple[str, ...]
    links: tuple[tuple[str, str], ...]
    """Trace and span id of each."""
    message: str
    """The text of its status."""


@dataclass
class Collector:
    """What was exported so far, and where to."""

    endpoint: str = ""
    spans: list[CollectedSpan] = field(default_factory=list)
    exported: list[bytes] = field(default_factory=list)
    """The body of each request."""
    silent: threading.Event = field(default_factory=threading.Event)
    """While it is set, requests get no answer."""
    ended: threading.Event = field(default_factory=threading.Event)

    def of(self, trace_id: str) -> list[CollectedSpan]:
        """Return the spans of a trace."""
        return [one for one in list(self.spans) if one.trace_id == trace_id]

    @property
    def environ(self) -> dict[str, str]:
        """Return the variables that make a program export to it, often."""
        often = {"OTEL_BSP_SCHEDULE_DELAY": "100", "OTEL_EXPORTER_OTLP_TIMEOUT": "3"}
        return {"OTEL_EXPORTER_OTLP_ENDPOINT": self.endpoint, **often}

    def take(self, body: bytes) -> None:
        """Decode a request."""
        self.exported.append(body)
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            service = str(_attributes(resource.resource.attributes)["service.name"])
            for scope in resource.scope_spans:
                self.spans.extend(_decoded(service, encoded) for encoded in scope.spans)


def _decoded(service: str, encoded: Encoded) -> CollectedSpan:
    return CollectedSpan(
        service=service,
        name=encoded.name,
        kind=Encoded.SpanKind.Name(encoded.kind).removeprefix("SPAN_KIND_"),
        trace_id=encoded.trace_id.hex(),
        span_id=encoded.span_id.hex(),
        parent_id=encoded.parent_span_id.hex(),
        failed=encoded.status.code == Status.STATUS_CODE_ERROR,
        attributes=_attributes(encoded.attributes),
        events=tuple(one.name for one in encoded.events),
        links=tuple((one.trace_id.hex(), one.span_id.hex()) for one in encoded.links),
        message=encoded.status.message,
    )


def _attributes(pairs: Any) -> dict[str, str | int]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}


@contextmanager
def collecting() -> Iterator[Collector]:
    """Run a collector on a free port, in threads."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if collector.silent.is_set():
                collector.ended.wait()
                return
            plain = gzip.decompress(body) if self.headers["Content-Encoding"] == "gzip" else body
            collector.take(plain)
            answer = ExportTraceServiceResponse().SerializeToString()
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_line: object) -> None:
            """Write no line to the terminal."""

    server = ThreadingHTTPServer((HOST, 0), Handler)
    collector.endpoint = f"http://{HOST}:{server.server_port}"
    serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    serving.start()
    try:
        yield collector
    finally:
        collector.ended.set()
        server.shutdown()
        server.server_close()
        serving.join()
