"""One run: programs with faults, killed, stopped and started, until faults cease and all work is finished."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from random import Random

from consumers.assembly import Assembly
from consumers.bounds import PARKED_TIMES
from consumers.replica import WatchdogBarked
from consumers.steps import Step
from runtime.kafka.records import Place
from tests.simulation.coordinator import Coordinator
from tests.simulation.event_queue import ProgramQueue, SimulatedQueue
from tests.simulation.faults import Faults
from tests.simulation.history import Happened, History, LogLine, Polled, Troubled, Unexpected
from tests.simulation.kafka import PARTITIONS, Logs, SimulatedReader, SimulatedRecords
from tests.simulation.loop import Program, SimulatedClock, SimulatedLoop
from tests.simulation.membership import SimulatedGroup
from tests.simulation.plan import FAULT_SECONDS, Action, Incident, Plan
from tests.simulation.producers import KNOWN, REFUSED, TOPICS, Written, contact_record
from tests.simulation.publishing import SimulatedPublisher
from tests.simulation.replica import build
from tests.simulation.reports import SimulatedReports
from tests.simulation.ses import ProgramSender, SimulatedSes
from tests.simulation.wire import Wire

MAX_PROGRAMS = 8
_QUIET_SECONDS = 2.5
"""How long all must be idle before a run is over: late records arrive within this."""
_PATIENCE_SECONDS = 120.0
_LOOK_SECONDS = 0.5


@dataclass(eq=False)
class Running:
    """A program, and the parts that it is made of."""

    program: Program
    stopping: asyncio.Event
    assembly: Assembly
    membership: SimulatedGroup
    main: asyncio.Task[None] | None = None
    over: bool = field(default=False)


class World:
    """Everything in one run."""

    def __init__(self, plan: Plan, random: Random, loop: SimulatedLoop, *, verbose: bool = False) -> None:
        self.plan = plan
        self.loop = loop
        self.history = History()
        self._random = random
        self._verbose = verbose
        self._clock = SimulatedClock(loop)
        self._faults = Faults(random, plan.rates)
        self._wire = Wire(loop, random)
        self._logs = Logs(loop, self._clock, self.history)
        self._ses = SimulatedSes(loop, self._wire, self._faults, self.history)
        self._ses.refused = REFUSED
        self._queue = SimulatedQueue(loop, self._wire, self._faults)
        self._reports: SimulatedReports | None = None
        if plan.feedback is not None:
            self._reports = SimulatedReports(plan.feedback, loop, self._queue, random, self.history)
            self._ses.on_accepted = self._reports.accepted
        self.coordinator = Coordinator(loop, self._wire, self._faults, self.history, TOPICS.group)
        self._running: list[Running] = []
        self._started = 0
        self._reached: Counter[Step] = Counter()

    def log(self, program: str, line: str) -> None:
        """Keep a log line for a person."""
        self.history.entries.append(LogLine(self.loop.time(), program, line))

    def unexpected(self, program: str, what: str) -> None:
        """Note an unexpected error."""
        self.history.entries.append(Unexpected(self.loop.time(), program, what))

    # -- programs ------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start one more replica."""
        if self._started >= MAX_PROGRAMS:
            return
        self._started += 1
        program = Program(f"p{self._started}")
        membership = SimulatedGroup(
            program.name, self.coordinator, self._logs, self.loop, self._wire, self._faults, self.history
        )

        def trouble() -> None:
            self.history.entries.append(Troubled(self.loop.time(), program.name))

        assembly = build(
            self.plan,
            self._clock,
            membership=membership,
            publisher=SimulatedPublisher(program.name, self._logs, self._wire, self._faults, trouble),
            reader=SimulatedReader(self._logs, self.loop, self._faults),
            records=SimulatedRecords(self._logs, self._faults),
            contacts_reader=SimulatedReader(self._logs, self.loop, self._faults),
            suppressions_reader=SimulatedReader(self._logs, self.loop, self._faults),
            controls_reader=SimulatedReader(self._logs, self.loop, self._faults),
            sender=ProgramSender(self._ses, program.name, lambda number: self._owns(program.name, number)),
            queue=ProgramQueue(self._queue, self._wire, self._faults) if self._reports else None,
            reached=lambda step, of: self._take_step(running, step, of),
            random=self._random.random,
        )
        running = Running(program, asyncio.Event(), assembly, membership)
        membership.on_poll = lambda: self._check_held(running)
        self._running.append(running)
        self._happened(running, "started")
        running.main = self.loop.start(self._main(running), program)

    def _owns(self, name: str, number: int) -> bool:
        return self.coordinator.owners.get(number, "").partition(".")[0] == name

    async def _main(self, running: Running) -> None:
        try:
            await running.assembly.replica.run(running.stopping)
            self._happened(running, "ended")
        except* WatchdogBarked:
            self._happened(running, "ended by its watchdog")
            self.loop.outside(0.1, self.start)
        except* Exception as error:  # noqa: BLE001 - whatever it is, it is reported
            self.unexpected(running.program.name, f"ended with {error.exceptions!r}")
            self.loop.outside(0.1, self.start)
        finally:
            running.over = True
            running.program.kill()

    def _check_held(self, running: Running) -> None:
        held = running.assembly.assignments.held
        bound = self.plan.records_held * (1 + PARKED_TIMES)
        if held > bound:
            self.history.entries.append(Polled(self.loop.time(), running.program.name, held, bound))

    def _happened(self, running: Running, what: str, detail: str = "") -> None:
        self.history.entries.append(Happened(self.loop.time(), running.program.name, what, detail))

    # -- incidents -----------------------------------------------------------------------------------------------

    def _take_step(self, running: Running, step: Step, of: str) -> None:
        if self._verbose:
            self.log(running.program.name, f"{step} {of}")
        self._reached[step] += 1
        incident = self.plan.triggered.get((step, self._reached[step]))
        if incident is not None and self.loop.time() < FAULT_SECONDS:
            self._apply(running, incident)

    def _apply_to_any(self, incident: Incident) -> None:
        alive = [one for one in self._running if not one.over and not one.program.frozen]
        if alive:
            self._apply(self._random.choice(alive), incident)

    def _apply(self, running: Running, incident: Incident) -> None:
        if running.over or running.program.frozen:
            return
        match incident.action:
            case Action.KILL:
                self._happened(running, "killed")
                running.over = True
                running.program.kill()
                self._wire.cut(running.program)
                self.loop.outside(incident.seconds, self.start)
            case Action.STOP:
                self._happened(running, "asked to stop")
                running.stopping.set()
                self.loop.outside(incident.seconds, self.start)
            case Action.PAUSE:
                self._happened(running, "frozen", f"{incident.seconds:g} s")
                running.program.frozen = True
                self.loop.outside(incident.seconds, self._resume, running)
            case Action.REBALANCE:
                self.coordinator.rebalance()
            case Action.START:
                self.loop.outside(incident.seconds, self.start)

    def _resume(self, running: Running) -> None:
        if running.program.frozen and not running.program.killed:
            self._happened(running, "resumed")
            self.loop.resume(running.program)

    # -- the run -------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Run with faults, then without, and wait until all work is finished."""
        for contact_id in KNOWN:
            self._write(contact_record(contact_id))
        for _ in range(self.plan.replicas):
            self.loop.outside(self._faults.latency() * 5, self.start)
        for at, written in (*self.plan.published, *self.plan.controls):
            self.loop.outside(at, self._write, written)
        if self._reports is not None:
            self._reports.put_junk()
        for at, incident in self.plan.timed:
            self.loop.outside(at, self._apply_to_any, incident)
        await asyncio.sleep(FAULT_SECONDS)
        self._faults.clear()
        self.log("world", "faults cease")
        await self._until_quiet()
        for one in self._running:
            if not one.over:
                self._note_leftovers(one)
        for fault in self.loop.errors:
            self.unexpected("loop", fault)

    def _write(self, written: Written) -> None:
        if self._verbose:
            self.log("producer", f"{written.what} at {written.place.topic}-{written.place.partition}")
        self._logs.append(written.place, written.key, written.value, written.headers, None)

    async def _until_quiet(self) -> None:
        deadline = self.loop.time() + _PATIENCE_SECONDS
        quiet_since = self.loop.time()
        while self.loop.time() < deadline:
            if all(one.over for one in self._running):
                self.start()
            if not self._is_quiet():
                quiet_since = self.loop.time()
            elif self.loop.time() - quiet_since >= _QUIET_SECONDS:
                self.history.quiet = True
                return
            await asyncio.sleep(_LOOK_SECONDS)

    def _is_quiet(self) -> bool:
        running = [one for one in self._running if not one.over]
        idle = all(
            not one.program.frozen and one.assembly.status.ready and not one.assembly.assignments.held
            for one in running
        )
        return idle and self._all_reported() and self._all_committed()

    def _all_reported(self) -> bool:
        return self._reports is None or not (self._reports.coming or self._queue.left)

    def _all_committed(self) -> bool:
        places = [Place(topic, number) for topic in TOPICS.group for number in range(PARTITIONS)]
        return all(self.coordinator.committed.get(place, 0) >= self._logs.end(place) for place in places)

    def _note_leftovers(self, running: Running) -> None:
        gate, assignments = running.assembly.gate, running.assembly.assignments
        left = {
            "records held": assignments.held,
            "waiting at the gate": gate.waiting,
            "sends in flight": gate.in_flight,
            "lanes": sum(len(assignment.lanes._lanes) for assignment in assignments),
            "tasks": sum(len(assignment._tasks) for assignment in assignments),
            "admission times": sum(len(assignment._taken_at) for assignment in assignments),
            "bytes held": sum(assignment.lanes.held_bytes for assignment in assignments),
        }
        kept = {what: number for what, number in left.items() if number}
        if kept:
            self.history.left[running.program.name] = str(kept)
