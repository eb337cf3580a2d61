"""Builds a replica and all it owns; every client of the program is made here and handed in."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import boto3
import structlog
from botocore.exceptions import BotoCoreError, NoRegionError
from prometheus_client import CollectorRegistry

from consumers.admission.account_monitor import AccountMonitor
from consumers.admission.gate import CONTACTS_NOT_READ, NO_CONTACTS, Gate
from consumers.assignment.membership import Membership
from consumers.assignment.watchdog import group_answers
from consumers.contacts import Contacts
from consumers.contacts_follower import ContactsFollower
from consumers.delivery.assembly import record_processing
from consumers.delivery.rules import Rules
from consumers.email import EmailSender
from consumers.ledger.ledgers import LedgerLimits, Ledgers
from consumers.metrics import Metrics, replica_metrics
from consumers.notices.notices import Notices
from consumers.replica import Bounds, Replica
from consumers.ses.account import SesAccount
from consumers.ses.boto_client import ses_client
from consumers.ses.endpoint import Endpoint, endpoint_of
from consumers.ses.request import SenderIdentity
from consumers.ses.sender import SesSender
from consumers.steps import Reached, nobody_listens
from runtime.clock import Clock
from runtime.kafka.checked_batches import bound_batches
from runtime.kafka.connection import client_arguments, connected_admin
from runtime.kafka.descriptions import Right
from runtime.kafka.fetching import Unreadable
from runtime.kafka.publisher import KafkaPublisher
from runtime.kafka.reader import Reader, RecordReader
from runtime.kafka.retry import Trouble, trouble_with, until_kafka_answers
from runtime.kafka.rights import Needs, RightsWatch
from runtime.kafka.topics import Topics, UnfitTopics, check_topics
from runtime.process import StartRefused
from runtime.settings import ReplicaSettings
from runtime.signing_keys import log_signing_keys, read_signing_keys

if TYPE_CHECKING:
    from mypy_boto3_sesv2 import SESV2Client

log = structlog.get_logger(__name__)

_AGAIN_SECONDS = 1.0
_AGAIN_MOST_SECONDS = 10.0

T = TypeVar("T")


def needs(topics: Topics, membership: str) -> Needs:
    """Return the rights that a replica needs: it reads events and contacts, and writes what became of them."""
    own = frozenset({Right.READ, Right.WRITE, Right.DESCRIBE_CONFIGS})
    return Needs(
        {
            **dict.fromkeys((*topics.events, topics.dispatches), own),
            topics.contacts: frozenset({Right.READ}),
            topics.dead_letters: frozenset({Right.WRITE}),
        },
        membership,
    )


async def until_topics_fit(
    arguments: dict[str, Any], topics: Topics, needed: Needs, clock: Clock, trouble: Trouble
) -> int:
    """
    Wait for a broker and return the number of partitions.

    Raises:
        StartRefused: Topics are missing or unfit, or rights are missing.
    """

    async def check() -> int:
        async with connected_admin(arguments) as admin:
            return await check_topics(admin, topics, needed)

    try:
        return await until_kafka_answers(check, clock, pause=_pause, trouble=trouble)
    except UnfitTopics as error:
        raise StartRefused(str(error)) from error


def _pause(failures: int) -> float:
    return min(_AGAIN_SECONDS * failures, _AGAIN_MOST_SECONDS)


@asynccontextmanager
async def replica(
    settings: ReplicaSettings,
    clock: Clock,
    registry: CollectorRegistry,
    *,
    sender: EmailSender | None = None,
    reached: Reached = nobody_listens,
    trouble: Trouble | None = None,
) -> AsyncIterator[Replica]:
    """
    Build the replica; on exit undo it in reverse. While it waits for Kafka, *trouble* says why.

    In tests *sender* stands in for SES, and *reached* hears of steps.
    """
    keys = read_signing_keys(settings)
    log_signing_keys(keys)
    arguments = client_arguments(settings)
    bound_batches(settings.max_batch_bytes)
    topics = Topics(settings.namespace)
    metrics = replica_metrics(registry)
    trouble = trouble or trouble_with(settings)
    needed = needs(topics, settings.consumer_group)
    partitions = await until_topics_fit(arguments, topics, needed, clock, trouble)
    gate = Gate(
        clock,
        max_in_flight=settings.max_sends_in_flight,
        rate=settings.ses_fallback_rate,
        headroom=settings.ses_headroom,
    )

    def passed_over(unreadable: Unreadable) -> None:
        metrics.unreadable.labels(topic=topics.plain(unreadable.place.topic)).inc()

    async with AsyncExitStack() as stack:
        publisher = KafkaPublisher(arguments, deadline_seconds=settings.record_deadline_seconds)
        # Nearly all that the ledgers' reader brings was written here: gathered, it costs a third of the fetches.
        reader = Reader(arguments, fetch_min_bytes=64 * 1024, fetch_max_wait_ms=100, on_unreadable=passed_over)
        records, contacts_reader = RecordReader(arguments), Reader(arguments, on_unreadable=passed_over)
        for client in (publisher, reader, records, contacts_reader):
            stack.push_async_callback(client.stop)
            await until_kafka_answers(client.start, clock, pause=_pause, trouble=trouble)
        contacts = Contacts(on_fault=lambda field: metrics.contact_faults.labels(field=field).inc())
        follower = ContactsFollower(
            contacts,
            contacts_reader,
            topics.contacts,
            clock,
            on_change=_halting_without(contacts, gate),
            on_recreated=lambda changed: metrics.topic_changes.labels(topic=topics.plain(changed.topic)).inc(),
        )
        gate.halt_for("contacts", CONTACTS_NOT_READ)
        email_sender, account_monitor = await _ses(settings, stack, clock, gate, metrics, sender)
        ledgers = Ledgers(
            _ledger_limits(settings, partitions),
            clock,
            topics=topics,
            reader=reader,
            records=records,
            metrics=metrics,
            reached=reached,
        )
        membership = _membership(settings, arguments, topics, clock)
        processing = record_processing(
            _rules(settings),
            clock,
            publisher=publisher,
            topics=topics,
            partitions=partitions,
            keys=keys,
            gate=gate,
            follower=follower,
            notices=Notices(reasons_shown=settings.reasons_shown),
            sender=email_sender,
            dispatches=ledgers,
            metrics=metrics,
            last_heartbeat=lambda: membership.last_heartbeat,
            random=random.random,
            reached=reached,
        )
        rights = RightsWatch(lambda: arguments, needed, clock, metrics.missing_rights)
        yield Replica(
            _bounds(settings),
            clock,
            topics=topics,
            partitions=partitions,
            membership=membership,
            ledgers=ledgers,
            gate=gate,
            processor=processing,
            follower=follower,
            metrics=metrics,
            rights=rights,
            beside=[follower.run, gate.run, rights.run, *([account_monitor.run] if account_monitor else [])],
            kafka_answers=lambda: group_answers(arguments, settings.consumer_group),
            reached=reached,
        )


def _halting_without(contacts: Contacts, gate: Gate) -> Callable[[], None]:
    def changed() -> None:
        if not contacts.current:
            gate.halt_for("contacts", CONTACTS_NOT_READ)
        elif contacts.valid:
            gate.resume("contacts")
        else:
            gate.halt_for("contacts", NO_CONTACTS)

    return changed


async def _ses(
    settings: ReplicaSettings,
    stack: AsyncExitStack,
    clock: Clock,
    gate: Gate,
    metrics: Metrics,
    sender: EmailSender | None,
) -> tuple[EmailSender, AccountMonitor | None]:
    if sender is not None:
        return sender, None
    session, client, endpoint = await _aws(settings)
    stack.callback(client.close)
    reply_to = (settings.ses_reply_to,) if settings.ses_reply_to else ()
    ses = SesSender(
        endpoint,
        session.get_credentials,
        SenderIdentity(settings.ses_from_address, reply_to, settings.ses_configuration_set),
        clock,
        deadline_seconds=settings.ses_timeout_seconds,
        max_in_flight=settings.max_sends_in_flight,
        on_unknown=lambda code: metrics.unknown_errors.labels(code=code).inc(),
    )
    stack.push_async_callback(ses.aclose, deadline=1.0)
    account = SesAccount(client, deadline_seconds=settings.ses_timeout_seconds)
    stack.push_async_callback(account.aclose, deadline=1.0)
    interval = settings.account_interval_seconds
    return ses, AccountMonitor(account.read, gate, clock, metrics=metrics, interval_seconds=interval)


async def _aws(settings: ReplicaSettings) -> tuple[boto3.Session, SESV2Client, Endpoint]:
    """Have boto3 find region, endpoint and credentials, in a thread: it reads files and may ask an instance."""

    def found() -> tuple[boto3.Session, SESV2Client, Endpoint]:
        session = boto3.Session()
        client = ses_client(timeout_seconds=settings.ses_timeout_seconds, max_in_flight=1, session=session)
        return session, client, endpoint_of(client)

    try:
        return await asyncio.to_thread(found)
    except NoRegionError as error:
        raise StartRefused(
            f"SES cannot be spoken to: {error} The region is set with AWS_REGION or AWS_DEFAULT_REGION."
        ) from error
    except (BotoCoreError, OSError, ValueError) as error:
        raise StartRefused(
            f"SES cannot be spoken to: {type(error).__name__}: {error} "
            "Look at AWS's environment variables, and at the profile, certificates and programs that they name."
        ) from error


def _membership(settings: ReplicaSettings, arguments: dict[str, Any], topics: Topics, clock: Clock) -> Membership:
    return Membership(
        arguments,
        clock,
        group_id=settings.consumer_group,
        topics=topics.events,
        session_timeout_seconds=settings.session_timeout_seconds,
        heartbeat_seconds=settings.heartbeat_seconds,
        rebalance_timeout_seconds=settings.rebalance_timeout_seconds,
        request_timeout_seconds=settings.request_timeout_seconds,
        commit_deadline_seconds=settings.commit_deadline_seconds,
        group_instance_id=settings.group_instance_id,
    )


def _rules(settings: ReplicaSettings) -> Rules:
    return Rules(
        ses_timeout_seconds=settings.ses_timeout_seconds,
        record_deadline_seconds=settings.record_deadline_seconds,
        max_attempts=settings.max_attempts,
        backoff_base_seconds=settings.backoff_base_seconds,
        backoff_max_seconds=settings.backoff_max_seconds,
        lost_answer_policy=settings.lost_answer_policy,
        retry_window=timedelta(seconds=settings.retry_window_seconds),
        unknown_mentor_grace_seconds=settings.unknown_mentor_grace_seconds,
        recipient_emails_per_hour=settings.recipient_emails_per_hour,
        zombie_after_seconds=settings.session_timeout_seconds - 2 * settings.heartbeat_seconds,
    )


def _ledger_limits(settings: ReplicaSettings, partitions: int) -> LedgerLimits:
    return LedgerLimits(
        max_entries=max(settings.max_ledger_entries // partitions, 1),
        remember=timedelta(hours=settings.remember_hours),
        retry_window=timedelta(seconds=settings.retry_window_seconds),
    )


def _bounds(settings: ReplicaSettings) -> Bounds:
    return Bounds(
        max_records_held=settings.max_records_held,
        max_bytes_held=settings.max_bytes_held,
        max_span=settings.max_span,
        drain_seconds=settings.drain_seconds - settings.commit_deadline_seconds,
        watchdog_seconds=settings.watchdog_seconds,
    )
