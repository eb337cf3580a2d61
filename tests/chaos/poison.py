"""Every kind of invalid record, and strange valid ones, each with its expected outcome."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass, replace

from schemas.cloudevents import encode_binary, encode_structured
from schemas.events import CERTIFICATIONS_TOPIC, EVENTS_BY_NAME, PAUSES_TOPIC, Event
from schemas.placement import partition_for
from tests.chaos.batches import (
    Raw,
    batch_of,
    sealed,
    with_broken_checksum,
    with_codec,
    with_header_name_of_no_utf8,
)
from tests.chaos.watcher import PARTITIONS

SENT = "sent"
MOVED = "moved, then sent"
UNREADABLE = "unreadable_batch"

_KIB = 1024
_UNASSIGNED_CODEC = 5
_NO_UTF8 = b"\xff\xfe\xff\xfe"


@dataclass(frozen=True)
class Plant:
    """A record to publish; *topic* is the contract's name."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]

    @property
    def raw(self) -> Raw:
        """Return it as a record of a batch."""
        return Raw(self.key, self.value, self.headers)


Change = Callable[[Plant], Plant]


@dataclass(frozen=True)
class Kind:
    """One row of the table."""

    name: str
    becomes: str
    """The reason of its one dead letter; SENT or MOVED if it is still a valid event."""
    change: Change = lambda plant: plant
    event: str = "pause-activated"
    mentor_id: str | None = None
    """The mentor it is about; by default one who has valid events, too."""
    batch: Callable[[Plant], bytes] | None = None
    """Builds a batch by hand that no client would send."""
    spoilt: Callable[[bytes], bytes] | None = None
    """How the batch on the leader's disk is changed after it was replicated."""
    records: int = 1


def an_event(name: str, event_id: str, mentor_id: str) -> Event:
    """Return a valid event of the contract's example, with its own id."""
    kind = EVENTS_BY_NAME[name]
    data = kind.model.model_validate({**kind.example, "mentor_id": mentor_id})
    return Event(kind=kind, id=event_id, source="/poison", data=data)


def sound(event: Event) -> Plant:
    """Return an event as a valid producer writes it."""
    record = encode_binary(event)
    place = partition_for(event.mentor_id, PARTITIONS)
    return Plant(record.topic, place, record.key, record.value, tuple(record.headers))


def _data_in_base64(value: bytes) -> bytes:
    """Return the data of a structured event as SDKs write it when they get bytes."""
    event = json.loads(value)
    data_bytes = json.dumps(event.pop("data")).encode()
    return json.dumps({**event, "data_base64": base64.b64encode(data_bytes).decode()}).encode()


def _with_digits(plant: Plant) -> bytes:
    return (plant.value or b"").replace(b"{", b'{"n":' + b"9" * 5001 + b",", 1)


# -- changes -----------------------------------------------------------------------------------------------------


def value(content: bytes | None) -> Change:
    """Replace the value."""
    return lambda plant: replace(plant, value=content)


def data(**fields: object) -> Change:
    """Replace fields of the data."""
    return lambda plant: replace(plant, value=json.dumps({**json.loads(plant.value or b""), **fields}).encode())


def header(name: str, content: bytes | None) -> Change:
    """Replace a header, or add it."""
    return lambda plant: replace(plant, headers=(*(one for one in plant.headers if one[0] != name), (name, content)))


def without(name: str) -> Change:
    """Remove a header."""
    return lambda plant: replace(plant, headers=tuple(one for one in plant.headers if one[0] != name))


def more(*headers: tuple[str, bytes | None]) -> Change:
    """Append headers."""
    return lambda plant: replace(plant, headers=(*plant.headers, *headers))


def key(content: bytes | None) -> Change:
    """Replace the key."""
    return lambda plant: replace(plant, key=content)


def all_of(*changes: Change) -> Change:
    """Apply one change after the other."""

    def change(plant: Plant) -> Plant:
        for one in changes:
            plant = one(plant)
        return plant

    return change


def structured(of_value: Callable[[bytes], bytes] = lambda value: value) -> Change:
    """Write the event in structured mode, and apply the changes."""

    def change(plant: Plant) -> Plant:
        attributes = {name.removeprefix("ce_"): (text or b"").decode() for name, text in plant.headers}
        event = an_event("pause-activated", attributes["id"], (plant.key or b"").decode())
        record = encode_structured(event)
        return replace(plant, value=of_value(record.value), headers=tuple(record.headers))

    return change


def _next_partition(plant: Plant) -> Plant:
    return replace(plant, partition=(plant.partition + 1) % PARTITIONS)


def _other_topic(plant: Plant) -> Plant:
    return replace(plant, topic=CERTIFICATIONS_TOPIC if plant.topic == PAUSES_TOPIC else PAUSES_TOPIC)


def _capital_headers(plant: Plant) -> Plant:
    return replace(plant, headers=tuple((name.upper(), text) for name, text in plant.headers))


def _gzipped(plant: Plant) -> bytes:
    return sealed(batch_of([plant.raw], gzip=True))


def _as_it_is(plant: Plant) -> bytes:
    return sealed(batch_of([plant.raw]))


KINDS: tuple[Kind, ...] = (
    # values
    Kind("bad JSON", "not_json", value(b'{"mentor_id": ')),
    Kind("JSON in UTF-16", "not_json", value('{"mentor_id": "m"}'.encode("utf-16"))),
    Kind("NaN", "not_json", value(b'{"mentor_id": "m", "days_remaining": NaN}'), event="cert-expiry-reminder"),
    Kind("half a surrogate pair", "not_json", value(b'{"mentor_id": "\\ud800"}')),
    Kind("nested ten thousandfold", "not_json", value(b"[" * 10_000)),
    Kind("JSON, but no object", "invalid_data", value(b'["mentor-042"]')),
    Kind("a tombstone with an event's headers", "null_value", value(None)),
    Kind("neither key nor value", "null_value", all_of(key(None), value(None)), batch=_as_it_is),
    Kind("a value of 70 KiB", "too_large", data(more="x" * 70 * _KIB)),
    Kind("10 MiB in a small gzip batch", "too_large", value(b" " * 10 * _KIB * _KIB), batch=_gzipped),
    # data
    Kind("data of the wrong type", "invalid_data", data(mentor_id=42)),
    Kind("a missing field", "invalid_data", value(b'{"expected_return_date": "2026-05-01T00:00:00Z"}')),
    Kind("a naive time in the data", "invalid_data", data(expected_return_date="2026-05-01T00:00:00")),
    Kind("days out of range", "invalid_data", data(days_remaining=3651), event="cert-expiry-reminder"),
    Kind(
        "days without end",
        "invalid_data",
        value(b'{"mentor_id": "m", "days_remaining": 1e999}'),
        event="cert-expiry-reminder",
    ),
    Kind("a mentor id with control characters", "invalid_data", data(mentor_id="mentor\r\nBcc: x")),
    # attributes
    Kind("a header twice", "duplicate_header", more(("ce_id", b"another"))),
    Kind("a header that is no UTF-8", "invalid_header", header("ce_id", _NO_UTF8)),
    Kind("70 KiB of headers", "too_large", more(*((f"x-{n}", b"x" * _KIB) for n in range(70)))),
    Kind("no headers at all", "missing_attribute", lambda plant: replace(plant, headers=())),
    Kind("no id", "missing_attribute", without("ce_id")),
    Kind("no source", "missing_attribute", without("ce_source")),
    Kind("an unknown type", "unknown_type", header("ce_type", b"mentor.promoted.v1")),
    Kind("another version", "invalid_attribute", header("ce_specversion", b"0.3")),
    Kind("XML", "unsupported_content_type", header("content-type", b"application/xml")),
    Kind("structured, but no JSON", "not_json", structured(lambda value: value[:-1])),
    Kind("structured without data", "invalid_data", structured(lambda value: value.replace(b'"data"', b'"date"'))),
    Kind(
        "structured batch mode",
        "unsupported_content_type",
        header("content-type", b"application/cloudevents-batch+json"),
    ),
    # nobody is known, or it is an event all the same
    Kind("an unknown mentor", "unknown_mentor", mentor_id="nobody-knows"),
    Kind("structured mode", SENT, structured()),
    Kind("headers in capitals", SENT, _capital_headers),
    Kind("neither time nor content type", SENT, all_of(without("ce_time"), without("content-type"))),
    Kind("a naive time", SENT, header("ce_time", b"2026-05-01T00:00:00")),
    Kind("data in Base64", SENT, structured(_data_in_base64)),
    Kind("unknown fields", SENT, data(favourite_colour="blue")),
    Kind("a number of 5,001 digits in an unknown field", SENT, lambda plant: replace(plant, value=_with_digits(plant))),
    Kind("our own headers, forged", SENT, more(("pn_replay", b"{"), ("pn_waits_ms", b"-1"), ("pn_appended_at", b"x"))),
    Kind("an empty key", MOVED, key(b"")),
    Kind("no key", MOVED, key(None)),
    Kind("another key, of no UTF-8", MOVED, key(_NO_UTF8)),
    Kind("another partition", MOVED, _next_partition),
    Kind("another topic", MOVED, _other_topic),
    # whole batches
    Kind("20 MiB in a small gzip batch", UNREADABLE, value(b" " * 20 * _KIB * _KIB), batch=_gzipped),
    Kind(
        "a header name that is no UTF-8",
        UNREADABLE,
        batch=lambda plant: with_header_name_of_no_utf8(*[plant.raw] * 3),
        records=3,
    ),
    Kind(
        "a broken checksum on disk",
        UNREADABLE,
        batch=lambda plant: sealed(batch_of([plant.raw] * 5)),
        spoilt=with_broken_checksum,
        records=5,
    ),
    Kind(
        "a codec that does not exist, on disk",
        UNREADABLE,
        batch=lambda plant: sealed(batch_of([plant.raw] * 2)),
        spoilt=lambda batch: with_codec(batch, _UNASSIGNED_CODEC),
        records=2,
    ),
)
