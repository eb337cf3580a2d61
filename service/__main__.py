"""`python -m service`: the HTTP facade."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Mapping, Sequence

import structlog

from runtime.environment import settings_help
from runtime.http import serve
from runtime.http_connections import HttpBounds, connections_within_files
from runtime.management import management_server
from runtime.process import run_program
from runtime.settings import ServiceSettings
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


async def run(settings: ServiceSettings, stopping: asyncio.Event) -> None:
    """Serve until *stopping* is set, then let callers who wait get their answer."""
    async with (
        facade(settings) as built,
        management_server(
            settings.management_host,
            settings.management_port,
            live=built.live,
            ready=built.ready,
            registry=built.metrics.registry,
            refusals=built.metrics.http_refusals,
        ) as management_port,
        serve(
            built.app,
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
