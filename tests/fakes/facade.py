"""A whole facade over topics in memory, with a fake replica that ends every event as a test chooses."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

import httpx
from msgspec import structs

from deploy.local.ports import HOST
from runtime.http import serve
from runtime.kafka.records import Record
from runtime.settings import ServiceSettings
from schemas import headers as names
from schemas.cloudevents import decode
from schemas.dispatch import Dispatch, Reason, Recipient, Request, Status
from schemas.events import Event, Role
from schemas.headers import header, header_text
from service.app import Facade, facade
from service.kafka_clients import Clients
from tests.fakes.kafka_log import PARTITIONS, FakeLog, FakeRecords
from tests.fakes.publisher import FakePublisher
from tests.waiting import until

BASE = "/api/v1/pause-notifications"
DONE_AT = datetime(2026, 3, 26, 8, 30, 0, 250_000, UTC)

Outcome = Callable[[Dispatch], Dispatch | None]


def started(record: Record) -> Dispatch:
    """Return the dispatch with which a replica starts for the event in *record*."""
    event: Event = decode(record.headers, record.value)
    request = Request(
        id=header_text(record.headers, names.REQUEST_ID) or "",
        caller=header_text(record.headers, names.CALLER) or "",
        keyless=header(record.headers, names.KEYLESS) is not None,
    )
    return Dispatch.of(event, record.origin, request).seen(record.topic, record.offset)


def recipient(role: Role, status: Status, reason: Reason | None = None) -> Recipient:
    """Return the contract's mentor or coordinator with this status."""
    contact, message = {
        Role.MENTOR: ("mentor-042", "msg-00940"),
        Role.COORDINATOR: ("coordinator-007", "msg-00941"),
    }[role]
    message_id = message if status is Status.SENT else None
    at = DONE_AT if status.final else None
    return Recipient(contact_id=contact, role=role, status=status, reason=reason, message_id=message_id, at=at)


def ends(*recipients: Recipient, **fields: Any) -> Outcome:
    """Return an outcome: the dispatch ends with these recipients."""
    return lambda dispatch: structs.replace(dispatch, recipients=recipients, **fields)


def never(_dispatch: Dispatch) -> Dispatch | None:
    """Write nothing: the dispatch never ends."""
    return None


@dataclass
class Setup:
    """A facade and its surroundings."""

    facade: Facade
    client: httpx.AsyncClient
    log: FakeLog
    publisher: FakePublisher
    records: FakeRecords

    def replica(self, outcome: Outcome) -> None:
        """Let the fake replica process every event from now on to *outcome*."""

        def take(record: Record) -> None:
            if (dispatch := outcome(started(record))) is not None:
                self.log.append_dispatch(dispatch)

        self.publisher.replica = take

    async def post(self, name: str, body: Any = None, **headers: str) -> httpx.Response:
        """Call an endpoint; header names are written with underscores."""
        named = {header.replace("_", "-"): value for header, value in headers.items()}
        return await self.client.post(f"{BASE}/{name}", json=body, headers=named)


BOTH_SENT = ends(recipient(Role.MENTOR, Status.SENT), recipient(Role.COORDINATOR, Status.SENT))


class Served(NamedTuple):
    """A facade that is served on a port of this machine."""

    setup: Setup
    port: int

    @property
    def address(self) -> str:
        """Return where it is called."""
        return f"http://{HOST}:{self.port}"


@asynccontextmanager
async def served_facade(
    outcome: Outcome = BOTH_SENT, *, drain_seconds: float = 1, **settings: Any
) -> AsyncIterator[Served]:
    """Serve a facade with these settings, whose events end as *outcome* says."""
    async with fake_facade(**settings) as setup:
        setup.replica(outcome)
        async with serve(setup.facade.app, "http", host=HOST, port=0, drain_seconds=drain_seconds) as port:
            yield Served(setup, port)


@asynccontextmanager
async def fake_facade(**settings: Any) -> AsyncIterator[Setup]:
    """Run a facade over topics in memory until it is ready, with these settings."""
    log = FakeLog()
    publisher, records = FakePublisher(log), FakeRecords(log)
    clients = Clients(publisher, records, PARTITIONS)
    async with facade(ServiceSettings(**settings), clients=clients, open_feed=log.open_feed) as built:
        await until(lambda: built.ready().ok, what="the facade to be ready")
        transport = httpx.ASGITransport(built.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://facade") as client:
            yield Setup(built, client, log, publisher, records)
