"""Builds a replica from its parts. No I/O: the caller makes the clients, starts them and stops them."""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

from consumers.admission.account_monitor import AccountMonitor
from consumers.admission.gate import CONTACTS_NOT_READ, NO_CONTACTS, SUPPRESSIONS_NOT_READ, Gate
from consumers.assignment.assignment import Assignment
from consumers.assignment.assignments import Assignments
from consumers.assignment.committer import Committer
from consumers.assignment.membership import Membership
from consumers.assignment.opener import Opener
from consumers.assignment.start_offsets import StartOffsets
from consumers.assignment.watchdog import Watchdog, always_answers
from consumers.bounds import Bounds
from consumers.contacts import Contacts
from consumers.control_effects import ControlEffects
from consumers.delivery.assembly import RecordProcessing, record_processing
from consumers.delivery.control_check import ControlCheck
from consumers.delivery.email_headers import EmailHeaders
from consumers.delivery.missing_records import MissingRecords
from consumers.delivery.rules import Rules
from consumers.delivery.timed_publisher import TimedPublisher
from consumers.email import EmailSender
from consumers.feedback.assembly import feedback_handling
from consumers.feedback.intake import FeedbackIntake
from consumers.feedback.messages import AllowList
from consumers.feedback.queue import EventQueue
from consumers.ledger.ledgers import LedgerLimits, Ledgers
from consumers.metrics import Metrics
from consumers.notices.notices import Notices
from consumers.producers_trace import Process, in_producers_trace
from consumers.replica import Replica
from consumers.samples import Samples
from consumers.ses.account import Account
from consumers.status import Status
from consumers.steps import Reached, nobody_listens
from consumers.suppressions import Suppressions
from runtime.clock import Clock
from runtime.controls import Controls
from runtime.kafka.publisher import Publisher
from runtime.kafka.reader import Reader, RecordReader
from runtime.kafka.records import Record
from runtime.kafka.rights import RightsWatch
from runtime.kafka.table_follower import TableFollower
from runtime.kafka.topics import Topics
from runtime.settings import ReplicaSettings
from schemas.controls import LogLevel
from schemas.events import EVENT_TOPICS
from schemas.signatures import SigningKeys


@dataclass(frozen=True)
class ReplicaRules:
    """The rules of a replica, which its settings make."""

    bounds: Bounds
    processing: Rules
    max_sends_in_flight: int
    account_rate: float
    """E-mails per second over all replicas, until SES reports the account's own rate."""
    headroom: float
    slow_share: float
    """The share of the rate that slow sources have while others wait."""
    ledger: LedgerLimits
    account_interval_seconds: float = 60.0


@dataclass(frozen=True)
class Parts:
    """What a replica is built from."""

    rules: ReplicaRules
    topics: Topics
    partitions: int
    keys: SigningKeys
    clock: Clock
    random: Callable[[], float]
    membership: Membership
    publisher: Publisher
    ledger_reader: Reader
    records: RecordReader
    contacts_reader: Reader
    suppressions_reader: Reader
    controls_reader: Reader
    sender: EmailSender
    notices: Notices
    metrics: Metrics
    rights: RightsWatch | None = None
    read_account: Callable[[], Awaitable[Account]] | None = None
    queue: EventQueue | None = None
    """Where SES's events wait; None if feedback is off."""
    allowed: AllowList | None = None
    kafka_answers: Callable[[], Awaitable[bool]] = always_answers
    cpu_seconds: Callable[[], float] = time.process_time
    """The CPU time that the process has used."""
    set_log_level: Callable[[LogLevel | None], None] = lambda _: None
    reached: Reached = nobody_listens
    in_trace: Callable[[Process], Process] = in_producers_trace
    """What binds the processing of a record to its trace."""


@dataclass(frozen=True)
class Assembly:
    """A replica, and those of its parts that its program and tests look at."""

    replica: Replica
    status: Status
    assignments: Assignments
    gate: Gate


def assemble(parts: Parts) -> Assembly:
    """Build the whole graph of a replica."""
    rules, clock, metrics, reached = parts.rules, parts.clock, parts.metrics, parts.reached
    membership = parts.membership
    metrics.clock_skew.set(math.nan)
    publisher = TimedPublisher(parts.publisher, clock, metrics.clock_skew.set)
    gate = Gate(
        clock,
        max_in_flight=rules.max_sends_in_flight,
        rate=rules.account_rate,
        headroom=rules.headroom,
        slow_share=rules.slow_share,
    )
    follower, suppressions = _follower(parts, gate), _suppressions_follower(parts, gate)
    controls = Controls(on_fault=lambda fault: metrics.control_faults.labels(fault=fault).inc())
    control_check = ControlCheck(controls, clock)

    def read_again_what_was_left() -> None:
        if any(lanes.left for lanes in assignments.lanes):
            membership.rejoin()

    effects = ControlEffects(
        controls, gate, control_check, clock, reopen=read_again_what_was_left, set_log_level=parts.set_log_level
    )
    controls_follower = _controls_follower(parts, controls, effects)
    ledgers = Ledgers(
        rules.ledger,
        clock,
        topics=parts.topics,
        reader=parts.ledger_reader,
        records=parts.records,
        metrics=metrics,
        reached=reached,
    )
    processing = _processing(parts, publisher, gate, control_check, follower, suppressions.table, ledgers)
    missing = MissingRecords(processing.dead_letters, ledgers.first_offset, clock)
    start_offsets = StartOffsets(membership, ledgers, clock, parts.topics, metrics)
    committer = Committer(membership, metrics, reached)
    handling = feedback_handling(
        processing,
        suppressions.table,
        clock,
        topics=parts.topics,
        partitions=parts.partitions,
        keys=parts.keys,
        metrics=metrics,
        reached=reached,
    )

    async def process(record: Record, assignment: Assignment) -> None:
        handler = handling if record.topic == parts.topics.feedback else processing
        await handler.process(record, assignment)

    assignments = Assignments(
        clock,
        ledgers,
        parts.in_trace(process),
        processing.store,
        Opener(
            clock,
            membership,
            start_offsets,
            ledgers,
            [follower, suppressions, controls_follower],
            missing,
            apart=parts.topics.feedback,
        ),
        committer,
        drain_seconds=rules.bounds.drain_seconds,
        on_owned=lambda owned: gate.set_share(owned, parts.partitions),
        on_failure=lambda failed: metrics.lanes_failed.labels(work=failed).inc(),
        apart=parts.topics.feedback,
        reached=reached,
    )
    samples = Samples(
        clock,
        assignments,
        membership,
        gate,
        parts.partitions,
        cpu_seconds=parts.cpu_seconds,
        publish_seconds=publisher.mean_seconds,
    )
    status = Status(
        assignments,
        membership,
        start_offsets,
        follower,
        suppressions.table,
        effects,
        gate,
        parts.rights,
        parts.topics,
        metrics,
        samples,
    )
    monitor = _account_monitor(parts, gate, parts.read_account) if parts.read_account else None
    workers = [
        follower.run,
        suppressions.run,
        controls_follower.run,
        effects.run,
        gate.run,
        *([parts.rights.run] if parts.rights else []),
        *([monitor.run] if monitor else []),
        *([_intake(parts, parts.queue, monitor).run, processing.outcomes.unconfirmed.run] if parts.queue else []),
        start_offsets.watch,
        assignments.follow_ledgers,
        lambda: status.measure_forever(clock),
    ]
    watchdog = Watchdog(clock, patience_seconds=rules.bounds.watchdog_seconds, kafka_answers=parts.kafka_answers)
    return Assembly(
        Replica(rules.bounds, clock, membership, assignments, committer, missing, watchdog, workers),
        status,
        assignments,
        gate,
    )


def _follower(parts: Parts, gate: Gate) -> TableFollower[Contacts]:
    topics, metrics = parts.topics, parts.metrics
    contacts = Contacts(on_fault=lambda field: metrics.contact_faults.labels(field=field).inc())

    def halt_without_contacts() -> None:
        if not contacts.current:
            gate.halt_for("contacts", CONTACTS_NOT_READ)
        elif contacts.valid:
            gate.resume("contacts")
        else:
            gate.halt_for("contacts", NO_CONTACTS)

    halt_without_contacts()
    return TableFollower(
        contacts,
        parts.contacts_reader,
        topics.contacts,
        parts.clock,
        name="contacts",
        on_change=halt_without_contacts,
        on_recreated=lambda changed: metrics.topic_changes.labels(topic=topics.plain(changed.topic)).inc(),
    )


def _suppressions_follower(parts: Parts, gate: Gate) -> TableFollower[Suppressions]:
    topics, metrics = parts.topics, parts.metrics
    suppressions = Suppressions(on_fault=lambda fault: metrics.suppression_faults.labels(fault=fault).inc())

    def halt_until_read() -> None:
        if suppressions.current:
            gate.resume("suppressions")
        else:
            gate.halt_for("suppressions", SUPPRESSIONS_NOT_READ)

    halt_until_read()
    return TableFollower(
        suppressions,
        parts.suppressions_reader,
        topics.suppressions,
        parts.clock,
        name="suppressions",
        on_change=halt_until_read,
        on_recreated=lambda changed: metrics.topic_changes.labels(topic=topics.plain(changed.topic)).inc(),
        counts=lambda record: suppressions.believes(record, parts.keys),
    )


def _controls_follower(parts: Parts, controls: Controls, effects: ControlEffects) -> TableFollower[Controls]:
    topics, metrics = parts.topics, parts.metrics
    return TableFollower(
        controls,
        parts.controls_reader,
        topics.controls,
        parts.clock,
        name="controls",
        on_change=effects.apply,
        on_recreated=lambda changed: metrics.topic_changes.labels(topic=topics.plain(changed.topic)).inc(),
        counts=lambda record: controls.believes(record, parts.keys),
    )


def _processing(
    parts: Parts,
    publisher: Publisher,
    gate: Gate,
    control_check: ControlCheck,
    follower: TableFollower[Contacts],
    suppressions: Suppressions,
    ledgers: Ledgers,
) -> RecordProcessing:
    return record_processing(
        parts.rules.processing,
        parts.clock,
        publisher=publisher,
        topics=parts.topics,
        partitions=parts.partitions,
        keys=parts.keys,
        gate=gate,
        control_check=control_check,
        follower=follower,
        suppressions=suppressions,
        notices=parts.notices,
        sender=parts.sender,
        dispatches=ledgers,
        metrics=parts.metrics,
        last_heartbeat=lambda: parts.membership.last_heartbeat,
        random=parts.random,
        reached=parts.reached,
    )


def _intake(parts: Parts, queue: EventQueue, monitor: AccountMonitor | None) -> FeedbackIntake:
    async def read_account() -> None:
        if monitor is not None:
            await monitor.read_now()

    return FeedbackIntake(
        queue,
        parts.publisher,
        parts.topics.feedback,
        parts.allowed or AllowList(parts.partitions),
        parts.keys,
        parts.clock,
        parts.metrics,
        parts.random,
        read_account,
        lambda: parts.membership.connected,
        parts.reached,
    )


def _account_monitor(parts: Parts, gate: Gate, read: Callable[[], Awaitable[Account]]) -> AccountMonitor:
    interval = parts.rules.account_interval_seconds
    return AccountMonitor(read, gate, parts.clock, metrics=parts.metrics, interval_seconds=interval)


def rules_of(settings: ReplicaSettings, partitions: int) -> ReplicaRules:
    """Return the rules that the settings make."""
    return ReplicaRules(
        bounds=Bounds(
            max_records_held=settings.max_records_held,
            max_bytes_held=settings.max_bytes_held,
            max_span=settings.max_span,
            # One ledger knows the dispatches of both event topics of its number.
            max_span_left=max(settings.max_ledger_entries // partitions // len(EVENT_TOPICS), 1),
            drain_seconds=settings.drain_seconds - settings.commit_deadline_seconds,
            watchdog_seconds=settings.watchdog_seconds,
        ),
        processing=Rules(
            ses_timeout_seconds=settings.ses_timeout_seconds,
            record_deadline_seconds=settings.record_deadline_seconds,
            max_attempts=settings.max_attempts,
            backoff_base_seconds=settings.backoff_base_seconds,
            backoff_max_seconds=settings.backoff_max_seconds,
            lost_answer_policy=settings.lost_answers,
            reconcile=timedelta(seconds=settings.reconcile_seconds),
            feedback_overdue_seconds=settings.feedback_overdue_hours * 3600 if settings.feedback_on else math.inf,
            escalate=settings.escalate,
            retry_window=timedelta(seconds=settings.retry_window_seconds),
            unknown_mentor_grace_seconds=settings.unknown_mentor_grace_seconds,
            max_age=None if settings.max_age_hours is None else timedelta(hours=settings.max_age_hours),
            recipients_allowed=settings.allowed_recipients,
            slow_sources=settings.slow,
            recipient_emails_per_hour=settings.recipient_emails_per_hour,
            email_headers=EmailHeaders(settings.sender_domain, settings.unsubscribe_address),
            reply_to_coordinator=settings.reply_to_coordinator,
            zombie_after_seconds=settings.session_timeout_seconds - 2 * settings.heartbeat_seconds,
        ),
        max_sends_in_flight=settings.max_sends_in_flight,
        account_rate=settings.ses_fallback_rate,
        headroom=settings.ses_headroom,
        slow_share=settings.slow_share,
        ledger=LedgerLimits(
            max_entries=max(settings.max_ledger_entries // partitions, 1),
            remember=timedelta(hours=settings.remember_hours),
            retry_window=timedelta(seconds=settings.retry_window_seconds),
        ),
        account_interval_seconds=settings.account_interval_seconds,
    )
