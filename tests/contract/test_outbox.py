"""The page about an outbox: Debezium's own router makes events of its rows, and dead letters with its defaults."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from schemas.check import Checking
from schemas.judgement import Judgement
from tests.contract.guide import EXAMPLES, SCHEMAS
from tests.contract.installed import compiles_java, need, require, runs

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # Maven downloads what it needs

PROJECT = Path(__file__).parent / "outbox"
PAGE = (SCHEMAS / "outbox.md").read_text(encoding="utf-8")
OURS: Mapping[str, str] = json.loads((EXAMPLES / "outbox-connector.json").read_text(encoding="utf-8"))["config"]
JSON_CONVERTER = "org.apache.kafka.connect.json.JsonConverter"
AS_JSON = {"value.converter": JSON_CONVERTER, "value.converter.schemas.enable": "false"}
ROUTER = "transforms.outbox."
ALONE = {
    "transforms": "outbox",
    f"{ROUTER}type": OURS[f"{ROUTER}type"],
    "key.converter": JSON_CONVERTER,
    "value.converter": JSON_CONVERTER,
    "header.converter": "org.apache.kafka.connect.storage.SimpleHeaderConverter",
}
"""The router and Kafka Connect with their defaults."""
INSERTED = {
    **OURS,
    "transforms": f"{OURS['transforms']},specversion",
    f"{ROUTER}table.fields.additional.placement": OURS[f"{ROUTER}table.fields.additional.placement"].replace(
        "specversion:header:ce_specversion,", ""
    ),
    "transforms.specversion.type": "org.apache.kafka.connect.transforms.InsertHeader",
    "transforms.specversion.header": "ce_specversion",
    "transforms.specversion.value.literal": "1.0",
}
_STEP_SECONDS = 400.0


def _inserted() -> dict[str, str]:
    """Return the row that the page inserts, with the defaults of its table."""
    columns, values = re.findall(r"insert into outbox \((.*?)\) values \(\n(.*?)\n\);", PAGE, re.DOTALL)[0]
    defaults = dict(re.findall(r"^    (\w+) +text +not null default '(.*?)'", PAGE, re.MULTILINE))
    row = dict(zip(columns.split(", "), re.findall(r"'(.*?)'", values), strict=True))
    return {**defaults, **row, "time": "2026-03-26T08:29:59.000000Z"}


ROW = _inserted()
DEFAULT_ROW = {"id": "1", "aggregatetype": "pauses", "aggregateid": "mentor-042", "type": "x", "payload": ROW["data"]}
"""A row of the table that the router expects by default."""
CASES: Mapping[str, tuple[Mapping[str, str], Mapping[str, str]]] = {
    "ours": (ROW, OURS),
    "alone": (DEFAULT_ROW, ALONE),
    "alone, as text": (DEFAULT_ROW, {**ALONE, "value.converter": OURS["value.converter"]}),
    "inserted": (ROW, INSERTED),
    "JSON with schemas": (ROW, {**OURS, "value.converter": JSON_CONVERTER}),
    "JSON": (ROW, {**OURS, **AS_JSON}),
    "expanded": (ROW, {**OURS, **AS_JSON, f"{ROUTER}table.expand.json.payload": "true"}),
    "JSON keys": (ROW, {**OURS, "key.converter": JSON_CONVERTER, "key.converter.schemas.enable": "false"}),
    "JSON headers": (ROW, {**OURS, "header.converter": JSON_CONVERTER, "header.converter.schemas.enable": "false"}),
}


def _run(*command: str | Path, within: Path) -> str:
    ran = subprocess.run(
        list(map(str, command)), cwd=within, capture_output=True, text=True, timeout=_STEP_SECONDS, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


@pytest.fixture(scope="module", name="written")
def _written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[dict[str, Any], Judgement]]:
    """Return what Kafka Connect would write in each case, and the judgement about it."""
    need(compiles_java, "default-jdk-headless")
    require(lambda: runs("mvn", "--version"), "Maven")
    folder = tmp_path_factory.mktemp("outbox")
    shutil.copytree(PROJECT, folder, dirs_exist_ok=True)
    asked = [{"row": row, "config": config} for row, config in CASES.values()]
    (folder / "asked.json").write_text(json.dumps(asked), encoding="utf-8")
    _run("mvn", "-q", "-B", "dependency:copy-dependencies", "-DoutputDirectory=jars", within=folder)
    lines = _run("java", "-cp", "jars/*", "Route.java", "asked.json", within=folder)
    (folder / "records.jsonl").write_text(lines, encoding="utf-8")
    with (folder / "records.jsonl").open("rb") as file:
        judgements = list(Checking().judgements(file))
    records = map(json.loads, lines.splitlines())
    return dict(zip(CASES, zip(records, judgements, strict=True), strict=True))


def test_the_configuration_makes_an_event_of_a_row(written: dict[str, tuple[dict[str, Any], Judgement]]) -> None:
    """It is the event of the row, with the mentor's key, in its topic; all that is not judged is its partition."""
    record, judgement = written["ours"]

    assert judgement.event is not None
    assert judgement.is_right
    assert ("its place cannot be judged without its partition",) == judgement.notes  # the broker's client chooses it
    assert (ROW["event_id"], ROW["source"], ROW["type"]) == (
        judgement.event.id,
        judgement.event.source,
        judgement.event.kind.type,
    )
    assert (ROW["topic"], ROW["mentor_id"]) == (record["topic"], record["key"])
    assert json.loads(ROW["data"]) == json.loads(record["value"])
    assert datetime(2026, 3, 26, 8, 29, 59, tzinfo=UTC) == judgement.event.time


@pytest.mark.parametrize(
    ("case", "reason", "says"),
    [
        ("alone", "missing_attribute", "the value looks like Kafka Connect's envelope"),
        ("alone, as text", "missing_attribute", "the headers look like an outbox router's"),
        ("inserted", "invalid_attribute", "specversion: must be 1.0"),
        ("JSON with schemas", "invalid_data", "the value looks like Kafka Connect's envelope"),
        ("JSON", "invalid_data", "the data is a string that holds JSON"),
        ("JSON headers", "unsupported_content_type", "header values stand in double quotes"),
    ],
)
def test_another_configuration_makes_a_dead_letter(
    case: str, reason: str, says: str, written: dict[str, tuple[dict[str, Any], Judgement]]
) -> None:
    """Its reason and its detail are those that the page tells."""
    _, judgement = written[case]

    assert reason == judgement.reason
    assert says in judgement.detail
    assert f"| `{reason}` | {says} |" in PAGE


def test_keys_in_json_are_misplaced(written: dict[str, tuple[dict[str, Any], Judgement]]) -> None:
    """The event is valid, but has another key."""
    assert ("key",) == written["JSON keys"][1].misplaced


def test_an_expanded_payload_is_an_event_too(written: dict[str, tuple[dict[str, Any], Judgement]]) -> None:
    """The other way that the page names makes the same event."""
    assert written["ours"][1].event == written["expanded"][1].event
