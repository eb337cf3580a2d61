"""Makes the clients of a replica, waits for Kafka, and hands them to the assembly."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import boto3
from botocore.exceptions import BotoCoreError, NoRegionError
from prometheus_client import CollectorRegistry

from consumers.assembly import Assembly, Parts, assemble, rules_of
from consumers.assignment.membership import Membership
from consumers.assignment.watchdog import group_answers
from consumers.feedback.intake import POLLERS
from consumers.feedback.messages import AllowList
from consumers.feedback.queue import EventQueue, SqsQueue, sqs_client
from consumers.metrics import Metrics, replica_metrics
from consumers.notices.notices import Notices
from consumers.notices.own_templates import InvalidTemplates
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
from runtime.logs import set_log_level
from runtime.process import StartRefused
from runtime.settings import ReplicaSettings
from runtime.signing_keys import log_signing_keys, read_signing_keys

if TYPE_CHECKING:
    from mypy_boto3_sesv2 import SESV2Client
    from opentelemetry.trace import Tracer

_AGAIN_SECONDS = 1.0
_AGAIN_MOST_SECONDS = 10.0


def needs(topics: Topics, membership: str) -> Needs:
    """Return the rights that a replica needs: it reads events and contacts, and writes what became of them."""
    own = frozenset({Right.READ, Right.WRITE, Right.DESCRIBE_CONFIGS})
    return Needs(
        {
            **dict.fromkeys((*topics.events, topics.dispatches, topics.feedback), own),
            topics.suppressions: frozenset({Right.READ, Right.WRITE}),
            topics.contacts: frozenset({Right.READ}),
            topics.controls: frozenset({Right.READ}),
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
    reached: Reached = nobody_listens,
    trouble: Trouble | None = None,
    tracer: Tracer | None = None,
) -> AsyncIterator[Assembly]:
    """
    Build a replica whose clients are started; on exit stop them in reverse.

    While it waits for Kafka, *trouble* says why. *tracer* begins spans, if tracing is on. In tests *reached* is called
    at each step.
    """
    keys = read_signing_keys(settings)
    log_signing_keys(keys)
    notices = _notices(settings)
    arguments = client_arguments(settings)
    bound_batches(settings.max_batch_bytes)
    topics = Topics(settings.namespace)
    metrics = replica_metrics(registry)
    trouble = trouble or trouble_with(settings)
    needed = needs(topics, settings.consumer_group)
    partitions = await until_topics_fit(arguments, topics, needed, clock, trouble)

    def count_skipped(unreadable: Unreadable) -> None:
        metrics.unreadable.labels(topic=topics.plain(unreadable.place.topic)).inc()

    async with AsyncExitStack() as stack:
        publisher = KafkaPublisher(arguments, deadline_seconds=settings.record_deadline_seconds)
        # Nearly all that this reader reads was written here. Gathered, it costs a third of the fetches.
        ledger_reader = Reader(arguments, fetch_min_bytes=64 * 1024, fetch_max_wait_ms=100, on_unreadable=count_skipped)
        records, contacts_reader = RecordReader(arguments), Reader(arguments, on_unreadable=count_skipped)
        suppressions_reader = Reader(arguments, on_unreadable=count_skipped)
        controls_reader = Reader(arguments, on_unreadable=count_skipped)
        for client in (publisher, ledger_reader, records, contacts_reader, suppressions_reader, controls_reader):
            stack.push_async_callback(client.stop)
            await until_kafka_answers(client.start, clock, pause=_pause, trouble=trouble)
        session, sender, account = await _ses(settings, stack, clock, metrics)
        parts = Parts(
            rules=rules_of(settings, partitions),
            topics=topics,
            partitions=partitions,
            keys=keys,
            clock=clock,
            random=random.random,
            membership=Membership(arguments, clock, topics.group, settings),
            publisher=publisher,
            ledger_reader=ledger_reader,
            records=records,
            contacts_reader=contacts_reader,
            suppressions_reader=suppressions_reader,
            controls_reader=controls_reader,
            sender=sender,
            notices=notices,
            metrics=metrics,
            rights=RightsWatch(lambda: arguments, needed, clock, metrics.missing_rights),
            read_account=account.read,
            queue=await _events_queue(settings, stack, session, clock),
            allowed=AllowList(
                partitions,
                settings.ses_configuration_set,
                settings.ses_events_account,
                settings.ses_events_topic_arn,
            ),
            kafka_answers=lambda: group_answers(arguments, settings.consumer_group),
            set_log_level=lambda level: set_log_level(level or settings.log_level),
            reached=reached,
        )
        yield assemble(parts if tracer is None else _traced(parts, publisher, tracer, settings.consumer_group))


def _notices(settings: ReplicaSettings) -> Notices:
    try:
        return Notices.of(settings)
    except InvalidTemplates as error:
        raise StartRefused(f"The replica cannot use its e-mail templates:\n{error}") from error


async def _ses(
    settings: ReplicaSettings, stack: AsyncExitStack, clock: Clock, metrics: Metrics
) -> tuple[boto3.Session, SesSender, SesAccount]:
    session, client, endpoint = await _aws(settings)
    stack.callback(client.close)
    reply_to = (settings.ses_reply_to,) if settings.ses_reply_to else ()
    sender = SesSender(
        endpoint,
        session.get_credentials,
        SenderIdentity(settings.ses_from_address, reply_to, settings.ses_configuration_set),
        clock,
        deadline_seconds=settings.ses_timeout_seconds,
        max_in_flight=settings.max_sends_in_flight,
        on_unknown=lambda code: metrics.unknown_errors.labels(code=code).inc(),
    )
    stack.push_async_callback(sender.aclose, deadline=1.0)
    account = SesAccount(client, deadline_seconds=settings.ses_timeout_seconds)
    stack.push_async_callback(account.aclose, deadline=1.0)
    return session, sender, account


def _traced(parts: Parts, publisher: KafkaPublisher, tracer: Tracer, group: str) -> Parts:
    from consumers.traced import TracedProcessing, TracedSender, steps_in_spans  # noqa: PLC0415 - only with tracing
    from runtime.tracing.publisher import TracedPublisher  # noqa: PLC0415

    return replace(
        parts,
        publisher=TracedPublisher(publisher, tracer, parts.topics.events),
        sender=TracedSender(parts.sender, tracer),
        reached=steps_in_spans(parts.reached),
        in_trace=lambda process: TracedProcessing(process, tracer, group),
    )


async def _events_queue(
    settings: ReplicaSettings, stack: AsyncExitStack, session: boto3.Session, clock: Clock
) -> EventQueue | None:
    url = settings.ses_events_queue_url
    if url is None:
        return None
    client = await asyncio.to_thread(sqs_client, session, pollers=POLLERS)
    stack.callback(client.close)
    queue = SqsQueue(client, url, clock, pollers=POLLERS)
    stack.push_async_callback(queue.aclose, deadline=1.0)
    return queue


async def _aws(settings: ReplicaSettings) -> tuple[boto3.Session, SESV2Client, Endpoint]:
    """Have boto3 find region, endpoint and credentials, in a thread: it reads files and may ask the instance."""

    def find() -> tuple[boto3.Session, SESV2Client, Endpoint]:
        session = boto3.Session()
        client = ses_client(timeout_seconds=settings.ses_timeout_seconds, max_in_flight=1, session=session)
        return session, client, endpoint_of(client)

    try:
        return await asyncio.to_thread(find)
    except NoRegionError as error:
        raise StartRefused(
            f"The replica cannot use SES: {error} Set the region with AWS_REGION or AWS_DEFAULT_REGION."
        ) from error
    except (BotoCoreError, OSError, ValueError) as error:
        raise StartRefused(
            f"The replica cannot use SES: {type(error).__name__}: {error} "
            "Check AWS's environment variables, and the profile, certificates and programs that they name."
        ) from error
