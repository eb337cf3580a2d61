"""Log lines: one shape for ours and the libraries', JSON or console, redacted last of all."""

from __future__ import annotations

import json
import logging
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any, TextIO

import orjson
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from runtime.log_limit import LEFT_OUT, LogLimit
from runtime.redaction import redact_event
from runtime.settings import LogFormat, LogLevel
from runtime.terminal import escaped

# These log every rebalance step or request, or print whole requests with their e-mails: never below warnings.
_TALKATIVE = ("aiohttp", "aiokafka", "boto3", "botocore", "kafka", "urllib3", "uvicorn", "uvicorn.error")


class _OneLineACause:
    """Drop the lines that are over the limit of their cause; log how many when their minute is over."""

    def __init__(self, limit: LogLimit) -> None:
        self._limit = limit

    def __call__(self, _logger: WrappedLogger, level: str, event: EventDict) -> EventDict:
        """Return the line, or raise `DropEvent`; a structlog processor."""
        for cause, lines in self._limit.ended():
            structlog.get_logger().warning(LEFT_OUT, of=cause.event, error=cause.error or None, lines=lines)
        if not self._limit.passes(level, event):
            raise structlog.DropEvent
        return event


class _Output:
    """
    Renders lines and writes them to a stream, each by one call.

    It stands in for structlog's logger, past the standard library's logging, which takes a third of a line's CPU. A
    line that cannot be rendered or written is reported on stderr: a log must not stop what it reports.
    """

    def __init__(self, stream: TextIO, processors: list[Processor]) -> None:
        self._stream = stream
        self._processors = processors
        self._lock = threading.Lock()  # libraries log from threads, too

    def render(self, _logger: WrappedLogger, level: str, event: EventDict) -> str:
        """Return the line; structlog's last processor."""
        rendered: Any = event
        try:
            for processor in self._processors:
                rendered = processor(self, level, rendered)
        except structlog.DropEvent:
            raise
        except Exception:  # noqa: BLE001 - whatever an odd value causes
            _report_failure()
            raise structlog.DropEvent from None
        return str(rendered)

    def write(self, line: str) -> None:
        """Write a line."""
        try:
            with self._lock:
                self._stream.write(line + "\n")
                self._stream.flush()
        except (OSError, ValueError):  # the reader of a pipe is gone, a disk is full, a stream is closed
            _report_failure()

    debug = info = warning = error = critical = exception = write


def _report_failure() -> None:
    if logging.raiseExceptions and sys.stderr:
        traceback.print_exc()


class _LibraryHandler(logging.Handler):
    """Hands the standard library's records to the same output."""

    def __init__(self, output: _Output) -> None:
        super().__init__()
        self._output = output

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record."""
        try:
            event: EventDict = {"event": record.getMessage(), "logger": record.name}
            if record.exc_info:
                event["exc_info"] = record.exc_info
            if record.stack_info:
                event["stack"] = record.stack_info
            self._output.write(self._output.render(None, record.levelname.lower(), event))
        except structlog.DropEvent:
            return
        except Exception:  # noqa: BLE001 - a record's own arguments may raise anything
            self.handleError(record)


def configure_logs(
    log_format: LogFormat,
    level: LogLevel,
    *,
    program: str,
    stream: TextIO,
    monotonic: Callable[[], float] = time.monotonic,
) -> None:
    """Send all log lines of this process to *stream*; may be called again."""
    console = log_format == "console" or (log_format == "auto" and stream.isatty())
    number = logging.getLevelNamesMapping()[level.upper()]
    output = _Output(stream, _processors(program, monotonic, _console(stream) if console else [_as_json]))
    structlog.configure(
        processors=[output.render],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=lambda *_name: output,
        cache_logger_on_first_use=False,  # a logger that was used before a second call would keep the first's output
    )
    _install(_LibraryHandler(output), number)


def set_log_level(level: LogLevel) -> None:
    """Change the lowest level that is logged from now on; libraries still log warnings only."""
    number = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(number))
    _set_library_levels(number)


def _processors(program: str, monotonic: Callable[[], float], rendering: list[Processor]) -> list[Processor]:
    def name_program(_logger: WrappedLogger, _level: str, event: EventDict) -> EventDict:
        event["program"] = program
        return event

    return [
        _OneLineACause(LogLimit(monotonic)),
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        name_program,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        redact_event,
        *rendering,
    ]


def _console(stream: TextIO) -> list[Processor]:
    # Plain tracebacks: pretty ones show local variables, which hold people.
    renderer = structlog.dev.ConsoleRenderer(
        colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback, timestamp_key="time"
    )
    return [_without_steering, renderer]


def _without_steering(_logger: WrappedLogger, _level: str, event: EventDict) -> EventDict:
    """Escape what could steer the terminal; a traceback is ours and keeps its lines."""
    return {
        name: escaped(value) if isinstance(value, str) and name != "exception" else value
        for name, value in event.items()
    }


def _as_json(_logger: WrappedLogger, _level: str, event: EventDict) -> str:
    """Write a line with orjson; if it refuses the line, as half a surrogate pair, with the standard library."""
    try:
        return orjson.dumps(event).decode()
    except orjson.JSONEncodeError:
        return json.dumps(event)


def _install(handler: logging.Handler, level: int) -> None:
    root = logging.getLogger()
    for former in [one for one in root.handlers if isinstance(one, _LibraryHandler)]:
        root.removeHandler(former)
    root.addHandler(handler)
    _set_library_levels(level)
    for name in _TALKATIVE:
        library = logging.getLogger(name)
        # Even if somebody configured a library's logger before, its lines pass only through our redaction.
        library.handlers.clear()
        library.propagate = True


def _set_library_levels(level: int) -> None:
    logging.getLogger().setLevel(level)
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))
