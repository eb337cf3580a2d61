"""botocore's credentials, found and refreshed in a thread, since that may ask STS, a container or an instance."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog
from botocore.credentials import Credentials, ReadOnlyCredentials
from botocore.exceptions import CredentialRetrievalError, NoCredentialsError

from consumers.ses.blocking import BlockingCalls, NotStarted, StillRunning
from runtime.clock import Clock

log = structlog.get_logger(__name__)

# botocore refreshes credentials that expire within 15 minutes, and fails if it cannot within 10. So credentials from
# five minutes ago are valid for at least five more.
_REFRESH_SECONDS = 30.0
_VALID_SECONDS = 300.0


class CachedCredentials:
    """
    Returns cached credentials at once, and refreshes them in the background.

    *find* returns botocore's credentials, or None if there are none. It may block, and is called in a thread.
    """

    def __init__(self, find: Callable[[], Credentials | None], clock: Clock, *, deadline_seconds: float) -> None:
        self._find = find
        self._clock = clock
        self._deadline = deadline_seconds
        self._calls = BlockingCalls(threads=1, name="ses-credentials")
        self._cached: ReadOnlyCredentials | None = None
        self._cached_at = self._refreshed_at = 0.0
        self._refreshing: asyncio.Task[Exception | None] | None = None

    async def get(self) -> ReadOnlyCredentials:
        """
        Return credentials that are valid for some minutes.

        Raises:
            botocore.exceptions.NoCredentialsError: there are none.
            Exception: whatever else botocore raises if it cannot find or refresh them.
        """
        now = self._clock.monotonic()
        if self._cached is None or now - self._cached_at > _VALID_SECONDS:
            error = await asyncio.shield(self._refresh(now))  # shared by all waiters, so none of them may cancel it
            if error is not None:
                raise error
        elif now - self._refreshed_at > _REFRESH_SECONDS:
            self._refresh(now)
        if self._cached is None:
            raise NoCredentialsError
        return self._cached

    async def aclose(self, *, deadline: float) -> None:
        """Stop refreshing, and wait at most *deadline* seconds for a refresh in progress."""
        await self._calls.aclose(deadline=deadline)
        if self._refreshing is not None:
            self._refreshing.cancel()
            await asyncio.wait({self._refreshing})

    def _refresh(self, now: float) -> asyncio.Task[Exception | None]:
        if self._refreshing is None or self._refreshing.done():
            self._refreshed_at = now
            self._refreshing = asyncio.create_task(self._refreshed(), name="ses-credentials")
        return self._refreshing

    async def _refreshed(self) -> Exception | None:
        """Find them once, and return errors as values, since nobody may be waiting."""
        try:
            found = await self._calls.call(self._find_blocking, deadline=self._deadline)
        except (NotStarted, StillRunning):
            found = CredentialRetrievalError(provider="any", error_msg="no answer in time")
        if isinstance(found, Exception):
            log.warning("ses.credentials_not_found", error=type(found).__name__)
            return found
        self._cached, self._cached_at = found, self._clock.monotonic()
        return None

    def _find_blocking(self) -> ReadOnlyCredentials | Exception:
        try:
            found = self._find()
            return NoCredentialsError() if found is None else found.get_frozen_credentials()
        except Exception as error:  # noqa: BLE001 - returned as a value, see above
            return error
