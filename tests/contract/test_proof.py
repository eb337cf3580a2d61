"""The facade signs its events, and checks the proof of events that it is asked about."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from runtime.environment import InvalidSettings
from runtime.kafka.records import Place
from schemas.cloudevents import decode, encode_binary
from schemas.events import EVENTS_BY_NAME, FACADE_SOURCE, Event
from schemas.placement import partition_for
from schemas.signatures import Proof
from tests.fakes.facade import BASE, Setup, fake_facade
from tests.fakes.kafka_log import PARTITIONS
from tests.signing import KEYS, keys_file

LIFTED = {"mentor_id": "mentor-042"}


@pytest.fixture(name="setup")
async def _setup() -> AsyncIterator[Setup]:
    """Yield a facade with the tests' key."""
    async with fake_facade(signing_keys_file=keys_file()) as setup:
        yield setup


async def ask_for(setup: Setup, source: str) -> int:
    """Ask for an unsigned event of *source* at its position; return the answer's status."""
    kind = EVENTS_BY_NAME["pause-lifted"]
    event = Event(kind, "stranger", source, kind.model.model_validate(LIFTED))
    record = encode_binary(event)
    place = Place(record.topic, partition_for(event.mentor_id, PARTITIONS))
    at = setup.log.append(place, key=record.key, value=record.value, headers=record.headers)
    path = f"{BASE}/dispatches/{event.dispatch_id}?at={at.position}"
    return (await setup.client.get(path)).status_code


async def test_an_event_of_the_facade_is_signed(setup: Setup) -> None:
    """The signature covers its headers as they are in the topic."""
    await setup.post("pause-lifted", LIFTED, Prefer="wait=0")

    (record,) = setup.publisher.records
    assert KEYS.check(record.topic, record.key, record.value, record.headers) is Proof.PROVEN
    assert FACADE_SOURCE == decode(record.headers, record.value).source


async def test_a_stranger_cannot_pose_as_the_facade(setup: Setup) -> None:
    """An unsigned event with the facade's source is not found; other producers' events are."""
    assert 404 == await ask_for(setup, FACADE_SOURCE)
    assert 200 == await ask_for(setup, "/academy")


async def test_without_keys_a_source_is_believed() -> None:
    """Nothing can prove it, and published events are not signed."""
    async with fake_facade() as setup:
        await setup.post("pause-lifted", LIFTED, Prefer="wait=0")

        assert 200 == await ask_for(setup, FACADE_SOURCE)
        assert "pn_signature" not in dict(setup.publisher.records[0].headers)


async def test_an_invalid_file_of_keys_stops_the_start(tmp_path: Path) -> None:
    """The error names the setting and the line, but repeats nothing of the line."""
    file = tmp_path / "notes"
    file.write_text("hunter2\n", encoding="utf-8")

    with pytest.raises(InvalidSettings, match=r"SIGNING_KEYS_FILE cannot be used\..*Line 1") as refused:
        async with fake_facade(signing_keys_file=file):
            pass

    assert "hunter2" not in str(refused.value)
