"""Suppressions on a real Kafka: replicas follow them, and the command changes them."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import pytest_asyncio
from typer.testing import CliRunner, Result

from consumers.suppressions import digest_of, publish_suppression
from deploy.command.app import app
from runtime.settings import env_name
from schemas.dispatch import Dispatch, Reason, Status
from schemas.suppressions import (
    SUPPRESSIONS_TOPIC,
    Suppression,
    SuppressionList,
    SuppressionReason,
    suppression_key,
)
from tests.kafka import Kafka
from tests.processes import Process
from tests.signing import KEYS, keys_file
from tests.stage import PARTITIONS, Stage, an_event, mentor, open_stage
from tests.waiting import until

SEEN_WITHIN_SECONDS = 2.0
MENTOR = mentor(1)


@pytest_asyncio.fixture(name="stage")
async def _stage(kafka: Kafka, namespace: str, tmp_path: Path) -> AsyncIterator[Stage]:
    async with open_stage(kafka.bootstrap_servers, namespace, tmp_path) as stage:
        yield stage


@pytest_asyncio.fixture(name="replica")
async def _replica(stage: Stage) -> Process:
    return await stage.start()


async def suppress(stage: Stage) -> None:
    """Put a mentor on our list, as a replica does."""
    address = next(one.email for one in stage.contacts if one.id == MENTOR)
    entry = Suppression(
        contact_id=MENTOR,
        address=digest_of(MENTOR, address or ""),
        reason=SuppressionReason.BOUNCED,
        since=datetime.now(UTC),
        detail="Permanent/NoEmail",
    )
    await publish_suppression(stage._publisher, stage.topics.suppressions, PARTITIONS, KEYS, entry)


async def next_event(stage: Stage) -> Dispatch:
    """Publish an event of the mentor, and return its dispatch."""
    event = an_event(mentor_id=MENTOR)
    await stage.publish(event)
    return await stage.ended(event)


async def entries(replica: Process) -> float:
    """Return how many entries a replica knows."""
    return await replica.metric("pause_notifications_suppressions")


async def test_the_next_event_sees_a_suppression(stage: Stage, replica: Process) -> None:
    """Within two seconds of its record nothing is sent to that mentor any more, and the coordinator is told."""
    assert Status.SENT is (await next_event(stage)).recipients[0].status
    replica.check_running()
    await suppress(stage)
    written = time.monotonic()

    dispatch = await next_event(stage)
    while dispatch.recipients[0].status is Status.SENT:
        dispatch = await next_event(stage)

    assert time.monotonic() - written < SEEN_WITHIN_SECONDS
    assert [(Status.SUPPRESSED, Reason.BOUNCED), (Status.SENT, None)] == [
        (one.status, one.reason) for one in dispatch.recipients
    ]
    assert 0 == stage.ses.sent_to(dispatch.dispatch_id)[MENTOR]
    assert "could not be reached by e-mail" in (stage.ses.mails[-1].email.text or "")


async def test_a_replica_reads_them_before_its_first_event(stage: Stage) -> None:
    """The topic is read to its end first."""
    await suppress(stage)
    replica = await stage.start()

    assert (await replica.health())[1]["suppressions_read"] is True
    assert Status.SUPPRESSED is (await next_event(stage)).recipients[0].status


async def test_an_unsigned_record_counts_for_nothing(stage: Stage, replica: Process) -> None:
    """Neither an entry nor the null that would remove one; both are counted."""
    await suppress(stage)
    await until(lambda: _known(replica), what="the entry")
    key = suppression_key(SuppressionList.HARD, MENTOR)
    for value in (None, b"{}"):
        await stage.put_at(stage.place(SUPPRESSIONS_TOPIC, MENTOR), key=key, value=value)

    async def counted() -> bool:
        return await replica.metric("pause_notifications_suppression_faults_total") >= 2

    await until(counted, what="the faults")
    assert Status.SUPPRESSED is (await next_event(stage)).recipients[0].status


async def _known(replica: Process) -> bool:
    return await entries(replica) == 1


async def test_a_person_suppresses_a_mentor_and_frees_them(
    stage: Stage, replica: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Replicas follow what the command writes, and it changes SES's list as well."""
    for name, value in (
        ("AWS_ENDPOINT_URL_SESV2", stage.ses.address),
        ("AWS_DEFAULT_REGION", "eu-central-1"),
        ("AWS_ACCESS_KEY_ID", "local"),
        ("AWS_SECRET_ACCESS_KEY", "local"),
    ):
        monkeypatch.setenv(name, value)

    async def operate(*arguments: str) -> Result:
        environ = operators(stage.bootstrap_servers, stage.topics.namespace)
        runner = CliRunner()
        return await asyncio.to_thread(runner.invoke, app, ["suppressions", *arguments], env=environ)

    added = await operate("add", MENTOR, "--reason", "asked for letters", "--on-ses", "--by", "amara")
    assert (0, "") == (added.exit_code, added.stderr)
    await until(lambda: _known(replica), what="the entry")
    assert (Status.SUPPRESSED, Reason.MANUAL) == status_of(await next_event(stage))
    listed = [json.loads(line) for line in (await operate("list", "--json")).stdout.splitlines()]
    assert [("ours", "manual", MENTOR), ("SES", "COMPLAINT", MENTOR)] == [
        (one["list"], one["reason"], one["contact_id"]) for one in listed
    ]

    taken_off = await operate("remove", MENTOR, "--by", "amara")
    assert (0, "") == (taken_off.exit_code, taken_off.stderr)
    dispatch = await next_event(stage)
    while dispatch.recipients[0].status is not Status.SENT:
        dispatch = await next_event(stage)
    replica.check_running()
    assert "no suppressions\n" == (await operate("list")).stdout


def status_of(dispatch: Dispatch) -> tuple[Status, Reason | None]:
    """Return status and reason of the mentor."""
    return dispatch.recipients[0].status, dispatch.recipients[0].reason


def operators(bootstrap_servers: str, namespace: str) -> dict[str, str]:
    """Return the settings of the command."""
    return {
        env_name("kafka_bootstrap_servers"): bootstrap_servers,
        env_name("namespace"): namespace,
        env_name("signing_keys_file"): str(keys_file()),
    }


def test_the_command_adds_shows_and_removes(kafka: Kafka, namespace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it writes is signed, so it reads it back; without SES it says so, and changes our list."""
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    environ = operators(kafka.bootstrap_servers, namespace)

    def run(*arguments: str, standard_input: str | None = None) -> Result:
        return CliRunner().invoke(
            app, list(arguments), env=environ, prog_name="pause-notifications", input=standard_input
        )

    assert 0 == run("topics", "create", "--partitions", "3").exit_code
    contact = '{"id":"mentor-042","role":"mentor","email":"m@example.org"}'
    assert 0 == run("contacts", "load", "-", standard_input=contact).exit_code

    added = run("suppressions", "add", "mentor-042", "--reason", "asked for letters", "--by", "amara")
    assert (0, "") == (added.exit_code, added.stderr)
    listed = json.loads(run("suppressions", "list", "--ours", "--json").stdout)
    assert ("mentor-042", "manual", "in force", "asked for letters", "amara") == (
        listed["contact_id"],
        listed["reason"],
        listed["state"],
        listed["detail"],
        listed["by"],
    )

    taken_off = run("suppressions", "remove", "mentor-042", "--by", "jonas")
    assert (1, True) == (taken_off.exit_code, "SES's list could not be changed" in taken_off.stderr)
    shown = json.loads(run("suppressions", "list", "--ours", "--all", "--json").stdout)
    assert ("removed", "jonas") == (shown["state"], shown["removed_by"])


def test_a_suppression_outlives_the_key_that_signed_it(
    kafka: Kafka, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Signed again by the new key, it counts where the old key is no longer known; the doctor sees the difference."""
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    old, new = (bytes(range(start, start + 32)).hex() for start in (101, 151))
    environ = operators(kafka.bootstrap_servers, namespace)

    def run(*arguments: str, keys: str = old, standard_input: str | None = None) -> Result:
        file = tmp_path / "signing-keys"
        file.write_text(keys, encoding="utf-8")
        with_keys = environ | {env_name("signing_keys_file"): str(file)}
        return CliRunner().invoke(app, list(arguments), env=with_keys, input=standard_input)

    def examined(keys: str) -> list[str]:
        findings = [json.loads(line) for line in run("doctor", "--json", keys=keys).stdout.splitlines()]
        return [one["state"] for one in findings if one["check"] == "suppressions"]

    assert 0 == run("topics", "create", "--partitions", "3").exit_code
    contact = '{"id":"mentor-042","role":"mentor","email":"m@example.org"}'
    assert 0 == run("contacts", "load", "-", standard_input=contact).exit_code
    assert 0 == run("suppressions", "add", "mentor-042", "--reason", "asked for letters").exit_code
    assert [["ok"], ["warn"], ["fail"]] == [examined(keys) for keys in (old, f"{new}\n{old}\n", new)]

    removed_too_early = run("suppressions", "list", "--ours", keys=new).stdout
    assert removed_too_early.endswith("no suppressions\n")
    signed = run("suppressions", "sign", "--json", keys=f"{new}\n{old}\n")
    assert (0, 1) == (signed.exit_code, json.loads(signed.stdout)["signed"])
    listed = json.loads(run("suppressions", "list", "--ours", "--json", keys=new).stdout.splitlines()[-1])
    assert ("mentor-042", "in force", "asked for letters") == (
        listed["contact_id"],
        listed["state"],
        listed["detail"],
    )
    assert 0 == json.loads(run("suppressions", "sign", "--json", keys=new).stdout)["signed"]
    assert ["ok"] == examined(new)
