"""Which controls keep an event that waits, and which records are no such event."""

from __future__ import annotations

from datetime import timedelta

import pytest

from deploy.command.waiting_event import keeping, sound_event
from runtime.kafka.records import Record
from schemas.cloudevents import encode_binary
from schemas.controls import Control, ControlKind
from schemas.events import FACADE_SOURCE, Event
from schemas.signatures import NO_KEYS, SigningKeys
from tests.signing import KEYS
from tests.unit.consumers.stage import event_of
from tests.unit.schemas.test_controls import NOW, cancel, control


def record_of(event: Event, value: bytes | None = None) -> Record:
    """Return the record of an event, or one with another value."""
    encoded = encode_binary(event)
    return Record(encoded.topic, 0, 0, encoded.key, value or encoded.value, tuple(encoded.headers), NOW, 1)


@pytest.mark.parametrize(
    ("one", "keeps"),
    [
        (control(), True),
        (control(kind=ControlKind.SOURCE_HELD, source="/academy"), True),
        (control(kind=ControlKind.SOURCE_HELD, source="/other"), False),
        (cancel(source="/academy", since=NOW - timedelta(hours=1), at=NOW + timedelta(hours=1)), True),
        (control(kind=ControlKind.LOG_LEVEL, level="debug", until=NOW), False),
    ],
)
def test_what_keeps_an_event(one: Control, *, keeps: bool) -> None:
    """A stop keeps every event, a hold and a cancel those that they concern."""
    assert keeps == bool(keeping([one], event_of(source="/academy"), NOW))


@pytest.mark.parametrize(("keys", "found"), [(NO_KEYS, True), (KEYS, False)])
def test_a_forgery_does_not_wait(keys: SigningKeys, *, found: bool) -> None:
    """An unsigned event of the facade's source waits for nothing if keys tell that it is a forgery."""
    record = record_of(event_of(source=FACADE_SOURCE))

    assert found == (sound_event(record, keys) is not None)


def test_what_is_no_event_does_not_wait() -> None:
    """An invalid record is no event that waits."""
    assert sound_event(record_of(event_of(), value=b"{"), NO_KEYS) is None
