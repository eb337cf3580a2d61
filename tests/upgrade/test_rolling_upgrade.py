"""The release before this one and this one in one group: an upgrade, and its rollback, while events come."""

from __future__ import annotations

import asyncio
import io
import subprocess
import tarfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio

from schemas.events import Event
from tests.kafka import Kafka
from tests.processes import ROOT, Process
from tests.stage import Stage, an_event, mentor, open_stage

BEFORE = "f89718a03aae"
"""The commit of the release before this one; a tag names it as soon as there is one."""
_GIT_SECONDS = 60.0
_EVERY_SECONDS = 0.02


@pytest.fixture(name="before", scope="module")
def _before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the source tree of the release before this one."""
    archive = subprocess.run(
        ["git", "-C", str(ROOT), "archive", BEFORE], capture_output=True, timeout=_GIT_SECONDS, check=False
    )
    if archive.returncode:
        pytest.fail(f"the history has no {BEFORE}: fetch it whole (git fetch --unshallow)", pytrace=False)
    tree = tmp_path_factory.mktemp("before")
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as files:
        files.extractall(tree, filter="data")
    return tree


@pytest_asyncio.fixture(name="stage")
async def _stage(kafka: Kafka, namespace: str, tmp_path: Path) -> AsyncIterator[Stage]:
    async with open_stage(kafka.bootstrap_servers, namespace, tmp_path) as stage:
        yield stage


@asynccontextmanager
async def events_coming(stage: Stage) -> AsyncIterator[list[Event]]:
    """Publish an event every few milliseconds; yield the list of them, which grows."""
    published: list[Event] = []
    enough = asyncio.Event()

    async def publish() -> None:
        while not enough.is_set():
            await stage.publish(event := an_event(mentor_id=mentor(len(published))))
            published.append(event)
            await asyncio.sleep(_EVERY_SECONDS)

    publishing = asyncio.create_task(publish())
    try:
        yield published
    finally:
        enough.set()  # not cancelled: an event that is on its way to Kafka would be missing in the list
        await publishing


async def replace_all(stage: Stage, replicas: list[Process], tree: Path) -> list[Process]:
    """Start a replica of *tree* for each of these, then stop it, one after the other, as a rolling update does."""
    stage.tree, started = tree, []
    for replica in replicas:
        started.append(await stage.start())
        assert 0 == await replica.stop()
    return started


@pytest.mark.slow
async def test_upgrade_and_rollback(stage: Stage, before: Path) -> None:
    """Two replicas are replaced by the new release and back, under load: each e-mail is sent once, none is lost."""
    stage.tree = before
    replicas = [await stage.start(), await stage.start()]
    async with events_coming(stage) as published:
        replicas = await replace_all(stage, replicas, ROOT)
        await replace_all(stage, replicas, before)
    dispatches = await stage.all_ended(published, within=60)

    due = {(one.dispatch_id, recipient.contact_id) for one in dispatches for recipient in one.recipients}
    assert len(published) == len(dispatches)
    assert {1} == set(stage.ses.sends().values())
    assert len(due) == len(stage.ses.sends())
