"""What `doctor` makes of the answers of replicas, and of what is none."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from deploy.command.doctor import replicas
from deploy.command.doctor.fleet import BY_MEMBERS, Where, check_fleet
from deploy.command.doctor.replicas import NoAnswer, Readiness, ask, replica_findings
from deploy.command.findings import State
from runtime.settings import ReplicaSettings
from runtime.terminal import STEERING

URL = "http://10.0.0.7:8002"
HEALTHY: dict[str, Any] = {"ok": True, "version": "1.2.3", "partitions": [0, 1], "more_replicas": "No."}


@asynccontextmanager
async def _listening(answer: bytes, *, then_close: bool = True) -> AsyncIterator[str]:
    """Answer every request with these bytes; yield the URL."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        if then_close:
            writer.close()
        else:
            await reader.read()  # until the other side has given up
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1")
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await server.wait_closed()


def _http(body: bytes, *headers: str, status: str = "503 Service Unavailable") -> bytes:
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers, "", ""]
    return "\r\n".join(head).encode() + body


@pytest.mark.parametrize(
    ("said", "state", "words"),
    [
        ({}, State.OK, "ready; owns 2 partitions; no; version 1.2.3"),
        ({"halt": "credentials"}, State.FAIL, "sends nothing, halted by credentials; owns 2 partitions"),
        ({"halt": "stopped_by_operator"}, State.WARN, "sends nothing, stopped by an operator"),
        ({"ok": False, "kafka_connected": False, "joined": False}, State.FAIL, "Kafka is not connected; it has not"),
        ({"ok": False, "missing_topics": ["a"]}, State.FAIL, "not ready: missing topics: a;"),
        ({"ok": False, "missing_rights": list("abcdefg")}, State.FAIL, "missing rights: a, b, c, d, e and 2 more;"),
        (
            {"ok": False, "waiting_for": "Kafka", "because": "refused"},
            State.FAIL,
            "it waits for Kafka, because refused",
        ),
        ({"ok": False, "ledgers_being_read": [3]}, State.FAIL, "not ready: 1 ledgers are being read"),
        (
            {"ok": False, "halt": "no_contacts", "contacts_read": False},
            State.FAIL,
            "not ready: contacts are being read",
        ),
        ({"ok": False, "halt": "contacts_not_read", "joined": False}, State.FAIL, "not ready: it has not joined"),
        ({"ok": False}, State.FAIL, "not ready: it stops"),
        (
            {"oldest_unfinished": "2026-04-01T10:00:00.125+00:00"},
            State.OK,
            "oldest unfinished event of 2026-04-01T10:00:00Z",
        ),
    ],
)
async def test_what_a_replica_says(said: dict[str, Any], state: State, words: str) -> None:
    """A halt and a lack are failures with their reason; a stop by an operator is a warning."""
    async with _listening(_http(json.dumps({**HEALTHY, **said}).encode())) as url:
        (finding,) = replica_findings(await ask([url]), missing=State.WARN)

    assert state == finding.state
    assert words in finding.detail


async def test_a_facade_is_no_replica() -> None:
    """Its address is easily mistaken for a replica's, and it is ready although all sending is halted."""
    async with _listening(_http(b'{"ok": true, "dispatches_followed": true}')) as url:
        (finding,) = replica_findings(await ask([url]), missing=State.FAIL)

    assert (State.FAIL, "is a facade, not a replica") == (finding.state, finding.detail)


async def test_an_older_release_tells_less() -> None:
    """A replica that only says that it is ready is ready."""
    async with _listening(_http(b'{"ok": true}')) as url:
        (finding,) = replica_findings(await ask([url]), missing=State.WARN)

    assert (State.OK, "ready; owns 0 partitions; version not told") == (finding.state, finding.detail)


def test_different_versions_are_a_warning() -> None:
    """A roll-out that has stopped halfway shows as a finding of its own."""
    answers = {f"http://a:{port}": Readiness(ok=True, version=f"1.{port // 3}") for port in range(1, 4)}

    finding = replica_findings(answers, missing=State.WARN)[-1]

    assert ("versions", State.WARN, "replicas differ: 2 of 1.0, 1 of 1.1") == (
        finding.check,
        finding.state,
        finding.detail,
    )


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(_http(b"x" * 70_000), id="too long"),
        pytest.param(_http(b"not json"), id="not JSON"),
        pytest.param(_http(b'{"ok": "yes"}'), id="another type"),
        pytest.param(_http(b"[]"), id="no object"),
        pytest.param(_http(b'{"ok": true, "version": "\xff"}'), id="not UTF-8"),
        pytest.param(_http(b"[" * 60_000), id="deep"),
        pytest.param(_http(gzip.compress(json.dumps(HEALTHY).encode()), "Content-Encoding: gzip"), id="compressed"),
        pytest.param(_http(b"", "Location: http://10.9.9.9/", status="302 Found"), id="sends elsewhere"),
        pytest.param(b"HTTP/1.1 200 OK\r\n" + b"X: " + b"y" * 100_000 + b"\r\n\r\n", id="head without end"),
        pytest.param(b"\x00\x01SSH-2.0\r\n\r\n", id="not HTTP"),
        pytest.param(b"", id="nothing"),
    ],
)
async def test_what_is_not_a_replica(answer: bytes) -> None:
    """Whatever answers there, the finding says that it is no replica, in few words."""
    async with _listening(answer) as url:
        answers = await ask([url])
        (finding,) = replica_findings(answers, missing=State.FAIL)

    assert isinstance(answers[url], NoAnswer)
    assert State.FAIL == finding.state
    assert "does not answer as a replica does" in finding.detail
    assert len(finding.detail) < 100


async def test_who_never_finishes_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that does not end is given up after a time."""
    monkeypatch.setattr(replicas, "_SECONDS", 0.2)
    async with _listening(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", then_close=False) as url:
        answers = await ask([url])

    assert "no answer within 0.2 s" == str(answers[url])


async def test_a_closed_port() -> None:
    """An address at which nothing listens is named, with what to do."""
    async with _listening(b"") as url:
        pass
    (finding,) = replica_findings(await ask([url]), missing=State.WARN)

    assert (State.WARN, True) == (finding.state, finding.detail.startswith("cannot be reached"))
    assert "--replicas HOST:PORT" in finding.advice


def test_long_texts_are_cut() -> None:
    """What a replica says takes no more than some lines."""
    said = Readiness(ok=True, version="v" * 9000, halt="h" * 9000, oldest_unfinished="o" * 9000)

    (finding,) = replica_findings({URL: said}, missing=State.WARN)

    assert len(finding.detail) < 1000


def test_what_steers_a_terminal_is_escaped(command: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """A version that would clear the screen is printed as its characters."""

    async def asked(_urls: object) -> replicas.Answers:
        return {URL: Readiness(ok=True, version="1\x1b[2J\n\u202e")}

    monkeypatch.setattr("deploy.command.doctor.fleet.ask", asked)

    result = command("doctor", "--replica", URL)

    assert "ok    replica 10.0.0.7:8002: ready; owns 0 partitions; version 1\\x1b[2J\\x0a\\u202e" in result.stdout
    assert not [line for line in result.stdout.splitlines() if STEERING.search(line)]


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--replica", "10.0.0.7:8002"),
        ("--replica", "file:///etc/passwd"),
        ("--replicas", "http://10.0.0.7:8002"),
        ("--replicas", "pods:80020"),
        ("--replicas", "pods"),
    ],
)
def test_addresses_are_checked(option: str, value: str, command: Callable[..., Any]) -> None:
    """Another form of an address is wrong usage, and the message has an example."""
    result = command("doctor", option, value)

    assert (2, True) == (result.exit_code, "is not like" in result.stderr)


async def test_without_a_broker_the_given_replicas_are_asked() -> None:
    """Their addresses do not depend on Kafka."""
    settings = ReplicaSettings()
    async with _listening(_http(json.dumps({**HEALTHY, "ok": False, "kafka_connected": False}).encode())) as url:
        findings = await check_fleet(settings, Where(places=[url.removeprefix("http://")]), kafka=False)

    assert [True] == ["Kafka is not connected" in one.detail for one in findings]


async def test_without_a_broker_nobody_tells_the_addresses() -> None:
    """That no replica was asked is a warning, with the options that help."""
    (finding,) = await check_fleet(ReplicaSettings(), BY_MEMBERS, kafka=False)

    assert (State.WARN, True) == (finding.state, "no replica was asked" in finding.detail)
