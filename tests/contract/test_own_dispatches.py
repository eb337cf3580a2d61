"""A key reads only its own dispatches, with the whole facade over topics in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from msgspec import structs
from structlog.testing import capture_logs

from runtime.kafka.records import Place
from schemas import headers as names
from schemas.cloudevents import encode_binary
from schemas.dispatch import Status
from schemas.events import Role
from schemas.placement import partition_for
from tests import signing
from tests.api_keys import key_of, keys_file
from tests.fakes.facade import BASE, Setup, ends, fake_facade, never, recipient, started
from tests.fakes.kafka_log import PARTITIONS
from tests.stage import an_event
from tests.waiting import until

LIFTED = {"mentor_id": "mentor-042"}
SENT = ends(recipient(Role.MENTOR, Status.SENT))
TOPIC = "mentor.pauses.v1"
PLACE = Place(TOPIC, partition_for("mentor-042", PARTITIONS))


@pytest.fixture(name="keys")
def _keys(tmp_path: Path) -> Path:
    return keys_file(tmp_path, "billing", "crm", operator="duty")


@pytest.fixture(name="setup")
async def _setup(keys: Path) -> AsyncIterator[Setup]:
    async with fake_facade(api_keys_file=keys, signing_keys_file=signing.keys_file()) as setup:
        setup.replica(SENT)
        yield setup


async def _read(setup: Setup, name: str, location: str) -> httpx.Response:
    return await setup.client.get(location, headers={"X-API-Key": key_of(name)})


async def _location(setup: Setup, **headers: str) -> str:
    """Publish an event of billing's, and return the address of its dispatch."""
    answer = await setup.post("pause-lifted", LIFTED, X_API_Key=key_of("billing"), **headers)
    (record,) = setup.publisher.records
    return f"{BASE}/dispatches/{answer.headers['dispatch-id']}?at={TOPIC}-{record.partition}-{record.offset}"


def _without_trace(answer: httpx.Response) -> tuple[int, dict[str, Any], set[str]]:
    """Return an answer without the parts that differ in every request."""
    return answer.status_code, {**answer.json(), "trace_id": ""}, set(answer.headers)


@pytest.fixture(name="facade_of", params=["the same facade", "another facade", "a facade that followed"])
async def _facade_of(request: pytest.FixtureRequest, setup: Setup, keys: Path) -> AsyncIterator[tuple[Setup, str]]:
    """Yield a facade that is asked for billing's dispatch, and the dispatch's location."""
    location = await _location(setup)
    if request.param == "the same facade":
        yield setup, location
        return
    async with fake_facade(api_keys_file=keys, signing_keys_file=signing.keys_file()) as other:
        other.log.records.update({place: list(records) for place, records in setup.log.records.items()})
        if request.param == "a facade that followed":
            other.log.append_dispatch(SENT(started(setup.publisher.records[0])) or pytest.fail("no dispatch"))
            read, registry = "pause_notifications_dispatch_records_total", other.facade.metrics.registry
            await until(lambda: registry.get_sample_value(read, {"result": "read"}), what="the dispatch")
        yield other, location


@pytest.mark.parametrize(("reader", "status"), [("billing", 200), ("duty", 200), ("crm", 404)])
async def test_readers(facade_of: tuple[Setup, str], reader: str, status: int) -> None:
    """A dispatch is read by its own caller and by an operator, on any facade; another caller gets 404."""
    facade, location = facade_of

    assert status == (await _read(facade, reader, location)).status_code


@pytest.mark.parametrize("with_place", [True, False], ids=["with at", "without at"])
async def test_anothers_looks_like_a_missing_one(facade_of: tuple[Setup, str], *, with_place: bool) -> None:
    """Another's dispatch is answered exactly as one that does not exist."""
    facade, location = facade_of
    path, _, place = location.partition("?")
    mine = path.rsplit("/", 1)[1]
    absent = f"{BASE}/dispatches/{'0' * 32}"
    if with_place:
        path, absent = location, f"{absent}?{place}"

    others, none = await _read(facade, "crm", path), await _read(facade, "crm", absent)

    expected = _without_trace(none)
    if with_place:
        expected[1]["dispatch_id"] = mine
    assert expected == _without_trace(others)


async def test_anothers_takes_as_many_reads_as_a_missing_one(facade_of: tuple[Setup, str]) -> None:
    """Another's dispatch costs as many look-ups as one that does not exist, so the time reveals nothing."""
    facade, location = facade_of

    async def reads(address: str) -> int:
        before = facade.records.reads
        await _read(facade, "crm", address)
        return facade.records.reads - before

    absent = location.replace(location.split("/")[-1].split("?")[0], "0" * 32)
    assert await reads(absent) == await reads(location)


async def test_pending(setup: Setup) -> None:
    """If no replica has read the event yet, only its caller and an operator can read its state."""
    setup.replica(never)
    location = await _location(setup, Prefer="wait=0")

    assert [200, 404, 200] == [(await _read(setup, name, location)).status_code for name in ("billing", "crm", "duty")]


@pytest.mark.parametrize("taken", [True, False], ids=["taken by a replica", "not taken yet"])
async def test_of_another_service(setup: Setup, *, taken: bool) -> None:
    """Only an operator reads the dispatch of an event that another service published."""
    event = encode_binary(an_event("pause-lifted", "mentor-042"))
    published = setup.log.append(PLACE, key=event.key, value=event.value, headers=event.headers)
    dispatch = structs.replace(started(setup.log.records[PLACE][0]), request=None)
    if taken:
        setup.log.append_dispatch(SENT(dispatch) or pytest.fail("no dispatch"))
    location = f"{BASE}/dispatches/{dispatch.dispatch_id}?at={TOPIC}-{PLACE.partition}-{published.offset}"

    assert [404, 200] == [(await _read(setup, name, location)).status_code for name in ("billing", "duty")]


@pytest.mark.parametrize("signed", [False, True], ids=["unsigned", "signed"])
async def test_a_copy_that_names_another_caller(setup: Setup, keys: Path, *, signed: bool) -> None:
    """A copy of another's event that names oneself as its caller gives no access: the dispatch names the owner."""
    await _location(setup)
    record = setup.publisher.records[0]
    headers = [(name, b"crm" if name == names.CALLER else value) for name, value in record.headers]
    if signed:
        ours = [(name, value) for name, value in headers if name != names.SIGNATURE]
        headers = signing.KEYS.signed(TOPIC, record.key, record.value, ours)
    copy = setup.log.append(PLACE, key=record.key, value=record.value, headers=headers)
    location = f"{BASE}/dispatches/{started(record).dispatch_id}?at={TOPIC}-{PLACE.partition}-{copy.offset}"
    async with fake_facade(api_keys_file=keys, signing_keys_file=signing.keys_file()) as other:
        other.log.records.update(setup.log.records)

        answers = [(await _read(other, name, location)).status_code for name in ("crm", "duty")]

    assert [404, 200 if signed else 404] == answers


async def test_without_keys(setup: Setup) -> None:
    """If no keys are required, everybody reads everything."""
    location = await _location(setup)
    async with fake_facade() as opened:
        opened.log.records.update(setup.log.records)

        assert 200 == (await opened.client.get(location)).status_code


async def test_without_signing_keys_its_own_facade_knows(keys: Path) -> None:
    """Without signing keys, the facade that took a call still answers its caller and an operator, nobody else."""
    async with fake_facade(api_keys_file=keys) as setup:
        setup.replica(never)
        location = await _location(setup, Prefer="wait=0")
        pending = [(await _read(setup, name, location)).status_code for name in ("billing", "crm", "duty")]
        setup.log.append_dispatch(SENT(started(setup.publisher.records[0])) or pytest.fail("no dispatch"))
        path = location.split("?")[0]
        await until(lambda: _ended(setup, path), what="the end to be seen")
        ended = [(await _read(setup, name, location)).status_code for name in ("billing", "crm", "duty")]

    assert [[200, 404, 200]] * 2 == [pending, ended]


async def test_without_signing_keys_no_record_proves_whose_it_is(setup: Setup, keys: Path) -> None:
    """Without signing keys, another facade answers for any dispatch that it has not seen it recently."""
    location = await _location(setup)
    absent = location.replace(location.split("/")[-1].split("?")[0], "0" * 32)
    async with fake_facade(api_keys_file=keys) as other:
        other.log.records.update(setup.log.records)
        own, forged, none = [
            await _read(other, name, address)
            for name, address in (("billing", location), ("crm", location), ("crm", absent))
        ]
        operator = await _read(other, "duty", location)

    assert _without_trace(none) == _without_trace(own) == _without_trace(forged)
    assert 404 == own.status_code
    assert "/problems/not-lately-seen" == own.json()["type"]
    assert 200 == operator.status_code


async def test_without_signing_keys_it_is_logged(keys: Path) -> None:
    """A facade that requires API keys and has no signing keys logs the consequence at the start."""
    with capture_logs() as logs:
        async with fake_facade(api_keys_file=keys):
            pass

    assert "api_keys.unproven" in [line["event"] for line in logs]


async def _ended(setup: Setup, path: str) -> bool:
    answer = await _read(setup, "billing", path)
    return bool(answer.json()["notifications_dispatched"][0]["status"] == "sent")
