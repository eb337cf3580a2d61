"""The published contract: exported from the models, valid, and with valid examples."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, FormatChecker
from msgspec import NODEFAULT, Struct
from msgspec.structs import fields
from openapi_spec_validator import validate

from consumers.suppressions import digest_of
from deploy.contracts.asyncapi import asyncapi
from deploy.contracts.export import FOLDER, exports
from schemas import headers as names
from schemas.cloudevents import EventRecord, decode, encode_binary, encode_structured
from schemas.contacts import parse_contact
from schemas.dispatch import Dispatch, Origin, Recipient, Request
from schemas.events import ALL_EVENTS, EVENTS, OUR_SOURCES, REPLICA_SOURCE, UNDELIVERED, Event, EventType
from schemas.feedback import Feedback, FeedbackKind, feedback_json, parse_feedback
from schemas.suppressions import Suppression, parse_suppression, suppression_key
from tests.feedback import a_report
from tests.unit.schemas.feedback import ANY

EXPORTS = dict(exports())
FEEDBACK_SCHEMA = Draft202012Validator(json.loads(EXPORTS["json/feedback.json"]), format_checker=FormatChecker())


def by_name(event: EventType) -> str:
    """Name a test's parameter."""
    return event.name


def references(document: Any) -> Iterator[str]:
    """Yield every `$ref` in a document."""
    if isinstance(document, dict):
        if isinstance(document.get("$ref"), str):
            yield document["$ref"]
        for value in document.values():
            yield from references(value)
    elif isinstance(document, list):
        for value in document:
            yield from references(value)


def resolve(document: Any, reference: str) -> Any:
    """Follow a local reference; raise KeyError if it has no target."""
    for step in reference.removeprefix("#/").split("/"):
        document = document[step]
    return document


def encoded(event: EventType, *, structured: bool) -> EventRecord:
    """Encode the event's example."""
    example = Event(event, "1", "/producer", event.model.model_validate(event.example))
    return (encode_structured if structured else encode_binary)(example)


@pytest.mark.parametrize("path", EXPORTS)
def test_exported_file_agrees_with_the_models(path: str) -> None:
    """Each exported file is what `make contracts` would write."""
    assert EXPORTS[path] == (FOLDER / path).read_text(encoding="utf-8")


def test_no_old_export_is_left() -> None:
    """Every schema file is still exported."""
    assert {path for path in EXPORTS if path.startswith("json/")} == {
        f"json/{file.name}" for file in (FOLDER / "json").iterdir()
    }


@pytest.mark.parametrize("path", [path for path in EXPORTS if path.startswith("json/")])
def test_json_schema_is_valid_and_so_are_its_examples(path: str) -> None:
    """Each JSON Schema is valid for draft 2020-12, and so are its examples."""
    schema = json.loads(EXPORTS[path])
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema, format_checker=FormatChecker())

    assert [] == [error.message for example in schema.get("examples", []) for error in validator.iter_errors(example)]


@pytest.mark.parametrize("event", ALL_EVENTS, ids=by_name)
def test_record_value_fits_the_json_schema(event: EventType) -> None:
    """The codec's value for an event's example is valid for the published schema."""
    schema = json.loads(EXPORTS[f"json/{event.type}.json"])

    Draft202012Validator(schema, format_checker=FormatChecker()).validate(
        json.loads(encoded(event, structured=False).value)
    )


@pytest.mark.parametrize("event", ALL_EVENTS, ids=by_name)
@pytest.mark.parametrize("field_missing", [False, True])
def test_schema_and_model_refuse_alike(event: EventType, *, field_missing: bool) -> None:
    """Both refuse a missing field, text instead of a number, and the reverse."""
    schema = json.loads(EXPORTS[f"json/{event.type}.json"])
    for name, value in event.example.items():
        wrong = {key: content for key, content in event.example.items() if key != name}
        if not field_missing:
            wrong[name] = 7 if isinstance(value, str) else "seven"

        assert not Draft202012Validator(schema).is_valid(wrong)
        with pytest.raises(ValueError, match=name):
            event.model.model_validate(wrong)


def test_asyncapi_references_exist() -> None:
    """Every reference in asyncapi.yaml has a target."""
    document = yaml.safe_load(EXPORTS["asyncapi.yaml"])

    assert [] == [reference for reference in references(document) if not resolve(document, reference)]


def test_asyncapi_file_is_the_document() -> None:
    """Reading asyncapi.yaml returns the document that was written."""
    assert asyncapi() == yaml.safe_load(EXPORTS["asyncapi.yaml"])


@pytest.mark.parametrize("event", ALL_EVENTS, ids=by_name)
def test_asyncapi_example_is_read_as_an_event(event: EventType) -> None:
    """The codec reads the headers and payload of each example as an event of its type."""
    message = asyncapi()["components"]["messages"][event.type]
    example = message["examples"][0]
    headers = [(name, value.encode()) for name, value in example["headers"].items()]

    assert event == decode(headers, json.dumps(example["payload"]).encode()).kind


@pytest.mark.parametrize("event", ALL_EVENTS, ids=by_name)
def test_asyncapi_example_has_a_source_that_may_publish_it(event: EventType) -> None:
    """Only the example of the event that replicas publish has a source of ours."""
    source = asyncapi()["components"]["messages"][event.type]["examples"][0]["headers"]["ce_source"]

    assert ({REPLICA_SOURCE} if event is UNDELIVERED else set()) == {source} & OUR_SOURCES


@pytest.mark.parametrize("event", ALL_EVENTS, ids=by_name)
def test_asyncapi_channel_holds_the_events_of_its_topic(event: EventType) -> None:
    """Each event's message is in the channel of its own topic, and in no other."""
    channels = asyncapi()["channels"].values()

    assert [event.topic] == [channel["address"] for channel in channels if event.type in channel["messages"]]


def test_asyncapi_contact_example_is_a_contact() -> None:
    """The example of a contact is a valid contact."""
    example = asyncapi()["components"]["messages"]["contact"]["examples"][0]["payload"]

    assert "mentor-042" == parse_contact(json.dumps(example)).id


@pytest.mark.parametrize("event", ALL_EVENTS, ids=by_name)
def test_binary_headers_fit_the_documented_ones(event: EventType) -> None:
    """asyncapi.yaml documents every header that the codec writes."""
    documented = asyncapi()["components"]["messageTraits"]["cloudEvent"]["headers"]
    written = {name: value.decode() for name, value in encoded(event, structured=False).headers}
    Draft202012Validator(documented, format_checker=FormatChecker()).validate(written)

    assert set() == written.keys() - documented["properties"].keys() - {"ce_datacontenttype"}


@pytest.mark.parametrize(
    ("file", "struct"),
    [
        *(("dispatch", struct) for struct in (Dispatch, Origin, Recipient, Request)),
        ("feedback", Feedback),
        ("suppression", Suppression),
    ],
)
def test_schema_and_struct_name_the_same_fields(file: str, struct: type[Struct]) -> None:
    """The published schema of a struct has its fields, and requires those without a default."""
    document = json.loads(EXPORTS[f"json/{file}.json"])
    schema = {**document["$defs"], document["title"]: document}[struct.__name__]
    known = fields(struct)
    required = {field.name for field in known if field.default is NODEFAULT and field.default_factory is NODEFAULT}

    assert [field.name for field in known] == list(schema["properties"])
    assert required == {*schema["required"]}


def test_asyncapi_feedback_example_is_feedback() -> None:
    """The example of feedback is read as such."""
    example = asyncapi()["components"]["messages"]["feedback"]["examples"][0]["payload"]

    found = parse_feedback(example["dispatch_id"].encode(), json.dumps(example).encode())
    assert found is not None
    assert FeedbackKind.BOUNCE is found.kind


def test_asyncapi_suppression_example_is_an_entry() -> None:
    """The example of a suppression is read as an entry under the documented key, with the digest of an address."""
    message = asyncapi()["components"]["messages"]["suppression"]
    (key,) = message["bindings"]["kafka"]["key"]["examples"]

    found = parse_suppression(key.encode(), json.dumps(message["examples"][0]["payload"]).encode())
    assert found is not None
    assert key.encode() == suppression_key(found.on, found.contact_id)
    assert digest_of("mentor-042", "mentor-042@example.org") == found.address


def test_feedback_is_received_and_sent() -> None:
    """Others may publish it, and so does the service."""
    channel = "#/channels/feedback"
    operations = asyncapi()["operations"].values()

    assert ["receive", "send"] == [one["action"] for one in operations if one["channel"]["$ref"] == channel]


@settings(deadline=None, max_examples=200)
@given(ANY)
def test_every_report_fits_its_schema(report: Feedback) -> None:
    """What we write and read is valid for the published schema."""
    FEEDBACK_SCHEMA.validate(json.loads(feedback_json(report)))


@settings(deadline=None, max_examples=200)
@given(
    st.sampled_from(["dispatch_id", "recipient", "message_id", "kind", "at", "type", "subtype", "status", "address"]),
    st.none() | st.integers() | st.text(max_size=3) | st.text("0123456789abcdef -\n", max_size=40),
)
def test_schema_of_feedback_and_parser_refuse_alike(field: str, content: Any) -> None:
    """What the schema accepts is read, and nothing else is."""
    fields = {**json.loads(feedback_json(a_report())), field: content}
    key = str(fields["dispatch_id"]).encode(errors="replace")

    assert FEEDBACK_SCHEMA.is_valid(fields) == (parse_feedback(key, json.dumps(fields).encode()) is not None)


@pytest.mark.parametrize("field", ["status", "reason"])
def test_codes_of_a_dispatch_are_open(field: str) -> None:
    """The published schema of a dispatch names today's codes and accepts a newer release's."""
    schema = json.loads(EXPORTS["json/dispatch.json"])
    recipient = {"contact_id": "mentor-042", "role": "mentor", "status": "failed", "reason": "no_address"}
    origin = {"topic": "t", "partition": 0, "offset": 0, "appended_at": "2026-03-26T08:30:00Z"}
    dispatch = {"dispatch_id": "1", "event_type": "t", "mentor_id": "m", "digest": "d", "origin": origin}

    Draft202012Validator(schema).validate({**dispatch, "recipients": [{**recipient, field: "a_newer_code"}]})
    assert recipient[field] in EXPORTS["json/dispatch.json"]


def test_codes_of_dead_letters_and_answers_are_open() -> None:
    """Codes may be added, so no published list of codes is closed."""
    reason = asyncapi()["components"]["messages"]["deadLetter"]["headers"]["properties"][names.REASON]
    recipient = json.loads(EXPORTS["openapi.json"])["components"]["schemas"]["Recipient"]
    status = recipient["properties"]["status"]

    assert Draft202012Validator(reason).is_valid("a_newer_code")
    assert Draft202012Validator(status).is_valid("a_newer_code")


def test_asyncapi_documents_the_header_of_a_final_dispatch() -> None:
    """asyncapi.yaml has the header to wait for."""
    assert names.FINAL in asyncapi()["components"]["messages"]["dispatch"]["headers"]["properties"]


def test_openapi_is_valid() -> None:
    """openapi.json is a valid OpenAPI document."""
    validate(json.loads(EXPORTS["openapi.json"]))


@pytest.mark.parametrize("event", EVENTS, ids=by_name)
def test_openapi_describes_every_event(event: EventType) -> None:
    """Each event's endpoint is in openapi.json."""
    assert "post" in json.loads(EXPORTS["openapi.json"])["paths"][f"/api/v1/pause-notifications/{event.name}"]


def test_check_notices_a_difference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--check fails if a file is missing or different; writing corrects it."""
    from typer.testing import CliRunner

    from deploy.contracts import export

    monkeypatch.setattr(export, "FOLDER", tmp_path)
    runner = CliRunner()

    assert 1 == runner.invoke(export.app, ["--check"]).exit_code
    assert 0 == runner.invoke(export.app).exit_code
    assert 0 == runner.invoke(export.app, ["--check"]).exit_code
