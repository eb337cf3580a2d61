"""`pause-notifications events`: publish an event as a producer does, or check records."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

from deploy.support.connections import publisher, topics_of
from deploy.support.output import print_hint, print_json, print_text
from deploy.support.running import run
from runtime.kafka.publisher import Published
from runtime.settings import Settings
from schemas.cloudevents import encode_binary, encode_structured
from schemas.events import Event, EventData, EventType
from schemas.placement import partition_for


def publish(
    kind: EventType,
    data: EventData,
    *,
    event_id: str | None,
    source: str,
    times: int,
    structured: bool,
    as_json: bool,
) -> None:
    """Publish an event that many times, and print the dispatch id and the position of each."""
    now = datetime.now(UTC)
    events = [Event(kind, event_id or str(uuid.uuid4()), source, data, time=now) for _ in range(times)]

    async def work(settings: Settings) -> None:
        await _publish_all(settings, events, structured=structured, as_json=as_json)

    run(work)


async def _publish_all(settings: Settings, events: list[Event], *, structured: bool, as_json: bool) -> None:
    async with publisher(settings, to={topics_of(settings).named(event.kind.topic) for event in events}) as publishing:
        for event in events:
            record = (encode_structured if structured else encode_binary)(event)
            topic = topics_of(settings).named(record.topic)
            partition = partition_for(event.mentor_id, await publishing.partitions(topic))
            published = await publishing.publish(
                topic, partition, key=record.key, value=record.value, headers=record.headers
            )
            _print_published(event, published, as_json=as_json)


def _print_published(event: Event, published: Published, *, as_json: bool) -> None:
    at = str(published.position)
    if as_json:
        print_json({"dispatch_id": event.dispatch_id, "at": at, "event_id": event.id, "source": event.source})
        return
    print_text(f"{event.dispatch_id} {at}")
    print_hint(f"  its result: pause-notifications dispatches show {event.dispatch_id} --at {at} --wait 10")
