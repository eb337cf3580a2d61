"""Wait for a condition in tests: the only place that sleeps."""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING, TypeVar, cast, overload

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")

_LOOK_EVERY_SECONDS = 0.02
_ASK_EVERY_SECONDS = 0.2
"""The longest pause between questions to a program or a broker, which cost both sides: it grows by half each time."""


@overload
async def until(condition: Callable[[], Awaitable[T]], *, within: float = ..., what: str) -> T: ...


@overload
async def until(condition: Callable[[], T], *, within: float = ..., what: str) -> T: ...


async def until(condition: Callable[[], Awaitable[T] | T], *, within: float = 10.0, what: str) -> T:
    """
    Call *condition* until it returns something true, at most *within* seconds, and return that.

    Raises:
        AssertionError: The time is over; it names *what* was awaited, and the last result.
    """
    seen: T | str = "nothing, the first call did not return"
    limit, pause = asyncio.timeout(within), _LOOK_EVERY_SECONDS
    try:
        async with limit:
            while True:
                looked = condition()
                seen = cast("T", await looked if (asks := inspect.isawaitable(looked)) else looked)
                if seen:
                    return seen
                await asyncio.sleep(pause)
                pause = min(1.5 * pause, _ASK_EVERY_SECONDS) if asks else _LOOK_EVERY_SECONDS
    except TimeoutError:
        if not limit.expired():
            raise  # the condition's own
        raise AssertionError(f"waited {within:g} s in vain for {what}; last seen: {seen!r}") from None
