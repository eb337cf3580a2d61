"""Each mentor's last event in a partition: a call without a key that repeats it is a retry, and is not sent again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from consumers.ledger.partial_read import Call
from schemas.dispatch import Dispatch, Verdict, parse_dispatch, verdict
from schemas.times import from_epoch_ms

CLOCK_MARGIN = timedelta(minutes=1)
"""How far clocks may differ before a retry is missed after its window seemed over."""
_SWEPT_FROM = 1000


@dataclass(frozen=True, slots=True)
class LastCall:
    """A mentor's last event in a topic; all but its offset is empty if it was not a REST call without a key."""

    offset: int
    dispatch_id: str = ""
    caller: str = ""
    digest: str = ""
    ended_at: datetime | None = None
    answers_retries: bool = False
    """False also if it has not ended, or ended in a 404 or 502: a caller is right to repeat that."""

    def is_retried_by(self, caller: str, digest: str, appended_at: datetime, window: timedelta) -> bool:
        """Return whether a call without a key, appended at *appended_at*, repeats it."""
        if not self.answers_retries or self.ended_at is None or (self.caller, self.digest) != (caller, digest):
            return False
        return self.ended_at > appended_at - window


@dataclass(frozen=True, slots=True)
class _Last:
    offset: int
    at: datetime
    call: LastCall | bytes | None
    """Bytes are a record that is read when somebody asks; None means that it was not a call without a key."""


class RetryWindow:
    """Keeps each mentor's last event for as long as a retry may come; keeps nothing if *window* is zero."""

    def __init__(self, window: timedelta) -> None:
        self._window = window
        self._last: dict[tuple[str, str], _Last] = {}
        self._newest = from_epoch_ms(0)
        self._sweep_at = _SWEPT_FROM

    def __len__(self) -> int:
        return len(self._last)

    def get(self, mentor_id: str, topic: str) -> LastCall | None:
        """Return the mentor's last event in *topic*."""
        last = self._last.get((mentor_id, topic))
        if last is None:
            return None
        call = last.call
        if isinstance(call, bytes):
            dispatch = parse_dispatch(call)
            call = None if dispatch is None else _last_call(dispatch)
            self._last[mentor_id, topic] = _Last(last.offset, last.at, call)
        return LastCall(last.offset) if call is None else call

    def add(self, dispatch: Dispatch) -> None:
        """Add a state of a dispatch."""
        if not self._window:
            return
        origin = dispatch.origin
        # Events come roughly in the order of their topic, so the newest shows which can hardly be repeated any more.
        self._newest = max(self._newest, origin.appended_at)
        at = dispatch.ended_at or origin.appended_at
        self._put((dispatch.mentor_id, origin.topic), _Last(origin.offset, at, _last_call(dispatch)))

    def add_unread(self, call: Call, appended_at_ms: int, value: bytes) -> None:
        """Add a record of which only the call was read."""
        if self._window:
            last = _Last(call.offset, from_epoch_ms(appended_at_ms), value if call.keyless else None)
            self._put((call.mentor_id, call.topic), last)

    def _put(self, place: tuple[str, str], last: _Last) -> None:
        before = self._last.get(place)
        if before is not None and before.offset > last.offset:
            return
        self._last[place] = last
        if len(self._last) >= self._sweep_at:
            self._sweep()

    def _sweep(self) -> None:
        since = self._newest - self._window - CLOCK_MARGIN
        self._last = {place: last for place, last in self._last.items() if last.at >= since}
        self._sweep_at = max(2 * len(self._last), _SWEPT_FROM)


def _last_call(dispatch: Dispatch) -> LastCall | None:
    request = dispatch.request
    if request is None or not request.keyless:
        return None
    return LastCall(
        offset=dispatch.origin.offset,
        dispatch_id=dispatch.retry_of or dispatch.dispatch_id,
        caller=request.caller,
        digest=dispatch.digest,
        ended_at=dispatch.ended_at,
        answers_retries=verdict(dispatch) in {Verdict.ENDED, Verdict.UNDELIVERABLE},
    )
