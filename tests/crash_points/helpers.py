"""Replicas that are killed at a step, and the outcome of the events that they leave."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from runtime.environment import CRASH_AT
from schemas.dispatch import Dispatch
from schemas.events import Event
from tests import processes
from tests.mail_order import out_of_order
from tests.processes import Process
from tests.stage import QUICK, Stage, an_event
from tests.waiting import until

MENTOR = "mentor-001"
CALM: Mapping[str, Any] = {
    **QUICK["consumers"],
    "ses_timeout_seconds": 20,
    "record_deadline_seconds": 2,
    "drain_seconds": 30,
    "rebalance_timeout_seconds": 35,
    "request_timeout_seconds": 40,
}
"""Nothing may time out merely because many cases run at once; a replica to be killed has the shortest session."""

_DEATH_SECONDS = 40.0
_END_SECONDS = 60.0


@dataclass(frozen=True)
class Outcome:
    """How one event ended, for mentor and coordinator."""

    mails: tuple[int, ...] = (1, 1)
    statuses: tuple[str, ...] = ("sent", "sent")
    answers_lost: tuple[int, ...] = (0, 0)
    letters: tuple[str, ...] = ()
    """The reasons of its dead letters, in order."""


ONCE = Outcome()
"""One e-mail each, and no answer in doubt."""
NEVER_CALLED = Outcome(answers_lost=(1, 1))
"""An intent without an outcome counts as a lost answer, so the one e-mail counts as the second."""
TWICE = Outcome(mails=(2, 2), answers_lost=(1, 1))
SETTLED = Outcome(answers_lost=(1, 1))
"""The answer was lost, and feedback showed that SES has the e-mail."""


class TrappedReplica:
    """A replica that is killed at a step."""

    def __init__(self, stage: Stage, process: Process) -> None:
        self._stage = stage
        self._process = process
        self._child = process._program.child

    async def ready(self) -> None:
        """Wait until it is ready."""
        await self._process.ready()

    async def dead(self) -> None:
        """Wait until it has killed itself, and what it wrote has been read."""
        await until(lambda: not self._child.running, within=_DEATH_SECONDS, what="the end of the replica")
        assert "SIGKILL" == self._child.end
        await self.kill()

    async def kill(self) -> None:
        """Kill it from outside, and read what it wrote."""
        self._process.kill()
        await self._stage.caught_up()

    def thaw(self) -> None:
        """Resume it after it was frozen."""
        os.kill(self._child.pid, signal.SIGCONT)


@asynccontextmanager
async def trapped(stage: Stage, at: str, **settings: object) -> AsyncIterator[TrappedReplica]:
    """Run a replica with a trap, as `tests.crash_points.replica` has it, without waiting until it is ready."""
    chosen = {**stage.settings(), **CALM, **settings}
    log = stage._logs / f"{stage.topics.namespace}-trapped-{at.replace(':', '-')}.log"
    environ = {**stage.environ, CRASH_AT: at}
    async with processes.running("tests.crash_points.replica", chosen, log_as=log, environ=environ) as process:
        yield TrappedReplica(stage, process)
    stage.processes.append(process)  # its log, too, is checked in the end


async def start_successor(stage: Stage, **settings: object) -> Process:
    """Run the replica that ships, and wait until it owns everything; its session is long enough for a slow machine."""
    chosen: Mapping[str, Any] = {**CALM, "session_timeout_seconds": 30, **settings}
    return await stage.start("consumers", **chosen)


def events_of_one_mentor(count: int) -> list[Event]:
    """Make events that are processed one after another."""
    return [an_event(mentor_id=MENTOR) for _ in range(count)]


async def publish_in_order(stage: Stage, events: Sequence[Event]) -> None:
    """Publish events so that they are in the log in this order."""
    for event in events:
        await stage.publish(event)


async def outcomes_of(stage: Stage, events: Sequence[Event]) -> list[Outcome]:
    """
    Wait until every event is final and all offsets are committed, and return the outcomes.

    In each case the mentor's e-mails must have been accepted in the order of the log.
    """
    dispatches = await stage.all_ended(events, within=_END_SECONDS)
    await until(lambda: _all_committed(stage), within=_END_SECONDS, what="all offsets committed")
    await stage.caught_up()
    assert [] == out_of_order(stage, events)
    return [_outcome(stage, dispatch) for dispatch in dispatches]


async def _all_committed(stage: Stage) -> bool:
    stage.check()
    places = [place for topic in stage.topics.events for place in await stage.asker.partitions(topic)]
    ends, offsets = await stage.asker.end_offsets(places), await stage.committed()
    return all(offsets.get(place, 0) >= end for place, end in ends.items() if end)


def _outcome(stage: Stage, dispatch: Dispatch) -> Outcome:
    sent, recipients = stage.ses.sent_to(dispatch.dispatch_id), dispatch.recipients
    return Outcome(
        mails=tuple(sent[one.contact_id] for one in recipients),
        statuses=tuple(one.status.value for one in recipients),
        answers_lost=tuple(one.answers_lost for one in recipients),
        letters=tuple(str(letter.reason) for letter in stage.letters if _is_of(dispatch, letter.dispatch)),
    )


def _is_of(dispatch: Dispatch, other: Dispatch | None) -> bool:
    return other is not None and other.dispatch_id == dispatch.dispatch_id
