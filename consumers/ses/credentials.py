"""botocore's credentials, looked for and refreshed in a thread: that may ask STS, a container or an instance."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog
from botocore.credentials import Credentials, ReadOnlyCredentials
from botocore.exceptions import CredentialRetrievalError, NoCredentialsError

from consumers.ses.blocking import BlockingCalls, NeverBegan, NotBack
from runtime.clock import Clock

log = structlog.get_logger(__name__)

# botocore refreshes what expires within 15 minutes, and insists on it within 10: what was asked for five minutes ago
# is good for five more at least.
_ASK_AGAIN_SECONDS = 30.0
_GOOD_SECONDS = 300.0


class KnownCredentials:
    """
    Gives credentials at once where they are known, and asks for them again beside the sends.

    *find* gives botocore's credentials, None if there are none. It may block, and is called in a thread.
    """

    def __init__(self, find: Callable[[], Credentials | None], clock: Clock, *, deadline_seconds: float) -> None:
        self._find = find
        self._clock = clock
        self._deadline = deadline_seconds
        self._calls = BlockingCalls(threads=1, name="ses-credentials")
        self._known: ReadOnlyCredentials | None = None
        self._known_at = self._asked_at = 0.0
        self._asking: asyncio.Task[Exception | None] | None = None

    async def get(self) -> ReadOnlyCredentials:
        """
        Return credentials that are good for some minutes.

        Raises:
            botocore.exceptions.NoCredentialsError: where there are none.
            Exception: whatever else botocore raises where it cannot find or refresh them.
        """
        now = self._clock.monotonic()
        if self._known is None or now - self._known_at > _GOOD_SECONDS:
            error = await asyncio.shield(self._ask(now))  # for all who wait, so none of them may cancel it
            if error is not None:
                raise error
        elif now - self._asked_at > _ASK_AGAIN_SECONDS:
            self._ask(now)
        if self._known is None:
            raise NoCredentialsError
        return self._known

    async def aclose(self, *, deadline: float) -> None:
        """Ask no more, and wait at most *deadline* seconds for a question under way."""
        await self._calls.aclose(deadline=deadline)
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait({self._asking})

    def _ask(self, now: float) -> asyncio.Task[Exception | None]:
        if self._asking is None or self._asking.done():
            self._asked_at = now
            self._asking = asyncio.create_task(self._asked(), name="ses-credentials")
        return self._asking

    async def _asked(self) -> Exception | None:
        """Look once; errors are values, since nobody may be waiting."""
        try:
            found = await self._calls.call(self._look, deadline=self._deadline)
        except (NeverBegan, NotBack):
            found = CredentialRetrievalError(provider="any", error_msg="no answer in time")
        if isinstance(found, Exception):
            log.warning("ses.credentials_not_found", error=type(found).__name__)
            return found
        self._known, self._known_at = found, self._clock.monotonic()
        return None

    def _look(self) -> ReadOnlyCredentials | Exception:
        try:
            found = self._find()
            return NoCredentialsError() if found is None else found.get_frozen_credentials()
        except Exception as error:  # noqa: BLE001 - a value, see above
            return error
