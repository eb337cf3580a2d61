from __future__ import annotations

import pytest

from tests.waiting import until


async def test_the_first_true_look_is_given() -> None:
    """Waiting looks again until the condition gives something true, and gives that."""
    looks = iter([0, None, "", "there"])

    assert await until(lambda: next(looks), what="it") == "there"


async def test_a_condition_may_be_awaited() -> None:
    """The condition may be a coroutine function."""

    async def look() -> int:
        return 7

    assert await until(look, what="seven") == 7


async def test_programs_and_brokers_are_asked_less_and_less_often() -> None:
    """A question costs both sides."""
    questions = []

    async def ask() -> bool:
        questions.append(1)
        return False

    with pytest.raises(AssertionError):
        await until(ask, within=1, what="nothing")

    assert len(questions) <= 12


async def test_waiting_in_vain_names_what_for() -> None:
    """When the time is over the failure names what was awaited and what was seen last."""
    with pytest.raises(AssertionError, match=r"waited 0\.05 s in vain for the mail; last seen: \[\]"):
        await until(list, within=0.05, what="the mail")


async def test_the_conditions_own_failure_goes_through() -> None:
    """A condition that fails, even by a time-out of its own, ends the waiting."""

    def look() -> bool:
        raise TimeoutError("mine")

    with pytest.raises(TimeoutError, match="mine"):
        await until(look, what="it")
