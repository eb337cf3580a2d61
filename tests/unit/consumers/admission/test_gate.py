"""The gate: the account's rate, this replica's share, who goes first, and halts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

import pytest

from consumers.admission.gate import NO_CONTACTS, UNREACHABLE, Gate, Permit
from consumers.admission.token_bucket import next_slowness
from consumers.email import AnswerLost, EmailError, Halted, HaltReason, NotSent, Refused, Throttled
from schemas.dispatch import Reason
from tests.fakes.clock import FakeClock

HALTED = Halted("", halt=HaltReason.DAILY_QUOTA)
GONE = NotSent("", unreachable=True)


class Door:
    """A gate, those who go through it, and what their sends meet."""

    def __init__(self, *, rate: float = 10.0, max_in_flight: int = 1000, headroom: float = 0.0) -> None:
        self.clock = FakeClock()
        self.gate = Gate(self.clock, max_in_flight=max_in_flight, rate=rate, headroom=headroom)
        self.gate.set_share(1, 1)
        self.passed: list[tuple[float, str]] = []
        self.meets: Callable[[Permit], EmailError | None] = lambda _ticket: None
        self.seconds = 0.0
        self.tasks: list[asyncio.Task[None]] = []

    def comes(self, mentor: str, *, emails: int = 1, waits: float = 0.0, lost: bool = False) -> asyncio.Task[None]:
        """Have somebody wait at the gate, send, and leave."""
        until = self.clock.monotonic() + waits if waits else 0.0
        task = asyncio.create_task(self._go(Permit(mentor, emails, waits_until=until, answer_was_lost=lost)))
        self.tasks.append(task)
        return task

    async def _go(self, permit: Permit) -> None:
        await self.gate.enter(permit)
        with self.gate.leaving(permit):
            self.passed.append((self.clock.monotonic(), permit.mentor_id))
            if self.seconds:
                await self.clock.sleep(self.seconds)
            self.gate.report(permit.mentor_id, self.meets(permit))

    @property
    def mentors(self) -> list[str]:
        """Return who passed, in order."""
        return [mentor for _, mentor in self.passed]


@pytest.fixture(name="doors")
async def _doors() -> AsyncIterator[Callable[..., Door]]:
    """Return doors that are open until the test ends."""
    tasks: list[asyncio.Task[None]] = []
    made: list[Door] = []

    def make(**keywords: float) -> Door:
        door = Door(**keywords)  # type: ignore[arg-type]  # handed on
        made.append(door)
        tasks.append(asyncio.create_task(door.gate.run()))
        return door

    yield make
    for task in (*tasks, *(task for door in made for task in door.tasks)):
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


Doors = Callable[..., Door]


class TestRate:
    """E-mails per second."""

    @pytest.mark.parametrize("emails", [1, 2])
    async def test_it_is_obeyed_over_time(self, doors: Doors, emails: int) -> None:
        """In any stretch no more e-mails begin than the rate and a short burst allow, and no fewer than the rate."""
        door = doors(rate=10)
        for number in range(60):
            door.comes(f"m-{number}", emails=emails)
        await door.clock.advance(5)

        times = [time for time, _ in door.passed for _ in range(emails)]
        for first, begin in enumerate(times):
            for last in range(first, len(times)):
                assert last - first + 1 <= 10 * (times[last] - begin) + 2.5 + emails
        assert 48 <= len(times) <= 50

    @pytest.mark.parametrize(
        ("partitions_owned", "headroom", "expected"), [(12, 0.0, 12), (3, 0.0, 3), (3, 0.5, 1.5), (0, 0.0, 0)]
    )
    async def test_it_is_the_owned_share_of_the_account(
        self, doors: Doors, partitions_owned: int, headroom: float, expected: float
    ) -> None:
        """Partition numbers owned out of all, less the headroom."""
        door = doors(rate=12, headroom=headroom)
        door.gate.set_share(partitions_owned, 12)

        assert expected == door.gate.rate

    async def test_without_a_share_nothing_passes(self, doors: Doors) -> None:
        """And once there is one, it does."""
        door = doors()
        door.gate.set_share(0, 12)
        door.comes("a")
        await door.clock.advance(60)
        assert [] == door.passed

        door.gate.set_share(12, 12)
        await door.clock.advance(1)
        assert ["a"] == door.mentors

    async def test_a_new_share_starts_with_an_empty_bucket(self, doors: Doors) -> None:
        """A former owner may just have spent the rate."""
        door = doors(rate=10)
        await door.clock.advance(60)
        door.comes("first")  # the bucket is full, and one e-mail's worth is left in it
        await door.clock.advance(0)
        door.gate.set_share(1, 1)
        door.comes("a")
        await door.clock.advance(0.05)
        assert ["first"] == door.mentors

        await door.clock.advance(0.1)
        assert ["first", "a"] == door.mentors

    async def test_another_account_rate_counts_at_once(self, doors: Doors) -> None:
        """SES raised it."""
        door = doors(rate=1)
        for number in range(100):
            door.comes(f"m-{number}")
        door.gate.set_account_rate(50)
        await door.clock.advance(1)

        assert 48 <= len(door.passed) <= 63

    async def test_a_throttle_slows_and_time_heals(self, doors: Doors) -> None:
        """At most once a second a tenth or so is taken; it grows back by a twentieth a second, never above."""
        door = doors(rate=100)
        for _ in range(10):
            door.gate.report("m", Throttled(""))
        slowed = door.gate.rate
        assert 60 < slowed < 100

        await door.clock.advance(1)
        door.gate.set_account_rate(100)  # whatever refills
        assert slowed < door.gate.rate < 100
        await door.clock.advance(60)
        door.gate.set_account_rate(100)
        assert 100 == door.gate.rate

    def test_slowness_has_a_floor(self) -> None:
        """However often SES throttles, something is still tried."""
        slowness = 1.0
        for _ in range(100):
            slowness = next_slowness(slowness, throttled=True, seconds=0)

        assert 0.05 == slowness
        assert 1.0 == next_slowness(slowness, throttled=False, seconds=3600)


class TestPlaces:
    """How many sends are under way at once."""

    async def test_no_more_are_in_flight_than_allowed(self, doors: Doors) -> None:
        """Places are given back when sends are over, and each is used again."""
        door = doors(rate=1000, max_in_flight=4)
        door.seconds = 1.0
        for number in range(10):
            door.comes(f"m-{number}", emails=2)
        for expected in (2, 4, 6, 8, 10):
            await door.clock.advance(0.5)
            assert (expected, 4) == (len(door.passed), door.gate.in_flight)
            await door.clock.advance(0.5)
        await door.clock.advance(1)
        assert 0 == door.gate.in_flight

    async def test_a_ticket_larger_than_all_places_passes_alone(self, doors: Doors) -> None:
        """It is not stuck for ever, and nobody goes beside it."""
        door = doors(rate=1000, max_in_flight=1)
        door.seconds = 1.0
        door.comes("a", emails=2)
        door.comes("b", emails=1)
        await door.clock.advance(0.5)
        assert (["a"], 2) == (door.mentors, door.gate.in_flight)

        await door.clock.advance(1)
        assert ["a", "b"] == door.mentors

    async def test_a_ticket_larger_than_the_burst_passes(self, doors: Doors) -> None:
        """The bucket goes into debt rather than wait for what it never holds."""
        door = doors(rate=1)
        door.comes("a", emails=5)
        door.comes("b", emails=1)
        await door.clock.advance(2.1)
        assert ["a"] == door.mentors

        await door.clock.advance(4)
        assert ["a", "b"] == door.mentors

    async def test_one_cancelled_while_waiting_leaves_no_trace(self, doors: Doors) -> None:
        """Others pass as if it had never come."""
        door = doors()
        door.gate.set_share(0, 1)
        waiting = door.comes("a")
        door.comes("b")
        await door.clock.advance(0)
        waiting.cancel()
        await door.clock.advance(0)
        assert (1, 0) == (door.gate.waiting, door.gate.in_flight)

        door.gate.set_share(1, 1)
        await door.clock.advance(1)
        assert (["b"], 0) == (door.mentors, door.gate.in_flight)

    async def test_one_cancelled_as_it_was_let_in_gives_its_places_back(self, doors: Doors) -> None:
        """Its turn came and its task was cancelled before it ran: the places are free again."""
        door = doors(max_in_flight=1)
        permit = Permit("a", 1)
        entering = asyncio.create_task(door.gate.enter(permit))
        await asyncio.sleep(0)
        door.gate._open(permit)
        entering.cancel()
        with pytest.raises(asyncio.CancelledError):
            await entering
        assert 0 == door.gate.in_flight

        door.comes("b")
        await door.clock.advance(1)
        assert ["b"] == door.mentors


class TestCallers:
    """Who goes first."""

    async def test_those_who_still_wait_go_first_but_not_alone(self, doors: Doors) -> None:
        """Of four who pass, one at most is of the backlog while callers wait, and one is."""
        door = doors(rate=10)
        for number in range(20):
            door.comes(f"backlog-{number}")
        await door.clock.advance(0)
        for number in range(60):
            door.comes(f"caller-{number}", waits=30)
        await door.clock.advance(4.5)

        backlog = [mentor.startswith("backlog") for mentor in door.mentors[4:]]
        assert 0.2 <= sum(backlog) / len(backlog) <= 0.3

    async def test_one_who_waits_no_longer_is_backlog(self, doors: Doors) -> None:
        """A caller who has been answered 202 has no precedence any more."""
        door = doors(rate=10)
        door.gate.set_share(0, 1)
        door.comes("old", waits=1)
        door.comes("backlog")
        await door.clock.advance(5)
        door.comes("caller", waits=10)
        await door.clock.advance(0)
        door.gate.set_share(1, 1)
        await door.clock.advance(1)

        assert ["caller", "old", "backlog"] == door.mentors

    async def test_in_each_of_the_two_first_come_first_served(self, doors: Doors) -> None:
        """Nobody is overtaken by their equal."""
        door = doors(rate=100)
        for number in range(10):
            door.comes(str(number))
        await door.clock.advance(1)

        assert [str(number) for number in range(10)] == door.mentors


class TestHalts:
    """A rate of zero with a reason."""

    async def test_probes_go_one_at_a_time_with_other_mentors(self, doors: Doors) -> None:
        """Now one, and then others at growing distances; the rest waits."""
        door = doors(rate=1000)
        door.meets = lambda _ticket: HALTED
        door.gate.halt_for("sends", "daily_quota")
        door.seconds = 0.5
        for number in range(5):
            door.comes(f"m-{number}")
        await door.clock.advance(0.4)
        assert (["m-0"], 1, 0.0, "daily_quota") == (
            door.mentors,
            door.gate.in_flight,
            door.gate.rate,
            door.gate.halt,
        )

        await door.clock.advance(30)
        assert [f"m-{number}" for number in range(5)] == door.mentors
        gaps = [later - earlier for (earlier, _), (later, _) in zip(door.passed, door.passed[1:], strict=False)]
        assert [1.5, 2.5, 4.5, 5.5] == gaps

    async def test_a_probe_does_not_bet_on_one_mentor(self, doors: Doors) -> None:
        """The one just probed with comes after any other, though it came first."""
        door = doors()
        door.meets = lambda _ticket: HALTED
        door.gate.halt_for("sends", "daily_quota")
        door.comes("a")
        await door.clock.advance(0.5)
        door.comes("a")
        door.comes("b")
        await door.clock.advance(5)

        assert ["a", "b"] == door.mentors[:2]

    async def test_one_whose_answer_was_lost_probes_last(self, doors: Doors) -> None:
        """Its next loss would be its last."""
        door = doors()
        door.meets = lambda _ticket: HALTED
        door.gate.halt_for("sends", UNREACHABLE)
        door.comes("lost", lost=True)
        door.comes("a")
        door.comes("b")
        await door.clock.advance(30)

        assert ["a", "b", "lost"] == door.mentors

    async def test_without_contacts_nothing_is_probed(self, doors: Doors) -> None:
        """Their absence says more of our surroundings than of SES."""
        door = doors()
        door.gate.halt_for("contacts", NO_CONTACTS)
        door.comes("a")
        await door.clock.advance(600)
        assert [] == door.passed

        door.gate.resume("contacts")
        await door.clock.advance(1)
        assert ["a"] == door.mentors

    async def test_a_success_resumes(self, doors: Doors) -> None:
        """The first probe that SES takes ends the halt for all."""
        door = doors(rate=1000)
        door.gate.halt_for("sends", UNREACHABLE)
        for number in range(10):
            door.comes(f"m-{number}")
        await door.clock.advance(1)

        assert (10, None, 1000.0) == (len(door.passed), door.gate.halt, door.gate.rate)

    @pytest.mark.parametrize("error", [GONE, AnswerLost("")])
    async def test_three_mentors_make_an_outage(self, doors: Doors, error: EmailError) -> None:
        """One mentor's trouble may be their own; that of three without success between is SES's."""
        gate = doors().gate
        for mentor in ("a", "a", "a", "b"):
            gate.report(mentor, error)
        assert gate.halt is None

        gate.report("c", error)
        assert UNREACHABLE == gate.halt

    async def test_a_success_between_makes_it_none(self, doors: Doors) -> None:
        """SES was reached: counting begins anew."""
        gate = doors().gate
        for mentor in ("a", "b"):
            gate.report(mentor, GONE)
        gate.report("x", None)
        gate.report("c", GONE)

        assert gate.halt is None

    @pytest.mark.parametrize("error", [NotSent(""), Throttled(""), Refused("", reason=Reason.BAD_REQUEST)])
    async def test_other_errors_make_no_outage(self, doors: Doors, error: EmailError) -> None:
        """SES answered, and what it said concerns the one message or the speed."""
        gate = doors().gate
        for mentor in "abcdef":
            gate.report(mentor, error)

        assert gate.halt is None

    async def test_halts_of_two_sources_are_lifted_apart(self, doors: Doors) -> None:
        """Each takes back its own."""
        gate = doors().gate
        gate.halt_for("contacts", NO_CONTACTS)
        gate.halt_for("account", "sending_paused")
        gate.resume("contacts")
        assert "sending_paused" == gate.halt

        gate.resume("account")
        assert gate.halt is None

    async def test_a_cancelled_probe_lets_the_next_probe(self, doors: Doors) -> None:
        """A partition given up does not stop probing."""
        door = doors()
        door.meets = lambda _ticket: HALTED
        door.seconds = 5.0
        door.gate.halt_for("sends", "daily_quota")
        probing = door.comes("a")
        await door.clock.advance(0.1)
        door.comes("b")
        probing.cancel()
        await door.clock.advance(2)

        assert (["a", "b"], 1) == (door.mentors, door.gate.in_flight)
