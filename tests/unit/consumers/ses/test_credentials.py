"""The cache of credentials."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest
from botocore.credentials import Credentials, RefreshableCredentials
from botocore.exceptions import CredentialRetrievalError, NoCredentialsError

from consumers.ses.credentials import CachedCredentials
from tests.fakes.clock import FakeClock
from tests.waiting import until


class _Source:
    """Returns credentials with the number of the call, or fails."""

    def __init__(self) -> None:
        self.calls = 0
        self.fails = False
        self.gate = threading.Event()
        self.gate.set()
        self.threads: set[int] = set()

    def __call__(self) -> Credentials | None:
        """Return credentials."""
        self.threads.add(threading.get_ident())
        self.calls += 1
        number = self.calls
        assert self.gate.wait(5)
        if self.fails:
            raise CredentialRetrievalError(provider="iam-role", error_msg="no route")
        return Credentials(f"key-{number}", "secret")


@asynccontextmanager
async def cache(
    find: Callable[[], Credentials | None], clock: FakeClock, *, deadline_seconds: float = 5
) -> AsyncIterator[CachedCredentials]:
    """Yield a cache over *find*."""
    cached = CachedCredentials(find, clock, deadline_seconds=deadline_seconds)
    yield cached
    await cached.aclose(deadline=5)


class TestCachedCredentials:
    """What a send gets, and when botocore is asked."""

    async def test_all_waiters_share_one_search(self) -> None:
        """Sends that start together cause one search, in a thread of its own."""
        source = _Source()
        async with cache(source, FakeClock()) as cached:
            found = await asyncio.gather(*(cached.get() for _ in range(5)))

        assert {"key-1"} == {credentials.access_key for credentials in found}
        assert 1 == source.calls
        assert threading.get_ident() not in source.threads

    async def test_they_are_refreshed_in_the_background(self) -> None:
        """After half a minute the cached ones are returned at once, and a refresh starts."""
        source, clock = _Source(), FakeClock()
        async with cache(source, clock) as cached:
            await cached.get()
            await clock.advance(31)
            source.gate.clear()
            meanwhile = [await cached.get(), await cached.get()]
            source.gate.set()
            await until(lambda: source.calls == 2 and cached._cached != meanwhile[0], what="the new ones")
            after = await cached.get()

        assert ["key-1", "key-1"] == [credentials.access_key for credentials in meanwhile]
        assert "key-2" == after.access_key
        assert 2 == source.calls

    async def test_cached_ones_are_used_through_a_failure(self) -> None:
        """While botocore cannot refresh them, the cached ones are used for five minutes, with two attempts a minute."""
        source, clock = _Source(), FakeClock()
        async with cache(source, clock) as cached:
            await cached.get()
            source.fails = True
            await clock.advance(31)
            for _ in range(3):
                assert "key-1" == (await cached.get()).access_key
                await until(lambda: cached._refreshing is not None and cached._refreshing.done(), what="the failure")
            calls = source.calls
            await clock.advance(300)
            with pytest.raises(CredentialRetrievalError):
                await cached.get()

        assert 2 == calls

    async def test_old_ones_are_not_used(self) -> None:
        """After a long time without sends, a send waits for new ones, since the old ones may have expired."""
        source, clock = _Source(), FakeClock()
        async with cache(source, clock) as cached:
            await cached.get()
            await clock.advance(3_600)

            assert "key-2" == (await cached.get()).access_key

    async def test_a_failed_search_is_repeated(self) -> None:
        """If there are none, the next send searches again."""
        found: list[Credentials | None] = [None, Credentials("late", "secret")]
        async with cache(lambda: found.pop(0), FakeClock()) as cached:
            with pytest.raises(NoCredentialsError):
                await cached.get()

            assert "late" == (await cached.get()).access_key

    async def test_a_search_ends_at_its_deadline(self) -> None:
        """A search that takes longer than the deadline is an error about credentials."""
        source = _Source()
        source.gate.clear()
        async with cache(source, FakeClock(), deadline_seconds=0.05) as cached:
            with pytest.raises(CredentialRetrievalError):
                await cached.get()
            source.gate.set()

    async def test_a_cancelled_waiter_cancels_no_other(self) -> None:
        """The other waiters get their credentials."""
        source = _Source()
        source.gate.clear()
        async with cache(source, FakeClock()) as cached:
            first, second = asyncio.create_task(cached.get()), asyncio.create_task(cached.get())
            await until(lambda: source.calls == 1, what="the search")
            first.cancel()
            source.gate.set()

            assert "key-1" == (await second).access_key

    async def test_botocore_refreshes_before_they_expire(self) -> None:
        """Credentials that expire soon are refreshed first."""

        def metadata(key: str, *, minutes: int) -> dict[str, str]:
            """Return the metadata of an instance."""
            until_then = (datetime.now(UTC) + timedelta(minutes=minutes)).isoformat()
            return {"access_key": key, "secret_key": "s", "token": "t", "expiry_time": until_then}

        expiring = RefreshableCredentials.create_from_metadata(
            metadata("old", minutes=8), lambda: metadata("new", minutes=60), "iam-role"
        )
        async with cache(lambda: expiring, FakeClock()) as cached:
            assert "new" == (await cached.get()).access_key
