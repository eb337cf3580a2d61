"""Follow the file of API keys: read it again when it changes."""

from __future__ import annotations

import asyncio
from pathlib import Path

import structlog
from prometheus_client import Counter, Gauge

from runtime.clock import Clock
from runtime.settings import env_name
from schemas.signatures import SigningKeys
from service.api_keys import InvalidKeysFile, decode_keys, parse_keys, read_bytes
from service.callers import Callers

log = structlog.get_logger(__name__)

_CHECK_EVERY_SECONDS = 2.0
_READ_SECONDS = 10.0


def open_keys_file(file: Path, callers: Callers, *, reloads: Counter, outdated: Gauge) -> KeysFile:
    """
    Let the holders of the file's keys in, and return the object that follows the file.

    Raises:
        InvalidKeysFile: if it cannot be used: at the start there are no earlier keys to keep.
        OSError: if it cannot be read.
    """
    content = read_bytes(file)
    callers.use(parse_keys(decode_keys(content)))
    return KeysFile(file, content, callers, reloads=reloads, outdated=outdated)


def log_api_keys(callers: Callers, signing_keys: SigningKeys) -> None:
    """Log a warning if callers have keys but nothing proves which dispatches are theirs."""
    if callers.require_keys and not signing_keys:
        log.warning(
            "api_keys.unproven",
            set=env_name("signing_keys_file"),
            effect="only the facade that took a call can tell its caller the state of the dispatch",
        )


class KeysFile:
    """
    Hands the file's keys to *callers* whenever its content changes.

    If the file is missing or cannot be used, the last valid keys stay in use: a mistake lets nobody in and locks nobody
    out. It is logged and counted once, and the gauge *outdated* is 1 until the file is valid again.
    """

    def __init__(self, file: Path, content: bytes, callers: Callers, *, reloads: Counter, outdated: Gauge) -> None:
        self._file = file
        self._callers = callers
        self._reloads = reloads
        self._outdated = outdated
        self._used = content
        self._refused: bytes | str | None = None
        """What was refused last: the content, or the name of the error."""

    async def follow(self, clock: Clock) -> None:
        """Check the file every few seconds, until cancelled."""
        while True:
            await clock.sleep(_CHECK_EVERY_SECONDS)
            await self.check()

    async def check(self) -> None:
        """Read the file, and use its keys if they have changed."""
        try:
            async with asyncio.timeout(_READ_SECONDS):
                content = await asyncio.to_thread(read_bytes, self._file)
        except OSError as error:  # TimeoutError, too
            self._refuse(type(error).__name__, error.strerror or "it was not read in time")
            return
        if content == self._used:
            self._end_refusal()
        elif content != self._refused:
            self._use(content)

    def _use(self, content: bytes) -> None:
        try:
            keys = parse_keys(decode_keys(content))
        except InvalidKeysFile as error:
            self._refuse(content, str(error))
            return
        self._callers.use(keys)
        self._used = content
        self._reloads.labels("loaded").inc()
        log.info("api_keys.loaded", keys=len(keys))
        self._end_refusal()

    def _refuse(self, what: bytes | str, why: str) -> None:
        if what != self._refused:
            self._refused = what
            self._outdated.set(1)
            self._reloads.labels("refused").inc()
            log.error("api_keys.refused", error=why, consequence="the keys read before stay in use")

    def _end_refusal(self) -> None:
        if self._refused is not None:
            log.info("api_keys.usable", consequence="the file is followed again")
        self._refused = None
        self._outdated.set(0)
