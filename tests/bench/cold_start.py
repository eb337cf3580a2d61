"""Measure the time to the first e-mail if a replica has a large ledger to load."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime

from runtime.kafka.topics import Topics
from schemas import headers as names
from schemas.dispatch import Dispatch, Origin, Recipient, Status, dispatch_json
from schemas.events import Role, dispatch_id
from schemas.placement import partition_for
from tests.bench.cluster import PARTITIONS, Environment, Started
from tests.bench.figures import Figure, Show
from tests.bench.sizes import Sizes
from tests.load import SOURCE, Load, Prepared, of_two_recipients

_EVENTS = 300

ABOUT = """\
The dispatches topic has many final dispatches, all within what a replica remembers; some new events wait. Measured
from the group's assignment, by the replica's log, and from the start of the process, to the first e-mail."""


async def measure(env: Environment, sizes: Sizes, _number: int, show: Show) -> list[Figure]:
    """Start a replica with a large ledger to load."""
    past = Load(sizes.cold_remembered, name="past", kinds=of_two_recipients())
    load = Load(_EVENTS, kinds=of_two_recipients())
    async with env.topics("cold", load) as topics:
        await env.publish(ended(past, topics), show, past.events)
        await env.publish_events(topics, load, range(load.events), show)
        show("a cold start", 0.5)
        async with env.replica(topics, ready=False) as replica:
            counters = await env.sends(1, [replica], lambda _: None)
            first = datetime.fromisoformat(counters["first_accepted_at"]).timestamp()
            await env.sends(2 * _EVENTS, [replica], lambda _: None)
            known = await replica.metric("ledger_entries")
            return [
                Figure("ids in the ledger", "", known, more_is_better=True),
                Figure("assignment to first mail", "s", first - _assigned_at(replica)),
                Figure("start of the process to first mail", "s", first - replica.began),
            ]


def ended(load: Load, topics: Topics) -> Iterator[Prepared]:
    """Yield the records of final dispatches, one for each event of *load*; only their ids differ."""
    made = {kind.name: dispatch_json(_ended(load, n)) for n, kind in enumerate(load.kinds)}
    ids = {kind.name: _ended(load, n).dispatch_id.encode() for n, kind in enumerate(load.kinds)}
    for n in range(load.events):
        mentor, kind = load.mentor_id(n), load.kinds[n % len(load.kinds)].name
        key = dispatch_id(SOURCE, load.event_id(n), mentor).encode()
        value = made[kind].replace(ids[kind], key)
        yield Prepared(topics.dispatches, partition_for(mentor, PARTITIONS), key, value, [(names.FINAL, b"1")])


def _ended(load: Load, n: int) -> Dispatch:
    event, now = load.event(n), datetime.now(UTC)
    message_id = "0100019a00000000-00000000-0000-4000-a000-000000000000-000000"
    recipients = tuple(
        Recipient(contact_id=contact, role=role, status=Status.SENT, message_id=message_id, at=now, send=1)
        for contact, role in ((event.mentor_id, Role.MENTOR), ("coordinator-000", Role.COORDINATOR))
    )
    return Dispatch(
        dispatch_id=event.dispatch_id,
        event_type=event.kind.type,
        mentor_id=event.mentor_id,
        digest=event.digest,
        origin=Origin(topic=event.kind.topic, partition=0, offset=n, appended_at=now),
        recipients=recipients,
        ended_at=now,
    )


def _assigned_at(replica: Started) -> float:
    """Return when the replica got partitions, by its log."""
    for line in replica.program.log.read_text().splitlines():
        if '"group.assigned"' in line and (entry := json.loads(line))["partitions"]:
            return datetime.fromisoformat(entry["time"]).timestamp()
    raise LookupError("the replica's log has no assignment")
