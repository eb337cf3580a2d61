"""A program's signing keys are read at the start, or the start is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from runtime.environment import InvalidSettings, read_settings
from runtime.kafka.records import Record
from runtime.settings import CommandSettings, env_name
from runtime.signing_keys import checked, is_impostor, log_signing_keys, read_signing_keys, sound_event
from schemas import headers as names
from schemas.cloudevents import encode_binary
from schemas.events import EVENTS_BY_NAME, FACADE_SOURCE, REPLICA_SOURCE, UNDELIVERED, Event, EventType
from schemas.signatures import NO_KEYS, Proof, SigningKeys
from tests.fakes.clock import START
from tests.signing import KEYS, keys_file


def settings(file: Path | None) -> CommandSettings:
    """Return settings that name *file*."""
    return read_settings(CommandSettings, {} if file is None else {env_name("signing_keys_file"): str(file)})


def test_keys_are_read_from_the_file() -> None:
    """Without a file there are no keys."""
    assert KEYS.ids == read_signing_keys(settings(keys_file())).ids
    assert not read_signing_keys(settings(None))


@pytest.mark.parametrize(
    ("content", "says"), [(b"hunter2", "Line 1"), (b"\xff\xfe", "It is not UTF-8"), (b"", "no key in it")]
)
def test_a_file_that_holds_no_keys_stops_the_start(tmp_path: Path, content: bytes, says: str) -> None:
    """The message names the setting, and nothing of the file's content."""
    file = tmp_path / "keys"
    file.write_bytes(content)

    with pytest.raises(InvalidSettings, match=says) as refused:
        read_signing_keys(settings(file))

    assert env_name("signing_keys_file") in str(refused.value)
    assert "hunter2" not in str(refused.value)


def test_a_file_that_is_gone_stops_the_start(tmp_path: Path) -> None:
    """The file may vanish after the settings were read."""
    file = tmp_path / "keys"
    file.write_text("x")
    found = settings(file)
    file.unlink()

    with pytest.raises(InvalidSettings, match="No such file"):
        read_signing_keys(found)


def test_the_log_says_which_keys_there_are() -> None:
    """Only ids; or that no header is trusted, and the setting for keys."""
    with capture_logs() as logs:
        log_signing_keys(KEYS)
        log_signing_keys(NO_KEYS)

    assert ["signing.keys", "signing.off"] == [line["event"] for line in logs]
    assert KEYS.ids[0] == logs[0]["signs"]
    assert env_name("signing_keys_file") == logs[1]["set"]


def test_a_record_is_left_with_the_headers_that_count() -> None:
    """Other headers stay."""
    plain = Record("t", 0, 0, b"k", b"v", [("tenant", b"1"), (names.CALLER, b"a")], START, 0)
    signed = Record("t", 0, 0, b"k", b"v", KEYS.signed("t", b"k", b"v", plain.headers), START, 0)

    assert (Proof.PROVEN, signed) == checked(signed, KEYS)
    assert Proof.MISSING == checked(plain, KEYS)[0]
    assert [("tenant", b"1")] == checked(plain, KEYS)[1].headers


@pytest.mark.parametrize("proof", Proof)
def test_an_impostor_takes_the_facades_source(proof: Proof) -> None:
    """Only a signature proves the facade as source; without keys nobody can tell, and other sources need none."""
    unproven = proof not in {Proof.PROVEN, Proof.NO_KEYS}

    assert [unproven, unproven, False] == [
        is_impostor(an_event(source), proof) for source in (FACADE_SOURCE, REPLICA_SOURCE, "/academy")
    ]


def test_only_a_replica_may_tell_that_a_mentor_could_not_be_reached() -> None:
    """The escalation needs a signature, whatever its source."""
    assert is_impostor(an_event("/academy", UNDELIVERED), Proof.MISSING)


def an_event(source: str, kind: EventType = EVENTS_BY_NAME["pause-lifted"]) -> Event:
    """Return an event of this source."""
    return Event(kind, "1", source, kind.model.model_validate(kind.example))


def record_of(event: Event, value: bytes | None = None) -> Record:
    """Return the record of an event, or one with another value."""
    encoded = encode_binary(event)
    return Record(encoded.topic, 0, 0, encoded.key, value or encoded.value, tuple(encoded.headers), START, 1)


@pytest.mark.parametrize(("keys", "found"), [(NO_KEYS, True), (KEYS, False)])
def test_a_forgery_is_no_sound_event(keys: SigningKeys, *, found: bool) -> None:
    """An unsigned event of the facade's source is none if keys tell that it is a forgery."""
    record = record_of(an_event(FACADE_SOURCE))

    assert found == (sound_event(record, keys) is not None)


def test_an_invalid_record_is_no_sound_event() -> None:
    """A record that is no event is none."""
    assert sound_event(record_of(an_event("/academy"), value=b"{"), NO_KEYS) is None
