"""The whole check, against a fake of AWS."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from aiokafka.errors import KafkaError
from typer.testing import Result

from deploy.command.feedback_check.check import (
    EvidenceFor,
    allowed_findings,
    check_feedback,
    evidence_for,
    findings_of,
    parts_findings,
    plain_findings,
    queue_of,
)
from deploy.command.feedback_check.cloud import Cloud, Message, Right
from deploy.command.feedback_check.evidence import Evidence, releasing
from deploy.command.findings import Finding, State
from runtime.environment import read_settings
from runtime.settings import ReplicaSettings, env_name
from tests.fakes.clock import FakeClock
from tests.unit.deploy.command.feedback_check.cloud import (
    DEAD_LETTERS_URL,
    DESTINATION,
    QUEUE,
    QUEUE_URL,
    SET,
    TOPIC,
    FakeCloud,
    denied,
    missing,
)

Command = Callable[..., Result]

SETTINGS = read_settings(
    ReplicaSettings,
    {
        env_name("kafka_bootstrap_servers"): "127.0.0.1:1",
        env_name("ses_events_queue_url"): QUEUE_URL,
        env_name("ses_configuration_set"): SET,
        env_name("ses_events_account"): "111122223333",
        env_name("ses_events_topic_arn"): TOPIC,
    },
)
CHECKS = [
    "feedback destination",
    "feedback subscription",
    "feedback queue policy",
    "feedback messages",
    "feedback dead-letter queue",
]


async def _parts(cloud: FakeCloud, settings: ReplicaSettings = SETTINGS) -> list[Finding]:
    return await parts_findings(settings, cloud)


def _states(findings: list[Finding]) -> dict[str, State]:
    return {one.check: one.state for one in findings}


async def test_a_sound_way_has_no_complaint() -> None:
    """Each part is checked, in the order of the way."""
    findings = await _parts(FakeCloud())

    assert (CHECKS, {State.OK}) == ([one.check for one in findings], {one.state for one in findings})


async def test_missing_rights_are_named_and_the_rest_is_checked() -> None:
    """Each question that is not allowed is a warning with its right; the others are still asked."""
    cloud = FakeCloud(
        found_destinations=denied(Right.DESTINATIONS),
        found_subscriptions=denied(Right.SUBSCRIPTIONS),
        age=denied(Right.AGE),
    )
    cloud.queues[DEAD_LETTERS_URL] = denied(Right.ATTRIBUTES)

    findings = await _parts(cloud)

    expected = dict.fromkeys(CHECKS, State.WARN) | {CHECKS[2]: State.OK, CHECKS[3]: State.OK}
    assert expected == _states(findings)
    assert {Right.DESTINATIONS, Right.SUBSCRIPTIONS, Right.ATTRIBUTES, Right.AGE} == {
        right for right in Right if any(f"needs {right}" in one.detail for one in findings)
    }


async def test_without_a_queue_nothing_behind_it_is_asked() -> None:
    """If the queue is not there, that is the last finding."""
    cloud = FakeCloud(queues={QUEUE_URL: missing(Right.ATTRIBUTES)})

    findings = await _parts(cloud)

    assert {"feedback destination": State.OK, "feedback queue": State.FAIL} == _states(findings)


async def test_the_topic_of_the_destination_is_checked() -> None:
    """Without a topic in the settings, the subscriptions of the destination's topic are checked."""
    findings = await _parts(FakeCloud(), SETTINGS.model_copy(update={"ses_events_topic_arn": None}))

    assert State.OK is _states(findings)["feedback subscription"]


async def test_without_any_topic_there_is_no_subscription_to_check() -> None:
    """If no topic is known, the queue is still checked."""
    cloud = FakeCloud(found_destinations=[replace(DESTINATION, topic=None)])

    findings = await _parts(cloud, SETTINGS.model_copy(update={"ses_events_topic_arn": None}))

    assert [CHECKS[0], *CHECKS[2:]] == [one.check for one in findings]


async def test_a_local_queue_needs_no_policy() -> None:
    """A queue that is not at AWS takes messages without a policy, so none is missed."""
    url = "http://127.0.0.1:9324/123456789012/feedback"
    cloud = FakeCloud(queues={url: replace(QUEUE, policy=None, dead_letter_arn=None)})

    findings = await _parts(cloud, SETTINGS.model_copy(update={"ses_events_queue_url": url}))

    assert CHECKS[2] not in _states(findings)


async def test_a_queue_without_dead_letters() -> None:
    """Without a redrive policy no other queue is asked for."""
    findings = await _parts(FakeCloud(queues={QUEUE_URL: replace(QUEUE, dead_letter_arn=None, max_receives=None)}))

    assert State.WARN is _states(findings)["feedback dead-letter queue"]


@pytest.mark.parametrize(
    ("unset", "says"),
    [
        ([], ["only events of our own account and topic are taken"]),
        (["ses_events_account"], ["events of any account are taken"]),
        (["ses_events_account", "ses_events_topic_arn"], ["events of any account are taken", "events of any topic"]),
    ],
)
def test_the_allow_list_should_be_set(unset: list[str], says: list[str]) -> None:
    """Each setting that keeps strange events out is missed."""
    findings = allowed_findings(SETTINGS.model_copy(update=dict.fromkeys(unset)))

    assert len(says) == len(findings)
    assert all(one.detail.startswith(text) for one, text in zip(findings, says, strict=True))
    assert {State.WARN if unset else State.OK} == {one.state for one in findings}


async def test_without_a_queue_there_is_nothing_to_check() -> None:
    """With feedback off the check fails, and says what to set."""
    settings = SETTINGS.model_copy(update={"ses_events_queue_url": None})

    (found,) = [one async for one in check_feedback(settings, sends=1, kafka=True)]

    assert (State.FAIL, True) == (found.state, env_name("ses_events_queue_url") in found.advice)


@asynccontextmanager
async def _from_queue(_: ReplicaSettings, cloud: Cloud, ids: Sequence[str]) -> AsyncIterator[Evidence]:
    """Read the queue, as if no replica ran."""
    async with releasing(queue_of(SETTINGS, cloud, ids, FakeClock())) as queue:
        yield queue


@asynccontextmanager
async def _from_nowhere(*_: object) -> AsyncIterator[Evidence]:
    """Fail as without a broker."""
    raise OSError("no route")
    yield  # type: ignore[unreachable]


async def _all(cloud: FakeCloud, evidence_for: EvidenceFor | None) -> list[Finding]:
    """Run the check while the clock passes as fast as it can."""

    async def collected() -> list[Finding]:
        return [one async for one in findings_of(SETTINGS, cloud, cloud.clock, evidence_for, sends=3)]

    checking = asyncio.create_task(collected())
    while not checking.done():
        await cloud.clock.advance(0.1)
    return await checking


async def test_a_sound_way_is_measured() -> None:
    """With all parts sound, the e-mails are sent and timed, and a time to wait for evidence is named."""
    cloud = FakeCloud(waiting=[Message("strange", "s")])

    findings = await _all(cloud, _from_queue)

    assert ["feedback allow-list", *CHECKS, "feedback way", "feedback time"] == [one.check for one in findings]
    assert {State.OK} == {one.state for one in findings}
    assert "a replica would leave these on the queue: 1 unreadable" in findings[-2].detail
    assert (3, 6, ["s"]) == (len(cloud.sent), len(cloud.deleted), cloud.released)


@pytest.mark.parametrize(
    ("cloud", "evidence_for"),
    [(FakeCloud(found_destinations=missing(Right.DESTINATIONS)), _from_queue), (FakeCloud(), None)],
)
async def test_a_broken_way_gets_no_email(cloud: FakeCloud, evidence_for: EvidenceFor | None) -> None:
    """After a failure, or without Kafka, no e-mail is sent."""
    findings = await _all(cloud, evidence_for)

    assert ("feedback way", State.WARN, []) == (findings[-1].check, findings[-1].state, cloud.sent)


async def test_what_a_replica_would_refuse_is_no_evidence() -> None:
    """If the settings name another account, nothing counts, and the finding has the reason for each message."""
    cloud = FakeCloud()
    settings = SETTINGS.model_copy(update={"ses_events_account": "9" * 12})

    @asynccontextmanager
    async def reading(_: ReplicaSettings, cloud: Cloud, ids: Sequence[str]) -> AsyncIterator[Evidence]:
        async with releasing(queue_of(settings, cloud, ids, FakeClock())) as queue:
            yield queue

    findings = await _all(cloud, reading)

    assert (State.FAIL, True) == (findings[-1].state, "6 foreign_account" in findings[-1].detail)
    assert ([], 6) == (cloud.deleted, len(cloud.released))


async def test_without_evidence_the_way_was_not_measured() -> None:
    """If the broker is gone by then, that is a failure, and nothing was sent."""
    cloud = FakeCloud()

    findings = await _all(cloud, _from_nowhere)

    assert (State.FAIL, True, []) == (findings[-1].state, "no route" in findings[-1].detail, cloud.sent)


async def test_a_queue_that_may_not_be_read_is_a_failure() -> None:
    """If the queue cannot be read, the last finding names the right."""
    findings = await _all(FakeCloud(unreadable=denied(Right.RECEIVE)), _from_queue)

    assert (State.FAIL, True) == (findings[-1].state, "sqs:ReceiveMessage" in findings[-1].detail)


async def test_evidence_needs_a_broker() -> None:
    """Which way evidence comes is asked of Kafka; if it does not answer, an error says so."""
    with pytest.raises((KafkaError, OSError)):
        await evidence_for(SETTINGS, FakeCloud(), ["0" * 32]).__aenter__()


def test_off_is_a_warning() -> None:
    """Without a queue, the plain check says what is not noticed."""
    (found,) = plain_findings(ReplicaSettings())

    assert (State.WARN, True) == (found.state, "bounces" in found.detail)


@pytest.mark.parametrize(("region", "state"), [("eu-central-1", State.OK), ("us-east-1", State.FAIL)])
def test_the_plain_check_looks_at_the_region(monkeypatch: pytest.MonkeyPatch, region: str, state: State) -> None:
    """A queue in another region than that of the requests is a failure."""
    monkeypatch.delenv("AWS_ENDPOINT_URL_SQS", raising=False)
    monkeypatch.setenv("AWS_DEFAULT_REGION", region)

    (found,) = plain_findings(SETTINGS)

    assert ("feedback queue", state) == (found.check, found.state)


def test_without_a_region_the_check_of_ses_speaks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a region nothing is said here: the check of SES has said it."""
    for name in ("AWS_DEFAULT_REGION", "AWS_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")

    assert [] == plain_findings(SETTINGS)


def test_sends_goes_with_feedback(command: Command) -> None:
    """The number of e-mails without the option that sends them is a wrong usage."""
    result = command("doctor", "--sends", "3")

    assert (2, True) == (result.exit_code, "--feedback" in result.stderr)


def test_a_queue_needs_a_configuration_set(command: Command) -> None:
    """A queue without a configuration set is a wrong setting: no report would have our tags."""
    result = command("doctor", **{env_name("ses_events_queue_url"): QUEUE_URL})

    assert (1, True) == (result.exit_code, f"{env_name('ses_configuration_set')} must be set" in result.stdout)
