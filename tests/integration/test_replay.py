"""Dead letters are replayed by the operator's command, with a real replica and a real broker."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from msgspec import structs
from typer.testing import CliRunner

from deploy.command.app import app
from deploy.support.scanning import follow_from, records_until
from runtime.kafka.publisher import Published
from runtime.kafka.reader import Reader
from runtime.kafka.records import Place, Record
from runtime.settings import env_name
from schemas import headers as names
from schemas.cloudevents import decode, encode_binary
from schemas.contacts import Contact
from schemas.dead_letters import DeadLetter, DeadLetterReason, to_record
from schemas.dispatch import Dispatch, Origin, Reason, Recipient, Status, dispatch_json
from schemas.events import FACADE_SOURCE, PAUSES_TOPIC, Event, Role
from schemas.headers import header
from schemas.times import format_instant
from tests.kafka import Kafka
from tests.processes import ROOT
from tests.signing import KEY, KEYS, keys_file
from tests.stage import PARTITIONS, Stage, an_event, open_stage
from tests.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")

CALLED = ((names.REQUEST_ID, b"request-1"), (names.CALLER, b"anonymous"))


@pytest_asyncio.fixture(loop_scope="module", name="stage")
async def _stage(kafka: Kafka, tmp_path: Path) -> AsyncIterator[Stage]:
    """Return a stage for one test only, because a replay reads all dead letters."""
    async with open_stage(kafka.bootstrap_servers, f"t-{secrets.token_hex(4)}", tmp_path) as stage:
        yield stage


def environ_of(stage: Stage) -> dict[str, str]:
    """Return the settings of the command for a stage."""
    return {
        env_name("kafka_bootstrap_servers"): stage.bootstrap_servers,
        env_name("namespace"): stage.topics.namespace,
        env_name("signing_keys_file"): str(keys_file()),
    }


async def replay(stage: Stage, *options: str, code: int = 0, **settings: object) -> dict[str, Any]:
    """Replay and return the summary."""
    words = ["dead-letters", "replay", "--json", *options]
    environ = environ_of(stage) | {env_name(field): str(value) for field, value in settings.items()}
    ran = await asyncio.to_thread(CliRunner().invoke, app, words, env=environ)
    assert code == ran.exit_code, ran.output
    told: dict[str, Any] = json.loads(ran.stdout)
    return told


def contact(name: str, **more: str) -> Contact:
    """Return a contact with an address."""
    role = name.partition("-")[0]
    return Contact.model_validate({"id": name, "role": role, "email": f"{name}@example.org", **more})


async def processed(stage: Stage, summary: dict[str, Any]) -> None:
    """Wait until the replays of a summary are processed."""
    for letter in summary["letters"]:
        if letter.get("replayed_to"):
            topic, partition, offset = letter["replayed_to"].rsplit("-", 2)
            place = await stage.read(Place(topic, int(partition)), int(offset))
            await stage.passed(Published(topic, int(partition), int(offset), place.appended_at))


async def event_ends(stage: Stage) -> dict[Place, int]:
    """Return the end offsets of the event topics."""
    return await stage.asker.end_offsets(Place(topic, n) for topic in stage.topics.events for n in range(PARTITIONS))


def recipients_of(stage: Stage, event: Event) -> list[tuple[str, Status, int]]:
    """Return the recipients of an event with status and number of reopenings."""
    return [(one.contact_id, one.status, one.round) for one in stage.dispatches[event.dispatch_id].recipients]


async def test_a_failed_event_is_replayed_once(stage: Stage) -> None:
    """After the cause is fixed, only recipients without e-mail get one; a second replay sends none."""
    await stage.start()
    await stage.put_contact(contact("mentor-half", coordinator_id="coordinator-late"))
    unknown, half, called = (an_event(mentor_id=name) for name in ("mentor-late", "mentor-half", "mentor-called"))
    await stage.publish(unknown)
    await stage.publish(half)
    await stage.publish(called, *CALLED)
    broken = await stage.put(PAUSES_TOPIC, "mentor-042", key=b"mentor-042", value=b"{")
    await stage.all_ended([unknown, half, called])
    await stage.passed(broken)
    before = await event_ends(stage)

    dry = await replay(stage, "--dry-run")
    untouched = await event_ends(stage)
    for name in ("mentor-late", "coordinator-late", "mentor-called"):
        await stage.put_contact(contact(name))
    done = await replay(stage, "--yes")
    await processed(stage, done)
    again = await replay(stage, "--yes")
    also = await replay(stage, "--yes", "--include-answered")
    await processed(stage, also)

    assert before == untouched
    assert (4, 2, 0, {"not_an_event": 1, "answered": 1}) == counts_of(dry)
    assert (4, 2, 2, {"not_an_event": 1, "answered": 1}) == counts_of(done)
    assert (4, 0, 0, {"sent": 2, "not_an_event": 1, "answered": 1}) == counts_of(again)
    assert (4, 1, 1, {"sent": 2, "not_an_event": 1}) == counts_of(also)
    assert [("mentor-late", Status.SENT, 0)] == recipients_of(stage, unknown)
    assert [("mentor-half", Status.SENT, 0), ("coordinator-late", Status.SENT, 1)] == recipients_of(stage, half)
    assert [("mentor-called", Status.SENT, 0)] == recipients_of(stage, called)
    assert {"mentor-late": 1} == stage.ses.sent_to(unknown.dispatch_id)
    assert {"mentor-half": 1, "coordinator-late": 1} == stage.ses.sent_to(half.dispatch_id)
    assert {"mentor-called": 1} == stage.ses.sent_to(called.dispatch_id)


def counts_of(summary: dict[str, Any]) -> tuple[int, int, int, dict[str, int]]:
    """Return how many were selected, to be replayed, replayed, and skipped by each rule."""
    return summary["selected"], summary["to_replay"], summary["replayed"], summary["skipped"]


async def test_a_replay_published_twice_is_processed_once(stage: Stage) -> None:
    """The second delivery of a replay retries nobody, although the first failed; a new replay does, up to a limit."""
    await stage.start()
    await stage.ses.set(refuse={"mentor-001@example.org": "MessageRejected"})
    event = an_event()
    await stage.publish(event)
    await stage.ended(event)

    first = await replay(stage, "--yes")
    await processed(stage, first)
    (letter,) = [one for one in first["letters"] if "replayed_to" in one]
    topic, partition, offset = letter["replayed_to"].rsplit("-", 2)
    record = await stage.read(Place(topic, int(partition)), int(offset))
    doubled = await stage.put_at(record.place, key=record.key, value=record.value, headers=record.headers)
    await stage.passed(doubled)
    after_copy = recipients_of(stage, event)
    second = await replay(stage, "--yes", "--max-rounds", "2")
    await processed(stage, second)
    capped = await replay(stage, "--yes", "--max-rounds", "2")

    assert [("mentor-001", Status.FAILED, 1), ("coordinator-001", Status.SENT, 0)] == after_copy
    assert (2, 1, 1, {"same_dispatch": 1}) == counts_of(second)
    assert (3, 0, 0, {"same_dispatch": 2, "max_rounds": 1}) == counts_of(capped)
    assert [("mentor-001", Status.FAILED, 2), ("coordinator-001", Status.SENT, 0)] == recipients_of(stage, event)
    assert 3 == len(stage.letters)
    assert {"coordinator-001": 1} == stage.ses.sent_to(event.dispatch_id)


async def dead_letter(stage: Stage, events: Sequence[Event], *more_headers: tuple[str, bytes]) -> list[Published]:
    """Publish events, then their dead letters in reverse order as if refused; return the positions of the events."""
    positions = await asyncio.gather(*(stage.publish(event, *more_headers) for event in events))
    for event, at in reversed(list(zip(events, positions, strict=True))):
        dispatch = failed_dispatch(event, at)
        record = encode_binary(event)
        letter = DeadLetter(
            reason=DeadLetterReason.FAILED,
            origin=dispatch.origin,
            key=record.key,
            value=record.value,
            headers=KEYS.signed(at.topic, record.key, record.value, [*record.headers, *more_headers]),
            dispatch=dispatch,
        )
        key, value, headers = to_record(letter)
        headers = KEYS.signed(stage.topics.dead_letters, key, value, headers)
        await stage.put_at(Place(stage.topics.dead_letters, at.partition), key=key, value=value, headers=headers)
        place = Place(stage.topics.dispatches, at.partition)
        await stage.put_at(place, key=event.dispatch_id.encode(), value=dispatch_json(dispatch))
    return positions


def failed_dispatch(event: Event, at: Published) -> Dispatch:
    """Return a dispatch whose mentor's e-mail was refused."""
    origin = Origin(topic=at.topic, partition=at.partition, offset=at.offset, appended_at=at.appended_at)
    failed = Recipient(
        contact_id=event.mentor_id, role=Role.MENTOR, status=Status.FAILED, reason=Reason.MESSAGE_REJECTED, send=1
    )
    return structs.replace(Dispatch.of(event, origin), recipients=(failed,)).seen(at.topic, at.offset)


async def replays(stage: Stage) -> list[Record]:
    """Return the replays in the event topics, in the order of each partition."""
    found: list[Record] = []
    async with Reader({"bootstrap_servers": stage.bootstrap_servers}) as reading:
        places = [place for topic in stage.topics.events for place in await reading.partitions(topic)]
        async for record in records_until(reading, await follow_from(reading, places, None)):
            found += [record] if header(record.headers, names.REPLAY) is not None else []
    return found


async def test_a_key_removed_too_early_loses_nothing(stage: Stage, tmp_path: Path) -> None:
    """Calls signed with it are dead-lettered. Once the key is back, a replay sends them, but no forged ones."""
    new, both = tmp_path / "new", tmp_path / "both"
    new.write_text(bytes(range(101, 133)).hex())
    both.write_text(f"{new.read_text()}\n{KEY.hex()}\n")
    event, forged = (replace(an_event(), source=FACADE_SOURCE) for _ in range(2))
    replica = await stage.start(signing_keys_file=new)
    positions = [await stage.publish(event, *CALLED), await stage.publish(forged)]
    await stage.passed(*positions)
    by_then = len(stage.ses.mails)
    await replica.stop()

    await stage.start(signing_keys_file=both)
    done = await replay(stage, "--yes", signing_keys_file=both)
    dispatch = await stage.ended(event)

    assert [DeadLetterReason.UNPROVEN_SOURCE] * 2 == [letter.reason for letter in stage.letters]
    assert (0, (2, 1, 1, {"unproven_source": 1})) == (by_then, counts_of(done))
    assert [Status.SENT, Status.SENT] == [recipient.status for recipient in dispatch.recipients]
    assert ("request-1", 2) == (dispatch.request.id if dispatch.request else None, len(stage.ses.mails))


async def test_a_waiting_replay_is_not_repeated(stage: Stage) -> None:
    """Without a replica a replay waits, and is not published again; it is the original event with its dispatch."""
    event = an_event()
    (at,) = await dead_letter(stage, [event], (names.WAITS_MS, b"4000"), ("traceparent", b"00-1-2-01"))

    first, second = await replay(stage, "--yes"), await replay(stage, "--yes")

    (copy,) = await replays(stage)
    record = encode_binary(event)
    appended_at = format_instant(at.appended_at).encode()
    stood = dispatch_json(failed_dispatch(event, at))
    ours = [("traceparent", b"00-1-2-01"), (names.APPENDED_AT, appended_at), (names.REPLAY, stood)]
    assert ((1, 1, 1, {}), (1, 0, 0, {"queued": 1})) == (counts_of(first), counts_of(second))
    assert (stage.place(PAUSES_TOPIC, event.mentor_id), record.key, record.value) == (copy.place, copy.key, copy.value)
    assert KEYS.signed(copy.topic, copy.key, copy.value, [*record.headers, *ours]) == list(copy.headers)


async def test_a_stopped_replay_continues(stage: Stage) -> None:
    """After Ctrl-C it exits with 130 and prints how many were replayed; the next run replays the rest in order."""
    events = [an_event(mentor_id=f"mentor-{number % 7:03}") for number in range(900)]
    positions = await dead_letter(stage, events)
    stopped = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "deploy.command", "dead-letters", "replay", "--yes", "--json"),
        cwd=ROOT,
        env={**os.environ, **environ_of(stage)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        ends = await event_ends(stage)
        await until(lambda: have_grown(stage, ends, by=1), within=60, what="the first replays")
        stopped.send_signal(signal.SIGINT)
        async with asyncio.timeout(30):
            out, err = await stopped.communicate()
    finally:
        if stopped.returncode is None:
            stopped.kill()
            await stopped.wait()
    halfway = json.loads(out)

    rest = await replay(stage, "--yes")

    found = await replays(stage)
    places = {event.dispatch_id: at for event, at in zip(events, positions, strict=True)}
    origins = [(one.partition, places[decode(one.headers, one.value).dispatch_id].offset) for one in found]
    assert (130, "Run the same command again to replay the rest.") == (
        stopped.returncode,
        err.decode().strip().splitlines()[-1],
    )
    assert 0 < halfway["replayed"] < len(events)
    assert rest["replayed"] in {len(events) - halfway["replayed"], len(events) - halfway["replayed"] - 1}
    assert len(events) == len(found) == len(set(origins))
    assert [] == [pair for pair in pairwise(origins) if pair[0][0] == pair[1][0] and pair[0] > pair[1]]


async def have_grown(stage: Stage, before: dict[Place, int], *, by: int) -> bool:
    """Check whether that many records were appended to the event topics."""
    return sum((await event_ends(stage)).values()) - sum(before.values()) >= by
