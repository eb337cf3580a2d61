"""Clients of others that offer an upgrade with every call over plain HTTP."""

from __future__ import annotations

from pathlib import Path

from tests.contract.installed import compiles_java, need, present
from tests.ended import ended
from tests.unit.runtime.test_http import served

_SOURCE = Path(__file__).parent / "clients" / "Offering.java"
_TEXT = '{"mentor_id":"mentor-042"}'
_SECONDS = 60.0


async def _output(*command: str) -> str:
    """Return what a client prints."""
    ran = await ended(*command, within=_SECONDS)
    assert 0 == ran.code, ran.errors
    return ran.out


async def test_java() -> None:
    """Java's HttpClient, which offers HTTP/2, gets its body across, and again on the same connection."""
    need(compiles_java, "default-jdk-headless")
    async with served() as one:
        printed = await _output("java", "-Xshare:auto", "-XX:TieredStopAtLevel=1", str(_SOURCE), _url(one.port), _TEXT)

    assert [_TEXT, _TEXT] == printed.splitlines()


async def test_curl() -> None:
    """So does curl when it is told to offer HTTP/2."""
    need(lambda: present("curl"), "curl")
    async with served() as one:
        printed = await _output("curl", "--silent", "--show-error", "--http2", "--data", _TEXT, _url(one.port))

    assert printed == _TEXT


def _url(port: int) -> str:
    return f"http://127.0.0.1:{port}/echo"
