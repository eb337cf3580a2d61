"""Contacts that are published after their event, and contacts that are deleted while it waits."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from schemas.contacts import Contact
from schemas.events import Role
from tests.chaos.checker import last_final, named
from tests.chaos.cluster import World
from tests.chaos.evidence import Evidence
from tests.chaos.load_driver import LoadDriver
from tests.chaos.poison import an_event
from tests.chaos.scenario import LONGEST, Figure, Scenario, load_driver, until_over, until_quiet
from tests.load import Load
from tests.waiting import until

_SOON_SECONDS = 60.0
_NEXT_TO_NOTHING, _PLENTY = 0.001, 100_000
"""E-mails a second that the account allows."""
_COORDINATOR, _LEAVING = "coordinator-000", "coordinator-leaving"
_SENT = "sent", None
_GONE = "failed", "unknown_contact"


@dataclass(frozen=True)
class _Case:
    """What happens to a contact around an event, and the expected outcome for mentor and coordinator."""

    name: str
    mentor: tuple[str, str | None]
    coordinator: tuple[str, str | None] = _SENT
    letters: tuple[str, ...] = ()
    coordinated_by: str = _COORDINATOR


_LATE = _Case("late", _SENT)
_COPIED = _Case("unknown, then known and published again", _SENT, letters=("unknown_mentor",))
_REPLAYED = _Case("unknown, then known and replayed", _SENT, letters=("unknown_mentor",))
_FORGOTTEN = _Case("forgotten while it waits", _GONE, letters=("failed",))
_BACK = _Case("forgotten and known again while it waits", _SENT)
_NO_ADDRESS = _Case("without an address while it waits", ("failed", "no_address"), letters=("failed",))
_LEFT = _Case("whose coordinator is forgotten", _SENT, _GONE, letters=("failed",), coordinated_by=_LEAVING)
_CASES = (_LATE, _COPIED, _REPLAYED, _FORGOTTEN, _BACK, _NO_ADDRESS, _LEFT)
_UNKNOWN_AT_FIRST = (_LATE, _COPIED, _REPLAYED)


class _People:
    """The mentors of each case, each with one event."""

    def __init__(self, stage: World, driver: LoadDriver, count: int) -> None:
        self._stage = stage
        self._driver = driver
        # In the alphabet of SES's tags, so that the checker finds them there.
        ids = {case: [f"{case.name.replace(',', '').replace(' ', '-')}-{n}" for n in range(count)] for case in _CASES}
        self.events = {
            case: [an_event("pause-activated", f"{stage.namespace}-{mentor}", mentor) for mentor in mentors]
            for case, mentors in ids.items()
        }

    async def know(self, case: _Case, *, email: bool = True) -> None:
        """Publish a case's mentors."""
        async with asyncio.TaskGroup() as together:
            for event in self.events[case]:
                mentor = event.mentor_id
                address = f"{mentor}@example.org" if email else None
                contact = Contact(id=mentor, role=Role.MENTOR, email=address, coordinator_id=case.coordinated_by)
                together.create_task(self._driver.contact(contact))

    async def forget(self, case: _Case) -> None:
        """Delete a case's mentors."""
        for event in self.events[case]:
            await self._driver.forget(event.mentor_id)

    async def publish(self, case: _Case) -> None:
        """Publish a case's events."""
        await asyncio.gather(*map(self._driver.publish, self.events[case]))

    async def until_unknown(self, case: _Case) -> None:
        """Wait until a case's events have ended as unknown mentor."""
        theirs = {event.dispatch_id for event in self.events[case]}
        letters = self._stage.evidence.letters
        await until(lambda: theirs <= {one.dispatch_id for one in letters}, within=_SOON_SECONDS, what="unknown_mentor")

    async def until_read(self, contacts: int) -> None:
        """Wait until every replica has this many contacts."""

        async def read() -> bool:
            known = [await replica.metric("pause_notifications_contacts") for replica in self._stage.replicas]
            return set(known) == {contacts}

        await until(read, within=_SOON_SECONDS, what=f"{contacts} contacts")

    async def until_they_wait(self) -> None:
        """Wait until a dispatch waits at the gate of every replica."""

        async def waiting() -> bool:
            waiters = [await replica.metric("pause_notifications_gate_waiting") for replica in self._stage.replicas]
            return min(waiters) > 0

        await until(waiting, within=_SOON_SECONDS, what="dispatches waiting at each gate")

    def wrong(self, evidence: Evidence) -> list[str]:
        """Return the mentors with another outcome than expected."""
        ended = last_final(evidence.records)
        found = []
        for case, events in self.events.items():
            for event in events:
                stood = ended[event.dispatch_id].recipients if event.dispatch_id in ended else {}
                told = {contact: (one.status, one.reason) for contact, one in stood.items()}
                letters = tuple(one.reason for one in evidence.letters if one.dispatch_id == event.dispatch_id)
                due = {event.mentor_id: case.mentor, case.coordinated_by: case.coordinator}
                if (told, letters) != (due, case.letters):
                    found.append(f"{event.mentor_id}: {told}, {letters}")
        return found


async def contacts(stage: World) -> Sequence[Figure]:
    """Publish contacts after their event, and delete contacts between event and send."""
    least = stage.size(short=100, full=2000)
    load = Load(least * LONGEST, mentors=100, name=stage.namespace)
    await stage.programs(replicas=2, facades=1, unknown_mentor_grace_seconds=3)
    async with load_driver(stage, load) as driver:
        people = _People(stage, driver, stage.size(short=2, full=20))
        await driver.contacts()
        async with asyncio.TaskGroup() as together:
            acting = together.create_task(_come_and_go(stage, driver, people))
            numbers = until_over(acting.done, least=least, most=load.events)
            together.create_task(driver.run(numbers, per_second=40))
        await until_quiet(stage)
    wrong = people.wrong(stage.evidence)
    letters = Counter(letter.reason for letter in stage.evidence.letters)
    due = sum(len(case.letters) * len(events) for case, events in people.events.items())
    return [
        Figure("mentors who come and go", sum(map(len, people.events.values()))),
        Figure("of whom something else has become than must", len(wrong), 0, why=named(wrong)),
        Figure("dead letters beyond theirs", letters.total() - due, 0, why=str(dict(letters))),
    ]


async def _come_and_go(stage: World, driver: LoadDriver, people: _People) -> None:
    await _become_known(stage, people)
    await _are_forgotten(stage, driver, people, len(list(driver.load.contacts())))


async def _become_known(stage: World, people: _People) -> None:
    """Publish events about unknown mentors; some become known at once, some after the decision."""
    stage.mark("fault", "events come before their contacts")
    await people.publish(_LATE)
    await people.know(_LATE)
    for case in (_COPIED, _REPLAYED):
        await people.publish(case)
    for case in (_COPIED, _REPLAYED):
        await people.until_unknown(case)
        await people.know(case)
    await people.publish(_COPIED)
    ids = [option for event in people.events[_REPLAYED] for option in ("--id", event.dispatch_id)]
    await stage.command("dead-letters", "replay", "--yes", *ids)


async def _are_forgotten(stage: World, driver: LoadDriver, people: _People, others: int) -> None:
    """
    Publish about people while SES takes next to nothing, and forget some of them before it goes on.

    It is slow and not paused: in a halt probes go through, and one may meet somebody just while they are forgotten.
    """
    waiting = [case for case in _CASES if case not in _UNKNOWN_AT_FIRST]
    leaving = Contact(id=_LEAVING, role=Role.COORDINATOR, email=f"{_LEAVING}@example.org")
    await driver.contact(leaving)
    for case in waiting:
        await people.know(case)
    count = len(people.events[_LATE])
    everybody = others + 1 + len(_CASES) * count
    await people.until_read(everybody)
    stage.mark("fault", "SES takes next to nothing")
    await stage.ses.set(max_send_rate=_NEXT_TO_NOTHING)
    await people.until_they_wait()
    for case in waiting:
        await people.publish(case)
    for case in (_FORGOTTEN, _BACK):
        await people.forget(case)
    await driver.forget(_LEAVING)
    await people.until_read(everybody - 1 - 2 * count)
    await people.know(_NO_ADDRESS, email=False)
    await people.know(_BACK)
    await people.until_read(everybody - 1 - count)
    await stage.ses.set(max_send_rate=_PLENTY)
    stage.mark("well", "SES goes on")


SCENARIOS = (Scenario("15", "contacts", "contacts that come late, and that are forgotten", contacts),)
