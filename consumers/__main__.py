"""The program `python -m consumers`: one replica."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from functools import partial

from consumers.assembly import Assembly
from consumers.bootstrap import replica
from consumers.steps import Reached, nobody_listens
from runtime.clock import SystemClock
from runtime.environment import settings_help
from runtime.kafka.retry import trouble_with
from runtime.management import Health, management_server
from runtime.metrics import http_refusals, program_registry
from runtime.process import loop_lag, run_program
from runtime.settings import ReplicaSettings
from runtime.tracing.opening import open_tracing

_DEAD_LOOP_SECONDS = 10.0


async def run(settings: ReplicaSettings, stopping: asyncio.Event, *, reached: Reached) -> None:
    """Run one replica until *stopping* is set; *reached* is called at each of its steps."""
    clock, registry = SystemClock(), program_registry()
    built: list[Assembly] = []
    trouble = trouble_with(settings)

    def ready() -> Health:
        if not built:
            because = {"because": trouble.cause} if trouble.cause else {}
            return Health(ok=False, detail={"waiting_for": "Kafka and its topics", **because})
        return Health(ok=built[0].status.ready, detail=built[0].status.detail())

    async def work() -> None:
        async with (
            open_tracing(settings, os.environ, clock, program="consumers") as tracer,
            replica(settings, clock, registry, reached=reached, trouble=trouble, tracer=tracer) as assembly,
        ):
            built.append(assembly)
            await assembly.replica.run(stopping)

    async with (
        loop_lag(clock) as lag,
        management_server(
            settings.management_host,
            settings.management_port,
            live=lambda: Health(
                ok=lag.seconds < _DEAD_LOOP_SECONDS, detail={"loop_lag_seconds": round(lag.seconds, 3)}
            ),
            ready=ready,
            registry=registry,
            refusals=http_refusals(registry, "management"),
        ),
    ):
        working = asyncio.create_task(work())
        stopped = asyncio.create_task(stopping.wait())
        try:
            await asyncio.wait([working, stopped], return_when=asyncio.FIRST_COMPLETED)
            if not built:
                working.cancel()
            await asyncio.wait([working])
        finally:
            for task in (working, stopped):
                task.cancel()
            await asyncio.gather(working, stopped, return_exceptions=True)
        if not working.cancelled():
            working.result()


def main(reached: Reached = nobody_listens) -> int:
    """Parse the command line, run, and return the exit code. Only a test program passes *reached*."""
    parser = argparse.ArgumentParser(
        prog="python -m consumers",
        description="One replica: takes mentor pause and certification events from Kafka and e-mails them by SES.",
        epilog=settings_help("consumers"),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.parse_args()
    return run_program("consumers", ReplicaSettings, partial(run, reached=reached), os.environ)


if __name__ == "__main__":
    sys.exit(main())
