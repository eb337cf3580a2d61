"""
A replica is killed between two steps, and a successor takes over: one deterministic case for each such point.

No event is lost, a mentor's order is kept, and each recipient gets exactly as many e-mails as the design says for that
point. The cases run at once, since most of their time the group waits for the dead member.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import replace
from functools import partial

import pytest
import pytest_asyncio

from runtime.environment import CRASH_AT
from runtime.process import EXIT_REFUSED
from tests.crash_points import cases, feedback_cases
from tests.crash_points.cases import CrashAt
from tests.crash_points.helpers import MENTOR, NEVER_CALLED, SETTLED, TWICE, Outcome
from tests.kafka import Kafka
from tests.processes import ROOT
from tests.sqs import local_sqs
from tests.stage import Stage, open_stage

AT_ONCE = 12
"""More cases at once would make two busy cores so slow that requests time out."""

HELD = Outcome(statuses=("unknown", "unknown"), answers_lost=(1, 1), letters=("unknown",))
NEVER_SENT = replace(HELD, mails=(0, 0))
"""The price of `hold`: the successor cannot know that SES was not called; a person finds the dead letter."""
REFUSED = {"refuse": {f"{MENTOR}@example.org": "MessageRejected"}}

POINTS: dict[str, Callable[[Stage], Awaitable[None]]] = {
    "taken": CrashAt("taken:2", index=1),
    "intent recorded": CrashAt("intent_recorded:2", NEVER_CALLED, index=1),
    "intent recorded, hold": CrashAt("intent_recorded:2", NEVER_SENT, index=1, policy="hold"),
    "SES called": partial(cases.ses_called, policy="resend", crashed=TWICE),
    "SES called, hold": partial(cases.ses_called, policy="hold", crashed=HELD),
    "answer received": CrashAt("answered:2", TWICE, index=1),
    "answer received, hold": CrashAt("answered:2", HELD, index=1, policy="hold"),
    "answer received, a caller waits": cases.caller_waits,
    "pending recorded": CrashAt("pending_recorded:1", faults={"error_share": 1}),
    "pending recorded, answer lost": CrashAt("pending_recorded:1", TWICE, faults={"accept_then_drop_share": 1}),
    "pending recorded, answer lost by an owner": cases.lost_answers_counted,
    "dead letter recorded": CrashAt(
        "dead_letter_recorded:1",
        Outcome(mails=(0, 2), statuses=("failed", "sent"), answers_lost=(1, 1), letters=("failed", "failed")),
        others=Outcome(mails=(0, 1), statuses=("failed", "sent"), letters=("failed",)),
        faults=REFUSED,
        faults_persist=True,
    ),
    "dead letter recorded, hold": CrashAt(
        "dead_letter_recorded:1",
        Outcome((0, 1), ("unknown", "unknown"), (1, 1), letters=("failed", "unknown")),
        others=Outcome(mails=(0, 1), statuses=("failed", "sent"), letters=("failed",)),
        policy="hold",
        faults=REFUSED,
        faults_persist=True,
    ),
    "dead letter recorded, invalid record": cases.invalid_record_dead_lettered,
    "dead letter recorded, conflict": cases.conflict_dead_lettered,
    "moved record published": cases.moved,
    "outcome recorded": CrashAt("outcome_recorded:2", index=1),
    "outcome recorded, of a redelivery": cases.redelivery_answered,
    "replied": cases.caller_answered,
    "committing": CrashAt("committing:1", events=1),
    "committed": CrashAt("committed:1", events=1),
    "drained": partial(cases.partitions_revoked, at="drained:1"),
    "revoked": partial(cases.partitions_revoked, at="given_up:1"),
    "ledger half read": cases.ledger_half_read,
    "frozen before the call": cases.frozen_before_the_call,
    "send in flight at a stop": cases.send_in_flight_at_a_stop,
}


WITH_FEEDBACK: dict[str, Callable[[Stage], Awaitable[None]]] = {
    "intent recorded, reconcile": CrashAt(
        "intent_recorded:2", NEVER_CALLED, index=1, policy="reconcile", settings={"reconcile_seconds": 3}
    ),
    "SES called, reconcile": partial(cases.ses_called, policy="reconcile", crashed=SETTLED),
    "answer received, reconcile": CrashAt("answered:2", SETTLED, index=1, policy="reconcile"),
    "feedback recorded": feedback_cases.feedback_recorded,
    "lost answer settled": feedback_cases.lost_answer_settled,
    "suppression recorded": partial(feedback_cases.mentor_not_reached, at="suppressed:1"),
    "escalation published": partial(feedback_cases.mentor_not_reached, at="escalated:1"),
}
"""Those with a queue, from which replicas take what SES says of its e-mails."""

ALL = {**POINTS, **WITH_FEEDBACK}


@pytest_asyncio.fixture(scope="module", loop_scope="module", name="started")
async def _started(
    request: pytest.FixtureRequest, kafka: Kafka, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Mapping[str, asyncio.Task[None]]]:
    """Start the cases of all selected tests, some at once."""
    limit = asyncio.Semaphore(AT_ONCE)

    async def run(name: str) -> None:
        namespace, logs = f"t-{secrets.token_hex(4)}", tmp_path_factory.mktemp("point")
        async with limit:
            queue = await sqs.queue(namespace) if name in WITH_FEEDBACK else None
            async with open_stage(kafka.bootstrap_servers, namespace, logs, queue=queue) as stage:
                await ALL[name](stage)
                await feedback_cases.all_reported(stage)

    selected = [
        str(item.callspec.params["point"])
        for item in request.session.items
        if isinstance(item, pytest.Function) and item.path == request.path and hasattr(item, "callspec")
    ]
    with local_sqs(tmp_path_factory.mktemp("sqs")) as sqs:
        tasks = {name: asyncio.create_task(run(name)) for name in selected}
        yield tasks
        for task in tasks.values():
            task.cancel()
        await asyncio.gather(*tasks.values(), return_exceptions=True)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("point", ALL)
async def test_a_replica_is_killed(started: Mapping[str, asyncio.Task[None]], point: str) -> None:
    """A successor takes over: every event ends, in order, with exactly the e-mails that the design says."""
    await started[point]


def test_the_program_that_ships_refuses_the_switch() -> None:
    """It does not start when CRASH_AT is set, and says why."""
    environ = {"PATH": os.environ["PATH"], CRASH_AT: "taken:1"}
    command = [sys.executable, "-m", "consumers"]

    run = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=60, check=False)

    expected = f"consumers did not start. {CRASH_AT} is for tests only: no program that ships starts while it is set.\n"
    assert EXIT_REFUSED == run.returncode
    assert expected == run.stderr
