"""What is counted of a request and its answer."""

from __future__ import annotations

import pytest

from schemas.dispatch import Status
from schemas.events import Role
from tests.fakes.facade import Setup, ends, fake_facade, never, recipient

LIFTED = {"mentor_id": "mentor-042"}


def _answers(setup: Setup, **labels: str) -> float | None:
    return setup.facade.metrics.registry.get_sample_value("pause_notifications_answers_total", labels)


@pytest.mark.parametrize(("prefer", "asked"), [("wait=0", "no_wait"), ("wait=1", "outcome")])
async def test_a_202_that_was_asked_for(prefer: str, asked: str) -> None:
    """A call that asks not to wait is told from one whose outcome came too late."""
    async with fake_facade(reply_timeout_seconds=1) as setup:
        setup.replica(never)
        before = _answers(setup, endpoint="pause-lifted", status="202", asked=asked)
        await setup.post("pause-lifted", LIFTED, Prefer=prefer)

        assert (0, 1) == (before, _answers(setup, endpoint="pause-lifted", status="202", asked=asked))


async def test_a_refusal_counts_as_asked() -> None:
    """A call that is refused has asked as well; a look-up asks for nothing."""
    async with fake_facade() as setup:
        await setup.post("pause-lifted", {}, Prefer="wait=0")
        await setup.client.get("/api/v1/pause-notifications/dispatches/none")

        assert 1 == _answers(setup, endpoint="pause-lifted", status="422", asked="no_wait")
        assert 1 == _answers(setup, endpoint="dispatches", status="404", asked="")


async def test_fast_refusals_are_no_fast_answers() -> None:
    """The time of an answer is counted by the class of its status."""
    async with fake_facade() as setup:
        setup.replica(ends(recipient(Role.MENTOR, Status.SENT)))
        await setup.post("pause-lifted", LIFTED)
        await setup.post("pause-lifted", {})
        counts = {
            status: setup.facade.metrics.registry.get_sample_value(
                "pause_notifications_answer_seconds_count", {"endpoint": "pause-lifted", "class": status}
            )
            for status in ("2xx", "4xx", "5xx")
        }

    assert {"2xx": 1, "4xx": 1, "5xx": 0} == counts
