"""`python -m service`: the HTTP facade."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

import structlog
from starlette.types import ASGIApp

from runtime.clock import SystemClock
from runtime.environment import settings_help
from runtime.http import serve
from runtime.http_connections import HttpBounds, connections_within_files
from runtime.kafka.publisher import ConnectedPublisher
from runtime.kafka.topics import Topics
from runtime.management import management_server
from runtime.process import run_program
from runtime.settings import ServiceSettings
from runtime.tracing.opening import open_tracing
from service.app import facade

log = structlog.get_logger(__name__)

PROGRAM = "service"
_LEFT_AFTER_DRAIN_SECONDS = 5.0

_ABOUT = """\
The HTTP facade of the Pause Notification Service. It takes calls, publishes their events to Kafka, and answers with the
outcome. It needs Kafka with the topics that `pause-notifications topics create` creates.

http://HOST:PORT/docs and /openapi.json describe the REST endpoints. Probes (/livez, /readyz) and /metrics are on the
management port. SIGTERM or Ctrl-C stops it: it refuses new calls, and callers who wait get their answer.
"""


@dataclass(frozen=True)
class _InSpans:
    """What tracing wraps; without it, everything stays as it is."""

    app: Callable[[ASGIApp], ASGIApp] = lambda app: app
    publisher: Callable[[ConnectedPublisher], ConnectedPublisher] = lambda publisher: publisher


@asynccontextmanager
async def _tracing(settings: ServiceSettings) -> AsyncIterator[_InSpans]:
    async with open_tracing(settings, os.environ, SystemClock(), program=PROGRAM) as tracer:
        if tracer is None:
            yield _InSpans()
            return
        from runtime.tracing.publisher import TracedPublisher  # noqa: PLC0415 - only with tracing, as below
        from service.traced_requests import TracedRequests  # noqa: PLC0415

        topics = Topics(settings.namespace).events
        yield _InSpans(partial(TracedRequests, tracer=tracer), partial(TracedPublisher, tracer=tracer, topics=topics))


async def run(settings: ServiceSettings, stopping: asyncio.Event) -> None:
    """Serve until *stopping* is set, then let callers who wait get their answer."""
    async with (
        _tracing(settings) as in_spans,
        facade(settings, in_spans=in_spans.publisher) as built,
        management_server(
            settings.management_host,
            settings.management_port,
            live=built.live,
            ready=built.ready,
            registry=built.metrics.registry,
            refusals=built.metrics.http_refusals,
        ) as management_port,
        serve(
            in_spans.app(built.app),
            "http",
            host=settings.http_host,
            port=settings.http_port,
            drain_seconds=_LEFT_AFTER_DRAIN_SECONDS,
            bounds=HttpBounds(connections=connections_within_files(settings.max_connections)),
            refusals=built.metrics.http_refusals,
        ) as port,
    ):
        log.info("facade.listening", port=port, management_port=management_port)
        await stopping.wait()
        await built.drain(deadline_seconds=settings.drain_seconds)
    log.info("facade.stopped")


def main(arguments: Sequence[str] | None = None, environ: Mapping[str, str] = os.environ) -> int:
    """Run the program and return its exit code."""
    parser = argparse.ArgumentParser(
        prog=f"python -m {PROGRAM}",
        description=_ABOUT,
        epilog="Settings, from the environment:\n\n" + settings_help(PROGRAM).replace("%", "%%"),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.parse_args(arguments)
    return run_program(PROGRAM, ServiceSettings, run, environ)


if __name__ == "__main__":
    sys.exit(main())
