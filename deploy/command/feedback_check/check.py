"""
`pause-notifications doctor --feedback`: the whole way of SES's reports, piece by piece, and then end to end.

Replicas drain the queue. So the end-to-end check reads the topic of feedback if replicas run, and the queue otherwise.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from aiokafka.errors import KafkaError
from botocore.exceptions import BotoCoreError

from consumers.feedback.messages import AllowList
from consumers.ses.request import SenderIdentity
from deploy.command.feedback_check.aws import Aws, Clients, sqs_client
from deploy.command.feedback_check.cloud import Cloud, Queue, Unanswered
from deploy.command.feedback_check.destination import chosen, destination_finding, subscription_finding
from deploy.command.feedback_check.event_queue import dead_letter_finding, messages_finding, policy_finding
from deploy.command.feedback_check.evidence import (
    PARTITION,
    Evidence,
    FromQueue,
    FromTopic,
    NoEvidence,
    releasing,
    replicas_in,
)
from deploy.command.feedback_check.probe import (
    CHECK,
    GAP_SECONDS,
    SIMULATOR,
    WAIT_SECONDS,
    Probe,
    new_ids,
    way_findings,
)
from deploy.command.feedback_check.queue_url import beside, is_at_aws, name_of, place_finding
from deploy.command.feedback_check.wording import unanswered_finding
from deploy.command.findings import Finding, State
from deploy.support.connections import admin_client, reader, topics_of
from deploy.support.output import status
from deploy.support.running import explain
from runtime.clock import Clock, SystemClock
from runtime.kafka.records import Place
from runtime.kafka.topics import UnfitTopics
from runtime.settings import ReplicaSettings, env_name
from runtime.signing_keys import read_signing_keys

FEEDBACK = "feedback"
ALLOWED = "feedback allow-list"
QUEUE = "feedback queue"

_AFTERWARDS_SECONDS = 60
_ANY_PARTITION = 1_000_000
EvidenceFor = Callable[[ReplicaSettings, Cloud, Sequence[str]], AbstractAsyncContextManager[Evidence]]


def off_finding() -> Finding:
    """Return the finding that feedback is off."""
    detail = "it is off: bounces and complaints are not noticed, and an e-mail whose answer was lost is sent again"
    advice = f"set it up with deploy/aws/feedback.yaml, then set {env_name('ses_events_queue_url')}"
    return Finding(FEEDBACK, State.WARN, detail, advice)


def plain_findings(settings: ReplicaSettings) -> list[Finding]:
    """Return what can be said of feedback without asking AWS: whether it is on, and whether its queue is reached."""
    url = settings.ses_events_queue_url
    if url is None:
        return [off_finding()]
    try:
        client = sqs_client()
    except (BotoCoreError, ValueError):
        return []  # the check of SES says what is missing
    try:
        return [place_finding(url, endpoint=client.meta.endpoint_url, region=client.meta.region_name)]
    finally:
        client.close()


def allowed_findings(settings: ReplicaSettings) -> list[Finding]:
    """Return a warning for each setting that would keep strange events out, and is not set."""
    strange = {"ses_events_account": "account", "ses_events_topic_arn": "topic"}
    unset = {name: what for name, what in strange.items() if getattr(settings, name) is None}
    if not unset:
        return [Finding(ALLOWED, State.OK, "only events of our own account and topic are taken")]
    return [
        Finding(ALLOWED, State.WARN, f"events of any {what} are taken", f"set {env_name(name)}")
        for name, what in unset.items()
    ]


async def check_feedback(settings: ReplicaSettings, *, sends: int, kafka: bool) -> AsyncIterator[Finding]:
    """Yield the findings about feedback; *kafka* is whether the topics can be read."""
    url = settings.ses_events_queue_url
    if url is None:
        advice = f"set {env_name('ses_events_queue_url')}; deploy/aws/feedback.yaml makes the queue"
        yield Finding(FEEDBACK, State.FAIL, "there is nothing to check, since no queue is set", advice)
        return
    sender = SenderIdentity(settings.ses_from_address, configuration_set=settings.ses_configuration_set)
    clock = SystemClock()
    try:
        cloud = Aws(Clients.for_queue(url), sender, clock)
    except (BotoCoreError, ValueError) as error:
        yield Finding(FEEDBACK, State.FAIL, str(error), "set the region, and credentials as for any AWS client")
        return
    try:
        async for finding in findings_of(settings, cloud, clock, evidence_for if kafka else None, sends=sends):
            yield finding
    finally:
        await cloud.aclose()


async def findings_of(
    settings: ReplicaSettings, cloud: Cloud, clock: Clock, evidence_for: EvidenceFor | None, *, sends: int
) -> AsyncIterator[Finding]:
    """Yield the findings about each part of the way, then about the whole if it can be sound."""
    sound = True
    for finding in allowed_findings(settings) + await parts_findings(settings, cloud):
        sound &= finding.state is not State.FAIL
        yield finding
    if not sound or evidence_for is None:
        advice = "solve the failures above, then run this again"
        yield Finding(CHECK, State.WARN, "no e-mail was sent, since the way cannot be sound", advice)
        return
    for finding in await _whole_findings(settings, cloud, clock, evidence_for, new_ids(sends)):
        yield finding


async def parts_findings(settings: ReplicaSettings, cloud: Cloud) -> list[Finding]:
    """Return the findings about each part of the way: destination, subscription, queue, dead-letter queue."""
    url, configuration_set = settings.ses_events_queue_url or "", settings.ses_configuration_set or ""
    destinations = await cloud.destinations(configuration_set)
    findings = [destination_finding(configuration_set, destinations, settings.ses_events_topic_arn)]
    used = None if isinstance(destinations, Unanswered) else chosen(destinations, settings.ses_events_topic_arn)
    topic = settings.ses_events_topic_arn if used is None else used.topic
    queue = await cloud.queue(url)
    if isinstance(queue, Unanswered):
        return [*findings, unanswered_finding(QUEUE, f"the queue {name_of(url)}", queue)]
    if topic is not None:
        findings.append(subscription_finding(topic, await cloud.subscriptions(topic), queue.arn))
    if is_at_aws(url):  # a local queue takes messages without a policy
        findings.append(policy_finding(queue, topic))
    findings.append(messages_finding(queue, await cloud.oldest_age(name_of(url))))
    findings.append(dead_letter_finding(queue, await _dead_letters(cloud, url, queue)))
    return findings


async def _dead_letters(cloud: Cloud, url: str, queue: Queue) -> Queue | Unanswered | None:
    return None if queue.dead_letter_arn is None else await cloud.queue(beside(url, queue.dead_letter_arn))


async def _whole_findings(
    settings: ReplicaSettings, cloud: Cloud, clock: Clock, evidence_for: EvidenceFor, ids: Sequence[str]
) -> Sequence[Finding]:
    try:
        async with evidence_for(settings, cloud, ids) as evidence:
            with status(f"Sending {len(ids)} e-mails to {SIMULATOR}, and waiting for reports ..."):
                measured = await Probe(cloud, evidence, clock, ids).measure()
    except NoEvidence as error:
        return [Finding(CHECK, State.FAIL, str(error))]
    except (KafkaError, UnfitTopics, OSError) as error:
        return [Finding(CHECK, State.FAIL, f"the way was not measured: {await explain(error, settings)}")]
    findings = way_findings(measured, evidence.where, settings.reconcile_seconds)
    if isinstance(evidence, FromTopic) and evidence.unproven:
        detail = f"{evidence.unproven} records of feedback are signed with no key that is known here"
        advice = f"give all programs the same {env_name('signing_keys_file')}"
        findings.append(Finding(FEEDBACK, State.WARN, detail, advice))
    return findings


@asynccontextmanager
async def evidence_for(settings: ReplicaSettings, cloud: Cloud, ids: Sequence[str]) -> AsyncIterator[Evidence]:
    """
    Yield what reads reports about the e-mails with these ids: from the topic if replicas run, else from the queue.

    Raises:
        UnfitTopics, KafkaError, OSError: No broker answers, or a right is missing.
    """
    async with admin_client(settings) as admin:
        replicas = await replicas_in(admin, settings.consumer_group)
    if replicas == 0:
        async with releasing(queue_of(settings, cloud, ids, SystemClock())) as queue:
            yield queue
        return
    place = Place(topics_of(settings).feedback, PARTITION)
    async with reader(settings, of=[place.topic]) as reading:
        reading.follow(await reading.end_offsets([place]))
        because = "since replicas run" if replicas else "for want of the right to see whether replicas run"
        yield FromTopic(reading, place, read_signing_keys(settings), because)


def queue_of(settings: ReplicaSettings, cloud: Cloud, ids: Sequence[str], clock: Clock) -> FromQueue:
    """Return what reads the queue as a replica with these settings does."""
    allowed = AllowList(
        _ANY_PARTITION, settings.ses_configuration_set, settings.ses_events_account, settings.ses_events_topic_arn
    )
    hidden = int(WAIT_SECONDS + GAP_SECONDS * len(ids)) + _AFTERWARDS_SECONDS
    return FromQueue(cloud, settings.ses_events_queue_url or "", allowed, hidden, {*ids}, clock)
