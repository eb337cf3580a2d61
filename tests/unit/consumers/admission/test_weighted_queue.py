"""Slow sources get their share while others wait, and the whole rate while none does. No permit is lost."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from consumers.admission.fair_queue import Permit
from consumers.admission.weighted_queue import WeightedQueue

MOST_EMAILS = 3
_NUMBERS = itertools.count()


def _add(queue: WeightedQueue, *, slow: bool, emails: int = 1) -> Permit:
    permit = Permit(f"m-{next(_NUMBERS)}", emails, slow=slow)
    queue.add(permit, 0.0)
    return permit


def _turn(queue: WeightedQueue) -> Permit:
    permit = queue.next(0.0)
    queue.take(permit)
    return permit


@given(
    share=st.floats(0.01, 0.9),
    emails=st.lists(st.tuples(st.integers(1, MOST_EMAILS), st.integers(1, MOST_EMAILS)), min_size=5, max_size=60),
)
def test_both_get_their_shares_while_both_wait(share: float, emails: list[tuple[int, int]]) -> None:
    """At every moment each has had its share of the e-mails, but for those of one dispatch."""
    queue, times = WeightedQueue(share), share / (1 - share)
    had = {True: 0, False: 0}
    for of_slow, of_others in emails:
        _add(queue, slow=True, emails=of_slow)
        _add(queue, slow=False, emails=of_others)
    while {permit.slow for permit in queue} == {True, False}:
        permit = _turn(queue)
        had[permit.slow] += permit.emails

        assert had[True] <= had[False] * times + 1e-6
        assert had[True] > had[False] * times - MOST_EMAILS * (1 + times) - 1e-6


@given(steps=st.lists(st.sampled_from(["slow", "other", "turn", "leave", "hasten"]), max_size=60), data=st.data())
def test_no_permit_is_lost(steps: list[str], data: st.DataObject) -> None:
    """Each permit waits until it has its turn or leaves, whatever becomes of the others, and has one turn."""
    queue, waiting = WeightedQueue(0.3), list[Permit]()
    for step in steps:
        if step in {"slow", "other"}:
            waiting.append(_add(queue, slow=step == "slow"))
        elif step == "turn" and waiting:
            waiting.remove(_turn(queue))
        elif waiting:
            permit = data.draw(st.sampled_from(waiting))
            if step == "leave":
                queue.leave(permit)
                waiting.remove(permit)
            elif permit.slow:
                queue.hasten(permit, 0.0)
        assert {id(permit) for permit in waiting} == {id(permit) for permit in queue}
        assert len(waiting) == len(queue)


def test_slow_ones_alone_get_every_turn() -> None:
    """The rate is not left unused, in the order of arrival."""
    queue = WeightedQueue(0.01)
    arrived = [_add(queue, slow=True) for _ in range(20)]

    assert arrived == [_turn(queue) for _ in range(20)]


def test_others_that_come_now_and_then_never_wait_for_slow_ones() -> None:
    """What the slow ones begin while nobody else waits counts as part of their share."""
    queue = WeightedQueue(0.5)
    for _ in range(40):
        _add(queue, slow=True)
    for _ in range(10):
        other = _add(queue, slow=False)

        assert other == _turn(queue)
        assert _turn(queue).slow


def test_a_backlog_of_slow_ones_saves_nothing_up() -> None:
    """A share that nobody used is gone: slow ones that come later do not get it at once."""
    queue = WeightedQueue(0.5)
    _add(queue, slow=True)
    for _ in range(10):
        _add(queue, slow=False)
    while any(permit.slow for permit in queue):
        _turn(queue)
    for _ in range(4):
        _turn(queue)
    for _ in range(3):
        _add(queue, slow=True)

    assert not _turn(queue).slow


def test_a_hastened_permit_goes_with_the_others() -> None:
    """It waits behind those who came before it, and before the slow ones."""
    queue = WeightedQueue(0.01)
    _add(queue, slow=True)
    hastened, other = _add(queue, slow=True), _add(queue, slow=False)
    queue.hasten(hastened, 0.0)

    assert [other, hastened] == [_turn(queue), _turn(queue)]
