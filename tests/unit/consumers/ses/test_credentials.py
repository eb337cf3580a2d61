"""Credentials, found beside the loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest
from botocore.credentials import Credentials, RefreshableCredentials
from botocore.exceptions import CredentialRetrievalError, NoCredentialsError

from consumers.ses.credentials import KnownCredentials
from tests.fakes.clock import FakeClock
from tests.waiting import until


class _Source:
    """Gives credentials numbered by how often it was asked, unless told to fail."""

    def __init__(self) -> None:
        self.asked = 0
        self.fails = False
        self.gate = threading.Event()
        self.gate.set()
        self.threads: set[int] = set()

    def __call__(self) -> Credentials | None:
        """Find them."""
        self.threads.add(threading.get_ident())
        self.asked += 1
        number = self.asked
        assert self.gate.wait(5)
        if self.fails:
            raise CredentialRetrievalError(provider="iam-role", error_msg="no route")
        return Credentials(f"key-{number}", "secret")


@asynccontextmanager
async def _known(
    find: Callable[[], Credentials | None], clock: FakeClock, *, deadline_seconds: float = 5
) -> AsyncIterator[KnownCredentials]:
    """Yield them, and close them."""
    known = KnownCredentials(find, clock, deadline_seconds=deadline_seconds)
    yield known
    await known.aclose(deadline=5)


class TestKnownCredentials:
    """What a send is given, and when botocore is asked."""

    async def test_they_are_found_once_for_all_who_wait(self) -> None:
        """Sends that begin together ask once, in a thread that is not the loop's."""
        source = _Source()
        async with _known(source, FakeClock()) as known:
            found = await asyncio.gather(*(known.get() for _ in range(5)))

        assert {"key-1"} == {credentials.access_key for credentials in found}
        assert 1 == source.asked
        assert threading.get_ident() not in source.threads

    async def test_they_are_asked_for_again_beside_the_sends(self) -> None:
        """After half a minute they are given at once as they are known, and asked for again meanwhile."""
        source, clock = _Source(), FakeClock()
        async with _known(source, clock) as known:
            await known.get()
            await clock.advance(31)
            source.gate.clear()
            meanwhile = [await known.get(), await known.get()]
            source.gate.set()
            await until(lambda: source.asked == 2 and known._known != meanwhile[0], what="the new ones")
            after = await known.get()

        assert ["key-1", "key-1"] == [credentials.access_key for credentials in meanwhile]
        assert "key-2" == after.access_key
        assert 2 == source.asked

    async def test_what_was_known_serves_through_a_failure(self) -> None:
        """While botocore cannot refresh them, those known serve for five minutes, and it is asked twice a minute."""
        source, clock = _Source(), FakeClock()
        async with _known(source, clock) as known:
            await known.get()
            source.fails = True
            await clock.advance(31)
            for _ in range(3):
                assert "key-1" == (await known.get()).access_key
                await until(lambda: known._asking is not None and known._asking.done(), what="the failure")
            asked = source.asked
            await clock.advance(300)
            with pytest.raises(CredentialRetrievalError):
                await known.get()

        assert 2 == asked

    async def test_old_ones_are_not_given(self) -> None:
        """After a time without sends, new ones are waited for: the old may have expired."""
        source, clock = _Source(), FakeClock()
        async with _known(source, clock) as known:
            await known.get()
            await clock.advance(3_600)

            assert "key-2" == (await known.get()).access_key

    async def test_none_at_first_may_be_some_later(self) -> None:
        """Where there are none it says so, and looks again for the next send."""
        found: list[Credentials | None] = [None, Credentials("late", "secret")]
        async with _known(lambda: found.pop(0), FakeClock()) as known:
            with pytest.raises(NoCredentialsError):
                await known.get()

            assert "late" == (await known.get()).access_key

    async def test_a_question_without_an_answer_ends(self) -> None:
        """What takes longer than the deadline is an error that tells of credentials."""
        source = _Source()
        source.gate.clear()
        async with _known(source, FakeClock(), deadline_seconds=0.05) as known:
            with pytest.raises(CredentialRetrievalError):
                await known.get()
            source.gate.set()

    async def test_a_waiter_that_is_cancelled_takes_nobody_along(self) -> None:
        """Those who wait beside it get theirs."""
        source = _Source()
        source.gate.clear()
        async with _known(source, FakeClock()) as known:
            first, second = asyncio.create_task(known.get()), asyncio.create_task(known.get())
            await until(lambda: source.asked == 1, what="the question")
            first.cancel()
            source.gate.set()

            assert "key-1" == (await second).access_key

    async def test_botocore_refreshes_before_they_expire(self) -> None:
        """Of credentials that expire soon the refreshed ones are given."""

        def metadata(key: str, *, minutes: int) -> dict[str, str]:
            """Return what an instance says."""
            until_then = (datetime.now(UTC) + timedelta(minutes=minutes)).isoformat()
            return {"access_key": key, "secret_key": "s", "token": "t", "expiry_time": until_then}

        expiring = RefreshableCredentials.create_from_metadata(
            metadata("old", minutes=8), lambda: metadata("new", minutes=60), "iam-role"
        )
        async with _known(lambda: expiring, FakeClock()) as known:
            assert "new" == (await known.get()).access_key
