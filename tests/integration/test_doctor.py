"""`doctor` asks replicas that run: it finds them by their group, and says why they send nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from deploy.command.doctor.check import examine
from deploy.command.findings import Finding, State
from tests.integration.test_suppressions import operators
from tests.kafka import Kafka
from tests.stage import Stage, an_event, open_stage
from tests.waiting import until


@pytest_asyncio.fixture(name="stage")
async def _stage(kafka: Kafka, namespace: str, tmp_path: Path) -> AsyncIterator[Stage]:
    async with open_stage(kafka.bootstrap_servers, namespace, tmp_path) as stage:
        yield stage


@pytest.fixture(autouse=True)
def _no_account(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the check of the account end at once: a region is missing."""
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)


async def _asked(stage: Stage) -> dict[str, Finding]:
    """Return what doctor finds of the replicas, with nothing given but the broker."""
    environ = operators(stage.bootstrap_servers, stage.topics.namespace)
    findings = await examine(environ, lambda _finding: None)
    return {one.check: one for one in findings if one.check.startswith("replica")}


async def test_it_says_that_the_fleet_is_halted(stage: Stage) -> None:
    """With no replica the doctor fails; it finds each that runs, and fails while credentials have expired."""
    assert {"replicas": State.FAIL} == {check: one.state for check, one in (await _asked(stage)).items()}

    replica = await stage.start()
    named = f"replica {replica.management.removeprefix('http://')}"
    assert {"replicas": State.OK, named: State.OK} == {check: one.state for check, one in (await _asked(stage)).items()}

    await stage.ses.set(refuse_all="ExpiredTokenException")
    event = an_event()
    await stage.publish(event)

    async def halted() -> bool:
        return bool((await replica.health())[1]["halt"])

    await until(halted, what="the replica to be halted")
    found = (await _asked(stage))[named]
    assert (State.FAIL, True) == (found.state, found.detail.startswith("sends nothing, halted by credentials; "))

    await stage.ses.set()
    await stage.ended(event)
    assert State.OK == (await _asked(stage))[named].state


async def test_a_member_that_has_vanished(stage: Stage) -> None:
    """A killed replica stays in the group until its session ends: so long the doctor warns that it is not reached."""
    replica = await stage.start()
    replica.kill()

    found = await _asked(stage)

    named = f"replica {replica.management.removeprefix('http://')}"
    assert (State.WARN, True) == (found[named].state, found[named].detail.startswith("cannot be reached"))
