"""Builds what processes records from the parts that the rest of the replica brings."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from consumers.admission.gate import Gate
from consumers.assignment.assignment import Assignment
from consumers.contacts import Contacts
from consumers.delivery.attempt import Attempt, IntendedSends, Ownership, Sends
from consumers.delivery.composer import Composer
from consumers.delivery.control_check import ControlCheck
from consumers.delivery.dead_letters import DeadLetters
from consumers.delivery.dispatch_store import Dispatches, DispatchStore
from consumers.delivery.durable_publisher import DurablePublisher
from consumers.delivery.escalation import Escalation
from consumers.delivery.ignored_input import IgnoredInput
from consumers.delivery.lost_answers import LostAnswers
from consumers.delivery.outcomes import Outcomes
from consumers.delivery.processor import Intake, Processor
from consumers.delivery.recipient_limit import RecipientLimit
from consumers.delivery.recipients import Recipients
from consumers.delivery.relocation import Relocation
from consumers.delivery.retry_delay import RetryDelay
from consumers.delivery.rules import Rules
from consumers.delivery.signature_check import SignatureCheck
from consumers.delivery.slow_sources import SlowSources
from consumers.delivery.unconfirmed import Unconfirmed
from consumers.email import EmailSender
from consumers.metrics import Metrics
from consumers.notices.notices import Notices
from consumers.steps import Reached, nobody_listens
from consumers.suppressions import Suppressions
from runtime.clock import Clock
from runtime.kafka.publisher import Publisher
from runtime.kafka.records import Record
from runtime.kafka.table_follower import TableFollower
from runtime.kafka.topics import Topics
from schemas.signatures import SigningKeys


@dataclass(frozen=True)
class RecordProcessing:
    """What the replica calls."""

    process: Callable[[Record, Assignment], Awaitable[None]]
    """Process a record of an event to its end."""
    store: DispatchStore
    dead_letters: DeadLetters
    outcomes: Outcomes


def record_processing(
    rules: Rules,
    clock: Clock,
    *,
    publisher: Publisher,
    topics: Topics,
    partitions: int,
    keys: SigningKeys,
    gate: Gate,
    control_check: ControlCheck,
    follower: TableFollower[Contacts],
    suppressions: Suppressions,
    notices: Notices,
    sender: EmailSender,
    dispatches: Dispatches,
    metrics: Metrics,
    last_heartbeat: Callable[[], float],
    random: Callable[[], float],
    reached: Reached = nobody_listens,
) -> RecordProcessing:
    """Build it."""
    contacts = follower.table
    durable = DurablePublisher(publisher, clock, random)
    store = DispatchStore(publisher, durable, topics.dispatches, dispatches, clock, reached)
    dead_letters = DeadLetters(durable, topics, partitions, keys, clock, metrics, reached)
    escalation = Escalation(durable, topics, keys, contacts, metrics, reached, enabled=rules.escalate)
    unconfirmed = Unconfirmed(clock, metrics.unconfirmed, after_seconds=rules.feedback_overdue_seconds)
    outcomes = Outcomes(store, dead_letters, clock, metrics, escalation, unconfirmed)
    intake = Intake(
        SignatureCheck(keys, clock, metrics),
        IgnoredInput(metrics),
        dead_letters,
        Relocation(durable, topics, partitions, keys, metrics, reached),
        reached,
    )
    limit = RecipientLimit(clock, metrics.beyond_recipient_limit, emails_per_hour=rules.recipient_emails_per_hour)
    sends = Sends(rules, clock, gate, sender, limit, metrics, reached)
    ownership = Ownership(rules, clock, last_heartbeat)
    intended = IntendedSends(clock, gate, store, sends, outcomes, ownership)
    composer = Composer(rules, contacts, suppressions, notices, clock)
    processor = Processor(
        rules,
        intake,
        store,
        Recipients(rules, clock, contacts, follower),
        LostAnswers(rules, clock, store, metrics),
        control_check,
        Attempt(gate, SlowSources(rules.slow_sources, gate), control_check, composer, store, intended, outcomes),
        outcomes,
        RetryDelay(rules, clock, gate, metrics, random),
        metrics,
    )
    return RecordProcessing(processor.process, store, dead_letters, outcomes)
