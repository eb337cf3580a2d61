"""The gate: the account's rate, this replica's share, the order, and halts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

import pytest

from consumers.admission.gate import CONTACTS_NOT_READ, NO_CONTACTS, SUPPRESSIONS_NOT_READ, UNREACHABLE, Gate, Permit
from consumers.admission.token_bucket import next_rate_factor
from consumers.email import AnswerLost, EmailError, Halted, HaltReason, NotSent, Refused, Throttled
from schemas.dispatch import Reason
from tests.fakes.clock import FakeClock

HALTED = Halted("", halt=HaltReason.DAILY_QUOTA)
GONE = NotSent("", unreachable=True)


class Door:
    """A gate, the sends that pass it, and their results."""

    def __init__(self, *, rate: float = 10.0, max_in_flight: int = 1000, headroom: float = 0.0) -> None:
        self.clock = FakeClock()
        self.gate = Gate(self.clock, max_in_flight=max_in_flight, rate=rate, headroom=headroom)
        self.gate.set_share(1, 1)
        self.passed: list[tuple[float, str]] = []
        self.result: Callable[[Permit], EmailError | None] = lambda _permit: None
        self.seconds = 0.0
        self.tasks: list[asyncio.Task[None]] = []

    def send(self, mentor: str, *, emails: int = 1, waits: float = 0.0, lost: bool = False) -> asyncio.Task[None]:
        """Start a task that waits at the gate, sends, and leaves."""
        until = self.clock.monotonic() + waits if waits else 0.0
        task = asyncio.create_task(self._send(Permit(mentor, emails, waits_until=until, answer_was_lost=lost)))
        self.tasks.append(task)
        return task

    async def _send(self, permit: Permit) -> None:
        await self.gate.enter(permit)
        with self.gate.leaving(permit):
            self.passed.append((self.clock.monotonic(), permit.mentor_id))
            if self.seconds:
                await self.clock.sleep(self.seconds)
            self.gate.report(permit.mentor_id, self.result(permit))

    @property
    def mentors(self) -> list[str]:
        """Return the mentors whose sends passed, in order."""
        return [mentor for _, mentor in self.passed]


@pytest.fixture(name="doors")
async def _doors() -> AsyncIterator[Callable[..., Door]]:
    """Return a function that makes gates which run until the test ends."""
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
    """How many e-mails a second begin."""

    @pytest.mark.parametrize("emails", [1, 2])
    async def test_it_is_obeyed_over_time(self, doors: Doors, emails: int) -> None:
        """In any interval no more e-mails begin than the rate and a short burst allow, and no fewer than the rate."""
        door = doors(rate=10)
        for number in range(60):
            door.send(f"m-{number}", emails=emails)
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
        """The share is the owned partition numbers out of all; the headroom is taken off."""
        door = doors(rate=12, headroom=headroom)
        door.gate.set_share(partitions_owned, 12)

        assert expected == door.gate.rate

    async def test_without_a_share_nothing_passes(self, doors: Doors) -> None:
        """A send passes once there is a share."""
        door = doors()
        door.gate.set_share(0, 12)
        door.send("a")
        await door.clock.advance(60)
        assert [] == door.passed

        door.gate.set_share(12, 12)
        await door.clock.advance(1)
        assert ["a"] == door.mentors

    async def test_a_new_share_starts_with_an_empty_bucket(self, doors: Doors) -> None:
        """A former owner may just have used the rate."""
        door = doors(rate=10)
        await door.clock.advance(60)
        door.send("first")  # the bucket is full, and one e-mail's worth is left in it
        await door.clock.advance(0)
        door.gate.set_share(1, 1)
        door.send("a")
        await door.clock.advance(0.05)
        assert ["first"] == door.mentors

        await door.clock.advance(0.1)
        assert ["first", "a"] == door.mentors

    async def test_another_account_rate_counts_at_once(self, doors: Doors) -> None:
        """When SES raises the rate, sends that wait begin sooner."""
        door = doors(rate=1)
        for number in range(100):
            door.send(f"m-{number}")
        door.gate.set_account_rate(50)
        await door.clock.advance(1)

        assert 48 <= len(door.passed) <= 63

    async def test_a_throttle_lowers_the_rate_and_time_restores_it(self, doors: Doors) -> None:
        """Ten throttles at once count as one. The rate grows back slowly, and never beyond the account's."""
        door = doors(rate=100)
        for _ in range(10):
            door.gate.report("m", Throttled(""))
        lowered = door.gate.rate
        assert 60 < lowered < 100

        await door.clock.advance(1)
        door.gate.set_account_rate(100)  # refills the bucket
        assert lowered < door.gate.rate < 100
        await door.clock.advance(60)
        door.gate.set_account_rate(100)
        assert 100 == door.gate.rate

    def test_the_rate_factor_has_a_floor(self) -> None:
        """However often SES throttles, some sends are still tried."""
        rate_factor = 1.0
        for _ in range(100):
            rate_factor = next_rate_factor(rate_factor, throttled=True, seconds=0)

        assert 0.05 == rate_factor
        assert 1.0 == next_rate_factor(rate_factor, throttled=False, seconds=3600)


class TestInFlight:
    """How many sends are in flight at once."""

    async def test_no_more_are_in_flight_than_allowed(self, doors: Doors) -> None:
        """When sends end, as many others begin."""
        door = doors(rate=1000, max_in_flight=4)
        door.seconds = 1.0
        for number in range(10):
            door.send(f"m-{number}", emails=2)
        for expected in (2, 4, 6, 8, 10):
            await door.clock.advance(0.5)
            assert expected == len(door.passed)
            assert 4 == door.gate.in_flight
            await door.clock.advance(0.5)
        await door.clock.advance(1)
        assert 0 == door.gate.in_flight

    async def test_a_permit_larger_than_the_limit_passes_alone(self, doors: Doors) -> None:
        """It does not wait for ever, and no other send is in flight with it."""
        door = doors(rate=1000, max_in_flight=1)
        door.seconds = 1.0
        door.send("a", emails=2)
        door.send("b", emails=1)
        await door.clock.advance(0.5)
        assert ["a"] == door.mentors
        assert 2 == door.gate.in_flight

        await door.clock.advance(1)
        assert ["a", "b"] == door.mentors

    async def test_a_permit_larger_than_the_burst_passes(self, doors: Doors) -> None:
        """The bucket goes into debt, since it never holds that many tokens."""
        door = doors(rate=1)
        door.send("a", emails=5)
        door.send("b", emails=1)
        await door.clock.advance(2.1)
        assert ["a"] == door.mentors

        await door.clock.advance(4)
        assert ["a", "b"] == door.mentors

    async def test_one_cancelled_while_waiting_leaves_no_trace(self, doors: Doors) -> None:
        """Others pass as if it had never waited."""
        door = doors()
        door.gate.set_share(0, 1)
        waiting = door.send("a")
        door.send("b")
        await door.clock.advance(0)
        waiting.cancel()
        await door.clock.advance(0)
        assert 1 == door.gate.waiting
        assert 0 == door.gate.in_flight

        door.gate.set_share(1, 1)
        await door.clock.advance(1)
        assert ["b"] == door.mentors
        assert 0 == door.gate.in_flight

    async def test_one_cancelled_just_after_its_grant_is_not_in_flight(self, doors: Doors) -> None:
        """Its permit was granted, but its task was cancelled before it ran: another send may begin."""
        door = doors(max_in_flight=1)
        permit = Permit("a", 1)
        entering = asyncio.create_task(door.gate.enter(permit))
        await asyncio.sleep(0)
        door.gate._grant(permit)
        entering.cancel()
        with pytest.raises(asyncio.CancelledError):
            await entering
        assert 0 == door.gate.in_flight

        door.send("b")
        await door.clock.advance(1)
        assert ["b"] == door.mentors


class TestCallers:
    """Whose sends go first."""

    async def test_those_who_still_wait_go_first_but_not_alone(self, doors: Doors) -> None:
        """While callers wait, one of four sends that pass is of the backlog."""
        door = doors(rate=10)
        for number in range(20):
            door.send(f"backlog-{number}")
        await door.clock.advance(0)
        for number in range(60):
            door.send(f"caller-{number}", waits=30)
        await door.clock.advance(4.5)

        backlog = [mentor.startswith("backlog") for mentor in door.mentors[4:]]
        assert 0.2 <= sum(backlog) / len(backlog) <= 0.3

    async def test_one_who_waits_no_longer_is_backlog(self, doors: Doors) -> None:
        """A caller who was answered 202 no longer has precedence."""
        door = doors(rate=10)
        door.gate.set_share(0, 1)
        door.send("old", waits=1)
        door.send("backlog")
        await door.clock.advance(5)
        door.send("caller", waits=10)
        await door.clock.advance(0)
        door.gate.set_share(1, 1)
        await door.clock.advance(1)

        assert ["caller", "old", "backlog"] == door.mentors

    async def test_the_backlog_is_first_in_first_out(self, doors: Doors) -> None:
        """Sends without a caller pass in the order of their arrival."""
        door = doors(rate=100)
        for number in range(10):
            door.send(str(number))
        await door.clock.advance(1)

        assert [str(number) for number in range(10)] == door.mentors


class TestHalts:
    """What a rate of zero with a reason lets through."""

    async def test_probes_go_one_at_a_time_with_other_mentors(self, doors: Doors) -> None:
        """One goes at once, then others at growing intervals; the rest wait."""
        door = doors(rate=1000)
        door.result = lambda _permit: HALTED
        door.gate.halt_for("sends", "daily_quota")
        door.seconds = 0.5
        for number in range(5):
            door.send(f"m-{number}")
        await door.clock.advance(0.4)
        assert ["m-0"] == door.mentors
        assert 1 == door.gate.in_flight
        assert 0.0 == door.gate.rate
        assert "daily_quota" == door.gate.halt

        await door.clock.advance(30)
        assert [f"m-{number}" for number in range(5)] == door.mentors
        gaps = [later - earlier for (earlier, _), (later, _) in zip(door.passed, door.passed[1:], strict=False)]
        assert [1.5, 2.5, 4.5, 5.5] == gaps

    async def test_probes_alternate_between_mentors(self, doors: Doors) -> None:
        """The mentor of the last probe comes after any other, even if it arrived first."""
        door = doors()
        door.result = lambda _permit: HALTED
        door.gate.halt_for("sends", "daily_quota")
        door.send("a")
        await door.clock.advance(0.5)
        door.send("a")
        door.send("b")
        await door.clock.advance(5)

        assert ["a", "b"] == door.mentors[:2]

    async def test_one_whose_answer_was_lost_probes_last(self, doors: Doors) -> None:
        """If its answer is lost again, it is not tried again."""
        door = doors()
        door.result = lambda _permit: HALTED
        door.gate.halt_for("sends", UNREACHABLE)
        door.send("lost", lost=True)
        door.send("a")
        door.send("b")
        await door.clock.advance(30)

        assert ["a", "b", "lost"] == door.mentors

    @pytest.mark.parametrize("reason", [NO_CONTACTS, CONTACTS_NOT_READ, SUPPRESSIONS_NOT_READ])
    async def test_without_contacts_nothing_is_probed(self, doors: Doors, reason: str) -> None:
        """Missing contacts or suppressions say nothing about SES, so a probe would tell nothing."""
        door = doors()
        door.gate.halt_for("contacts", reason)
        door.send("a")
        await door.clock.advance(600)
        assert [] == door.passed

        door.gate.resume("contacts")
        await door.clock.advance(1)
        assert ["a"] == door.mentors

    async def test_a_success_resumes(self, doors: Doors) -> None:
        """The first probe that SES accepts ends the halt for all."""
        door = doors(rate=1000)
        door.gate.halt_for("sends", UNREACHABLE)
        for number in range(10):
            door.send(f"m-{number}")
        await door.clock.advance(1)

        assert 10 == len(door.passed)
        assert door.gate.halt is None
        assert 1000.0 == door.gate.rate

    @pytest.mark.parametrize("error", [GONE, AnswerLost("")])
    async def test_three_mentors_make_an_outage(self, doors: Doors, error: EmailError) -> None:
        """One mentor's failures may be its own; failures of three mentors without a success between are SES's."""
        gate = doors().gate
        for mentor in ("a", "a", "a", "b"):
            gate.report(mentor, error)
        assert gate.halt is None

        gate.report("c", error)
        assert UNREACHABLE == gate.halt

    async def test_a_success_between_is_no_outage(self, doors: Doors) -> None:
        """SES was reached, so counting starts again."""
        gate = doors().gate
        for mentor in ("a", "b"):
            gate.report(mentor, GONE)
        gate.report("x", None)
        gate.report("c", GONE)

        assert gate.halt is None

    @pytest.mark.parametrize("error", [NotSent(""), Throttled(""), Refused("", reason=Reason.BAD_REQUEST)])
    async def test_other_errors_make_no_outage(self, doors: Doors, error: EmailError) -> None:
        """SES answered, and the answer is about one message or about the rate."""
        gate = doors().gate
        for mentor in "abcdef":
            gate.report(mentor, error)

        assert gate.halt is None

    @pytest.mark.parametrize("error", [Throttled(""), Refused("", reason=Reason.MESSAGE_REJECTED)])
    async def test_an_answer_about_one_message_ends_an_outage(self, doors: Doors, error: EmailError) -> None:
        """SES was reached: refused e-mails at the head of the queue must not let one through every five seconds."""
        door = doors(rate=1000)
        door.result = lambda _permit: error
        door.gate.halt_for("sends", UNREACHABLE)
        for number in range(10):
            door.send(f"m-{number}")
        await door.clock.advance(1)

        assert door.gate.halt is None
        assert 10 == len(door.passed)

    async def test_an_answer_about_one_message_begins_the_count_anew(self, doors: Doors) -> None:
        """Answers lost before and after it are no outage."""
        gate = doors().gate
        for mentor in ("a", "b"):
            gate.report(mentor, GONE)
        gate.report("x", Refused("", reason=Reason.BAD_REQUEST))
        gate.report("c", GONE)

        assert gate.halt is None

    async def test_a_refusal_ends_no_other_halt(self, doors: Doors) -> None:
        """Nobody knows whether SES looks at the message before it looks at the account."""
        gate = doors().gate
        gate.halt_for("sends", "daily_quota")
        gate.report("a", Refused("", reason=Reason.MESSAGE_REJECTED))

        assert "daily_quota" == gate.halt

    async def test_halts_of_two_sources_end_separately(self, doors: Doors) -> None:
        """Each source ends only its own halt."""
        gate = doors().gate
        gate.halt_for("contacts", NO_CONTACTS)
        gate.halt_for("account", "sending_paused")
        gate.resume("contacts")
        assert "sending_paused" == gate.halt

        gate.resume("account")
        assert gate.halt is None

    async def test_after_a_cancelled_probe_another_probes(self, doors: Doors) -> None:
        """Probing continues when the partition of a probe is revoked."""
        door = doors()
        door.result = lambda _permit: HALTED
        door.seconds = 5.0
        door.gate.halt_for("sends", "daily_quota")
        probing = door.send("a")
        await door.clock.advance(0.1)
        door.send("b")
        probing.cancel()
        await door.clock.advance(2)

        assert ["a", "b"] == door.mentors
        assert 1 == door.gate.in_flight
