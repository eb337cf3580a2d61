"""Set up OpenTelemetry's SDK: spans wait in a bounded queue, and a thread of its own exports them over OTLP/HTTP."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress

import structlog
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import Tracer

from runtime.clock import Clock
from runtime.rarely import Rarely
from runtime.release import release
from runtime.tracing.sampler import BoundedSampler

log = structlog.get_logger(__name__)

_PROJECT = "pause-notifications"
_LIBRARY = "opentelemetry"
_FLUSH_SECONDS = 2.0


@asynccontextmanager
async def exporting(program: str, environ: Mapping[str, str], clock: Clock) -> AsyncIterator[Tracer]:
    """Yield what begins spans. When the context ends, export what is left, within a deadline."""
    ours = {"service.name": environ.get("OTEL_SERVICE_NAME") or f"{_PROJECT}-{program}", "service.version": release()}
    provider = TracerProvider(
        resource=Resource.create(ours).merge(OTELResourceDetector().detect()), shutdown_on_exit=False
    )
    provider.sampler = BoundedSampler(provider.sampler, clock.monotonic)
    with _troubles_logged_rarely(clock):
        exporter = OTLPSpanExporter()
        provider.add_span_processor(BatchSpanProcessor(exporter))
        try:
            yield provider.get_tracer(_PROJECT, release())
        finally:
            await _shut_down(provider, exporter)


async def _shut_down(provider: TracerProvider, exporter: SpanExporter) -> None:
    """Wait for the last export in a thread that nobody waits for longer than the deadline, not even the interpreter."""
    loop, ended = asyncio.get_running_loop(), asyncio.Event()

    def work() -> None:
        provider.shutdown()
        with suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(ended.set)

    threading.Thread(target=work, name="flush-traces", daemon=True).start()
    try:
        async with asyncio.timeout(_FLUSH_SECONDS):
            await ended.wait()
    except TimeoutError:
        log.warning("traces.not_flushed", seconds=_FLUSH_SECONDS)
        exporter.shutdown()  # what is left is dropped, and nothing is tried again


class _Troubles(logging.Handler):
    """Logs that the library is in trouble, once a minute, by its constant text alone."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(logging.WARNING)
        self._rarely = Rarely(clock)

    def emit(self, record: logging.LogRecord) -> None:
        """Log a record of the library, unless one was logged a moment ago."""
        if self._rarely.is_due("trouble"):
            log.warning("traces.not_exported", detail=str(record.msg)[:200])


@contextmanager
def _troubles_logged_rarely(clock: Clock) -> Iterator[None]:
    """Take the library's lines: a dead collector causes several for each batch."""
    library, handler = logging.getLogger(_LIBRARY), _Troubles(clock)
    library.addHandler(handler)
    library.propagate = False
    try:
        yield
    finally:
        library.removeHandler(handler)
        library.propagate = True
