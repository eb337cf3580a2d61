"""Drive the load of a chaos run by REST and Kafka: each event is repeated until it is acknowledged."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Self

import httpx
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from runtime.kafka.topics import Topics
from schemas.cloudevents import encode_binary
from schemas.contacts import Contact, contact_json
from schemas.events import Event, Role
from schemas.placement import partition_for
from tests.chaos.evidence import Acknowledged, Answered, Evidence
from tests.chaos.watcher import PARTITIONS
from tests.load import Load

_PATH = "/api/v1/pause-notifications"
_SIDE_BY_SIDE = 200
_CALLERS_SIDE_BY_SIDE = 60
_ACK_SECONDS = 20.0
_AGAIN_SECONDS = 0.3
_CALL_SECONDS = 40.0
_OVERLOADED = 503


@dataclass(frozen=True)
class Endpoints:
    """Where a load is sent."""

    servers: str
    namespace: str
    facades: Callable[[], Sequence[str]]
    """The current addresses of facades: a caller whose facade is gone calls another."""


class LoadDriver:
    """Publishes and posts, and records what was acknowledged."""

    def __init__(self, driver: Endpoints, evidence: Evidence, load: Load) -> None:
        self._endpoints = driver
        self._topics = Topics(driver.namespace)
        self._evidence = evidence
        self.load = load
        self.cut_off: list[str] = []
        """The calls that got no answer, and why."""
        self._coordinators = {c.id: c.coordinator_id for c in load.contacts() if c.role is Role.MENTOR}
        self._producer: AIOKafkaProducer | None = None
        self._calls = httpx.AsyncClient(
            trust_env=False, timeout=_CALL_SECONDS, limits=httpx.Limits()
        )  # no limit: all calls are made at once

    async def start(self) -> None:
        """Connect."""
        self._producer = AIOKafkaProducer(
            bootstrap_servers=self._endpoints.servers, acks="all", linger_ms=2, request_timeout_ms=10_000
        )
        await self._producer.start()

    async def stop(self) -> None:
        """Disconnect."""
        await self._calls.aclose()
        if self._producer is not None:
            async with asyncio.timeout(_ACK_SECONDS):
                await self._producer.stop()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    # -- by Kafka ------------------------------------------------------------------------------------------------

    async def contacts(self, contacts: Iterable[Contact] | None = None) -> None:
        """Publish contacts: by default those of the load."""
        for contact in self.load.contacts() if contacts is None else contacts:
            await self.contact(contact)

    async def contact(self, contact: Contact) -> None:
        """Publish one contact."""
        await self.put(self._topics.contacts, contact.id.encode(), contact_json(contact), [], contact.id)

    async def forget(self, contact_id: str) -> None:
        """Delete one contact."""
        await self.put(self._topics.contacts, contact_id.encode(), None, [], contact_id)

    async def publish(self, event: Event, *, partition: int | None = None, key: bytes | None = b"") -> None:
        """Publish one event until it is acknowledged, by default in its right partition and with its right key."""
        record = encode_binary(event)
        place = self._topics.named(record.topic)
        offset = await self.put(
            place, record.key if key == b"" else key, record.value, record.headers, event.mentor_id, partition
        )
        self.acknowledge(event, offset)

    async def put(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes | None]],
        mentor_id: str,
        partition: int | None = None,
    ) -> int:
        """Publish a record until it is acknowledged, and return its offset."""
        assert self._producer is not None
        place = partition_for(mentor_id, PARTITIONS) if partition is None else partition
        while True:
            try:
                async with asyncio.timeout(_ACK_SECONDS):
                    placed = await self._producer.send_and_wait(
                        topic, value, key, partition=place, headers=list(headers)
                    )
            except (KafkaError, TimeoutError, OSError):
                await asyncio.sleep(_AGAIN_SECONDS)
            else:
                return int(placed.offset)

    def acknowledge(self, event: Event, offset: int | None, *, dispatch_id: str | None = None) -> None:
        """Record that the event was acknowledged; a facade makes its own id for it."""
        due = {event.mentor_id}
        if Role.COORDINATOR in event.kind.roles and (coordinator := self._coordinators.get(event.mentor_id)):
            due.add(coordinator)
        known = Acknowledged(
            dispatch_id=dispatch_id or event.dispatch_id,
            mentor_id=event.mentor_id,
            topic=event.kind.topic,
            partition=partition_for(event.mentor_id, PARTITIONS),
            due=frozenset(due),
            at=time.time(),
            door="kafka" if dispatch_id is None else "rest",
            offset=offset,
        )
        self._evidence.acknowledged.setdefault(known.dispatch_id, known)

    # -- by REST -------------------------------------------------------------------------------------------------

    async def post(self, event: Event, *, key: str | None = None, wait: int = 1) -> httpx.Response:
        """
        Call a facade as a legacy caller does; repeat the call with the same key while it answers 503 or is gone.

        The facade makes the event's id; the `Dispatch-Id` of its answer counts as acknowledged.
        """
        key = key or str(uuid.uuid4())
        turn = 0
        while True:
            facades = self._endpoints.facades()
            address = facades[turn % len(facades)] if facades else None
            turn += 1
            answer = None if address is None else await self.call(address, event, key=key, wait=wait)
            if answer is not None and answer.status_code != _OVERLOADED:
                self.note(event, answer)
                return answer
            await asyncio.sleep(_AGAIN_SECONDS)

    async def call(self, address: str, event: Event, *, key: str | None, wait: int) -> httpx.Response | None:
        """Call one facade once; return None if it is gone."""
        headers = {"Prefer": f"wait={wait}"} | ({"Idempotency-Key": key} if key else {})
        body = event.data.model_dump(mode="json", exclude_none=True)
        try:
            return await self._calls.post(f"{address}{_PATH}/{event.kind.name}", json=body, headers=headers)
        except httpx.HTTPError as error:
            self.cut_off.append(f"{event.mentor_id}: {error!r}")
            return None

    def note(self, event: Event, answer: httpx.Response) -> None:
        """Add a definite answer to the evidence."""
        body = answer.json()
        dispatch_id = answer.headers.get("dispatch-id")
        recipients = {
            one["recipient"]: (one["status"], one["message_id"]) for one in body.get("notifications_dispatched", ())
        }
        self._evidence.answers.append(
            Answered(answer.status_code, dispatch_id, body.get("type"), recipients, time.time())
        )
        if dispatch_id is not None:
            self.acknowledge(event, None, dispatch_id=dispatch_id)

    # -- both ----------------------------------------------------------------------------------------------------

    async def run(self, numbers: Iterable[int], *, per_second: float | None, rest_share: float = 0.1) -> None:
        """
        Send the load's events, a share of them by REST, at most *per_second*.

        The events of one mentor are sent one after another, as a producer does for whom the order matters.
        """
        every = round(1 / rest_share) if rest_share else 0
        places, callers = asyncio.Semaphore(_SIDE_BY_SIDE), asyncio.Semaphore(_CALLERS_SIDE_BY_SIDE)
        last: dict[str, asyncio.Task[None]] = {}
        began = time.monotonic()

        async def one(event: Event, before: asyncio.Task[None] | None, *, by_rest: bool) -> None:
            try:
                if before is not None:
                    await asyncio.wait({before})
                if by_rest:
                    async with callers:
                        await self.post(event)
                else:
                    await self.publish(event)
            finally:
                places.release()

        async with asyncio.TaskGroup() as work:
            for count, n in enumerate(numbers):
                if per_second is not None:
                    await asyncio.sleep(max(began + count / per_second - time.monotonic(), 0))
                await places.acquire()
                event = self.load.event(n)
                by_rest = every > 0 and (n + n // self.load.mentors) % every == 0
                last[event.mentor_id] = work.create_task(one(event, last.get(event.mentor_id), by_rest=by_rest))
