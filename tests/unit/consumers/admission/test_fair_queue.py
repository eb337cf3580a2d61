"""The order at the gate: a mentor delays another by one send at most; callers and the backlog both get turns."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from consumers.admission.fair_queue import FairQueue, Permit

MENTORS = [f"m-{number}" for number in range(8)]
MAX_AHEAD = 3


@dataclass
class Waiter:
    """A permit, and what happened while it waited."""

    permit: Permit
    caller: bool
    earlier: int
    """Permits that waited when it arrived."""
    earlier_callers: int
    turns: int = 0
    passed: Counter[str] = field(default_factory=Counter)
    """Turns that each mentor had since then, if it was of the same kind: callers who still wait, or the backlog."""
    overtaken: int = 0
    """Of these, the turns of permits that arrived later."""


class Waiting(RuleBasedStateMachine):
    """Permits arrive, leave and get their turns in any order; a mentor has at most one, as a lane has."""

    def __init__(self) -> None:
        super().__init__()
        self.queue = FairQueue()
        self.now = 0.0
        self.waiters: dict[str, Waiter] = {}
        self.ahead: list[str] = []

    @rule(mentor=st.sampled_from(MENTORS), patience=st.sampled_from([0, 0, 1, 5, 100]))
    def arrive(self, mentor: str, patience: int) -> None:
        """Add a mentor's next event, with a caller or without."""
        if mentor in self.waiters:
            return
        permit = Permit(mentor, 1, waits_until=self.now + patience if patience else 0.0)
        callers = sum(waiter.caller for waiter in self.waiters.values())
        self.waiters[mentor] = Waiter(permit, bool(patience), len(self.waiters), callers)
        self.queue.add(permit, self.now)

    @rule(seconds=st.sampled_from([0.5, 2.0, 50.0]))
    def pass_time(self, seconds: float) -> None:
        """Let callers stop waiting."""
        self.now += seconds

    @precondition(lambda self: self.waiters)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        """Remove a permit that had no turn."""
        mentor = data.draw(st.sampled_from(sorted(self.waiters)))
        self.queue.leave(self.waiters.pop(mentor).permit)

    @precondition(lambda self: self.waiters)
    @rule(again=st.booleans(), patience=st.sampled_from([0, 100]))
    def take_turn(self, *, again: bool, patience: int) -> None:
        """Take the next turn; a mentor with a long backlog arrives again at once."""
        permit = self.queue.next(self.now)
        callers = set(self.queue._callers)
        backlog = any(waiter.permit not in callers for waiter in self.waiters.values())
        self.queue.take(permit)

        taken = self.waiters.pop(permit.mentor_id)
        self._note(taken.permit, callers, backlog=backlog)
        if again:
            self.arrive(permit.mentor_id, patience)

    def _note(self, taken: Permit, callers: set[Permit], *, backlog: bool) -> None:
        """Note a turn; *callers* are those who still waited. Those whose time was over count as backlog by now."""
        for waiter in self.waiters.values():
            waiter.turns += 1
            if (waiter.permit in callers) == (taken in callers):
                waiter.passed[taken.mentor_id] += 1
                waiter.overtaken += waiter.permit.arrival < taken.arrival
        if backlog and taken in callers:
            self.ahead.append(taken.mentor_id)
        else:
            self.ahead.clear()

    @invariant()
    def the_queue_holds_all_that_wait(self) -> None:
        """No permit is forgotten, and none is kept."""
        assert {waiter.permit for waiter in self.waiters.values()} == set(self.queue)
        assert len(self.waiters) == len(self.queue)

    @invariant()
    def no_mentor_delays_another_by_more_than_one_send(self) -> None:
        """This holds among callers and among the backlog, however many events a mentor has."""
        for waiter in self.waiters.values():
            assert all(times <= 1 for times in waiter.passed.values())

    @invariant()
    def few_callers_go_ahead_of_the_backlog(self) -> None:
        """Between two turns of the backlog there are three callers at most, each of another mentor."""
        assert len(self.ahead) <= MAX_AHEAD
        assert len(set(self.ahead)) == len(self.ahead)

    @invariant()
    def nobody_starves(self) -> None:
        """How many turns a permit waits depends only on the permits before it."""
        for waiter in self.waiters.values():
            as_caller = 2 * (waiter.earlier_callers + MAX_AHEAD) if waiter.caller else 0
            assert waiter.turns < as_caller + (MAX_AHEAD + 1) * (waiter.earlier + 1)

    @invariant()
    def callers_go_first(self) -> None:
        """While a caller waits, at most every second turn goes to the backlog."""
        for waiter in self.waiters.values():
            if waiter.permit.waits_until > self.now:
                assert waiter.turns < 2 * (waiter.earlier_callers + MAX_AHEAD)

    @invariant()
    def equals_are_served_in_order_of_arrival(self) -> None:
        """The backlog is served in order; a caller may be overtaken when its own mentor has just had a turn."""
        for waiter in self.waiters.values():
            assert waiter.overtaken <= (MAX_AHEAD - 1 if waiter.caller else 0)


TestWaiting = Waiting.TestCase
TestWaiting.settings = settings(deadline=None, max_examples=150, stateful_step_count=40)


def _drain(queue: FairQueue, now: float = 0.0) -> list[str]:
    """Take every turn, and return the mentors in that order."""
    mentors = []
    while queue:
        permit = queue.next(now)
        queue.take(permit)
        mentors.append(permit.mentor_id)
    return mentors


def test_one_in_four_is_of_the_backlog() -> None:
    """Three callers go first, then one of the backlog, as long as there are both."""
    queue = FairQueue()
    for number in range(3):
        queue.add(Permit(f"b-{number}", 1), 0.0)
    for number in range(7):
        queue.add(Permit(f"c-{number}", 1, waits_until=9.0), 0.0)

    expected = ["c-0", "c-1", "c-2", "b-0", "c-3", "c-4", "c-5", "b-1", "c-6", "b-2"]
    assert expected == _drain(queue)


def test_a_mentors_callers_do_not_go_ahead_one_after_the_other() -> None:
    """Between two callers of one mentor, one of the backlog has its turn."""
    queue = FairQueue()
    for number in range(3):
        queue.add(Permit(f"b-{number}", 1), 0.0)
    mentors = []
    for _ in range(6):
        if not any(permit.mentor_id == "busy" for permit in queue):
            queue.add(Permit("busy", 1, waits_until=9.0), 0.0)
        permit = queue.next(0.0)
        queue.take(permit)
        mentors.append(permit.mentor_id)

    assert ["busy", "b-0", "busy", "b-1", "busy", "b-2"] == mentors


def test_a_caller_who_no_longer_waits_keeps_its_position() -> None:
    """In the backlog, permits whose callers were answered 202 keep the order of their arrival."""
    queue = FairQueue()
    for number in range(6):
        queue.add(Permit(str(number), 1, waits_until=1.0 if number % 2 else 0.0), 0.0)

    assert ["0", "1", "2", "3", "4", "5"] == _drain(queue, now=2.0)
