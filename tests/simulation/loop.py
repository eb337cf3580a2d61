"""An event loop without sockets, threads or real time, whose programs can be frozen and killed as a whole."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Coroutine
from contextlib import suppress
from contextvars import Context, ContextVar, copy_context
from datetime import UTC, datetime, timedelta
from typing import Any

START = datetime(2026, 3, 26, 8, 30, tzinfo=UTC)
_CLOSINGS = 10
"""How often a coroutine is closed: each `await` in its `finally` blocks survives one call."""


class Program:
    """One running program: all tasks that were started in it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.frozen = False
        """Whether it is frozen, as after SIGSTOP; what would have run is deferred."""
        self.killed = False
        self._deferred: list[asyncio.Handle] = []

    def defer(self, handle: asyncio.Handle) -> None:
        """Defer what would have run now; in a killed program it never runs."""
        if not self.killed:
            self._deferred.append(handle)

    def resume(self) -> list[asyncio.Handle]:
        """Return what was deferred while it was frozen."""
        self.frozen = False
        deferred, self._deferred = self._deferred, []
        return deferred

    def kill(self) -> None:
        """Run nothing of it again: no `finally`, no cancellation, as after SIGKILL."""
        self.frozen = self.killed = True
        self._deferred.clear()


PROGRAM: ContextVar[Program | None] = ContextVar("program", default=None)


class SimulatedTask(asyncio.Task[Any]):
    """A task that is hashed by its number, not its address, so that sets have the same order in each run."""

    number = 0

    def __hash__(self) -> int:
        """Return its number in its loop."""
        return self.number


class Stuck(Exception):
    """No task is ready and no timer is due: all tasks wait for each other."""


class SimulatedLoop(asyncio.BaseEventLoop):
    """Jumps to the next timer when no task is ready; the same calls give the same run."""

    def __init__(self) -> None:
        super().__init__()
        self._virtual_now = 0.0
        self._tasks: list[SimulatedTask] = []
        self.errors: list[str] = []
        """Errors that no code handled."""
        self.set_task_factory(self._make_task)
        self.set_exception_handler(self._note_error)

    def time(self) -> float:
        """Return the virtual seconds since the run began."""
        return self._virtual_now

    def _make_task(
        self, loop: asyncio.AbstractEventLoop, coroutine: Any, *, context: Context | None = None
    ) -> asyncio.Task[Any]:
        task = SimulatedTask(coroutine, loop=loop, context=context)
        task.number = len(self._tasks)
        task._log_destroy_pending = False  # type: ignore[attr-defined]  # a killed program's tasks are pending for ever
        self._tasks.append(task)
        return task

    def _note_error(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.errors.append(f"{context.get('message')}: {context.get('exception')!r}")

    def start(self, work: Coroutine[Any, Any, Any], program: Program) -> asyncio.Task[Any]:
        """Run *work*, and all that it starts, as *program*."""
        context = copy_context()
        context.run(PROGRAM.set, program)
        return self.create_task(work, context=context)

    def outside(self, delay: float, callback: Callable[..., Any], *args: Any) -> None:
        """Call back after *delay* seconds outside of all programs, whoever calls."""
        self.call_later(delay, callback, *args, context=_OUTSIDE)

    def resume(self, program: Program) -> None:
        """Resume a frozen program."""
        self._ready.extend(program.resume())  # type: ignore[attr-defined]  # BaseEventLoop's own queue

    def _run_once(self) -> None:
        ready, scheduled = self._ready, self._scheduled  # type: ignore[attr-defined]  # BaseEventLoop's own queues
        if not ready:
            while scheduled and scheduled[0]._cancelled:
                heapq.heappop(scheduled)._scheduled = False
            if not scheduled:
                raise Stuck
            self._virtual_now = max(self._virtual_now, scheduled[0]._when)
        while scheduled and scheduled[0]._when <= self._virtual_now:
            due = heapq.heappop(scheduled)
            due._scheduled = False
            ready.append(due)
        for _ in range(len(ready)):
            handle = ready.popleft()
            if handle._cancelled:
                continue
            program = handle._context.get(PROGRAM)
            if program is not None and program.frozen:
                program.defer(handle)
            else:
                handle._run()

    def _process_events(self, event_list: Any) -> None:
        """Do nothing: there is no selector."""

    def _write_to_self(self) -> None:
        """Do nothing: there are no threads to wake."""

    def end(self) -> None:
        """Close all pending tasks without an error, and the loop itself."""
        for task in self._tasks:
            if not task.done():
                _close(task.get_coro())
        self._tasks.clear()
        self._ready.clear()  # type: ignore[attr-defined]  # as above
        self._scheduled.clear()  # type: ignore[attr-defined]  # as above
        self.errors.clear()
        self.close()


_OUTSIDE = Context()


def _close(coroutine: Any) -> None:
    for _ in range(_CLOSINGS):
        with suppress(BaseException):
            coroutine.close()
            return


class SimulatedClock:
    """The loop's virtual time; a Clock."""

    def __init__(self, loop: SimulatedLoop) -> None:
        self._loop = loop

    def now(self) -> datetime:
        """Return the virtual wall clock's time."""
        return START + timedelta(seconds=self._loop.time())

    def monotonic(self) -> float:
        """Return the virtual seconds since the run began."""
        return self._loop.time()

    async def sleep(self, seconds: float) -> None:
        """Wait *seconds* of virtual time."""
        await asyncio.sleep(seconds)
