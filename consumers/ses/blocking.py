"""Blocking calls in threads, awaited with a deadline and never cancelled once started."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")


class NotStarted(Exception):
    """The call was not made and will not be: no thread was free within the deadline, or the threads are closed."""


class StillRunning(Exception):
    """The call did not return within its deadline; its thread continues."""


class BlockingCalls:
    """Runs at most *threads* blocking calls at once."""

    def __init__(self, *, threads: int, name: str) -> None:
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._in_progress: set[asyncio.Future[Any]] = set()

    async def call(self, function: Callable[[], T], *, deadline: float) -> T:
        """
        Call *function* in a thread and return its result, within *deadline* seconds.

        *function* must return its errors as values. If the caller is cancelled, the call continues without it.

        Raises:
            NotStarted: the call was certainly not made.
            StillRunning: the call was made, and its outcome is unknown.
        """
        try:
            running = self._executor.submit(function)
        except RuntimeError:  # closed
            raise NotStarted from None
        result = asyncio.wrap_future(running)
        self._in_progress.add(result)
        result.add_done_callback(self._in_progress.discard)

        await asyncio.wait({result}, timeout=deadline)  # cancels nothing, unlike `asyncio.timeout`
        if result.cancelled() or (not result.done() and running.cancel()):
            raise NotStarted
        if not result.done():
            raise StillRunning
        return result.result()

    async def aclose(self, *, deadline: float) -> None:
        """
        Refuse new calls, and wait at most *deadline* seconds for those in progress.

        A thread that still runs then ends with its call, which needs time-outs of its own.
        """
        self._executor.shutdown(wait=False, cancel_futures=True)
        running = {result for result in self._in_progress if not result.done()}
        if running:
            await asyncio.wait(running, timeout=deadline)
