"""The check of records before they are published: the forms that it reads, and its judgements."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.check import Checking, as_object, described, main
from schemas.cloudevents import EventRecord, NotAnEvent, decode, encode_binary, encode_structured
from schemas.events import EVENTS, EVENTS_BY_NAME, FACADE_SOURCE, Event, EventType, Role
from schemas.judgement import Judgement, judge
from schemas.placement import DEFAULT_PARTITIONS, partition_for
from schemas.written_records import MAX_LINE_BYTES, UnreadableRecord, WrittenRecord, read_records
from tests.chaos.poison import KINDS, MOVED, SENT, UNREADABLE, Kind, an_event, sound

NOW = datetime(2026, 3, 26, 8, 30, tzinfo=UTC)
MENTOR = "mentor-042"
LIFTED = EVENTS_BY_NAME["pause-lifted"]
REMINDER = EVENTS_BY_NAME["cert-expiry-reminder"]
JUDGED = [kind for kind in KINDS if kind.becomes not in {UNREADABLE, "unknown_mentor"}]


def an_example(kind: EventType = LIFTED, source: str = "/mentoring", time: datetime | None = NOW) -> EventRecord:
    """Return the record of the contract's example."""
    return encode_binary(Event(kind, "1", source, kind.model.model_validate(kind.example), time=time))


def as_kcat(record: EventRecord, **changed: Any) -> bytes:
    """Return a record as `kcat -C -J` writes it."""
    written = {
        "topic": record.topic,
        "partition": partition_for(record.key.decode(), DEFAULT_PARTITIONS),
        "offset": 7,
        "tstype": "create",
        "ts": int(NOW.timestamp() * 1000),
        "broker": 1,
        "headers": [text for name, value in record.headers for text in (name, value.decode())],
        "key": record.key.decode(),
        "payload": record.value.decode(),
    }
    return json.dumps({**written, **changed}).encode() + b"\n"


def judgements(*lines: bytes, **checking: Any) -> list[Judgement]:
    """Return the judgements about what was written."""
    return list(Checking(now=lambda: NOW, **checking).judgements(io.BytesIO(b"".join(lines))))


@pytest.mark.parametrize("kind", JUDGED, ids=lambda kind: kind.name)
def test_the_judgement_is_what_replicas_do(kind: Kind) -> None:
    """Each kind of record gets the outcome that replicas have for it when faults are injected into them."""
    plant = kind.change(sound(an_event(kind.event, "1", MENTOR)))
    place = {"topic": plant.topic, "partition": plant.partition, "key": plant.key}
    record = WrittenRecord("here", plant.value, plant.headers, place)

    judgement = judge(record, partitions=DEFAULT_PARTITIONS, namespace="", now=NOW)

    outcome = judgement.reason or (MOVED if judgement.misplaced else SENT)
    assert kind.becomes == outcome


@pytest.mark.parametrize("kind", EVENTS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("encode", [encode_binary, encode_structured])
def test_an_event_in_kcats_output(kind: EventType, encode: Any) -> None:
    """An event says who is told, which dispatch follows, and where it belongs; nothing is wrong with it."""
    event = Event(kind, "1", "/mentoring", kind.model.model_validate(kind.example), time=NOW)

    (judgement,) = judgements(as_kcat(encode(event)))

    assert judgement.is_right
    assert event == judgement.event
    assert (kind.roles, ()) == (judgement.told, judgement.notes)
    assert (kind.topic, partition_for(MENTOR, DEFAULT_PARTITIONS), MENTOR.encode()) == judgement.place
    assert f"{kind.topic}-{partition_for(MENTOR, DEFAULT_PARTITIONS)}-7 (line 1)" == judgement.where


def test_lines_of_several_forms() -> None:
    """Each line is read by its own form; blank lines are skipped, and lines keep their numbers."""
    record = an_example()
    headers = {name: value.decode() for name, value in record.headers}
    lines = [
        b" \r\n",
        as_kcat(record),
        json.dumps({"headers": headers, "value": LIFTED.example}).encode() + b"\n",
        json.dumps({"headers": list(map(list, headers.items())), "value": record.value.decode()}).encode() + b"\n",
        encode_structured(Event(LIFTED, "1", "/mentoring", LIFTED.model.model_validate(LIFTED.example))).value + b"\n",
        b"junk\n",
    ]

    found = judgements(*lines)

    assert [True, True, True, True, False] == [judgement.is_right for judgement in found]
    assert ["line 3", "line 4", "line 5", "line 6"] == [judgement.where for judgement in found[1:]]
    assert "not_json" == found[-1].reason


def test_a_file_of_several_lines_is_one_record() -> None:
    """A record that is written over several lines is read as one."""
    structured = encode_structured(Event(LIFTED, "1", "/mentoring", LIFTED.model.model_validate(LIFTED.example)))

    (judgement,) = judgements(json.dumps(json.loads(structured.value), indent=2).encode())

    assert ("the file", True) == (judgement.where, judgement.is_right)


@pytest.mark.parametrize("first", [b"junk\n", b"\xe9\n", b"\x1f\x8b\x08\n", b"# records\n", b'{"value"\n'])
def test_a_first_line_that_is_no_json_costs_the_others_nothing(first: bytes) -> None:
    """If any line is a record by itself, each line is judged."""
    found = judgements(first, b"\n", as_kcat(an_example()), as_kcat(an_example(source="/other")))

    assert [False, True, True] == [judgement.is_right for judgement in found]
    assert ["line 1", "(line 3)", "(line 4)"] == [judgement.where[-8:].strip() for judgement in found]


def test_lines_are_judged_as_they_come() -> None:
    """Of a pipe that stays open, the first record is judged before there is a second one."""
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as source, os.fdopen(writing, "wb", buffering=0) as sink:
        sink.write(as_kcat(an_example()))

        first = next(Checking(now=lambda: NOW).judgements(source))

    assert first.is_right


def test_a_value_with_headers_of_the_caller() -> None:
    """With headers given, all that is read is one value, and a final line break is not part of it."""
    record = an_example()

    (judgement,) = judgements(record.value, b"\n", headers=record.headers)

    assert judgement.is_right


def test_bytes_of_a_schema_registry_are_recognized() -> None:
    """Bytes that are no JSON are judged as a value, with the advice of the dead letter."""
    (judgement,) = judgements(b"\0\0\0\0\1{}")

    assert "schema registry" in judgement.detail


@pytest.mark.parametrize(
    ("changed", "wrong"),
    [
        ({}, ()),
        ({"partition": 0}, ("partition",)),
        ({"key": None}, ("key",)),
        ({"key": "mentor-007"}, ("key",)),
        ({"topic": "mentor.certifications.v1"}, ("topic",)),
        ({"topic": "staging.mentor.pauses.v1"}, ("topic",)),
    ],
)
def test_what_is_misplaced(changed: dict[str, Any], wrong: tuple[str, ...]) -> None:
    """A judgement names what of topic, partition and key is wrong."""
    (judgement,) = judgements(as_kcat(an_example(), **changed))

    assert wrong == judgement.misplaced
    assert (not wrong) == judgement.is_right


def test_a_namespace_precedes_the_topic() -> None:
    """With a namespace, its topic is right and the plain one is wrong."""
    names = ["staging.mentor.pauses.v1", "mentor.pauses.v1"]

    found = judgements(*[as_kcat(an_example(), topic=name) for name in names], namespace="staging")

    assert [True, False] == [judgement.is_right for judgement in found]


def test_the_service_is_no_source_of_others() -> None:
    """An unsigned event with a reserved source becomes a dead letter."""
    (judgement,) = judgements(as_kcat(an_example(source=FACADE_SOURCE)))

    assert "unproven_source" == judgement.reason


def test_a_reminder_that_is_late_reaches_nobody() -> None:
    """A reminder whose days have passed is an event, and its judgement names nobody and says until when it was true."""
    data = REMINDER.model.model_validate(REMINDER.example)
    late, due = [
        encode_binary(Event(REMINDER, str(day), "/mentoring", data, time=datetime(2026, 3, day, 8, 30, tzinfo=UTC)))
        for day in (10, 12)
    ]

    found = judgements(as_kcat(late), as_kcat(due))

    assert [(), (Role.MENTOR,)] == [judgement.told for judgement in found]
    assert ("too late: its e-mail was true until 2026-03-25T08:30:00Z",) == found[0].notes


def test_what_a_producer_should_know() -> None:
    """A missing or unreadable time, unknown fields and headers of ours are noted."""
    record = an_example(time=None)
    value = json.dumps({**LIFTED.example, "extra": 1})
    headers = [text for name, content in record.headers for text in (name, content.decode())]
    more = [*headers, "ce_time", "yesterday", "pn_replay", "{}"]

    (missing,) = judgements(as_kcat(record))
    (unreadable,) = judgements(as_kcat(record, payload=value, headers=more))

    assert ["time: is missing"] == [note.partition(",")[0] for note in missing.notes]
    said = ["time: is unreadable", "unknown fields are ignored: extra", "headers that begin with pn_"]
    assert [True] * 3 == [note.startswith(start) for note, start in zip(unreadable.notes, said, strict=True)]


def test_a_misspelt_field_is_seen() -> None:
    """If a field is missing, those that are unknown are named beside it."""
    misspelt = {name.replace("mentor_id", "mentorId"): value for name, value in LIFTED.example.items()}

    (judgement,) = judgements(json.dumps(misspelt).encode(), headers=an_example().headers)

    assert "mentor_id: is missing" == judgement.detail
    assert ("unknown fields are ignored: mentorId",) == judgement.notes


def test_a_duplicate_is_noted() -> None:
    """The second of two equal events is an event from which no e-mail follows, wherever its bytes differ."""
    first, again = judgements(as_kcat(an_example()), as_kcat(an_example(), offset=8))

    assert () == first.notes
    assert (f"a duplicate of {first.where}, so no further e-mail follows",) == again.notes
    assert () == again.told
    assert again.is_right


def test_a_duplicate_that_says_something_else_is_a_dead_letter() -> None:
    """An id that one mentor has twice, with another type or other data, is refused as replicas do."""
    activated = EVENTS_BY_NAME["pause-activated"]
    _, other_type = judgements(as_kcat(an_example()), as_kcat(an_example(activated)))

    assert "conflicting_duplicate" == other_type.reason
    assert other_type.detail.startswith("id: mentor.pauses.v1-")
    assert () == other_type.told


def test_a_record_that_nobody_takes_has_no_duplicate() -> None:
    """A dead letter, and what lies in a topic that nobody reads, are compared with nothing."""
    found = judgements(
        as_kcat(an_example(), payload="{}"),
        as_kcat(an_example(), topic="mentor.pauses.v2"),
        as_kcat(an_example(), offset=8),
    )

    assert () == found[-1].notes


def test_a_topic_that_nobody_reads_is_told() -> None:
    """Replicas move a record from one event topic to the other, and from no other topic."""
    headers = {name: value.decode() for name, value in an_example().headers}
    line = json.dumps({"topic": "mentor.pauses.v2", "headers": headers, "value": LIFTED.example}).encode()

    (judgement,) = judgements(line)
    said = described(judgement)

    assert () == judgement.told
    assert "would be moved" not in "\n".join(said)
    assert "  note: nobody reads events from mentor.pauses.v2, so no e-mail follows from it there" in said


def test_a_contact_is_no_dead_letter() -> None:
    """A record of another topic is judged by nobody."""
    line = json.dumps({"topic": "mentor.contacts.v1", "headers": {}, "value": {"id": MENTOR, "role": "mentor"}})

    assert described(*judgements(line.encode()))[0].endswith(": no event: missing_attribute")


@pytest.mark.parametrize(
    ("known", "unknown", "listed"),
    [
        ({"key": MENTOR, "partition": 5, "topic": LIFTED.topic}, (), ""),
        ({"partition": 5, "topic": LIFTED.topic}, ("key",), "key"),
        ({"partition": 5}, ("topic", "key"), "topic and key"),
        ({"headers": {}}, ("topic", "partition", "key"), "topic, partition and key"),
    ],
)
def test_a_place_that_is_not_written_is_not_judged(
    known: dict[str, Any], unknown: tuple[str, ...], listed: str
) -> None:
    """What is not written of topic, partition and key is named, since only what is written can be wrong."""
    headers = {name: value.decode() for name, value in an_example().headers}
    line = json.dumps({**known, "headers": headers, "value": LIFTED.example}).encode()

    (judgement,) = judgements(line)

    assert unknown == judgement.unjudged
    assert [*unknown] == as_object(judgement)["unjudged"]
    said = [line for line in described(judgement) if "cannot be judged" in line]
    assert [f"  note: its place cannot be judged without its {listed}"] * bool(unknown) == said


@pytest.mark.parametrize(("ahead", "noted"), [(timedelta(seconds=5), False), (timedelta(minutes=1), True)])
def test_a_time_in_the_future_is_noted(ahead: timedelta, *, noted: bool) -> None:
    """Replicas take the time of the append for one that is later; what two clocks differ by is not worth a note."""
    (as_read,) = judgements(as_kcat(an_example(time=NOW + ahead)))
    (to_publish,) = judgements(an_example().value, headers=an_example(time=NOW + ahead).headers)

    notes = [[note for note in judgement.notes if note.startswith("time: ")] for judgement in (as_read, to_publish)]
    assert [["time: is in the future, so the time of its append counts"] * noted] * 2 == notes


def test_an_id_in_quotes_is_noted() -> None:
    """A header mapper that writes JSON puts a UUID into quotes: the event is valid, but the check notes it."""
    record = an_example()
    headers = [text for name, content in record.headers for text in (name, content.decode())]
    headers[headers.index("ce_id") + 1] = '"5f0c"'

    (judgement,) = judgements(as_kcat(record, headers=headers))

    assert "" == judgement.reason
    assert ["id: begins with a double quote"] == [note.partition(",")[0] for note in judgement.notes]


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"partition": "5"}, "partition: has another form"),
        ({"key": 5}, "key: has another form"),
        ({"headers": ["ce_id"]}, "headers: must be names with texts or null"),
        ({"headers": "ce_id=1"}, "headers: must be names with texts or null"),
        ({"headers": {"ce_id": 1}}, "headers: must be names with texts or null"),
        ({"ts": 10**18}, "ts: is beyond every date"),
    ],
)
def test_a_record_in_another_form_is_refused(changed: dict[str, Any], says: str) -> None:
    """A part that has another form than kcat's ends the check, and the message has the part and no value."""
    with pytest.raises(UnreadableRecord, match=says):
        judgements(as_kcat(an_example(), **changed))


@pytest.mark.parametrize(
    "lines", [[b" " * MAX_LINE_BYTES, b"x"], [b"{}\n", b" " * (MAX_LINE_BYTES + 1)], [b"x\n"] * MAX_LINE_BYTES]
)
def test_endless_input_is_refused(lines: list[bytes]) -> None:
    """A line, or a file that is one record, is read up to a bound."""
    with pytest.raises(UnreadableRecord):
        list(read_records(io.BytesIO(b"".join(lines))))


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_bytes_get_a_judgement(content: bytes) -> None:
    """Whatever is read, each record gets a judgement, or the input is refused in our words."""
    try:
        found = judgements(content)
    except UnreadableRecord:
        return
    assert all(judgement.reason or judgement.event for judgement in found)


@given(
    st.dictionaries(
        st.sampled_from(["topic", "partition", "offset", "payload", "key", "headers", "ts", "value"]),
        st.none() | st.text(max_size=8) | st.integers() | st.lists(st.text(max_size=3) | st.none(), max_size=4),
    )
)
def test_any_object_gets_a_judgement(document: dict[str, Any]) -> None:
    """The same holds for objects that resemble records, and the judgement is the codec's."""
    line = json.dumps(document).encode()
    try:
        (record,) = read_records(io.BytesIO(line))
    except UnreadableRecord:
        return
    (judgement,) = judgements(line)

    with pytest.raises(NotAnEvent) as refused:
        decode(record.headers, record.value)
    assert (refused.value.reason, refused.value.detail) == (judgement.reason, judgement.detail)


def test_nothing_to_check_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An empty file exits with 2 and says so: a pipe that broke before must not look like success."""
    (tmp_path / "records").touch()

    assert (2, "there is no record to check\n") == (main([str(tmp_path / "records")]), capsys.readouterr().err)


def test_the_program_prints_and_exits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It exits with 0 if all is right, with 1 if not and with 2 if a record is unreadable; output is escaped."""
    right, wrong, unreadable = tmp_path / "right", tmp_path / "wrong", tmp_path / "unreadable"
    right.write_bytes(as_kcat(an_example()))
    wrong.write_bytes(as_kcat(an_example(), topic="\x1b[31m\u202e"))
    unreadable.write_bytes(as_kcat(an_example(), headers=1))

    assert [0, 1, 2, 2] == [main([str(file)]) for file in (right, wrong, unreadable, tmp_path / "missing")]

    printed = capsys.readouterr()
    assert r"\x1b[31m\u202e-5-7" in printed.out
    assert "headers: must be names" in printed.err
    assert printed.out.replace("\n", "").isprintable()


def test_the_program_prints_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With --json each record is one line."""
    file = tmp_path / "records"
    file.write_bytes(as_kcat(an_example()) + b"{}\n")

    assert 1 == main(["--json", str(file)])

    right, wrong = map(json.loads, capsys.readouterr().out.splitlines())
    assert (True, ["mentor", "coordinator"], "mentor.pauses.v1", 5) == (
        right["event"],
        right["told"],
        right["topic"],
        right["partition"],
    )
    assert (False, "missing_attribute") == (wrong["event"], wrong["reason"])


def test_the_program_runs_alone() -> None:
    """It needs no settings, reads standard input, and imports no other package of ours."""
    code = "import sys, schemas.check; print(*{name.split('.')[0] for name in sys.modules})"

    run = subprocess.run(
        [sys.executable, "-m", "schemas.check", "-"],
        input=as_kcat(an_example()),
        capture_output=True,
        timeout=60,
        check=True,
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60, check=True)

    assert b"e-mail to mentor and coordinator" in run.stdout
    assert set() == {"runtime", "service", "consumers", "deploy", "aiokafka"} & set(loaded.stdout.decode().split())
