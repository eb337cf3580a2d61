"""Published schemas are kept: what breaks others is found and shown, and what does not is let through."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker
from typer.testing import CliRunner

from deploy.contracts import compat
from deploy.contracts.compat import PUBLISHED, judgements, present_schemas, publish
from deploy.contracts.compatibility import breaks
from deploy.contracts.export import json_schema
from deploy.contracts.rest_compatibility import rest_breaks
from schemas import cloudevents
from schemas.cloudevents import NotAnEvent, decode, encode_binary
from schemas.events import EVENTS_BY_NAME, EVENTS_BY_TYPE, Event, EventType, PauseActivated, ShortText

Change = Callable[[dict[str, Any]], Any]

ACTIVATED = json.loads(present_schemas()["mentor.pause.activated.v1.json"])
DISPATCH = json.loads(present_schemas()["dispatch.json"])


def changed(schema: dict[str, Any], change: Change) -> dict[str, Any]:
    """Return a changed copy of a schema."""
    after = copy.deepcopy(schema)
    change(after)
    return after


def field(name: str, **rules: Any) -> Change:
    """Change the rules of a field, or add it."""
    return lambda schema: schema["properties"].setdefault(name, {}).update(rules)


def both(*changes: Change) -> Change:
    """Apply several changes."""
    return lambda schema: [change(schema) for change in changes]


def required(name: str) -> Change:
    """Require a field."""
    return lambda schema: schema["required"].append(name)


def without(name: str) -> Change:
    """Remove a field."""
    return both(lambda schema: schema["properties"].pop(name), lambda schema: schema["required"].remove(name))


BREAKING: dict[str, tuple[Change, str, str]] = {
    "a field becomes required": (
        both(field("note", type="string"), required("note")),
        "Who writes by the published version is refused",
        "'note' is a required property",
    ),
    "a field is removed": (
        without("pause_reason"),
        "Who reads by the published version finds nothing",
        "the field pause_reason is gone",
    ),
    "a field gets another type": (
        field("pause_reason", type="integer"),
        "Who writes by the published version is refused",
        "pause_reason breaks the rule type",
    ),
    "a limit becomes stricter": (
        field("pause_reason", maxLength=100),
        "Who writes by the published version is refused",
        "pause_reason breaks the rule maxLength: 100",
    ),
    "a limit becomes wider": (
        field("pause_reason", maxLength=1000),
        "Who reads by the published version refuses what is written now",
        "pause_reason breaks the rule maxLength: 500",
    ),
    "a text becomes a list of codes": (
        field("pause_reason", enum=["personal_leave", "holiday"]),
        "Who writes by the published version is refused",
        "pause_reason breaks the rule enum",
    ),
    "unknown fields are refused": (
        lambda schema: schema.update(additionalProperties=False),
        "Who writes by the published version is refused",
        "the value breaks the rule additionalProperties",
    ),
    "a rule that no example shows": (
        field("pause_reason", pattern=ACTIVATED["properties"]["pause_reason"]["pattern"] + "|qq"),
        "Nobody can tell who",
        "properties.pause_reason.pattern",
    ),
}

HARMLESS: dict[str, Change] = {
    "an optional field is added": field("note", type="string", maxLength=10),
    "a description is reworded": field("pause_reason", description="Why.", title="Why", examples=["holiday"]),
    "fields change their order": lambda schema: schema["required"].reverse(),
}


@pytest.mark.parametrize(("change", "who", "what"), BREAKING.values(), ids=BREAKING)
def test_a_breaking_change_is_shown(change: Change, who: str, what: str) -> None:
    """A planted breaking change is found, in words that name who breaks and the rule."""
    found = breaks(ACTIVATED, changed(ACTIVATED, change))

    assert [True] == [what in one.what for one in found if one.who == who]


@pytest.mark.parametrize("change", [change for change, *_ in BREAKING.values()], ids=BREAKING)
def test_its_example_is_true(change: Change) -> None:
    """An example is valid for one version of the schema, and for the other it is not."""
    after = changed(ACTIVATED, change)
    before_allows, after_allows = (
        Draft202012Validator(schema, format_checker=FormatChecker()).is_valid for schema in (ACTIVATED, after)
    )

    examples = [one.example for one in breaks(ACTIVATED, after) if one.example is not None]

    assert [] == [example for example in examples if before_allows(example) == after_allows(example)]


@pytest.mark.parametrize("change", HARMLESS.values(), ids=HARMLESS)
def test_a_harmless_change_passes(change: Change) -> None:
    """A planted change that breaks nobody is let through."""
    assert [] == breaks(ACTIVATED, changed(ACTIVATED, change))


def _codes(schema: dict[str, Any], name: str) -> list[str]:
    """Return the codes of a recipient's field; that of the reason may be null."""
    field: dict[str, Any] = schema["$defs"]["Recipient"]["properties"][name]["anyOf"][0]
    codes: list[str] = (field["anyOf"][0] if "anyOf" in field else field)["enum"]
    return codes


@pytest.mark.parametrize(
    ("name", "known"), [("status", "expired"), pytest.param("reason", "too_late", marks=pytest.mark.slow)]
)
def test_a_code_may_be_added_and_not_removed(name: str, known: str) -> None:
    """The published lists of codes are open: one more breaks nobody, and one less is asked about."""
    added = changed(DISPATCH, lambda schema: _codes(schema, name).append("postponed"))
    removed = changed(DISPATCH, lambda schema: _codes(schema, name).remove(known))

    assert [] == breaks(DISPATCH, added)
    assert ["Nobody can tell who"] == [one.who for one in breaks(DISPATCH, removed)]


def test_a_field_deep_within_is_missed() -> None:
    """A field that a recipient of a dispatch no longer has is named with its path."""
    gone = changed(DISPATCH, lambda schema: schema["$defs"]["Recipient"]["properties"].pop("send"))

    assert ["the field recipients.send is gone"] == [one.what for one in breaks(DISPATCH, gone)]


def test_the_published_versions_are_kept() -> None:
    """The models of today break nobody who relies on any published version."""
    assert [] == list(judgements(PUBLISHED, present_schemas()))


def test_the_command_fails_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """It exits with 1, names schema and release, shows an example and where to read on."""
    broken = json.dumps(changed(ACTIVATED, field("pause_reason", type="integer")))
    monkeypatch.setattr(
        compat, "present_schemas", lambda: {**present_schemas(), "mentor.pause.activated.v1.json": broken}
    )

    result = CliRunner().invoke(compat.app)

    assert 1 == result.exit_code
    assert "mentor.pause.activated.v1 of 0.1.0: Who writes by the published version is refused" in result.stderr
    assert 'for example {"' in result.stderr
    assert "CONTRIBUTING.md" in result.stderr


class PauseActivatedV2(PauseActivated):
    """An invented version 2: it asks for one field more."""

    activated_by: ShortText


def test_a_second_version_stands_beside_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The path of CONTRIBUTING: both types are read, both are kept from then on, and the first cannot be dropped."""
    first = EVENTS_BY_NAME["pause-activated"]
    example = {**first.example, "activated_by": "coordinator-007"}
    second = EventType(
        name="pause-activated-v2",
        type="mentor.pause.activated.v2",
        topic=first.topic,
        model=PauseActivatedV2,
        roles=first.roles,
        summary="A mentor pause is activated",
    )

    # 1. a row beside the old one: each type is read by its own rules
    monkeypatch.setattr(cloudevents, "EVENTS_BY_TYPE", {**EVENTS_BY_TYPE, second.type: second})
    records = [
        encode_binary(Event(kind, "pause-8731-activated", "/mentoring", kind.model.model_validate(example)))
        for kind in (first, second)
    ]
    events = [decode(record.headers, record.value) for record in records]
    assert [first, second] == [event.kind for event in events]
    with pytest.raises(NotAnEvent, match="activated_by: is missing"):
        decode(records[1].headers, records[0].value)

    # 2. one fact is published as one of both: the second of the two types is a conflict, and no second e-mail
    assert 1 == len({event.dispatch_id for event in events})
    assert 2 == len({event.digest for event in events})

    # 3. the gate lets it pass, and its release keeps the new schema alone
    publish(tmp_path, "1.0.0", present_schemas())
    name, schema = f"{second.type}.json", json.dumps(json_schema(second.type, second.model))
    both_versions = {**present_schemas(), name: schema}
    assert [] == list(judgements(tmp_path, both_versions))
    assert [tmp_path / "1.10.0" / name] == publish(tmp_path, "1.10.0", both_versions)

    # 4. from now on both are held
    stricter = json.dumps(changed(json.loads(schema), field("activated_by", maxLength=5)))
    (refused,) = judgements(tmp_path, {**both_versions, name: stricter})
    assert refused.startswith("mentor.pause.activated.v2 of 1.10.0: Who writes by the published version is refused")
    dropped = {file: text for file, text in both_versions.items() if file != "mentor.pause.activated.v1.json"}
    assert ["mentor.pause.activated.v1 of 1.0.0: Everybody who writes or reads it: the schema is gone"] == list(
        judgements(tmp_path, dropped)
    )


OPENAPI = json.loads(present_schemas()["openapi.json"])
LIFTED = "/api/v1/pause-notifications/pause-lifted"
REST: dict[str, tuple[Change, list[str]]] = {
    "an endpoint is removed": (
        lambda document: document["paths"].pop(LIFTED),
        [f"POST {LIFTED} is gone"],
    ),
    "a parameter is removed": (
        lambda document: document["paths"][LIFTED]["post"]["parameters"].pop(0),
        [f"the parameter Idempotency-Key of POST {LIFTED} is gone"],
    ),
    "a parameter becomes required": (
        lambda document: document["components"]["parameters"]["traceparent"].update(required=True),
        [f"POST {path} needs the parameter traceparent" for path in OPENAPI["paths"] if "dispatches" not in path],
    ),
    "an answer is removed": (
        lambda document: document["paths"][LIFTED]["post"]["responses"].pop("202"),
        [f"the answer 202 of POST {LIFTED} is gone"],
    ),
    "a field of an answer is no longer sure": (
        lambda document: document["components"]["schemas"]["Feedback"]["required"].remove("at"),
        ["'at' is a required property (answer 200 of GET /api/v1/pause-notifications/dispatches/{dispatch_id})"],
    ),
    "a body needs more": (
        lambda document: document["components"]["schemas"]["PauseLifted"]["required"].append("by"),
        [f"'by' is a required property (body of POST {LIFTED})"],
    ),
    "harmless: an answer has one field more": (
        lambda document: both(field("note", type="string"), required("note"))(
            document["components"]["schemas"]["DispatchState"]
        ),
        [],
    ),
    "harmless: a status is added": (
        lambda document: document["paths"][LIFTED]["post"]["responses"].update({"418": {"description": "Tea"}}),
        [],
    ),
}


@pytest.mark.parametrize(("change", "says"), REST.values(), ids=REST)
def test_rest_is_kept(change: Change, says: list[str]) -> None:
    """What breaks callers is named with its endpoint, and what does not is let through."""
    assert says == [one.what for one in rest_breaks(OPENAPI, changed(OPENAPI, change))]
