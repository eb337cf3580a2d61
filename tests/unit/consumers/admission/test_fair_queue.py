"""Whose turn it is: no mentor delays another by more than one send, and neither callers nor the backlog starve."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from consumers.admission.fair_queue import FairQueue, Permit

MENTORS = [f"m-{number}" for number in range(8)]
MOST_AHEAD = 3


@dataclass
class Waiter:
    """A ticket, and what it has seen while it waited."""

    permit: Permit
    caller: bool
    earlier: int
    """Tickets that waited when it came."""
    earlier_callers: int
    turns: int = 0
    passed: Counter[str] = field(default_factory=Counter)
    """Turns that mentors had since it came who were then of its own kind: callers who still wait, or the backlog."""
    overtaken: int = 0
    """Of these, the turns of tickets that came after it."""


class Waiting(RuleBasedStateMachine):
    """Tickets come, give up and have their turns in any order; a mentor has at most one, as a lane has."""

    def __init__(self) -> None:
        super().__init__()
        self.turns = FairQueue()
        self.now = 0.0
        self.waiters: dict[str, Waiter] = {}
        self.ahead: list[str] = []

    @rule(mentor=st.sampled_from(MENTORS), patience=st.sampled_from([0, 0, 1, 5, 100]))
    def come(self, mentor: str, patience: int) -> None:
        """Have a mentor's next event wait, with a caller or without."""
        if mentor in self.waiters:
            return
        permit = Permit(mentor, 1, waits_until=self.now + patience if patience else 0.0)
        callers = sum(waiter.caller for waiter in self.waiters.values())
        self.waiters[mentor] = Waiter(permit, bool(patience), len(self.waiters), callers)
        self.turns.add(permit, self.now)

    @rule(seconds=st.sampled_from([0.5, 2.0, 50.0]))
    def pass_time(self, seconds: float) -> None:
        """Let callers lose their patience."""
        self.now += seconds

    @precondition(lambda self: self.waiters)
    @rule(data=st.data())
    def give_up(self, data: st.DataObject) -> None:
        """Have somebody leave without a turn."""
        mentor = data.draw(st.sampled_from(sorted(self.waiters)))
        self.turns.leave(self.waiters.pop(mentor).permit)

    @precondition(lambda self: self.waiters)
    @rule(again=st.booleans(), patience=st.sampled_from([0, 100]))
    def have_a_turn(self, *, again: bool, patience: int) -> None:
        """Give the next its turn; who has 10,000 events is there again at once."""
        permit = self.turns.next(self.now)
        callers = set(self.turns._callers)
        backlog = any(waiter.permit not in callers for waiter in self.waiters.values())
        self.turns.take(permit)

        taken = self.waiters.pop(permit.mentor_id)
        self._note(taken.permit, callers, backlog=backlog)
        if again:
            self.come(permit.mentor_id, patience)

    def _note(self, taken: Permit, callers: set[Permit], *, backlog: bool) -> None:
        """Note a turn; *callers* are those who still waited: whose patience is over belongs to the backlog by now."""
        for waiter in self.waiters.values():
            waiter.turns += 1
            if (waiter.permit in callers) == (taken in callers):
                waiter.passed[taken.mentor_id] += 1
                waiter.overtaken += waiter.permit.number < taken.number
        if backlog and taken in callers:
            self.ahead.append(taken.mentor_id)
        else:
            self.ahead.clear()

    @invariant()
    def who_waits_is_known(self) -> None:
        """Nobody is forgotten, and nobody kept."""
        assert {waiter.permit for waiter in self.waiters.values()} == set(self.turns)
        assert len(self.waiters) == len(self.turns)

    @invariant()
    def no_mentor_delays_another_by_more_than_one_send(self) -> None:
        """Of the same kind, callers or backlog: however many events the other has."""
        for waiter in self.waiters.values():
            assert all(times <= 1 for times in waiter.passed.values())

    @invariant()
    def few_callers_go_ahead_of_the_backlog(self) -> None:
        """Between two turns of a backlog, three callers at most, each of another mentor."""
        assert len(self.ahead) <= MOST_AHEAD
        assert len(set(self.ahead)) == len(self.ahead)

    @invariant()
    def nobody_starves(self) -> None:
        """Everybody's turn comes within a number of turns that depends on those before them alone."""
        for waiter in self.waiters.values():
            as_caller = 2 * (waiter.earlier_callers + MOST_AHEAD) if waiter.caller else 0
            assert waiter.turns < as_caller + (MOST_AHEAD + 1) * (waiter.earlier + 1)

    @invariant()
    def callers_go_first(self) -> None:
        """One who still waits lets every second turn at most go to the backlog."""
        for waiter in self.waiters.values():
            if waiter.permit.waits_until > self.now:
                assert waiter.turns < 2 * (waiter.earlier_callers + MOST_AHEAD)

    @invariant()
    def equals_are_served_as_they_came(self) -> None:
        """In the backlog strictly; a caller, while it waits, only by those who wait while their mentor had a turn."""
        for waiter in self.waiters.values():
            assert waiter.overtaken <= (MOST_AHEAD - 1 if waiter.caller else 0)


TestWaiting = Waiting.TestCase
TestWaiting.settings = settings(deadline=None, max_examples=150, stateful_step_count=40)


def _queue(turns: FairQueue, now: float = 0.0) -> list[str]:
    """Return every ticket its turn, and give their mentors in that order."""
    mentors = []
    while turns:
        permit = turns.next(now)
        turns.take(permit)
        mentors.append(permit.mentor_id)
    return mentors


def test_one_in_four_is_of_the_backlog() -> None:
    """Three callers, then one of the backlog, as long as there are both."""
    turns = FairQueue()
    for number in range(3):
        turns.add(Permit(f"b-{number}", 1), 0.0)
    for number in range(7):
        turns.add(Permit(f"c-{number}", 1, waits_until=9.0), 0.0)

    expected = ["c-0", "c-1", "c-2", "b-0", "c-3", "c-4", "c-5", "b-1", "c-6", "b-2"]
    assert expected == _queue(turns)


def test_a_mentors_callers_do_not_go_ahead_one_after_the_other() -> None:
    """A mentor with a caller after each send lets one of the backlog go between."""
    turns = FairQueue()
    for number in range(3):
        turns.add(Permit(f"b-{number}", 1), 0.0)
    mentors = []
    for _ in range(6):
        if not any(permit.mentor_id == "busy" for permit in turns):
            turns.add(Permit("busy", 1, waits_until=9.0), 0.0)
        permit = turns.next(0.0)
        turns.take(permit)
        mentors.append(permit.mentor_id)

    assert ["busy", "b-0", "busy", "b-1", "busy", "b-2"] == mentors


def test_who_lost_patience_keeps_their_place() -> None:
    """Among the backlog, those whose callers were answered 202 stand where they came in, and in that order."""
    turns = FairQueue()
    for number in range(6):
        turns.add(Permit(str(number), 1, waits_until=1.0 if number % 2 else 0.0), 0.0)

    assert ["0", "1", "2", "3", "4", "5"] == _queue(turns, now=2.0)
