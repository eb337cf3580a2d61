"""Turn tracing on, if the settings ask for it. Nothing of OpenTelemetry is imported otherwise."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import structlog

from runtime.clock import Clock
from runtime.environment import InvalidSettings
from runtime.process import StartRefused
from runtime.settings import ProgramSettings, env_name
from runtime.tracing.variables import invalid_variables, is_disabled

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

log = structlog.get_logger(__name__)


@asynccontextmanager
async def open_tracing(
    settings: ProgramSettings, environ: Mapping[str, str], clock: Clock, *, program: str
) -> AsyncIterator[Tracer | None]:
    """
    Yield what begins spans, or None if tracing is off. When the context ends, the last spans are exported.

    Raises:
        InvalidSettings: One of OpenTelemetry's variables is wrong.
        StartRefused: The packages of the extra `tracing` are missing.
    """
    if not settings.tracing or is_disabled(environ):
        yield None
        return
    if problems := invalid_variables(environ):
        raise InvalidSettings(problems)
    try:
        from runtime.tracing.provider import exporting  # noqa: PLC0415 - no program pays for traces that it does not make
    except ImportError as error:
        raise StartRefused(
            f"{env_name('tracing')} is true, but a package is missing ({error.name}). "
            "Install the extra: pip install 'pause-notifications[tracing]'."
        ) from error
    async with exporting(program, environ, clock) as tracer:
        log.info("traces.on")
        yield tracer
