"""What becomes of everything that may lie in an event topic, as seen from outside a real replica on a real broker."""

from __future__ import annotations

import asyncio
import hashlib
import json
import secrets
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio
from aiokafka import AIOKafkaProducer
from confluent_kafka import Producer

from runtime.kafka.publisher import Published
from runtime.kafka.records import Place
from schemas import headers as names
from schemas.cloudevents import NotAnEventReason, encode_binary
from schemas.contacts import Contact
from schemas.dead_letters import MAX_VALUE_BYTES, DeadLetterReason
from schemas.dispatch import Reason, Status
from schemas.events import CERTIFICATIONS_TOPIC, PAUSES_TOPIC, Event, Role
from schemas.headers import Headers, header
from schemas.times import format_instant
from tests.kafka import Kafka
from tests.processes import Process
from tests.signing import KEYS
from tests.stage import PARTITIONS, Stage, an_event, open_stage
from tests.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")

MENTOR, COORDINATOR = "mentor-001", "coordinator-001"
BOTH_ONCE = {MENTOR: 1, COORDINATOR: 1}
SENT = (Status.SENT, Status.SENT)


@pytest_asyncio.fixture(scope="module", loop_scope="module", name="stage")
async def _stage(kafka: Kafka, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    namespace = f"t-{secrets.token_hex(4)}"
    async with open_stage(kafka.bootstrap_servers, namespace, tmp_path_factory.mktemp("door")) as stage:
        yield stage


@pytest_asyncio.fixture(scope="module", loop_scope="module", name="replica", autouse=True)
async def _replica(stage: Stage) -> Process:
    return await stage.start()


@dataclass(frozen=True)
class Bad:
    """A record that is no event."""

    reason: NotAnEventReason
    key: bytes | None = MENTOR.encode()
    value: bytes | None = b'{"mentor_id":"mentor-001"}'
    headers: Headers = field(default_factory=list)


def lifted(change: dict[str, bytes | None] | None = None, *, without: str = "") -> list[tuple[str, bytes | None]]:
    """Return the headers of a sound event, some changed and one left out."""
    sound: dict[str, bytes | None] = {
        "ce_specversion": b"1.0",
        "ce_id": b"bad",
        "ce_source": b"/tests",
        "ce_type": b"mentor.pause.lifted.v1",
        "content-type": b"application/json",
        **(change or {}),
    }
    return [(name, value) for name, value in sound.items() if name != without]


ACTIVATED: dict[str, bytes | None] = {"ce_type": b"mentor.pause.activated.v1"}
EXPIRING: dict[str, bytes | None] = {"ce_type": b"mentor.certification.expiring.v1"}
STRUCTURED: dict[str, bytes | None] = {"content-type": b"application/cloudevents+json"}
R = NotAnEventReason

BAD = {
    "text": Bad(R.NOT_JSON, value=b"hello"),
    "broken JSON": Bad(R.NOT_JSON, value=b"{", headers=lifted()),
    "empty value": Bad(R.NOT_JSON, value=b"", headers=lifted()),
    "NaN": Bad(R.NOT_JSON, value=b'{"mentor_id":"mentor-001","days_remaining":NaN}', headers=lifted(EXPIRING)),
    "deep nesting": Bad(R.NOT_JSON, value=b"[" * 60_000, headers=lifted()),
    "invalid UTF-8": Bad(R.NOT_JSON, value=b'{"mentor_id":"mentor-\xff"}', headers=lifted()),
    "an array": Bad(R.INVALID_DATA, value=b"[]", headers=lifted()),
    "no headers": Bad(R.MISSING_ATTRIBUTE),
    "no id": Bad(R.MISSING_ATTRIBUTE, headers=lifted(without="ce_id")),
    "no type": Bad(R.MISSING_ATTRIBUTE, headers=lifted(without="ce_type")),
    "empty id": Bad(R.MISSING_ATTRIBUTE, headers=lifted({"ce_id": b""})),
    "null id": Bad(R.MISSING_ATTRIBUTE, headers=lifted({"ce_id": None})),
    "id of 10 kB": Bad(R.INVALID_ATTRIBUTE, headers=lifted({"ce_id": b"x" * 10_000})),
    "id with a NUL": Bad(R.INVALID_ATTRIBUTE, headers=lifted({"ce_id": b"a\0b"})),
    "two ids": Bad(R.DUPLICATE_HEADER, headers=[*lifted(), ("ce_id", b"other")]),
    "id not UTF-8": Bad(R.INVALID_HEADER, headers=lifted({"ce_id": b"\xff"})),
    "CloudEvents 0.3": Bad(R.INVALID_ATTRIBUTE, headers=lifted({"ce_specversion": b"0.3"})),
    "unknown type": Bad(R.UNKNOWN_TYPE, headers=lifted({"ce_type": b"mentor.promoted.v1"})),
    "Avro": Bad(R.UNSUPPORTED_CONTENT_TYPE, headers=lifted({"content-type": b"application/avro"})),
    "an outbox router's": Bad(R.MISSING_ATTRIBUTE, headers=[("id", b"5f0c"), ("eventType", b"PauseLifted")]),
    "a schema registry's": Bad(R.NOT_JSON, value=b'\0\0\0\0\x07{"mentor_id":"mentor-001"}', headers=lifted()),
    "date in the year 10000": Bad(
        R.INVALID_DATA,
        value=b'{"mentor_id":"mentor-001","expected_return_date":"10000-01-01T00:00:00Z","pause_reason":"x"}',
        headers=lifted(ACTIVATED),
    ),
    "missing field": Bad(R.INVALID_DATA, headers=lifted(ACTIVATED)),
    "wrong number": Bad(
        R.INVALID_DATA, value=b'{"mentor_id":"mentor-001","days_remaining":-1}', headers=lifted(EXPIRING)
    ),
    "lone surrogate": Bad(R.NOT_JSON, value=b'{"mentor_id":"m\\ud800"}', headers=lifted()),
    "structured without data": Bad(
        R.INVALID_DATA,
        value=b'{"specversion":"1.0","id":"1","source":"/tests","type":"mentor.pause.lifted.v1"}',
        headers=lifted(STRUCTURED),
    ),
    "structured with a numeric id": Bad(
        R.INVALID_ATTRIBUTE,
        value=b'{"specversion":"1.0","id":1,"source":"/t","type":"mentor.pause.lifted.v1","data":{"mentor_id":"m"}}',
        headers=lifted(STRUCTURED),
    ),
    "null value": Bad(R.NULL_VALUE, value=None, headers=lifted()),
    "large": Bad(
        R.TOO_LARGE,
        value=b'{"mentor_id":"mentor-001","x":"%s"}' % (b"x" * 870_000),
        headers=lifted(),
    ),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module", name="bad_input")
async def _bad_input(stage: Stage) -> dict[str, Published]:
    """Put everything bad into one partition at once, between two good events."""
    place = stage.place(PAUSES_TOPIC, MENTOR)
    found = {}
    for name, bad in BAD.items():
        found[name] = await stage.put_at(place, key=bad.key, value=bad.value, headers=bad.headers)
    return found


@pytest.mark.parametrize("name", BAD)
async def test_what_is_no_event_is_a_dead_letter(stage: Stage, bad_input: dict[str, Published], name: str) -> None:
    """A record that is no event is set aside once, with its reason, key, bytes and headers; its offset is passed."""
    bad, published = BAD[name], bad_input[name]

    await stage.passed(published)

    (letter,) = stage.letters_of(published)
    value = bad.value if bad.value is None else bad.value[:MAX_VALUE_BYTES]
    expected = (bad.reason, bad.key, value, list(bad.headers))
    assert expected == (
        letter.reason,
        letter.key,
        letter.value,
        [pair for pair in letter.headers if pair[0] in _named(bad)],
    )
    assert MENTOR not in letter.detail


def _named(bad: Bad) -> set[str]:
    return {name for name, _ in bad.headers}


async def test_bad_records_leave_their_neighbours_alone(stage: Stage) -> None:
    """Good events before, between and after bad ones of the same mentor are sent, in order and once."""
    good = [an_event(mentor_id=MENTOR) for _ in range(3)]
    place = stage.place(PAUSES_TOPIC, MENTOR)
    for event in good:
        last = await stage.publish(event)
        for bad in (BAD["broken JSON"], BAD["two ids"], BAD["null value"]):
            last = await stage.put_at(place, key=bad.key, value=bad.value, headers=bad.headers)

    dispatches = await stage.all_ended(good)
    await stage.passed(last)

    assert [SENT] * 3 == [statuses(dispatch.recipients) for dispatch in dispatches]
    assert [BOTH_ONCE] * 3 == [stage.ses.sent_to(event.dispatch_id) for event in good]
    first = {event.dispatch_id: order(stage, event) for event in good}
    assert list(first.values()) == sorted(first.values())


async def test_a_null_value_without_key_is_a_dead_letter(stage: Stage) -> None:
    """Even a record with neither key nor value, as librdkafka can write it, is set aside."""
    place = stage.place(PAUSES_TOPIC, MENTOR)

    published = await asyncio.to_thread(
        produce_by_librdkafka, stage, place.topic, None, None, partition=place.partition
    )
    await stage.passed(published)

    assert [R.NULL_VALUE] == [letter.reason for letter in stage.letters_of(published)]


async def test_a_value_that_is_small_only_when_compressed(stage: Stage) -> None:
    """10 MiB in a small gzip batch become a dead letter with the value's beginning, length and checksum."""
    value = b"x" * 10 * 1024 * 1024
    published = await produce(stage, "gzip", stage.place(PAUSES_TOPIC, MENTOR), MENTOR.encode(), value, lifted())

    await stage.passed(published, within=30)

    (letter,) = stage.letters_of(published)
    assert (R.TOO_LARGE, value[:MAX_VALUE_BYTES]) == (letter.reason, letter.value)
    kept = [record.headers for record in stage.letter_records]
    (raw,) = [headers for headers in kept if header(headers, names.ORIGIN) == _origin(published)]
    expected = (str(len(value)).encode(), hashlib.sha256(value).hexdigest().encode())
    assert expected == (header(raw, names.VALUE_LENGTH), header(raw, names.VALUE_SHA256))


@pytest.mark.parametrize("codec", ["gzip", "lz4", "snappy", "zstd"])
async def test_every_compression_is_read(stage: Stage, codec: str) -> None:
    """Records of producers that compress are read like any other."""
    event = an_event(mentor_id=MENTOR)
    record = encode_binary(event)

    await produce(stage, codec, stage.place(record.topic, MENTOR), record.key, record.value, record.headers)

    assert SENT == statuses((await stage.ended(event)).recipients)


@pytest.mark.parametrize("structured", [False, True], ids=["binary", "structured"])
@pytest.mark.parametrize("name", ["pause-activated", "pause-lifted", "cert-expiry", "cert-expiry-reminder"])
async def test_every_event_in_both_modes(stage: Stage, name: str, *, structured: bool) -> None:
    """Each of the four events is e-mailed to its roles, in binary and in structured mode."""
    event = an_event(name, MENTOR)

    await stage.publish(event, structured=structured)
    dispatch = await stage.ended(event)

    roles = {Role.MENTOR: MENTOR, Role.COORDINATOR: COORDINATOR}
    told = [roles[role] for role in event.kind.roles]
    assert [(one, Status.SENT) for one in told] == [(one.contact_id, one.status) for one in dispatch.recipients]
    assert dict.fromkeys(told, 1) == stage.ses.sent_to(event.dispatch_id)


Misplace = Callable[[Stage, Event], tuple[Place, bytes | None]]


def _elsewhere(place: Place) -> Place:
    return place._replace(partition=(place.partition + 1) % PARTITIONS)


MISPLACED: dict[str, Misplace] = {
    "wrong key": lambda stage, event: (stage.place(event.kind.topic, event.mentor_id), b"mentor-002"),
    "null key": lambda stage, event: (stage.place(event.kind.topic, event.mentor_id), None),
    "key not UTF-8": lambda stage, event: (stage.place(event.kind.topic, event.mentor_id), b"\xff"),
    "wrong partition": lambda stage, event: (
        _elsewhere(stage.place(event.kind.topic, event.mentor_id)),
        event.mentor_id.encode(),
    ),
    "wrong topic": lambda stage, event: (stage.place(CERTIFICATIONS_TOPIC, event.mentor_id), event.mentor_id.encode()),
    "all of it wrong": lambda stage, event: (_elsewhere(stage.place(CERTIFICATIONS_TOPIC, event.mentor_id)), None),
}


@pytest.mark.parametrize("how", MISPLACED)
async def test_misplaced_records_are_moved(stage: Stage, how: str) -> None:
    """An event found elsewhere or under another key is moved to where it belongs and sent once; no dead letter."""
    event = an_event(mentor_id=MENTOR)
    place, key = MISPLACED[how](stage, event)
    record = encode_binary(event)

    published = await stage.put_at(place, key=key, value=record.value, headers=record.headers)
    dispatch = await stage.ended(event)
    await stage.passed(published)

    belongs = stage.place(PAUSES_TOPIC, MENTOR)
    assert (SENT, belongs) == (statuses(dispatch.recipients), Place(dispatch.origin.topic, dispatch.origin.partition))
    assert ([], BOTH_ONCE) == (stage.letters_of(published), stage.ses.sent_to(event.dispatch_id))


async def test_a_moved_record_keeps_its_headers_and_first_append_time(stage: Stage) -> None:
    """What a producer wrote beside the event, and when it first was appended, survive the move."""
    event = an_event(mentor_id=MENTOR)
    record = encode_binary(event)
    elsewhere = _elsewhere(stage.place(record.topic, MENTOR))

    published = await stage.put_at(
        elsewhere, key=None, value=record.value, headers=[*record.headers, ("tenant", b"42")]
    )
    dispatch = await stage.ended(event)

    belongs = Place(dispatch.origin.topic, dispatch.origin.partition)
    moved = await stage.read(belongs, dispatch.origin.offset)
    ours = [
        (names.APPENDED_AT, format_instant(published.appended_at).encode()),
        (names.MOVED_FROM, _origin(published)),
    ]
    expected = KEYS.signed(moved.topic, moved.key, moved.value, [*record.headers, ("tenant", b"42"), *ours])
    assert (MENTOR.encode(), record.value, expected) == (moved.key, moved.value, [*moved.headers])


async def test_librdkafkas_default_partitioner_does_no_harm(stage: Stage) -> None:
    """Events of a librdkafka producer, which hashes keys otherwise, all reach their mentors once."""
    events = [an_event("pause-lifted", f"mentor-{number:03}") for number in range(1, 9)]

    def publish() -> None:
        for event in events:
            record = encode_binary(event)
            topic = stage.topics.named(record.topic)
            produce_by_librdkafka(stage, topic, record.key, record.value, headers=record.headers)

    await asyncio.to_thread(publish)
    dispatches = await stage.all_ended(events)

    assert [SENT] * len(events) == [statuses(dispatch.recipients) for dispatch in dispatches]
    assert {1} == {count for event in events for count in stage.ses.sent_to(event.dispatch_id).values()}


async def test_the_same_event_twice(stage: Stage) -> None:
    """Copies of an event, at once and after its end, lead to one set of mails and no dead letter."""
    event = an_event(mentor_id=MENTOR)

    copies = [await stage.publish(event), await stage.publish(event)]
    await stage.ended(event)
    copies.append(await stage.publish(event, structured=True))
    await stage.passed(*copies)

    assert BOTH_ONCE == stage.ses.sent_to(event.dispatch_id)
    assert [] == [letter for copy in copies for letter in stage.letters_of(copy)]


async def test_other_content_under_a_known_id(stage: Stage) -> None:
    """A second event under a known identity but with other content is a dead letter and sends nothing."""
    event = an_event(mentor_id=MENTOR)
    other = Event(event.kind, event.id, event.source, an_event(mentor_id=MENTOR, pause_reason="other").data)

    await stage.publish(event)
    await stage.ended(event)
    conflicting = await stage.publish(other)
    await stage.passed(conflicting)

    assert [DeadLetterReason.CONFLICTING_DUPLICATE] == [one.reason for one in stage.letters_of(conflicting)]
    assert BOTH_ONCE == stage.ses.sent_to(event.dispatch_id)


async def test_an_unknown_mentor(stage: Stage) -> None:
    """An event about a mentor whom nobody knows ends as such and is a dead letter that carries the dispatch."""
    event = an_event(mentor_id="mentor-404")

    published = await stage.publish(event)
    dispatch = await stage.ended(event)

    (letter,) = stage.letters_of(published)
    assert (True, ()) == (dispatch.unknown_mentor, dispatch.recipients)
    assert (DeadLetterReason.UNKNOWN_MENTOR, dispatch) == (letter.reason, letter.dispatch)
    assert {} == stage.ses.sent_to(event.dispatch_id)


async def test_a_contact_that_comes_after_its_event(stage: Stage, replica: Process) -> None:
    """A mentor who becomes known while their event is already held is told all the same."""
    event = an_event(mentor_id="mentor-late")
    late = Contact(id="mentor-late", role=Role.MENTOR, email="late@example.org", name="Lata Verspätet")

    async def held() -> bool:
        _, body = await replica.health()
        return bool(body["records_held"])

    await stage.publish(event)
    await until(held, what="the event to be held")
    await stage.put_contact(late)

    assert ((Status.SENT,), {"mentor-late": 1}) == (
        statuses((await stage.ended(event)).recipients),
        stage.ses.sent_to(event.dispatch_id),
    )


@pytest.mark.parametrize(
    ("mentor_id", "expected"),
    [
        ("mentor-048", [("mentor-048", Status.SENT, None)]),
        (
            "mentor-049",
            [("mentor-049", Status.FAILED, Reason.NO_ADDRESS), ("coordinator-007", Status.SENT, None)],
        ),
        (
            "mentor-050",
            [("mentor-050", Status.SENT, None), ("coordinator-099", Status.FAILED, Reason.UNKNOWN_CONTACT)],
        ),
    ],
    ids=["no coordinator", "no address", "coordinator without contact"],
)
async def test_contacts_that_lack_something(stage: Stage, mentor_id: str, expected: list[Any]) -> None:
    """Whoever can be told is told; whoever cannot has failed with the reason, and the event is a dead letter then."""
    event = an_event(mentor_id=mentor_id)

    published = await stage.publish(event)
    dispatch = await stage.ended(event)

    assert expected == [(one.contact_id, one.status, one.reason) for one in dispatch.recipients]
    assert {one: 1 for one, status, _ in expected if status is Status.SENT} == stage.ses.sent_to(event.dispatch_id)
    failed = [DeadLetterReason.FAILED] if any(status is Status.FAILED for _, status, _ in expected) else []
    assert failed == [letter.reason for letter in stage.letters_of(published)]


async def test_a_contact_that_breaks_the_contract(stage: Stage) -> None:
    """A mentor whose contact is invalid is known but cannot be told; the lane goes on."""
    broken, fine = an_event(mentor_id="mentor-broken"), an_event(mentor_id=MENTOR)
    contact = json.dumps({"id": "mentor-broken", "role": "mentor", "email": "not an address"}).encode()
    place = Place(stage.topics.contacts, 0)

    await stage.put_at(place, key=b"mentor-broken", value=contact)
    await stage.publish(broken)
    await stage.publish(fine)
    dispatches = await stage.all_ended([broken, fine])

    assert [Reason.INVALID_CONTACT] == [one.reason for one in dispatches[0].recipients]
    assert SENT == statuses(dispatches[1].recipients)


@pytest.mark.parametrize("since", [names.APPENDED_AT, "ce_time"])
async def test_a_reminder_that_is_too_late(stage: Stage, since: str) -> None:
    """A reminder whose day has passed, by its own time or its first append, expires: no mail and no dead letter."""
    event = an_event("cert-expiry-reminder", MENTOR, days_remaining=3)
    long_ago = format_instant(datetime.now(UTC) - timedelta(days=4, minutes=1)).encode()

    published = await stage.publish(event, (since, long_ago))
    dispatch = await stage.ended(event)
    await stage.passed(published)

    assert [(Status.EXPIRED, Reason.TOO_LATE)] == [(one.status, one.reason) for one in dispatch.recipients]
    assert ({}, []) == (stage.ses.sent_to(event.dispatch_id), stage.letters_of(published))


async def test_a_reminder_in_time(stage: Stage) -> None:
    """A reminder is still sent on the day of the expiry itself."""
    event = an_event("cert-expiry-reminder", MENTOR, days_remaining=3)
    days_ago = format_instant(datetime.now(UTC) - timedelta(days=3, hours=23)).encode()

    await stage.publish(event, ("ce_time", days_ago))

    assert (Status.SENT,) == statuses((await stage.ended(event)).recipients)


def statuses(recipients: Any) -> tuple[Status, ...]:
    """Return the recipients' statuses."""
    return tuple(recipient.status for recipient in recipients)


def order(stage: Stage, event: Event) -> int:
    """Return when, among all mails, the first of an event's was accepted."""
    ids = [mail.email.tags["dispatch_id"] for mail in stage.ses.mails]
    return ids.index(event.dispatch_id)


def _origin(published: Published) -> bytes:
    return str(published.position).encode()


async def produce(stage: Stage, codec: str, place: Place, key: bytes, value: bytes, headers: Headers) -> Published:
    """Publish one record in a compressed batch, of any size."""
    large = 64 * 1024 * 1024
    async with AIOKafkaProducer(
        bootstrap_servers=stage.bootstrap_servers,
        compression_type=codec,
        max_request_size=large,
        max_batch_size=large,
        acks="all",
    ) as producer:
        done = await producer.send_and_wait(place.topic, value, key, place.partition, headers=list(headers))
    return Published(done.topic, done.partition, done.offset, datetime.now(UTC))


def produce_by_librdkafka(
    stage: Stage,
    topic: str,
    key: bytes | None,
    value: bytes | None,
    *,
    headers: Headers = (),
    partition: int = -1,
) -> Published:
    """Publish one record by librdkafka, which chooses the partition where none is given."""
    delivered: list[Any] = []
    producer = Producer({"bootstrap.servers": stage.bootstrap_servers})
    producer.produce(
        topic, value, key, partition, on_delivery=lambda *found: delivered.append(found), headers=list(headers)
    )
    assert 0 == producer.flush(10)
    ((error, message),) = delivered
    assert error is None
    return Published(message.topic(), message.partition(), message.offset(), datetime.now(UTC))
