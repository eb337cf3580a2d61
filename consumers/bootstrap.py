"""Builds a replica and all it owns; every client of the program is made here and handed in."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import Any

import structlog
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from botocore.exceptions import BotoCoreError
from prometheus_client import CollectorRegistry

from consumers.accounting import Accounting
from consumers.contacts import Contacts, ContactsFollower
from consumers.gate import CONTACTS_NOT_READ, NO_CONTACTS, Gate
from consumers.group import Group
from consumers.ledgers import Ledgers
from consumers.metrics import Metrics, replica_metrics
from consumers.notices import Notices
from consumers.replica import Bounds, Replica
from consumers.seeing_through import Rules, SeeingThrough
from consumers.ses.account import SesAccount
from consumers.ses.client import Sender, SesSender, ses_client
from consumers.ses.email import EmailSender
from consumers.writing import Writing
from runtime.clock import Clock
from runtime.kafka.connection import client_arguments
from runtime.kafka.publisher import KafkaPublisher
from runtime.kafka.reader import Reader, RecordReader
from runtime.kafka.topics import Topics, UnfitTopics, check_topics
from runtime.process import StartRefused
from runtime.settings import ReplicaSettings

log = structlog.get_logger(__name__)

_AGAIN_SECONDS = 1.0
_SENDER_MARGIN_SECONDS = 0.5
"""What SesSender adds to its time-out; taken off again, so that a send ends within SES_TIMEOUT_SECONDS."""


async def until_topics_fit(arguments: dict[str, Any], topics: Topics, clock: Clock) -> int:
    """
    Wait for a broker and give the number of partitions.

    Raises:
        StartRefused: where topics are missing or unfit.
    """
    while True:
        admin = AIOKafkaAdminClient(**arguments)
        try:
            await asyncio.wait_for(admin.start(), 10)
            return await check_topics(admin, topics)
        except UnfitTopics as error:
            raise StartRefused(str(error)) from error
        except (KafkaError, TimeoutError, OSError) as error:
            log.warning("kafka.unreachable", error=type(error).__name__)
        finally:
            await admin.close()
        await clock.sleep(_AGAIN_SECONDS)


@asynccontextmanager
async def replica(
    settings: ReplicaSettings, clock: Clock, registry: CollectorRegistry, *, sender: EmailSender | None = None
) -> AsyncIterator[Replica]:
    """Build the replica; on exit undo it in reverse. *sender* stands in for SES in tests."""
    arguments = client_arguments(settings)
    topics = Topics(settings.namespace)
    metrics = replica_metrics(registry)
    partitions = await until_topics_fit(arguments, topics, clock)
    gate = Gate(
        clock,
        max_in_flight=settings.max_sends_in_flight,
        rate=settings.ses_fallback_rate,
        headroom=settings.ses_headroom,
    )
    async with AsyncExitStack() as stack:
        publisher = KafkaPublisher(arguments, deadline_seconds=settings.record_deadline_seconds)
        # Nearly all that the ledgers' reader brings was written here: gathered, it costs a third of the fetches.
        reader = Reader(arguments, fetch_min_bytes=64 * 1024, fetch_max_wait_ms=100)
        records, contacts_reader = RecordReader(arguments), Reader(arguments)
        for client in (publisher, reader, records, contacts_reader):
            stack.push_async_callback(client.stop)
            await _started(client.start, clock)
        contacts = Contacts()
        follower = ContactsFollower(
            contacts, contacts_reader, topics.contacts, clock, on_change=_halting_without(contacts, gate)
        )
        gate.halt_for("contacts", CONTACTS_NOT_READ)
        email_sender, accounting = await _ses(settings, stack, clock, gate, metrics, sender)
        ledgers = Ledgers(
            clock,
            topics=topics,
            reader=reader,
            records=records,
            metrics=metrics,
            max_entries=max(settings.max_ledger_entries // partitions, 1),
            remember=timedelta(hours=settings.remember_hours),
            remember_calls=settings.retry_window_seconds > 0,
        )
        group = _group(settings, arguments, topics, clock)
        writing = Writing(publisher, topics, partitions, metrics)
        seeing = SeeingThrough(
            _rules(settings),
            clock,
            writing=writing,
            gate=gate,
            contacts=contacts,
            follower=follower,
            notices=Notices(),
            sender=email_sender,
            dispatches=ledgers,
            metrics=metrics,
            last_heartbeat=lambda: group.last_heartbeat,
            random=random.random,
        )
        yield Replica(
            _bounds(settings),
            clock,
            topics=topics,
            partitions=partitions,
            group=group,
            ledgers=ledgers,
            gate=gate,
            seeing=seeing,
            writing=writing,
            follower=follower,
            metrics=metrics,
            beside=[follower.run, gate.run, *([accounting.run] if accounting else [])],
        )


async def _started(start: Callable[[], Any], clock: Clock) -> None:
    while True:
        try:
            await start()
        except (KafkaError, TimeoutError, OSError) as error:
            log.warning("kafka.unreachable", error=type(error).__name__)
            await clock.sleep(_AGAIN_SECONDS)
        else:
            return


def _halting_without(contacts: Contacts, gate: Gate) -> Callable[[], None]:
    def changed() -> None:
        if len(contacts):
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
) -> tuple[EmailSender, Accounting | None]:
    if sender is not None:
        return sender, None
    timeout = settings.ses_timeout_seconds - _SENDER_MARGIN_SECONDS
    try:
        client = await asyncio.to_thread(
            ses_client, timeout_seconds=timeout, max_in_flight=settings.max_sends_in_flight
        )
    except (BotoCoreError, ValueError) as error:
        raise StartRefused(
            f"SES cannot be spoken to: {error} The region is set with AWS_REGION or AWS_DEFAULT_REGION."
        ) from error
    stack.callback(client.close)
    reply_to = (settings.ses_reply_to,) if settings.ses_reply_to else ()
    ses = SesSender(
        client,
        Sender(settings.ses_from_address, reply_to, settings.ses_configuration_set),
        timeout_seconds=timeout,
        max_in_flight=settings.max_sends_in_flight,
        margin_seconds=_SENDER_MARGIN_SECONDS,
        on_unknown=lambda code: metrics.unknown_errors.labels(code=code).inc(),
    )
    stack.push_async_callback(ses.aclose, deadline=1.0)
    account = SesAccount(client, deadline_seconds=settings.ses_timeout_seconds)
    stack.push_async_callback(account.aclose, deadline=1.0)
    return ses, Accounting(account, gate, clock, interval_seconds=settings.account_interval_seconds)


def _group(settings: ReplicaSettings, arguments: dict[str, Any], topics: Topics, clock: Clock) -> Group:
    return Group(
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
        zombie_after_seconds=settings.session_timeout_seconds - 2 * settings.heartbeat_seconds,
    )


def _bounds(settings: ReplicaSettings) -> Bounds:
    return Bounds(
        max_records_held=settings.max_records_held,
        max_bytes_held=settings.max_bytes_held,
        max_span=settings.max_span,
        drain_seconds=settings.drain_seconds - settings.commit_deadline_seconds,
        watchdog_seconds=settings.watchdog_seconds,
    )
