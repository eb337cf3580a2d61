"""Schemathesis calls a facade as openapi.json describes it: valid and invalid, and along the links between answers."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from deploy.contracts.export import FOLDER
from schemas.dispatch import Dispatch
from schemas.events import EVENTS, EVENTS_BY_NAME
from tests.ended import ended
from tests.fakes.facade import BOTH_SENT, served_facade

CONFIG = Path(__file__).with_name("schemathesis.toml")
PENDING = EVENTS_BY_NAME["pause-lifted"]
"""The event whose dispatches do not end, so that its calls are answered with a 202."""

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
    async with served_facade(_outcome) as served:
        url = ["--url", served.address]
        ran = await ended(*map(str, (*command, *url, *reporting, *options)), within=_RUN_SECONDS, cwd=tmp_path)
        return Ran(ran.out + ran.errors, json.loads(report.read_text(encoding="utf-8")), served.setup.records.reads)


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
