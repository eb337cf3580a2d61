"""A partition in use, with a fake log, clock and SES around it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

from prometheus_client import CollectorRegistry

from consumers.admission.gate import Gate
from consumers.assignment.assignment import Assignment
from consumers.contacts import Contacts
from consumers.delivery.assembly import record_processing
from consumers.delivery.control_check import ControlCheck
from consumers.delivery.email_headers import EmailHeaders
from consumers.delivery.rules import Rules
from consumers.feedback.assembly import feedback_handling
from consumers.ledger.ledger import Ledger
from consumers.metrics import replica_metrics
from consumers.notices.notices import Notices
from consumers.steps import nobody_listens
from consumers.suppressions import Suppressions, digest_of
from runtime.controls import Controls
from runtime.kafka.records import Place, Record
from runtime.kafka.table_follower import TableFollower
from runtime.kafka.topics import Topics
from runtime.settings import LostAnswerPolicy
from schemas import headers as names
from schemas.cloudevents import encode_binary
from schemas.contacts import Contact, contact_json
from schemas.dead_letters import DeadLetter, from_record
from schemas.dispatch import Dispatch, parse_dispatch
from schemas.events import ALL_EVENTS, OUR_SOURCES, Event, Role
from schemas.headers import Headers
from schemas.placement import partition_for
from schemas.signatures import SigningKeys
from schemas.suppressions import Suppression, SuppressionReason, suppression_json, suppression_key
from tests.fakes.clock import FakeClock
from tests.fakes.email import FakeSender
from tests.fakes.kafka_log import PARTITIONS, FakeLog
from tests.fakes.publisher import FakePublisher
from tests.signing import KEYS

NUMBER = partition_for("mentor-042", PARTITIONS)
NOTICES = Notices()
RULES = Rules(
    ses_timeout_seconds=10,
    record_deadline_seconds=3,
    max_attempts=3,
    backoff_base_seconds=1,
    backoff_max_seconds=30,
    lost_answer_policy=LostAnswerPolicy.RESEND,
    reconcile=timedelta(seconds=30),
    feedback_overdue_seconds=86_400,
    escalate=True,
    retry_window=timedelta(seconds=60),
    unknown_mentor_grace_seconds=2,
    max_age=None,
    recipients_allowed=None,
    slow_sources=frozenset(),
    recipient_emails_per_hour=200,
    email_headers=EmailHeaders("example.org"),
    reply_to_coordinator=False,
    zombie_after_seconds=30,
)


class FakeFollower(TableFollower[Contacts]):
    """A contacts topic that is read to its end, except for a contact that arrives late."""

    def __init__(self, contacts: Contacts) -> None:
        self.table = contacts
        self.late_contact: Contact | None = None
        self.reads = 0

    async def until_caught_up(self) -> None:
        """Return at once."""

    async def until(self, _condition: Callable[[], bool]) -> None:
        """Return at once."""

    async def read_to_now(self) -> None:
        """Add the late contact at the second read."""
        self.reads += 1
        if self.reads > 1 and self.late_contact is not None:
            self.table.take(self.late_contact.id.encode(), contact_json(self.late_contact))


class Stage:
    """A partition and all that its lanes use."""

    def __init__(self, *, keys: SigningKeys = KEYS, **rules: Any) -> None:
        self.clock = FakeClock()
        self.log = FakeLog()
        self.publisher = FakePublisher(self.log)
        self.publisher.replica = self._written
        self.sender = FakeSender(latency=self._called)
        self.contacts = Contacts()
        self.contacts.current = True
        self.follower = FakeFollower(self.contacts)
        self.suppressions = Suppressions()
        self.suppressions.current = True
        self.controls = Controls()
        self.controls.current = True
        self.control_check = ControlCheck(self.controls, self.clock)
        self.gate = Gate(self.clock, max_in_flight=64, rate=1000, slow_share=0.1)
        self.heartbeat = 0.0
        self.reads = 0
        """How many dispatch records were read back."""
        self.journal: list[str] = []
        """The records written and the calls of SES, in order."""
        self.registry = CollectorRegistry()
        metrics = replica_metrics(self.registry)
        self.processor = record_processing(
            replace(RULES, **rules),
            self.clock,
            publisher=self.publisher,
            topics=Topics(),
            partitions=PARTITIONS,
            keys=keys,
            gate=self.gate,
            control_check=self.control_check,
            follower=self.follower,
            suppressions=self.suppressions,
            notices=NOTICES,
            sender=self.sender,
            dispatches=self,
            metrics=metrics,
            last_heartbeat=lambda: self.heartbeat,
            random=lambda: 1.0,
        )
        self.handling = feedback_handling(
            self.processor,
            self.suppressions,
            self.clock,
            topics=Topics(),
            partitions=PARTITIONS,
            keys=keys,
            metrics=metrics,
            reached=nobody_listens,
        )
        self.assignment = self.assigned(Ledger(max_entries=1000))
        self.add_contact(
            Contact(id="mentor-042", role=Role.MENTOR, email="m@example.org", coordinator_id="coordinator-007")
        )
        self.add_contact(Contact(id="coordinator-007", role=Role.COORDINATOR, email="c@example.org"))

    def assigned(self, ledger: Ledger) -> Assignment:
        """Own the partition from now on."""
        assignment = Assignment(NUMBER, ledger, self.clock, self._process, lambda: None)
        for topic in Topics().group:
            assignment.lanes.start(Place(topic, NUMBER), 0, apart=topic == Topics().feedback)
        return assignment

    async def _process(self, record: Record, assignment: Assignment) -> None:
        handler = self.handling if record.topic == Topics().feedback else self.processor
        await handler.process(record, assignment)

    def add_contact(self, contact: Contact) -> None:
        """Add a contact."""
        self.contacts.take(contact.id.encode(), contact_json(contact))

    def add_mentor(self, contact_id: str) -> None:
        """Add a mentor with an address and no coordinator."""
        self.add_contact(Contact(id=contact_id, role=Role.MENTOR, email=f"{contact_id}@example.org"))

    def suppress(self, contact_id: str, address: str, reason: str = "bounced", **fields: Any) -> None:
        """Put the address of a contact on a list."""
        entry = Suppression(
            contact_id=contact_id,
            address=digest_of(contact_id, address),
            reason=SuppressionReason(reason),
            since=self.clock.now(),
            **fields,
        )
        self.suppressions.take(suppression_key(entry.on, contact_id), suppression_json(entry))

    def _written(self, record: Record) -> None:
        dispatch = parse_dispatch(record.value) if record.topic == Topics().dispatches else None
        letter = from_record(record.key, record.value, record.headers)
        if letter is not None:
            self.journal.append(f"dead letter {letter.reason}")
        elif dispatch is not None:
            statuses = " ".join(recipient.status for recipient in dispatch.recipients)
            self.journal.append(statuses or "unknown_mentor")
        else:
            self.journal.append(record.topic)

    async def _called(self) -> None:
        self.journal.append("ses")

    async def read(self, number: int, offset: int) -> Dispatch | None:
        """Return the dispatch record at *offset*; part of Dispatches."""
        self.reads += 1
        records = self.log.records.get(Place(Topics().dispatches, number), [])
        return parse_dispatch(records[offset].value) if offset < len(records) else None

    def append(
        self, event: Event, *, number: int = NUMBER, key: bytes | None = b"mentor-042", **headers: str | None
    ) -> Record:
        """Append an event to its topic, signed. *headers* are `pn_` headers by the names of their constants."""
        encoded = encode_binary(event)
        ours = [(getattr(names, name), text.encode()) for name, text in headers.items() if text is not None]
        claims = bool(ours) or event.source in OUR_SOURCES
        whole: Headers = [*encoded.headers, *ours]
        signed = KEYS.signed(encoded.topic, key, encoded.value, whole) if claims else whole
        return self.put(Place(encoded.topic, number), key=key, value=encoded.value, headers=signed)

    def put(self, place: Place, *, key: bytes | None, value: bytes | None, headers: Headers) -> Record:
        """Append any record."""
        published = self.log.append(place, key=key, value=value, headers=headers)
        return self.log.records[place][published.offset]

    def unproven(self) -> dict[str, float]:
        """Return the count of unproven records by kind."""
        samples = [sample for metric in self.registry.collect() for sample in metric.samples]
        counted = [sample for sample in samples if sample.name == "pause_notifications_unproven_records_total"]
        return {sample.labels["kind"]: sample.value for sample in counted if sample.value}

    def former_owner_writes(self, dispatch: Dispatch) -> None:
        """Append a dispatch of another owner, and have the ledger read it."""
        place = Place(Topics().dispatches, NUMBER)
        self.log.append_dispatch(dispatch)
        offset = len(self.log.records[place]) - 1
        self.assignment.ledger.add_read(offset, dispatch)

    async def process(self, *records: Record, seconds: float = 1.0) -> None:
        """Take records and let *seconds* pass."""
        for record in records:
            self.assignment.admit(record)
        await self.clock.advance(seconds)

    @property
    def dispatches(self) -> list[Dispatch]:
        """Return all dispatch records of the partition, oldest first."""
        records = self.log.records.get(Place(Topics().dispatches, NUMBER), [])
        return [dispatch for record in records if (dispatch := parse_dispatch(record.value)) is not None]

    @property
    def last(self) -> Dispatch:
        """Return the newest dispatch record."""
        return self.dispatches[-1]

    @property
    def letters(self) -> list[DeadLetter]:
        """Return all dead letters."""
        found = [from_record(r.key, r.value, r.headers) for r in self.publisher.records if "dead" in r.topic]
        return [letter for letter in found if letter is not None]

    def sample(self, name: str, **labels: str) -> float | None:
        """Return the value of a metric by its name without the prefix."""
        return self.registry.get_sample_value(f"pause_notifications_{name}", labels)

    def finished(self) -> bool:
        """Return whether all records taken are finished."""
        return self.assignment.lanes.held == 0


@asynccontextmanager
async def a_stage(*, keys: SigningKeys = KEYS, **rules: Any) -> AsyncIterator[Stage]:
    """Yield a stage whose gate runs at the full rate."""
    stage = Stage(keys=keys, **rules)
    stage.gate.set_share(1, 1)
    running = asyncio.create_task(stage.gate.run())
    try:
        yield stage
    finally:
        closing = asyncio.create_task(stage.assignment.close(0))
        await stage.clock.advance(1)
        await closing
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


def event_of(name: str = "pause-activated", *, event_id: str = "1", source: str = "/tests", **data: Any) -> Event:
    """Return the contract's example of an event, with these changes."""
    kind = next(kind for kind in ALL_EVENTS if kind.name == name)
    whole: Mapping[str, Any] = {**kind.example, **data}
    return Event(kind=kind, id=event_id, source=source, data=kind.model.model_validate(whole))
