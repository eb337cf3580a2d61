"""Schemathesis calls a facade as openapi.json describes it: valid and invalid, and along the links between answers."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from deploy.contracts.export import FOLDER
from deploy.local.ports import HOST
from runtime.http import serve
from schemas.dispatch import Dispatch, Status
from schemas.events import EVENTS, EVENTS_BY_NAME, Role
from tests.fakes.facade import ends, fake_facade, recipient

CONFIG = Path(__file__).with_name("schemathesis.toml")
PENDING = EVENTS_BY_NAME["pause-lifted"]
"""The event whose dispatches do not end, so that its calls are answered with a 202."""
BOTH_SENT = ends(recipient(Role.MENTOR, Status.SENT), recipient(Role.COORDINATOR, Status.SENT))

_RUN_SECONDS = 500.0
pytestmark = pytest.mark.timeout(600)


class Ran(NamedTuple):
    """What Schemathesis printed and reported."""

    printed: str
    report: dict[str, Any]
    looked_up: int
    """How many events the facade read at the position that a `Location` names."""


def _outcome(dispatch: Dispatch) -> Dispatch | None:
    return None if dispatch.event_type == PENDING.type else BOTH_SENT(dispatch)


async def call(document: Path, tmp_path: Path, *options: str) -> Ran:
    """Let Schemathesis call a facade as *document* describes it."""
    report = tmp_path / "report.json"
    command = [Path(sys.executable).with_name("schemathesis"), "--config-file", CONFIG, "run", document]
    reporting = ["--no-color", "--report", "json", "--report-json-path", report]
    async with fake_facade() as setup, serve(setup.facade.app, "http", host=HOST, port=0, drain_seconds=1) as port:
        setup.replica(_outcome)
        process = await asyncio.create_subprocess_exec(
            *map(str, (*command, "--url", f"http://{HOST}:{port}", *reporting, *options)),
            cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            async with asyncio.timeout(_RUN_SECONDS):
                printed, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        return Ran(printed.decode(), json.loads(report.read_text(encoding="utf-8")), setup.records.reads)


@pytest.mark.parametrize(
    ("most", "cases"), [(3, 250), pytest.param(200, 1000, marks=pytest.mark.slow)], ids=["short", "long"]
)
async def test_every_answer_is_as_described(most: int, cases: int, tmp_path: Path) -> None:
    """
    Valid calls are accepted, invalid ones refused, and each answer fits its description.

    The address in a 202 is followed, and leads to a dispatch.
    """
    ran = await call(FOLDER / "openapi.json", tmp_path, "--max-examples", str(most))

    found = ran.report
    assert 0 == found["exit_code"], ran.printed
    assert {"success"} == {phase["status"] for phase in found["phases"].values()}
    assert len(EVENTS) + 1 == found["operations"]["tested"]
    assert cases <= found["test_cases"]["generated"]
    assert [] == [kind for kind, warnings in found["warnings"].items() if warnings]
    assert 0 < ran.looked_up


@pytest.mark.slow
async def test_a_difference_is_found(tmp_path: Path) -> None:
    """If the document allows a key that the facade refuses, the run fails and says so."""
    document = json.loads((FOLDER / "openapi.json").read_text(encoding="utf-8"))
    document["components"]["parameters"]["Idempotency-Key"]["schema"] = {"type": "string"}
    changed = tmp_path / "openapi.json"
    changed.write_text(json.dumps(document), encoding="utf-8")

    ran = await call(changed, tmp_path, "--phases", "coverage", "--include-operation-id", "pause-activated")

    assert 1 == ran.report["exit_code"]
    assert "invalid-key" in ran.printed
