"""The producers' guide agrees with the code."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import subprocess
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from prometheus_client import CollectorRegistry, generate_latest

from consumers.metrics import replica_metrics
from consumers.suppressions import digest_of
from runtime.kafka.topics import CONFIGS, DEFAULT_PARTITIONS
from runtime.settings import ReplicaSettings
from schemas.cloudevents import EventRecord, NotAnEventReason, decode, encode_binary, encode_structured
from schemas.contacts import Contact, InvalidContact, contact_json, parse_contact
from schemas.dead_letters import DeadLetterReason
from schemas.dispatch import Status, dispatch_json, parse_dispatch
from schemas.events import EVENTS, REPLICA_SOURCE, UNDELIVERED, Cause, Event, EventType, dispatch_id
from schemas.feedback import FEEDBACK_TOPIC, FeedbackKind, parse_feedback
from schemas.placement import partition_for
from schemas.signatures import Proof
from schemas.suppressions import SUPPRESSIONS_TOPIC, SuppressionReason, after, parse_suppression, suppression_json
from tests.contract import guide
from tests.feedback import a_report, as_record
from tests.signing import KEY, KEYS
from tests.stage import SAMPLE_CONTACTS

SOURCE, EVENT_ID, MENTOR = "/mentoring/pauses", "pause-8731-activated", "mentor-042"


def _printed(mode: str) -> EventRecord:
    """Return the record that the guide shows for a mode."""
    text = guide.code(f"record: {mode}")
    topic, key, headers, value = re.findall(r"^-+ \w+ -+\n(.*?)(?=\n-|\n\Z)", text, re.DOTALL | re.MULTILINE)
    pairs = [line.split(": ", 1) for line in headers.splitlines()]
    return EventRecord(topic, key.encode(), value.encode(), [(name, content.encode()) for name, content in pairs])


def _printed_event() -> Event:
    record = _printed("binary")
    return decode(record.headers, record.value)


@pytest.mark.parametrize("name", guide.GENERATED)
def test_generated_blocks_are_up_to_date(name: str) -> None:
    """Tables and examples agree with the code and the files; otherwise run: python -m tests.contract.guide."""
    assert guide.GENERATED[name]() == guide.block(name)


@pytest.mark.parametrize("page", guide.PAGES, ids=lambda page: page.stem)
def test_files_on_pages_are_up_to_date(page: Path) -> None:
    """A page shows its files as they are; otherwise run: python -m tests.contract.guide."""
    text = page.read_text(encoding="utf-8")

    assert guide.with_files(text) == text


def test_every_example_is_in_the_guide() -> None:
    """The guide or one of its pages shows every file of the examples, or links to it."""
    assert set() == guide.sources() - guide.shown()


@pytest.mark.parametrize("name", ["murmur2.go", "outcome.go", "Outcome.java"])
def test_copies_of_a_file_are_equal(name: str) -> None:
    """Both examples with Sarama have the same hash and wait for the outcome alike, and so do both with Spring."""
    one, other = guide.EXAMPLES.rglob(name)

    assert one.read_text(encoding="utf-8") == other.read_text(encoding="utf-8")


def test_the_printed_records_are_ours_in_both_modes() -> None:
    """Our codec writes both records for the same event."""
    event = _printed_event()
    written = {"binary": encode_binary(event), "structured": encode_structured(event)}

    for mode, ours in written.items():
        printed = _printed(mode)
        assert ours.topic == printed.topic
        assert ours.key == printed.key
        assert dict(ours.headers) == dict(printed.headers)
        assert json.loads(ours.value) == json.loads(printed.value)
        assert event == decode(printed.headers, printed.value)


def test_the_dispatch_id_is_computed_as_the_guide_says() -> None:
    """Both formulas return the printed id, which is that of the printed record."""
    shell = subprocess.run(["sh", "-c", guide.code("dispatch-id: shell")], capture_output=True, timeout=10, check=True)
    names = {"hashlib": hashlib, "source": SOURCE, "event_id": EVENT_ID, "mentor_id": MENTOR}
    python = eval(guide.code("dispatch-id: python"), names)  # noqa: S307 - a line of our own guide
    printed = guide.block("dispatch-id").strip("`")

    ours = dispatch_id(SOURCE, EVENT_ID, MENTOR)
    assert [ours] * 4 == [shell.stdout.decode().strip(), python, printed, _printed_event().dispatch_id]


def test_the_printed_dispatch_is_one_of_ours() -> None:
    """Our code writes it like this, and it belongs to the printed record."""
    text = guide.code("record: dispatch")
    dispatch = parse_dispatch(text.encode())
    event = _printed_event()

    assert dispatch is not None
    assert json.loads(dispatch_json(dispatch)) == json.loads(text)
    assert event.dispatch_id == dispatch.dispatch_id
    assert event.digest == dispatch.digest
    assert dispatch.final
    assert partition_for(MENTOR, DEFAULT_PARTITIONS) == dispatch.origin.partition


def test_the_printed_feedback_is_ours() -> None:
    """It is about the printed dispatch, and none of its fields is ignored."""
    printed = _printed("feedback")
    found = parse_feedback(printed.key, printed.value)

    assert FEEDBACK_TOPIC == printed.topic
    assert found is not None
    assert _printed_event().dispatch_id == found.dispatch_id
    assert json.loads(as_record(FEEDBACK_TOPIC, found)["value"]) == json.loads(printed.value)


def test_the_printed_escalation_is_ours() -> None:
    """It is the event that a replica publishes about the printed dispatch."""
    printed = _printed("escalation")
    event, about = decode([one for one in printed.headers if one[0] != "pn_signature"], printed.value), _printed_event()

    assert (UNDELIVERED, UNDELIVERED.topic, REPLICA_SOURCE) == (event.kind, printed.topic, event.source)
    assert (f"undelivered-{about.dispatch_id}", about.mentor_id.encode()) == (event.id, printed.key)
    assert about.kind.type == json.loads(printed.value)["notice"]


def test_the_printed_suppression_is_ours() -> None:
    """It is the entry that follows from the printed feedback, and none of its fields is ignored."""
    printed, feedback = _printed("suppression"), _printed("feedback")
    found, cause = parse_suppression(printed.key, printed.value), parse_feedback(feedback.key, feedback.value)

    assert SUPPRESSIONS_TOPIC == printed.topic
    assert found is not None
    assert cause is not None
    assert json.loads(suppression_json(found)) == json.loads(printed.value)
    assert digest_of(MENTOR, "mentor-042@example.org") == found.address
    assert after(replace(cause, address=found.address), MENTOR, None) == found


def test_every_kind_of_feedback_has_its_state() -> None:
    """The table has every kind, from the least severe to the most severe, with the state that follows."""
    states = {kind: cells[0].split(";")[0].strip("`") for kind, cells in guide.rows("kinds").items()}
    severities = [a_report(kind).state.severity for kind in states]

    assert {kind.value: a_report(kind).state.value for kind in FeedbackKind} == states
    assert sorted(severities) == severities


def test_a_signature_is_computed_as_the_guide_says() -> None:
    """A record that is signed by the printed function is proven, and one that is changed afterwards is not."""
    names: dict[str, Any] = {"hashlib": hashlib, "hmac": hmac}
    exec(guide.code("signature"), names)  # noqa: S102 - a function of our own guide
    record = as_record(FEEDBACK_TOPIC, a_report())
    headers = [("pn_signature", names["signature"](KEY, FEEDBACK_TOPIC, record["key"], record["value"]))]

    assert [Proof.PROVEN, Proof.WRONG] == [
        KEYS.check(FEEDBACK_TOPIC, record["key"], value, headers) for value in (record["value"], b"{}")
    ]


def test_the_printed_contacts_are_ours() -> None:
    """Each printed contact is valid for its key, and none of its fields is ignored."""
    printed = re.findall(r"key:   (.*)\nvalue: (.*)", guide.code("contacts"))

    assert 2 == len(printed)
    for key, value in printed:
        assert json.loads(value).items() <= json.loads(contact_json(parse_contact(value, key=key))).items()


@pytest.mark.parametrize(
    "page",
    [guide.GUIDE, guide.SCHEMAS / "contacts.py", guide.SCHEMAS.parent / "deploy" / "command" / "usage" / "contacts.py"],
    ids=lambda page: "/".join(page.parts[-2:]),
)
def test_the_contacts_of_examples_are_the_samples(page: Path) -> None:
    """A contact that an example names has the name and address that `make run` loads for it."""
    samples = {one["id"]: one for one in map(json.loads, SAMPLE_CONTACTS.read_text(encoding="utf-8").splitlines())}
    shown = re.findall(
        r'"id": ?"([\w-]+)".{1,80}?"email": ?"(.+?)".{1,40}?"name": ?"(.+?)"', page.read_text(), re.DOTALL
    )

    assert shown
    assert [(id_, samples[id_]["email"], samples[id_]["name"]) for id_, *_ in shown] == shown


@pytest.mark.parametrize(
    ("name", "codes"),
    [
        ("reasons: not-an-event", NotAnEventReason),
        ("reasons: dead-letter", DeadLetterReason),
        ("reasons: suppressed", SuppressionReason),
        ("statuses", Status),
        ("causes", Cause),
    ],
)
def test_every_code_is_explained(name: str, codes: type[StrEnum]) -> None:
    """The tables of reasons, statuses and causes have every code, and no other."""
    assert sorted(code.value for code in codes) == sorted(guide.rows(name))


def test_statuses_are_final_as_in_the_code() -> None:
    """The guide and the code agree about which statuses are final."""
    assert {status.value: "yes" if status.final else "no" for status in Status} == {
        status: cells[0] for status, cells in guide.rows("statuses").items()
    }


def test_retention_is_that_of_the_topics() -> None:
    """The guide has the topics' days, and the default of the setting for redeliveries."""
    text = guide.GUIDE.read_text(encoding="utf-8")
    days = {topic: int(config.get("retention.ms", 0)) // 86_400_000 for topic, config in CONFIGS.items()}
    hours = ReplicaSettings.model_fields["remember_hours"].default

    assert {f"stay in their topic for {days[event.topic]} days" in text for event in EVENTS} == {True}
    assert f"`pause-notifications.dispatches.v1` yourself ({days['pause-notifications.dispatches.v1']} days)" in text
    assert f"kept there for {days['pause-notifications.dead-letters.v1']} days" in text
    assert f"harmless within {hours / 24:g} days" in text


def test_the_metric_of_moved_records_has_its_name() -> None:
    """The metric in the guide has this name and label."""
    registry = CollectorRegistry()
    replica_metrics(registry).moved.labels(source="/mentoring/pauses").inc()
    (named,) = re.findall(r"`(pause_notifications_\w+)\{source=", guide.GUIDE.read_text(encoding="utf-8"))

    assert f'{named}{{source="/mentoring/pauses"}} 1.0' in generate_latest(registry).decode()


def _headings(page: Path) -> set[str]:
    lines = re.findall("^#+ (.*)", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", line).lower().replace(" ", "-") for line in lines}


@pytest.mark.parametrize("page", [guide.GUIDE, *guide.PAGES], ids=lambda page: page.stem)
def test_every_link_has_a_target(page: Path) -> None:
    """Each link of the guide and its pages leads to a file or a heading that exists."""
    missing = []
    for link in re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
        file, _, heading = link.partition("#")
        target = page.parent / file if file else page
        if "://" not in link and not (target.exists() and (not heading or heading in _headings(target))):
            missing.append(link)

    assert [] == missing


@pytest.mark.parametrize("page", guide.PAGES, ids=lambda page: page.stem)
def test_the_guide_links_its_pages(page: Path) -> None:
    """Each page can be found from the guide."""
    assert f"({page.name})" in guide.GUIDE.read_text(encoding="utf-8")


@pytest.mark.parametrize("field", Contact.model_fields)
def test_fields_of_a_contact_are_judged_as_the_guide_says(field: str) -> None:
    """Each accepted value of the table is read, each refused one is a fault, and null is either, as the table says."""
    accepted, refused, null = guide.rows("contact-fields")[field]
    valid = [*re.findall("`(.+?)`", accepted), *(["null"] if null == "yes" else [])]
    wrong = [*re.findall("`(.+?)`", refused), *(["null"] if null == "no" else [])]

    def faulty(value: str) -> bool:
        contact = {"id": MENTOR, "role": "mentor", field: json.loads(value)}
        try:
            parse_contact(json.dumps(contact))
        except InvalidContact as error:
            return field in error.faults
        return False

    assert len(valid) > 1
    assert [(value, False) for value in valid] == [(value, faulty(value)) for value in valid]
    assert [(value, True) for value in wrong] == [(value, faulty(value)) for value in wrong]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.name)
def test_no_field_of_an_event_may_be_null(event: EventType) -> None:
    """Null is refused in each field, as the guide says."""
    for field in event.example:
        with pytest.raises(ValueError, match=field):
            event.model.model_validate({**event.example, field: None})
