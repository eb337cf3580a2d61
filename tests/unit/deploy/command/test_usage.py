"""Errors of the command, and its help."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import Result

from deploy.command import contacts as contacts_command
from deploy.command.contacts_file import open_contacts
from schemas.events import EVENTS, FACADE_SOURCE, EventType
from tests.processes import ROOT
from tests.signing import keys_file
from tests.unit.deploy.command.conftest import NO_BROKER

Command = Callable[..., Result]

DISPATCH = "0" * 32
ASKS_THE_BROKER = [
    ("topics", "create"),
    ("contacts", "forget", "mentor-042"),
    ("contacts", "list"),
    ("contacts", "show", "mentor-042"),
    ("events", "publish", "pause-lifted", "--mentor", "mentor-042"),
    ("dispatches", "list", "--mentor", "mentor-042"),
    ("dispatches", "show", DISPATCH),
    ("dispatches", "show", DISPATCH, "--at", "mentor.pauses.v1-3-1042"),
    ("dispatches", "cancel", "--source", "/hr", "--since", "1h", "--dry-run"),
    ("dispatches", "cancel", "--undo", "0123abcd"),
    ("controls",),
    ("sending", "stop", "--reason", "a test"),
    ("sending", "start"),
    ("sources", "hold", "/hr", "--reason", "a test"),
    ("sources", "release", "/hr"),
    ("log-level", "set", "debug", "--for", "30m"),
    ("log-level", "reset"),
    ("dead-letters", "list"),
    ("dead-letters", "show", DISPATCH),
    ("dead-letters", "replay", "--dry-run"),
    ("dead-letters", "replay", "--yes"),
    ("suppressions", "list"),
    ("suppressions", "show", "mentor-042"),
    ("suppressions", "add", "mentor-042", "--reason", "letters"),
    ("suppressions", "remove", "mentor-042"),
    ("suppressions", "sync", "--dry-run"),
    ("suppressions", "sign", "--dry-run"),
]


def options(event: EventType, *, without: str = "") -> list[str]:
    """Return the options that publish an event's example."""
    named = {
        "--mentor" if name == "mentor_id" else "--" + name.replace("_", "-"): v for name, v in event.example.items()
    }
    return [text for option, value in named.items() if option != without for text in (option, str(value))]


@pytest.mark.parametrize("arguments", ASKS_THE_BROKER, ids=" ".join)
def test_dead_broker_is_one_line(command: Command, arguments: tuple[str, ...]) -> None:
    """If no broker answers, every command prints one line with what to do, and exits with 1."""
    result = command(*arguments, PAUSE_NOTIFICATIONS_SIGNING_KEYS_FILE=str(keys_file()))

    assert (1, "") == (result.exit_code, result.stdout)
    assert (
        f"Error: no broker answers: {NO_BROKER}: nothing listens there; "
        "brokers are set in PAUSE_NOTIFICATIONS_KAFKA_BOOTSTRAP_SERVERS\n"
    ) == result.stderr


def test_a_replay_needs_signing_keys(command: Command) -> None:
    """Replicas ignore unsigned replays, so the command fails at once with 2."""
    result = command("dead-letters", "replay", "--yes")

    assert (2, "") == (result.exit_code, result.stdout)
    assert "PAUSE_NOTIFICATIONS_SIGNING_KEYS_FILE" in result.stderr


def test_invalid_settings_are_a_usage_error(command: Command) -> None:
    """An invalid setting exits with 2, and the error has the variable."""
    result = command("topics", "create", PAUSE_NOTIFICATIONS_NAMESPACE="Not allowed")

    assert 2 == result.exit_code
    assert "PAUSE_NOTIFICATIONS_NAMESPACE is 'Not allowed', which is not allowed" in result.stderr


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.name)
def test_missing_field_is_a_usage_error(command: Command, event: EventType) -> None:
    """A missing field of an event is a usage error with the option."""
    for option in [text for text in options(event) if text.startswith("--")]:
        result = command("events", "publish", event.name, *options(event, without=option))

        assert (2, True) == (result.exit_code, f"Missing option '{option}'" in result.stderr)


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        ("--expected-return-date", "tomorrow", "RFC 3339"),
        ("--expected-return-date", "2026-05-01T00:00:00", "zone"),
        ("--pause-reason", "", "must not be empty"),
        ("--mentor", "x" * 129, "at most 128 characters"),
        ("--source", FACADE_SOURCE, "belongs to the REST service"),
    ],
)
def test_wrong_field_is_a_usage_error(command: Command, option: str, value: str, says: str) -> None:
    """An invalid field is a usage error with the option and the allowed values."""
    arguments = options(EVENTS[0], without=option)

    result = command("events", "publish", EVENTS[0].name, *arguments, option, value)

    assert (2, True, True) == (result.exit_code, option in result.stderr, says in result.stderr)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('{"id":"mentor-2","role":"mentor","email":"nobody"}', "line 2: email: must be an e-mail address"),
        ('{"id":"mentor-2","role":"friend"}', "line 2: role"),
        ('{"id":"mentor-1","role":"mentor"}', "line 2: id: is already on line 1"),
        ("mentor-2;mentor", "line 2: is not valid JSON"),
    ],
)
def test_an_invalid_contact_rejects_the_file(command: Command, tmp_path: Path, line: str, says: str) -> None:
    """One invalid line rejects the whole file before a broker is contacted; the error has line and field."""
    file = tmp_path / "contacts.jsonl"
    file.write_text('{"id":"mentor-1","role":"mentor"}\n' + line + "\n", encoding="utf-8")

    result = command("contacts", "load", str(file))

    assert (1, "") == (result.exit_code, result.stdout)
    assert result.stderr.startswith(f"Error: {file}: {says}")
    assert result.stderr.endswith("nothing was published\n")


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xef\xbb\xbf\r\n"], ids=["empty", "blank", "mark"])
def test_contacts_file_without_contacts_is_refused(command: Command, tmp_path: Path, content: bytes) -> None:
    """A file without contacts is rejected before a broker is contacted."""
    file = tmp_path / "contacts.jsonl"
    file.write_bytes(content)

    result = command("contacts", "load", str(file))

    assert 1 == result.exit_code
    assert f"Error: {file}: it has no contacts; nothing was published\n" == result.stderr


@pytest.mark.parametrize("name", ["contacts.jsonl", "-"])
def test_contacts_with_a_byte_order_mark_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A byte order mark is skipped, in a file and in standard input."""
    content = b'\xef\xbb\xbf{"id":"mentor-1","role":"mentor","name":"Zo\xc3\xab"}\r\n'
    file = tmp_path / name
    file.write_bytes(content)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content), encoding="ascii"))

    with open_contacts(Path("-") if name == "-" else file) as opened_file:
        assert 1 == opened_file.check()
        assert [("mentor-1", "Zoë")] == [(contact.id, contact.name) for contact in opened_file.contacts()]


@pytest.mark.parametrize(
    ("contact", "says"),
    [
        (
            "mentor-1",
            (
                "mentor-1 forgotten\n"
                "Its data is gone from Kafka within two days, if contacts are loaded in that time. "
                "To be sure, run this again tomorrow.\n"
            ),
        ),
        ("mentor-2", "mentor-2 is not known: nothing to forget\n"),
    ],
)
def test_forget_prints_whether_the_id_was_known(
    command: Command, monkeypatch: pytest.MonkeyPatch, contact: str, says: str
) -> None:
    """It publishes a null in both cases; an unknown id is not an error."""
    published: list[tuple[str, bytes | None]] = []

    async def known(_: object) -> contacts_command.KnownContacts:
        return contacts_command.KnownContacts({b"mentor-1": True})

    async def publish(*arguments: Any) -> None:
        published.append(arguments[-2:])

    async def partitions(_: str) -> int:
        return 12

    @asynccontextmanager
    async def publisher(_: object, *, to: object) -> AsyncIterator[SimpleNamespace]:
        yield SimpleNamespace(partitions=partitions)

    monkeypatch.setattr(contacts_command, "known_contacts", known)
    monkeypatch.setattr(contacts_command, "publisher", publisher)
    monkeypatch.setattr(contacts_command, "publish_contact", publish)

    result = command("contacts", "forget", contact)

    assert (0, says) == (result.exit_code, result.stdout)
    assert [(contact, None)] == published


def test_a_missing_contacts_file_is_reported(command: Command, tmp_path: Path) -> None:
    """The error for a missing file is one line with its path."""
    result = command("contacts", "load", str(tmp_path / "none"))

    assert (1, f"Error: {tmp_path / 'none'}: No such file or directory\n") == (result.exit_code, result.stderr)


@pytest.mark.parametrize(
    "arguments",
    [
        ("dispatches", "show", "not-an-id"),
        ("dispatches", "cancel", "--undo", "0a1b2c3d", "--dry-run"),
        ("sources", "hold", "/hr ", "--reason", "x"),
        ("dispatches", "show", DISPATCH, "--at", "somewhere"),
        ("dispatches", "show", DISPATCH, "--since", "lately"),
        ("dead-letters", "show", "somewhere"),
        ("dead-letters", "list", "--reason", "spite"),
        ("dead-letters", "list", "--until", "soon"),
        ("dead-letters", "replay", "--dry-run", "--id", "somewhere"),
        ("dead-letters", "replay", "--dry-run", "--max-rounds", "0"),
        ("topics", "create", "--partitions", "0"),
        ("preview",),
        ("preview", "cert-expiry-reminder", "--role", "coordinator"),
        ("preview", "notice-undelivered", "--role", "mentor"),
        ("suppressions", "add", "mentor-042"),
        ("suppressions", "add", "mentor-042", "--reason", "x", "--until", "soon"),
        ("settings", "--program", "nobody"),
    ],
    ids=" ".join,
)
def test_wrong_usage_ends_with_2(command: Command, arguments: tuple[str, ...]) -> None:
    """Wrong usage exits with 2 before a broker is contacted, and the error says what is allowed."""
    result = command(*arguments)

    assert (2, "") == (result.exit_code, result.stdout)
    assert "Usage: pause-notifications " in result.stderr


def test_a_replay_without_a_terminal_needs_yes(command: Command) -> None:
    """Without a terminal and --yes the command exits with 2 before a broker is contacted."""
    result = command("dead-letters", "replay")

    assert (2, "") == (result.exit_code, result.stdout)
    assert "Error: there is no terminal to ask: look with --dry-run, then replay with --yes\n" == result.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("local",),
        ("topics", "create"),
        ("contacts", "load"),
        ("api-keys", "add"),
        ("api-keys", "list"),
        ("api-keys", "remove"),
        *(("events", "publish", event.name) for event in EVENTS),
        ("dispatches", "show"),
        ("dead-letters", "list"),
        ("dead-letters", "show"),
        ("dead-letters", "replay"),
        ("suppressions", "list"),
        ("suppressions", "show"),
        ("suppressions", "add"),
        ("suppressions", "remove"),
        ("suppressions", "sync"),
        ("suppressions", "sign"),
        ("preview",),
        ("settings",),
        ("doctor",),
    ],
    ids=" ".join,
)
def test_help_has_an_example(command: Command, words: tuple[str, ...]) -> None:
    """Each command's help ends with an example of itself, on a line of its own."""
    result = command(*words, "--help")

    assert 0 == result.exit_code
    assert any(line.startswith("    pause-notifications " + " ".join(words)) for line in result.stdout.splitlines())


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("suppressions", "add"), ("--on-ses its list shows the address as COMPLAINT", "back as `complained`")),
        (("suppressions", "remove"), ("replay sends to suppressed recipients", "with a new id")),
    ],
    ids=str,
)
def test_help_warns_of_what_surprises(command: Command, words: tuple[str, ...], says: tuple[str, ...]) -> None:
    """Which reason SES shows, and how an e-mail that was not sent can be sent after all."""
    shown = " ".join(command(*words, "--help").stdout.split())

    assert [] == [text for text in says if text not in shown]


def test_local_reports_that_it_is_not_installed(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """In an installation without the local stack, `local` prints where to get it."""
    monkeypatch.setitem(sys.modules, "deploy.local.stack", None)

    result = command("local")

    assert (1, True) == (result.exit_code, "clone the repository, and run there: make run" in result.stderr)


def test_logs_go_to_standard_error() -> None:
    """Log lines of our own code go to standard error, so that the JSON on standard output can be parsed."""
    script = (
        "import structlog\n"
        "from deploy.command import __main__, app\n"
        "app.app = lambda obj, **_: (obj(), structlog.get_logger().error('kafka.batch.unreadable'))\n"
        "__main__.main()\n"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)

    assert "" == ran.stdout
    assert "kafka.batch.unreadable" in ran.stderr
