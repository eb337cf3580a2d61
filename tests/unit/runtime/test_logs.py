"""Logs: one format for all lines, and no personal data."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
import structlog
from pydantic import BaseModel, SecretStr, ValidationError
from structlog.contextvars import bound_contextvars

from runtime.logs import configure_logs
from runtime.redaction import redact_text
from runtime.settings import LogFormat, LogLevel

ADDRESS = "jane.doe@example.org"
PERSON = "Jane Doe"


class Logs:
    """The logged lines, and the clock for repeated lines."""

    def __init__(self) -> None:
        self.stream = io.StringIO()
        self.time = 0.0

    def start(self, log_format: LogFormat = "json", level: LogLevel = "info") -> None:
        """Configure logging as a program does."""
        configure_logs(log_format, level, program="consumers", stream=self.stream, monotonic=lambda: self.time)

    @property
    def text(self) -> str:
        """Return all that was written."""
        return self.stream.getvalue()

    @property
    def lines(self) -> list[dict[str, Any]]:
        """Return each JSON line."""
        return [json.loads(line) for line in self.text.splitlines()]


@pytest.fixture
def logs() -> Iterator[Logs]:
    """Return the logs of a program, and restore logging afterwards."""
    root = logging.getLogger()
    handlers, levels = list(root.handlers), {"": root.level}
    levels |= {name: logging.getLogger(name).level for name in list(logging.Logger.manager.loggerDict)}
    started = Logs()
    started.start()
    yield started
    root.handlers[:] = handlers
    for name in (*levels, *logging.Logger.manager.loggerDict):
        logging.getLogger(name).setLevel(levels.get(name, logging.NOTSET))
    structlog.reset_defaults()


def test_a_line_is_json_with_time_level_and_context(logs: Logs) -> None:
    """A line has event, level, program, UTC time, its own fields and those of the context."""
    with bound_contextvars(dispatch_id="d1"):
        structlog.get_logger().info("dispatch.sent", attempt=2)
    (line,) = logs.lines
    at = datetime.fromisoformat(line.pop("time"))
    expected = {"event": "dispatch.sent", "level": "info", "program": "consumers", "dispatch_id": "d1", "attempt": 2}
    assert expected == line
    assert UTC == at.tzinfo


@pytest.mark.parametrize("name", ["aiokafka.conn", "uvicorn.error", "botocore.endpoint", "asyncio"])
def test_libraries_lines_have_the_same_shape(logs: Logs, name: str) -> None:
    """The standard library's records get the same format, context and redaction included."""
    with bound_contextvars(partition=3):
        logging.getLogger(name).error("no mail for %s", ADDRESS)
    (line,) = logs.lines
    line.pop("time")
    expected = {"event": "no mail for [address]", "level": "error", "program": "consumers", "partition": 3}
    assert {**expected, "logger": name} == line


@pytest.mark.parametrize(("level", "events"), [("info", ["b"]), ("debug", ["a", "b"]), ("error", [])])
def test_level_counts(logs: Logs, level: LogLevel, events: list[str]) -> None:
    """Lines below the level are not logged."""
    logs.start(level=level)
    structlog.get_logger().debug("a")
    structlog.get_logger().info("b")
    assert events == [line["event"] for line in logs.lines]


@pytest.mark.parametrize("name", ["aiokafka", "botocore.endpoint", "urllib3", "uvicorn.error"])
def test_talkative_libraries_stay_at_warnings(logs: Logs, name: str) -> None:
    """Even under debug no library prints its requests, which hold e-mails."""
    logs.start(level="debug")
    logging.getLogger(name).info("request body ...")
    assert [] == logs.lines


def test_a_cause_is_logged_once_a_minute_and_then_counted(logs: Logs) -> None:
    """A cause of an outage has one line a minute; when the minute is over, the count of the rest is logged."""
    ours = structlog.get_logger()
    for number in range(100):
        ours.warning("record.not_durable", error="TimeoutError", partition=number)
    logs.time = 60.0
    ours.info("ours")

    assert [
        {"event": "record.not_durable", "partition": 0},
        {"event": "log.lines_left_out", "of": "record.not_durable", "error": "TimeoutError", "lines": 99},
        {"event": "ours"},
    ] == [
        {name: line[name] for name in wanted if name in line}
        for line, wanted in zip(
            logs.lines, (("event", "partition"), ("event", "of", "error", "lines"), ("event",)), strict=True
        )
    ]


def test_lines_of_libraries_are_limited_as_ours(logs: Logs) -> None:
    """The same message of the Kafka client has one line a minute, whichever node it names."""
    for number in range(3):
        logging.getLogger("aiokafka.client").error("Unable connect to node with id %s", number)

    assert 1 == len(logs.lines)


def test_configuring_again_replaces_only_our_handler(logs: Logs) -> None:
    """A second call neither doubles lines nor removes other handlers."""
    others = logging.NullHandler()
    logging.getLogger().addHandler(others)
    logs.start()
    structlog.get_logger().info("once")
    assert 1 == len(logs.lines)
    assert others in logging.getLogger().handlers


@pytest.mark.parametrize(
    "key", ["email", "mentor_name", "displayName", "Subject", "html_body", "password", "X-Api-Key", "authorization"]
)
def test_private_keys_are_redacted(logs: Logs, key: str) -> None:
    """A value under a key for a person, content or a secret is hidden at any depth."""
    structlog.get_logger().info("x", **{key: "Jane"}, deep={"list": [{key: ["Jane"]}]})
    assert "Jane" not in logs.text
    assert "[redacted]" == logs.lines[0][key]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("mentor-042", "mentor-042"),
        (3, 3),
        (None, None),
        (datetime(2026, 5, 1, tzinfo=UTC), "2026-05-01 00:00:00+00:00"),
        (f"to {ADDRESS}!", "to [address]"),
        ([f"<{ADDRESS}>"], ["[address]"]),
        ({ADDRESS: 1}, {"[address]": 1}),
        (b"Jane", "<4 bytes>"),
        (SecretStr("Jane"), "<SecretStr>"),
        (ValueError(f"no {ADDRESS}"), "ValueError: no [address]"),
    ],
)
def test_values_are_redacted(logs: Logs, value: object, shown: object) -> None:
    """Ids and numbers pass; addresses are hidden in any text; an object shows only its type."""
    structlog.get_logger().info("x", field=value)
    assert shown == logs.lines[0]["field"]


def test_objects_do_not_print_themselves(logs: Logs) -> None:
    """An object logged by mistake shows its type, not its fields."""

    @dataclass
    class Contact:
        known_as: str

    structlog.get_logger().info("x", contact=Contact("Jane"))
    assert "<Contact>" == logs.lines[0]["contact"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("a: Jane Doe <jane@example.org>, b", "a:[address], b"),
        ('"Jane Doe"@example.org failed', "[address] failed"),
        ("/contacts/jane%40example.org", "[address]"),
        ("jörg@bücher.example", "[address]"),
        ("https://user:pass@broker:1/x", "https://user:[address]:1/x"),
        ("one@example.org;two@example.org", "[address];[address]"),
        ("mentor-pauses-3@ 17", "mentor-pauses-3@ 17"),
    ],
)
def test_texts_lose_their_addresses(text: str, shown: str) -> None:
    """Whatever looks like an address is hidden, display name included; other text stays."""
    assert shown == redact_text(text)


def test_a_long_text_is_redacted_in_time_of_its_length() -> None:
    """A long text without a break is redacted quickly."""
    assert redact_text("a" * 200_000 + " @ b").endswith(" @ b")


def raise_nested() -> None:
    """Raise an error whose cause names a person."""
    try:
        dict[str, str]()[ADDRESS]
    except KeyError as error:
        raise RuntimeError(f"cannot tell {PERSON} <{ADDRESS}>") from error


def raise_invalid() -> None:
    """Raise a pydantic error, which quotes its input."""

    class Model(BaseModel):
        mentor: int

    Model.model_validate({"mentor": PERSON})


@pytest.mark.parametrize("log_format", ["json", "console"])
@pytest.mark.parametrize(
    ("fail", "error"), [(raise_nested, RuntimeError), (raise_invalid, ValidationError)], ids=["nested", "pydantic"]
)
@pytest.mark.parametrize("writer", ["stdlib", "ours"])
def test_exceptions_are_redacted(
    logs: Logs, log_format: LogFormat, fail: Callable[[], None], error: type[Exception], writer: str
) -> None:
    """A traceback is logged with its type, without the address or name in any message of its chain."""
    logs.start(log_format)
    try:
        fail()
    except error:
        (logging.getLogger("asyncio") if writer == "stdlib" else structlog.get_logger()).exception("failed")
    shown = [word in logs.text for word in (error.__name__, ADDRESS, PERSON)]
    assert [True, False, False] == shown


def test_auto_is_json_off_a_terminal(logs: Logs) -> None:
    """Without a terminal, auto means JSON."""
    logs.start("auto")
    structlog.get_logger().info("x")
    assert "x" == logs.lines[0]["event"]


def test_auto_is_console_on_a_terminal(logs: Logs, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal, auto means lines for people, redacted like all others."""
    monkeypatch.setattr(logs.stream, "isatty", lambda: True)
    logs.start("auto")
    structlog.get_logger().info("mail.refused", cause=f"no {ADDRESS}")
    assert [False, True, False] == [logs.text.startswith("{"), "mail.refused" in logs.text, ADDRESS in logs.text]


@pytest.mark.parametrize("steering", ["\x1b[2J", "\x07", "\x9b31m", "\u202e", "a\nb"])
def test_a_console_gets_no_control_characters(logs: Logs, steering: str) -> None:
    """A line for people shows text from strangers without control characters."""
    logs.start("console")

    structlog.get_logger().warning("contacts.invalid", contact=steering)

    assert steering not in logs.text
    assert 1 == len(logs.text.splitlines())


class _FullDisk(io.StringIO):
    """A stream that refuses every write."""

    def write(self, text: str, /) -> int:
        raise OSError(28, "No space left on device", text[:0])


class _UnprintableError(Exception):
    """An error that cannot be rendered."""

    def __str__(self) -> str:
        raise TypeError("unprintable")


@pytest.mark.parametrize("writer", ["stdlib", "ours"])
def test_a_log_that_cannot_be_written_does_not_stop_the_caller(
    logs: Logs, capsys: pytest.CaptureFixture[str], writer: str
) -> None:
    """The loss is reported on stderr, and the caller continues."""
    logs.stream = _FullDisk()
    logs.start()

    (logging.getLogger("asyncio") if writer == "stdlib" else structlog.get_logger()).warning("lost")

    assert "No space left on device" in capsys.readouterr().err


def test_a_line_that_cannot_be_rendered_does_not_stop_the_caller(
    logs: Logs, capsys: pytest.CaptureFixture[str]
) -> None:
    """A value that fails while it is read is reported on stderr."""
    structlog.get_logger().warning("lost", error=_UnprintableError())

    assert "" == logs.text
    assert "unprintable" in capsys.readouterr().err
