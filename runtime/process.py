"""Run a program as a process: start, signals, the event loop's health, the exit code."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import TypeVar

import structlog

from runtime.clock import Clock
from runtime.environment import InvalidSettings, read_settings, unknown_settings
from runtime.logs import configure_logs
from runtime.settings import Settings

S = TypeVar("S", bound=Settings)

EXIT_FAILED = 1
EXIT_REFUSED = 2
EXIT_INTERRUPTED = 128 + signal.SIGINT

_SAME_REQUEST_SECONDS = 1.0
_LAG_INTERVAL_SECONDS = 0.5
_COLLECT_AFTER = 5_000, 20, 50
"""The thresholds of Python's garbage collector for its three generations."""

log = structlog.get_logger()


class StartRefused(Exception):
    """A start that cannot succeed: the message names the problem and the command or setting that fixes it."""


@contextmanager
def stop_signals(*, exit_now: Callable[[int], object] = os._exit) -> Iterator[asyncio.Event]:
    """
    Yield an event that SIGTERM and SIGINT set; a further signal ends the process at once.

    A second signal within a second counts as the same request: Ctrl-C reaches a program from the terminal and again
    from its supervisor.
    """
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    first = 0.0

    def stop(number: signal.Signals) -> None:
        nonlocal first
        if not stopping.is_set():
            first = loop.time()
            stopping.set()
            log.info("program.stopping", signal=signal.Signals(number).name)
        elif loop.time() - first >= _SAME_REQUEST_SECONDS:
            log.warning("program.stopped_at_once", signal=signal.Signals(number).name)
            exit_now(128 + number)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop, number)
    try:
        yield stopping
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


class LoopLag:
    """How late the event loop runs, in seconds."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._expected = clock.monotonic() + _LAG_INTERVAL_SECONDS
        self._last = 0.0

    @property
    def seconds(self) -> float:
        """Return the last delay measured, or the current one if that is already longer."""
        return max(self._last, self._clock.monotonic() - self._expected, 0.0)

    async def measure(self) -> None:
        """Measure until cancelled."""
        while True:
            self._expected = self._clock.monotonic() + _LAG_INTERVAL_SECONDS
            await self._clock.sleep(_LAG_INTERVAL_SECONDS)
            self._last = max(self._clock.monotonic() - self._expected, 0.0)


@asynccontextmanager
async def loop_lag(clock: Clock) -> AsyncIterator[LoopLag]:
    """Measure the loop's lag while the context lasts."""
    lag = LoopLag(clock)
    measuring = asyncio.create_task(lag.measure(), name="loop-lag")
    try:
        yield lag
    finally:
        measuring.cancel()
        await asyncio.wait([measuring])


def run_program(
    program: str,
    settings_class: type[S],
    main: Callable[[S, asyncio.Event], Awaitable[None]],
    environ: Mapping[str, str],
) -> int:
    """
    Run *main* with its settings until it returns, or until the event passed to it is set; return the exit code.

    The code is 0 after an orderly stop, 1 after an unexpected error, which is logged, and 2 if settings or
    surroundings forbid the start: stderr then says what to do.
    """
    try:
        settings = read_settings(settings_class, environ)
        configure_logs(settings.log_format, settings.log_level, program=program, stream=sys.stdout)
        for unknown in unknown_settings(environ):
            log.warning("settings.unknown", variable=unknown.variable, nearest=unknown.nearest)
        _collect_rarely()
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(_until_stopped(settings, main))
    except KeyboardInterrupt:  # before our signal handlers were installed
        return EXIT_INTERRUPTED
    except Exception as error:  # noqa: BLE001 - every error ends here, and becomes the exit code
        return _exit_code(program, error)
    return 0


async def _until_stopped(settings: S, main: Callable[[S, asyncio.Event], Awaitable[None]]) -> None:
    with stop_signals() as stopping:
        await main(settings, stopping)


def _exit_code(program: str, error: Exception) -> int:
    refusal = _refusal(error)
    if refusal is None:
        log.error("program.failed", exc_info=error)
        return EXIT_FAILED
    print(f"{program} did not start. {refusal}", file=sys.stderr)  # noqa: T201 - for the person at the terminal
    return EXIT_REFUSED


def _refusal(error: BaseException) -> BaseException | None:
    """Return the error that forbids the start, even if task groups have wrapped it."""
    if isinstance(error, InvalidSettings | StartRefused):
        return error
    if isinstance(error, BaseExceptionGroup):
        return next((found for one in error.exceptions if (found := _refusal(one))), None)
    return None


def _collect_rarely() -> None:
    """
    Exempt what was imported from garbage collection, and collect less often: Python's defaults take a fifth of the CPU.

    Reference counts free most of what a record allocates; what is left in cycles waits a little longer.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECT_AFTER)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop  # noqa: PLC0415 - optional, and present on most platforms
    except ImportError:
        return None
    return uvloop.new_event_loop
