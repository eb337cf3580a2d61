"""Decide who may read a dispatch: its own caller, and an operator."""

from __future__ import annotations

from schemas import headers as names
from schemas.dispatch import Dispatch
from schemas.headers import Headers, header_text
from service.callers import Caller


def may_read(reader: Caller, *owners: str | None) -> bool:
    """
    Return whether *reader* may read a dispatch; each of *owners* is the caller that one source names, or None.

    All sources must name the reader, since one alone may be forged. If there is no source, or if another service
    published the event, only an operator may read the dispatch.
    """
    if reader.reads_all:
        return True
    return bool(owners) and all(owner == reader.name for owner in owners)


def owner_by_event(headers: Headers) -> str | None:
    """Return the caller that an event's record names; *headers* are only those that a signature proves."""
    return header_text(headers, names.CALLER)


def owner_by_dispatch(dispatch: Dispatch) -> str | None:
    """Return the caller that a replica recorded with the event; None if it came from no caller."""
    return dispatch.request.caller if dispatch.request is not None else None
