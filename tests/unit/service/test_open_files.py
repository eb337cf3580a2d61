"""The facade, as a process with few file descriptors, while strangers open many connections."""

from __future__ import annotations

import asyncio
import resource
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
import structlog

from deploy.local.ports import HOST, free_ports
from runtime.http_connections import RESERVED_FILES, connections_within_files
from tests.processes import READY_SECONDS, ROOT, environment
from tests.raw_http import ask, head, wire
from tests.waiting import until

_PLACES = 128
_LIVE = head("GET /livez HTTP/1.1")


@asynccontextmanager
async def _facade(log: Path) -> AsyncIterator[tuple[int, int]]:
    """Run a facade without Kafka; yield its two ports once it is live."""
    port, management, nobody = free_ports(3)
    settings = {
        "http_host": HOST,
        "http_port": port,
        "management_host": HOST,
        "management_port": management,
        "kafka_bootstrap_servers": f"{HOST}:{nobody}",
    }
    few_files = f"ulimit -n {RESERVED_FILES + _PLACES}; exec {sys.executable} -m service"
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            "sh", "-c", few_files, cwd=ROOT, env=environment(settings, {}), stdout=output, stderr=output
        )
    try:
        await until(lambda: _live(management), within=READY_SECONDS, what="the facade to be live")
        await until(lambda: _live(port, "/docs"), what="its REST port to answer")
        yield port, management
    finally:
        process.kill()
        await process.wait()


async def _live(port: int, path: str = "/livez") -> bool:
    try:
        return (await ask(port, head(f"GET {path} HTTP/1.1"))).status == 200
    except ConnectionRefusedError:
        return False


async def test_probes_and_callers_are_answered(tmp_path: Path) -> None:
    """With more silent connections than files on each port, probes and callers are answered at once."""
    async with AsyncExitStack() as opened:
        port, management = await opened.enter_async_context(_facade(tmp_path / "log"))
        for _ in range(400):
            await opened.enter_async_context(wire(port))
        for _ in range(100):
            await opened.enter_async_context(wire(management))
        async with asyncio.timeout(5):
            probe, page = await ask(management, _LIVE), await ask(port, head("GET /docs HTTP/1.1"))

    assert 200 == probe.status
    assert 200 == page.status
    assert "http.connections_capped" in (tmp_path / "log").read_text(encoding="utf-8")


@pytest.mark.parametrize(("files", "allowed"), [(1024, 768), (8192, 1500), (-1, 1500), (100, 16)])
def test_connections_within_files(monkeypatch: pytest.MonkeyPatch, files: int, allowed: int) -> None:
    """A port has as many connections as configured, and leaves 256 files to the rest of the program."""
    monkeypatch.setattr(resource, "getrlimit", lambda _limit: (files, files))

    with structlog.testing.capture_logs() as logged:
        assert allowed == connections_within_files(1500)
    assert (allowed < 1500) == bool(logged)
