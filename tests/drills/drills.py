"""The ten drills."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import shutil
import signal
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaProducer

from deploy.local.ports import HOST
from deploy.local.stack import SAMPLE_CONTACTS
from runtime.kafka.topics import DEFAULT_PARTITIONS
from schemas.cloudevents import encode_binary
from schemas.contacts import CONTACTS_TOPIC
from schemas.events import EVENTS_BY_NAME, PAUSES_TOPIC, Event
from schemas.placement import partition_for
from tests import processes
from tests.chaos.batches import Raw, produce, with_header_name_of_no_utf8
from tests.drills.running import KAFKA_SECONDS, REPLICAS, ROOT, DrillFailed, Running, shown, until
from tests.drills.walk import Drill, Operator
from tests.stage import mentor

_MAD = "/drills/mad"
_CANCEL = ("dispatches", "cancel", "--source", _MAD, "--since", "1h")
_MAD_EVENTS = 3000
_SLOW_RATE = 10.0
_HEALTHY_RATE = 500.0
_QUOTA_LEFT = 6
_CATCH_UP_SECONDS = 180.0
_DISK_SECONDS = 60.0
_START_SECONDS = 120.0
_KILL_EVERY_SECONDS = 16.0
"""`make run` gives up at the third start within 30 s."""
_POISONED = "mentor-001"
_ROOMS = ("schemas", "runtime", "consumers")
_BAD_VERSION = "9.9.9"
_HALT = "max by (reason) (pause_notifications_gate_halted)"
_LAG = "max(pause_notifications_lag_seconds)"
_PUBLISHES = "sum by (result) (pause_notifications_publishes_total) > 0"
_SOURCES = "topk(2, sum by (source) (pause_notifications_events_of_source_total))"
_LIMIT = "max by (by) (pause_notifications_limit) == 1"


# -- Kafka ------------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def kafka_gone(operator: Operator) -> AsyncIterator[None]:
    """Kill the broker."""
    broker = operator.running.broker
    operator.say("the broker is killed")
    await broker.kill()
    yield
    operator.say("who runs Kafka starts it again")
    await broker.start(within=KAFKA_SECONDS)


@asynccontextmanager
async def disk_full(operator: Operator) -> AsyncIterator[None]:
    """Let the broker write not one byte more. A limit on file sizes stands in for the disk: it needs no rights."""
    broker = operator.running.broker
    operator.say("the broker's disk is full")
    limits: Any = getattr(resource, "prlimit", None)
    if limits is None or broker.pid is None:
        raise DrillFailed("a full disk needs Linux and a running broker")
    limits(broker.pid, resource.RLIMIT_FSIZE, (0, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    await until(lambda: broker.pid is None, within=_DISK_SECONDS, what="the broker to give up")
    operator.say("the broker gave up; its log does not say why, for want of room")
    yield
    operator.say("who runs Kafka makes room, and starts it again")
    await broker.kill()
    await broker.start(within=KAFKA_SECONDS)


# -- SES --------------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def ses_paused(operator: Operator) -> AsyncIterator[None]:
    """Pause all sending of the account."""
    operator.say("sending is paused for the account")
    await operator.running.faults(paused=True)
    yield
    operator.say("$ aws sesv2 put-account-sending-attributes --sending-enabled   (here: the local SES)")
    await operator.running.faults(paused=False)


@asynccontextmanager
async def quota_spent(operator: Operator) -> AsyncIterator[None]:
    """Leave some e-mails of the account's 24 hours."""
    sent = sum(operator.running.mails().values())
    operator.say(f"{_QUOTA_LEFT} e-mails are left of the account's 24 hours")
    await operator.running.faults(max_24_hour_send=sent + _QUOTA_LEFT)
    yield
    operator.say("AWS raises the quota, or the 24 hours move on")
    await operator.running.faults(max_24_hour_send=1_000_000)


@asynccontextmanager
async def credentials_expired(operator: Operator) -> AsyncIterator[None]:
    """Let AWS refuse every request."""
    operator.say("the credentials expire")
    await operator.running.faults(refuse_all="ExpiredTokenException")
    yield
    operator.say("the role of the ServiceAccount is repaired")
    await operator.running.faults(refuse_all=None)


# -- producers --------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def _producing(operator: Operator) -> AsyncIterator[AIOKafkaProducer]:
    async with AIOKafkaProducer(bootstrap_servers=operator.running.broker.address) as producer:
        yield producer


async def _publish(producer: AIOKafkaProducer, topic: str, key: str, value: bytes | None, *headers: Any) -> None:
    place = partition_for(key, DEFAULT_PARTITIONS)
    await producer.send(topic, key=key.encode(), value=value, partition=place, headers=list(headers))


@asynccontextmanager
async def bulk_mistake(operator: Operator) -> AsyncIterator[None]:
    """Publish thousands of wrong events from one source, which an account with a small rate sends for minutes."""
    running, kind = operator.running, EVENTS_BY_NAME["pause-lifted"]
    await running.faults(max_send_rate=_SLOW_RATE)
    operator.say(f"{_MAD} publishes {_MAD_EVENTS} wrong events; the account sends {_SLOW_RATE:g} a second")
    async with _producing(operator) as producer:
        for number in range(_MAD_EVENTS):
            data = kind.model.model_validate({**kind.example, "mentor_id": mentor(number)})
            record = encode_binary(Event(kind=kind, id=str(uuid.uuid4()), source=_MAD, data=data))
            await _publish(producer, record.topic, data.mentor_id, record.value, *record.headers)
    yield
    await operator.types("sources", "hold", _MAD, "--reason", "publishes wrong events")
    await operator.types(*_CANCEL, "--dry-run")
    await operator.types(*_CANCEL, "--reason", "wrong bulk publish", "--yes")
    await operator.types("sources", "release", _MAD)
    operator.say("the producer is repaired")
    printed = await operator.types("controls", "--json")
    (cancel_id,) = [one["id"] for one in map(json.loads, printed.splitlines()) if one["kind"] == "cancel"]
    operator.say(f"wait until nothing is left: $ {shown((*_CANCEL, '--dry-run'))}")
    await until(lambda: _nothing_left(running), within=_CATCH_UP_SECONDS, what="the backlog to end", every=3)
    await operator.types("dispatches", "cancel", "--undo", cancel_id)
    await running.faults(max_send_rate=_HEALTHY_RATE)


async def _nothing_left(running: Running) -> bool:
    """Return whether a dry run counts no event of the source any more."""
    code, printed = await running.command(*_CANCEL, "--dry-run", "--json")
    return code == 0 and json.loads(printed)["events"] == 0


@asynccontextmanager
async def poisoned_partition(operator: Operator) -> AsyncIterator[None]:
    """Put batches that no client can read, and records that are no event, between the events of one partition."""
    operator.say(f"a broken producer writes to the partition of {_POISONED}")
    async with _producing(operator) as producer:
        place = partition_for(_POISONED, DEFAULT_PARTITIONS)
        for _ in range(5):
            raw = Raw(_POISONED.encode(), b"{}")
            await produce(producer, PAUSES_TOPIC, place, with_header_name_of_no_utf8(raw))
            await _publish(producer, PAUSES_TOPIC, _POISONED, b'{"mentor_id": ')
    yield
    await operator.types("dead-letters", "list", "--reason", "unreadable_batch", "--since", "24h")
    await operator.types("dead-letters", "list", "--since", "1h")
    operator.say("its producer is repaired, and publishes again what was valid, with the same ids")


# -- replicas ---------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def oom_loop(operator: Operator) -> AsyncIterator[None]:
    """Kill a replica again and again, as the kernel does when its memory is used up."""

    async def kill_again_and_again() -> None:
        while True:
            pid = operator.running.pid("replica-1")
            operator.say(f"replica-1, pid {pid}, is killed: out of memory")
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            await asyncio.sleep(_KILL_EVERY_SECONDS)

    async with _meanwhile(kill_again_and_again()):
        yield
    operator.say(
        "PAUSE_NOTIFICATIONS_MAX_BYTES_HELD is lowered, or the limit raised   (here: nobody kills it any more)"
    )


@asynccontextmanager
async def bad_release(operator: Operator) -> AsyncIterator[None]:
    """Roll a release out that cannot compose an e-mail: its first replica takes partitions, and ends no event."""
    running = operator.running
    tree = broken_tree(running.folder / "bad-release")
    port = running.ports.management + REPLICAS + 1
    running.replicas.append(f"http://{HOST}:{port}")
    running.scrape("replica-new", port)
    log, settings = running.folder / "replica-new.log", {"management_port": port, "session_timeout_seconds": 6}
    async with processes.running("consumers", settings, log_as=log, environ=running.environ, tree=tree) as new:
        operator.say(f"a replica of version {_BAD_VERSION} starts")
        await new.ready(within=_START_SECONDS)
        yield
        operator.say(f"its log has lane.failed {log.read_text().count('lane.failed')} times")
        operator.say("$ kubectl rollout undo deployment/pause-notifications-replica   (here: the new one is stopped)")
        await new.stop()
    running.replicas.pop()


def broken_tree(tree: Path) -> Path:
    """Return a copy of the replica's source that cannot compose an e-mail, with another version."""
    for room in _ROOMS:
        shutil.copytree(ROOT / room, tree / room, ignore=shutil.ignore_patterns("__pycache__"))
    composer = tree / "consumers" / "delivery" / "composer.py"
    text = composer.read_text()
    mark = "def addressee(recipient: Recipient, contacts: Contacts) -> Contact | NoAddressee:\n"
    if mark not in text:
        raise DrillFailed(f"{composer.name} has changed: say how to break it")
    composer.write_text(text.replace(mark, f'{mark}    raise AttributeError("a mistake of the release")\n'))
    about = tree / f"pause_notifications-{_BAD_VERSION}.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: pause-notifications\nVersion: {_BAD_VERSION}\n")
    return tree


@asynccontextmanager
async def _meanwhile(work: Any) -> AsyncIterator[None]:
    task = asyncio.create_task(work)
    try:
        yield
        if task.done():
            task.result()
    finally:
        task.cancel()
        await asyncio.wait([task])


# -- contacts ---------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def contacts_emptied(operator: Operator) -> AsyncIterator[None]:
    """Delete all contacts but the coordinators', as a wrong export does."""
    ids = [line.split('"')[3] for line in SAMPLE_CONTACTS.read_text().splitlines() if '"id"' in line]
    await until(lambda: _all_known(operator, len(ids)), within=_CATCH_UP_SECONDS, what="Prometheus to see all contacts")
    operator.say("a wrong export deletes the contacts of all mentors")
    async with _producing(operator) as producer:
        for contact_id in ids:
            if contact_id.startswith("mentor"):
                await _publish(producer, CONTACTS_TOPIC, contact_id, None)
    yield
    await operator.types("contacts", "load", str(SAMPLE_CONTACTS))
    await operator.types("dead-letters", "replay", "--reason", "unknown_mentor", "--since", "24h", "--dry-run")
    replay = ("dead-letters", "replay", "--reason", "unknown_mentor", "--since", "24h")
    await operator.types(*replay, "--include-answered", "--yes")


async def _all_known(operator: Operator, contacts: int) -> bool:
    """Return whether Prometheus has seen all contacts, from whose number they fall."""
    return await operator.running.measure("max(pause_notifications_contacts)") in (str(contacts), "-")


DRILLS = {
    drill.name: drill
    for drill in (
        Drill(
            "kafka-gone",
            "Kafka is gone",
            kafka_gone,
            ("KafkaLost critical",),
            ("min(pause_notifications_kafka_connected)", _PUBLISHES),
            r"fail broker: no broker answers",
        ),
        Drill(
            "ses-paused",
            "SES has paused the account's sending",
            ses_paused,
            ("Halted critical",),
            (_HALT, _LAG, _LIMIT),
            r"fail replica .* halted by sending_paused",
        ),
        Drill(
            "quota-spent",
            "the account's quota of 24 hours is spent",
            quota_spent,
            ("Halted warning",),
            (_HALT, "min(pause_notifications_quota_left)", _LAG),
            r"fail replica .* halted by daily_quota",
        ),
        Drill(
            "credentials-expired",
            "the credentials have expired",
            credentials_expired,
            ("Halted critical",),
            (_HALT, _LAG, _LIMIT),
            r"fail replica .* halted by credentials",
        ),
        Drill(
            "bulk-mistake",
            "a producer publishes thousands of wrong events",
            bulk_mistake,
            ("FallingBehind critical",),
            (_LAG, _LIMIT, _SOURCES),
            r"replica .* SES accepts 10 e-mails a second",
        ),
        Drill(
            "disk-full",
            "the broker's disk is full",
            disk_full,
            ("KafkaLost critical",),
            ("min(pause_notifications_kafka_connected)",),
            r"fail broker: no broker answers",
        ),
        Drill(
            "poisoned-partition",
            "a partition is poisoned",
            poisoned_partition,
            ("RecordsSkipped critical", "DeadLetters warning"),
            (
                "sum by (topic) (pause_notifications_unreadable_batches_total)",
                "sum by (reason) (pause_notifications_dead_letters_total) > 0",
            ),
            None,
        ),
        Drill(
            "oom-loop",
            "a replica is killed again and again for its memory",
            oom_loop,
            ("Restarting critical",),
            ("max(changes(process_start_time_seconds[1m]))", "sum(pause_notifications_partitions_owned)"),
            r"replica .* cannot be reached|not ready|rebalances",
        ),
        Drill(
            "contacts-emptied",
            "the contacts are emptied",
            contacts_emptied,
            ("ContactsFell critical", "DeadLetters warning"),
            ("max(pause_notifications_contacts)", _HALT),
            r"contacts: 8 known",
        ),
        Drill(
            "bad-release",
            "a bad release is rolled back",
            bad_release,
            ("ReplicaWithoutProgress critical",),
            ("count by (version) (pause_notifications_build_info)", "max by (pod) (pause_notifications_lag_seconds)"),
            r"versions: replicas differ",
        ),
    )
}
"""By name, in the order of the page."""
