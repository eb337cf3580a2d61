"""
A replica dies between two steps, and another one takes over: one deterministic course for each such point.

Nothing is lost, a mentor's order is kept, and each recipient gets exactly as many mails as the design says for that
point. The courses run side by side, since most of their time is the group's waiting for a dead member.
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
from tests.crash_points import cases
from tests.crash_points.cases import Dies
from tests.crash_points.helpers import MENTOR, NEVER_CALLED, TWICE, Ends
from tests.kafka import Kafka
from tests.processes import ROOT
from tests.stage import Stage, open_stage

SIDE_BY_SIDE = 12
"""More at once would make two busy cores so slow that time-outs take part."""

HELD = Ends(statuses=("unknown", "unknown"), answers_lost=(1, 1), letters=("unknown",))
NEVER_TOLD = replace(HELD, mails=(0, 0))
"""The price of `hold`: it cannot know that SES was not called; a person finds the dead letter."""
REFUSED = {"refuse": {f"{MENTOR}@example.org": "MessageRejected"}}

POINTS: dict[str, Callable[[Stage], Awaitable[None]]] = {
    "taken": Dies("taken:2", nth=1),
    "intent recorded": Dies("intent_recorded:2", NEVER_CALLED, nth=1),
    "intent recorded, hold": Dies("intent_recorded:2", NEVER_TOLD, nth=1, policy="hold"),
    "SES called": partial(cases.ses_called, policy="resend", struck=TWICE),
    "SES called, hold": partial(cases.ses_called, policy="hold", struck=HELD),
    "answer received": Dies("answered:2", TWICE, nth=1),
    "answer received, hold": Dies("answered:2", HELD, nth=1, policy="hold"),
    "answer received, a caller waits": cases.caller_waits,
    "pending recorded": Dies("pending_recorded:1", faults={"error_share": 1}),
    "pending recorded, answer lost": Dies("pending_recorded:1", TWICE, faults={"accept_then_drop_share": 1}),
    "pending recorded, answer lost by an owner": cases.lost_answers_counted,
    "dead letter recorded": Dies(
        "dead_letter_recorded:1",
        Ends(mails=(0, 2), statuses=("failed", "sent"), answers_lost=(1, 1), letters=("failed", "failed")),
        others=Ends(mails=(0, 1), statuses=("failed", "sent"), letters=("failed",)),
        faults=REFUSED,
        for_good=True,
    ),
    "dead letter recorded, hold": Dies(
        "dead_letter_recorded:1",
        Ends((0, 1), ("unknown", "unknown"), (1, 1), letters=("failed", "unknown")),
        others=Ends(mails=(0, 1), statuses=("failed", "sent"), letters=("failed",)),
        policy="hold",
        faults=REFUSED,
        for_good=True,
    ),
    "dead letter recorded, no event": cases.no_event_set_aside,
    "dead letter recorded, conflict": cases.conflict_set_aside,
    "moved record published": cases.moved,
    "outcome recorded": Dies("outcome_recorded:2", nth=1),
    "outcome recorded, of a copy": cases.copy_answered,
    "replied": cases.replied,
    "committing": Dies("committing:1", events=1),
    "committed": Dies("committed:1", events=1),
    "drained": partial(cases.partitions_given_up, at="drained:1"),
    "revoked": partial(cases.partitions_given_up, at="given_up:1"),
    "ledger half read": cases.ledger_half_read,
    "frozen before the call": cases.frozen_before_the_call,
    "send out at a stop": cases.send_out_at_a_stop,
}


@pytest_asyncio.fixture(scope="module", loop_scope="module", name="begun")
async def _begun(
    request: pytest.FixtureRequest, kafka: Kafka, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Mapping[str, asyncio.Task[None]]]:
    """Begin the courses of all tests that were chosen, some side by side."""
    room = asyncio.Semaphore(SIDE_BY_SIDE)

    async def run(name: str) -> None:
        namespace = f"t-{secrets.token_hex(4)}"
        async with room, open_stage(kafka.bootstrap_servers, namespace, tmp_path_factory.mktemp("point")) as stage:
            await POINTS[name](stage)

    chosen = [
        str(item.callspec.params["point"])
        for item in request.session.items
        if isinstance(item, pytest.Function) and item.path == request.path and hasattr(item, "callspec")
    ]
    tasks = {name: asyncio.create_task(run(name)) for name in chosen}
    yield tasks
    for task in tasks.values():
        task.cancel()
    await asyncio.gather(*tasks.values(), return_exceptions=True)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("point", POINTS)
async def test_a_replica_dies(begun: Mapping[str, asyncio.Task[None]], point: str) -> None:
    """Another one takes over: every event ends, in order, with just the mails that the design says for the point."""
    await begun[point]


def test_what_ships_refuses_the_switch() -> None:
    """The program itself does not start where it is told to die, and says why."""
    environ = {"PATH": os.environ["PATH"], CRASH_AT: "taken:1"}
    command = [sys.executable, "-m", "consumers"]

    run = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=60, check=False)

    expected = f"consumers did not start. {CRASH_AT} is for tests only: no program that ships starts while it is set.\n"
    assert (EXIT_REFUSED, expected) == (run.returncode, run.stderr)
