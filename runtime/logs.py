"""Log lines: one shape for ours and the libraries', JSON or console, redacted last of all."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from typing import Any, TextIO

import orjson
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from runtime.redaction import redact_event
from runtime.settings import LogFormat, LogLevel
from runtime.terminal import escaped

# These tell of every rebalance step or request, or print whole requests with their e-mails: never below warnings.
_TALKATIVE = ("aiohttp", "aiokafka", "boto3", "botocore", "kafka", "urllib3", "uvicorn", "uvicorn.error")
_REPEAT_SECONDS = 30.0
_MAX_REPEATS = 1000


class _Handler(logging.StreamHandler[TextIO]):
    """The one handler that is ours, told from those that others put on the root logger."""


REPEATED = frozenset(
    {
        "contacts.unreachable",
        "dispatch.intent_not_durable",
        "dispatches.follow.failed",
        "group.commit.failed",
        "group.heartbeat.failed",
        "group.membership.failed",
        "group.poll.failed",
        "kafka.fetch.failed",
        "ledger.read.failed",
        "ledger.unreachable",
        "record.not_durable",
    }
)
"""Events of ours that every lane, partition or poll would tell again and again while Kafka is away or forbids it."""


class _Repeats(logging.Filter):
    """Let what is said many times a second in an outage pass once in a while: the Kafka client's lines and REPEATED."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        super().__init__()
        self._monotonic = monotonic
        self._passed: dict[tuple[str, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        said, now = _repeated(record), self._monotonic()
        if said is None:
            return True
        if now - self._passed.get(said, -_REPEAT_SECONDS) < _REPEAT_SECONDS:
            return False
        if len(self._passed) >= _MAX_REPEATS:
            self._passed.clear()
        self._passed[said] = now
        return True


def _repeated(record: logging.LogRecord) -> tuple[str, str] | None:
    """Return what a record says, if it is said over and over; None if it counts each time."""
    if isinstance(record.msg, dict):  # one of ours, that structlog hands over
        event = str(record.msg.get("event"))
        return (event, str(record.msg.get("error"))) if event in REPEATED else None
    return (record.name, record.getMessage()) if record.name.startswith("aiokafka") else None


def configure_logs(
    log_format: LogFormat,
    level: LogLevel,
    *,
    program: str,
    stream: TextIO,
    monotonic: Callable[[], float] = time.monotonic,
) -> None:
    """Send the log lines of this process, whoever writes them, to *stream*; may be called again."""
    console = log_format == "console" or (log_format == "auto" and stream.isatty())
    number = logging.getLevelNamesMapping()[level.upper()]
    shared: list[Processor] = [structlog.contextvars.merge_contextvars, structlog.stdlib.add_log_level]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,  # else loggers of before a second call keep the first's ways
    )
    handler = _Handler(stream)
    handler.addFilter(_Repeats(monotonic))
    handler.setFormatter(_formatter(shared, program, stream, console=console))
    _install(handler, number)


def _formatter(shared: list[Processor], program: str, stream: TextIO, *, console: bool) -> logging.Formatter:
    rendering: list[Processor] = [structlog.processors.JSONRenderer(serializer=_as_json)]
    if console:
        # Plain tracebacks: pretty ones show local variables, which hold people.
        renderer = structlog.dev.ConsoleRenderer(
            colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback, timestamp_key="time"
        )
        rendering = [_without_steering, renderer]
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            _naming(program),
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
            structlog.processors.StackInfoRenderer(),
            structlog.processors.format_exc_info,
            redact_event,
            *rendering,
        ],
    )


def _without_steering(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Show what strangers wrote without steering the terminal; a traceback is ours and keeps its lines."""
    return {
        name: escaped(value) if isinstance(value, str) and name != "exception" else value
        for name, value in event.items()
    }


def _as_json(event: EventDict, **options: Any) -> str:
    """Write a line fast, or where the fast way refuses it, as half a surrogate pair, by the one that takes all."""
    try:
        return orjson.dumps(event, default=options["default"]).decode()
    except orjson.JSONEncodeError:
        return json.dumps(event, **options)


def _naming(program: str) -> Processor:
    def name(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        event["program"] = program
        return event

    return name


def _install(handler: logging.Handler, level: int) -> None:
    root = logging.getLogger()
    for former in [one for one in root.handlers if isinstance(one, _Handler)]:
        root.removeHandler(former)
    root.addHandler(handler)
    root.setLevel(level)
    for name in _TALKATIVE:
        library = logging.getLogger(name)
        library.setLevel(max(level, logging.WARNING))
        # Whoever configured a library's logger before us, its lines pass through our redaction and no other way.
        library.handlers.clear()
        library.propagate = True
