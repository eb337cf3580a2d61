"""Blocking calls in threads of their own, awaited with a deadline and never cancelled once begun."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")


class NeverBegan(Exception):
    """No thread was free within the deadline, or the threads are closed: the call was not and will not be made."""


class NotBack(Exception):
    """The call has not come back within its deadline; its thread goes on with it."""


class BlockingCalls:
    """Makes at most *threads* blocking calls at once."""

    def __init__(self, *, threads: int, name: str) -> None:
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._under_way: set[asyncio.Future[Any]] = set()

    async def call(self, function: Callable[[], T], *, deadline: float) -> T:
        """
        Call *function* in a thread and give what it gives, within *deadline* seconds.

        *function* must turn its errors into values. Whoever awaits may be cancelled: the call then goes on without it.

        Raises:
            NeverBegan: the call surely was not made.
            NotBack: it was, and may yet end either way.
        """
        try:
            running = self._executor.submit(function)
        except RuntimeError:  # closed
            raise NeverBegan from None
        answer = asyncio.wrap_future(running)
        self._under_way.add(answer)
        answer.add_done_callback(self._under_way.discard)

        await asyncio.wait({answer}, timeout=deadline)  # unlike wait_for it cancels nothing, whatever happens here
        if answer.cancelled() or (not answer.done() and running.cancel()):
            raise NeverBegan
        if not answer.done():
            raise NotBack
        return answer.result()

    async def aclose(self, *, deadline: float) -> None:
        """
        Begin no more calls, and wait at most *deadline* seconds for those under way.

        A thread that is still out then ends with its call, whose own time-outs must see to that.
        """
        self._executor.shutdown(wait=False, cancel_futures=True)
        under_way = {answer for answer in self._under_way if not answer.done()}
        if under_way:
            await asyncio.wait(under_way, timeout=deadline)
