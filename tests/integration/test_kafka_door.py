"""What happens to every kind of record in an event topic, seen from outside a real replica on a real broker."""

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
    """An invalid record."""

    reason: NotAnEventReason
    key: bytes | None = MENTOR.encode()
    value: bytes | None = b'{"mentor_id":"mentor-001"}'
    headers: Headers = field(default_factory=list)


def lifted(change: dict[str, bytes | None] | None = None, *, without: str = "") -> list[tuple[str, bytes | None]]:
    """Return the headers of a valid event, some changed and one left out."""
    valid: dict[str, bytes | None] = {
        "ce_specversion": b"1.0",
        "ce_id": b"bad",
        "ce_source": b"/tests",
        "ce_type": b"mentor.pause.lifted.v1",
        "content-type": b"application/json",
        **(change or {}),
    }
    return [(name, value) for name, value in valid.items() if name != without]


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
    """Publish all invalid records to one partition."""
    place = stage.place(PAUSES_TOPIC, MENTOR)
    found = {}
    for name, bad in BAD.items():
        found[name] = await stage.put_at(place, key=bad.key, value=bad.value, headers=bad.headers)
    return found


@pytest.mark.parametrize("name", BAD)
async def test_an_invalid_record_is_dead_lettered(stage: Stage, bad_input: dict[str, Published], name: str) -> None:
    """An invalid record is dead-lettered once, with reason, key, bytes and headers; its offset is committed."""
    bad, published = BAD[name], bad_input[name]

    await stage.passed(published)

    (letter,) = stage.letters_of(published)
    value = bad.value if bad.value is None else bad.value[:MAX_VALUE_BYTES]
    assert bad.reason == letter.reason
    assert bad.key == letter.key
    assert value == letter.value
    assert list(bad.headers) == [pair for pair in letter.headers if pair[0] in _named(bad)]
    assert MENTOR not in letter.detail


def _named(bad: Bad) -> set[str]:
    return {name for name, _ in bad.headers}


async def test_invalid_records_do_not_affect_their_neighbours(stage: Stage) -> None:
    """Events before, between and after invalid records of the same mentor are sent in order, once each."""
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
    """Even a record without key and value, as librdkafka can write it, is dead-lettered."""
    place = stage.place(PAUSES_TOPIC, MENTOR)

    published = await asyncio.to_thread(
        produce_by_librdkafka, stage, place.topic, None, None, partition=place.partition
    )
    await stage.passed(published)

    assert [R.NULL_VALUE] == [letter.reason for letter in stage.letters_of(published)]


async def test_a_value_that_is_only_small_when_compressed(stage: Stage) -> None:
    """10 MiB in a small gzip batch become a dead letter with the beginning, length and checksum of the value."""
    value = b"x" * 10 * 1024 * 1024
    published = await produce(stage, "gzip", stage.place(PAUSES_TOPIC, MENTOR), MENTOR.encode(), value, lifted())

    await stage.passed(published, within=30)

    (letter,) = stage.letters_of(published)
    assert R.TOO_LARGE == letter.reason
    assert value[:MAX_VALUE_BYTES] == letter.value
    kept = [record.headers for record in stage.letter_records]
    (raw,) = [headers for headers in kept if header(headers, names.ORIGIN) == _origin(published)]
    assert str(len(value)).encode() == header(raw, names.VALUE_LENGTH)
    assert hashlib.sha256(value).hexdigest().encode() == header(raw, names.VALUE_SHA256)


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
    recipients = [roles[role] for role in event.kind.roles]
    assert [(one, Status.SENT) for one in recipients] == [(one.contact_id, one.status) for one in dispatch.recipients]
    assert dict.fromkeys(recipients, 1) == stage.ses.sent_to(event.dispatch_id)


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
    """An event in another place or under another key is moved to its own place and sent once; no dead letter."""
    event = an_event(mentor_id=MENTOR)
    place, key = MISPLACED[how](stage, event)
    record = encode_binary(event)

    published = await stage.put_at(place, key=key, value=record.value, headers=record.headers)
    dispatch = await stage.ended(event)
    await stage.passed(published)

    own_place = stage.place(PAUSES_TOPIC, MENTOR)
    assert SENT == statuses(dispatch.recipients)
    assert own_place == Place(dispatch.origin.topic, dispatch.origin.partition)
    assert [] == stage.letters_of(published)
    assert BOTH_ONCE == stage.ses.sent_to(event.dispatch_id)


async def test_a_moved_record_keeps_its_headers_and_first_append_time(stage: Stage) -> None:
    """A move keeps the producer's other headers and the time of the first append."""
    event = an_event(mentor_id=MENTOR)
    record = encode_binary(event)
    elsewhere = _elsewhere(stage.place(record.topic, MENTOR))

    published = await stage.put_at(
        elsewhere, key=None, value=record.value, headers=[*record.headers, ("tenant", b"42")]
    )
    dispatch = await stage.ended(event)

    own_place = Place(dispatch.origin.topic, dispatch.origin.partition)
    moved = await stage.read(own_place, dispatch.origin.offset)
    ours = [
        (names.APPENDED_AT, format_instant(published.appended_at).encode()),
        (names.MOVED_FROM, _origin(published)),
    ]
    expected = KEYS.signed(moved.topic, moved.key, moved.value, [*record.headers, ("tenant", b"42"), *ours])
    assert MENTOR.encode() == moved.key
    assert record.value == moved.value
    assert expected == [*moved.headers]


async def test_events_of_librdkafkas_default_partitioner(stage: Stage) -> None:
    """Events of a librdkafka producer, which hashes keys differently, reach their mentors once."""
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
    """Deliveries of one event, at once and after its end, lead to one set of e-mails and no dead letter."""
    event = an_event(mentor_id=MENTOR)

    deliveries = [await stage.publish(event), await stage.publish(event)]
    await stage.ended(event)
    deliveries.append(await stage.publish(event, structured=True))
    await stage.passed(*deliveries)

    assert BOTH_ONCE == stage.ses.sent_to(event.dispatch_id)
    assert [] == [letter for one in deliveries for letter in stage.letters_of(one)]


async def test_other_content_under_a_known_id(stage: Stage) -> None:
    """A second event with a known identity but other content is dead-lettered and sends nothing."""
    event = an_event(mentor_id=MENTOR)
    other = Event(event.kind, event.id, event.source, an_event(mentor_id=MENTOR, pause_reason="other").data)

    await stage.publish(event)
    await stage.ended(event)
    conflicting = await stage.publish(other)
    await stage.passed(conflicting)

    assert [DeadLetterReason.CONFLICTING_DUPLICATE] == [one.reason for one in stage.letters_of(conflicting)]
    assert BOTH_ONCE == stage.ses.sent_to(event.dispatch_id)


async def test_an_unknown_mentor(stage: Stage) -> None:
    """An event about an unknown mentor ends as such, with a dead letter that contains the dispatch."""
    event = an_event(mentor_id="mentor-404")

    published = await stage.publish(event)
    dispatch = await stage.ended(event)

    (letter,) = stage.letters_of(published)
    assert dispatch.unknown_mentor
    assert () == dispatch.recipients
    assert DeadLetterReason.UNKNOWN_MENTOR == letter.reason
    assert dispatch == letter.dispatch
    assert {} == stage.ses.sent_to(event.dispatch_id)


async def test_a_contact_that_arrives_after_its_event(stage: Stage, replica: Process) -> None:
    """A mentor who becomes known while a replica holds their event receives the e-mail."""
    event = an_event(mentor_id="mentor-late")
    late = Contact(id="mentor-late", role=Role.MENTOR, email="late@example.org", name="Lata Verspätet")

    async def held() -> bool:
        _, body = await replica.health()
        return bool(body["records_held"])

    await stage.publish(event)
    await until(held, what="the event to be held")
    await stage.put_contact(late)

    dispatch = await stage.ended(event)
    assert (Status.SENT,) == statuses(dispatch.recipients)
    assert {"mentor-late": 1} == stage.ses.sent_to(event.dispatch_id)


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
    """Everybody with an address receives an e-mail; the others fail with a reason, and with a dead letter."""
    event = an_event(mentor_id=mentor_id)

    published = await stage.publish(event)
    dispatch = await stage.ended(event)

    assert expected == [(one.contact_id, one.status, one.reason) for one in dispatch.recipients]
    assert {one: 1 for one, status, _ in expected if status is Status.SENT} == stage.ses.sent_to(event.dispatch_id)
    failed = [DeadLetterReason.FAILED] if any(status is Status.FAILED for _, status, _ in expected) else []
    assert failed == [letter.reason for letter in stage.letters_of(published)]


async def test_an_invalid_contact(stage: Stage) -> None:
    """A mentor with an invalid contact is known, but receives nothing; the lane continues."""
    invalid, valid = an_event(mentor_id="mentor-broken"), an_event(mentor_id=MENTOR)
    contact = json.dumps({"id": "mentor-broken", "role": "mentor", "email": "not an address"}).encode()
    place = Place(stage.topics.contacts, 0)

    await stage.put_at(place, key=b"mentor-broken", value=contact)
    await stage.publish(invalid)
    await stage.publish(valid)
    dispatches = await stage.all_ended([invalid, valid])

    assert [Reason.INVALID_CONTACT] == [one.reason for one in dispatches[0].recipients]
    assert SENT == statuses(dispatches[1].recipients)


@pytest.mark.parametrize("since", [names.APPENDED_AT, "ce_time"])
async def test_a_reminder_that_is_too_late(stage: Stage, since: str) -> None:
    """A reminder whose day is over, by its own time or its first append, expires without e-mail and dead letter."""
    event = an_event("cert-expiry-reminder", MENTOR, days_remaining=3)
    long_ago = format_instant(datetime.now(UTC) - timedelta(days=4, minutes=1)).encode()

    published = await stage.publish(event, (since, long_ago))
    dispatch = await stage.ended(event)
    await stage.passed(published)

    assert [(Status.EXPIRED, Reason.TOO_LATE)] == [(one.status, one.reason) for one in dispatch.recipients]
    assert {} == stage.ses.sent_to(event.dispatch_id)
    assert [] == stage.letters_of(published)


async def test_a_reminder_in_time(stage: Stage) -> None:
    """A reminder is still sent on the day of the expiry itself."""
    event = an_event("cert-expiry-reminder", MENTOR, days_remaining=3)
    days_ago = format_instant(datetime.now(UTC) - timedelta(days=3, hours=23)).encode()

    await stage.publish(event, ("ce_time", days_ago))

    assert (Status.SENT,) == statuses((await stage.ended(event)).recipients)


def statuses(recipients: Any) -> tuple[Status, ...]:
    """Return the statuses of the recipients."""
    return tuple(recipient.status for recipient in recipients)


def order(stage: Stage, event: Event) -> int:
    """Return the position of an event's first e-mail among all accepted ones."""
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
    """Publish one record with librdkafka, which chooses the partition if none is given."""
    delivered: list[Any] = []
    producer = Producer({"bootstrap.servers": stage.bootstrap_servers})
    producer.produce(
        topic, value, key, partition, on_delivery=lambda *found: delivered.append(found), headers=list(headers)
    )
    assert 0 == producer.flush(10)
    ((error, message),) = delivered
    assert error is None
    return Published(message.topic(), message.partition(), message.offset(), datetime.now(UTC))
