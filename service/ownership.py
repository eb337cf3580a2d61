"""Who may read a dispatch: its own caller, and an operator."""

from __future__ import annotations

from schemas import headers as names
from schemas.dispatch import Dispatch
from schemas.headers import Headers, header_text
from service.callers import Caller


def may_read(reader: Caller, *owners: str | None) -> bool:
    """
    Check whether *reader* may read a dispatch of which each witness names the owner; None: it names nobody.

    All witnesses must name the reader: one of them alone may be forged. A dispatch of which there is no witness, or
    which another service brought, is an operator's to read.
    """
    if reader.reads_all:
        return True
    return bool(owners) and all(owner == reader.name for owner in owners)


def owner_by_event(headers: Headers) -> str | None:
    """Return the caller that an event's record names; *headers* are those that are proven."""
    return header_text(headers, names.CALLER)


def owner_by_dispatch(dispatch: Dispatch) -> str | None:
    """Return the caller that a replica wrote down when it took the event; None if no caller brought it."""
    return dispatch.request.caller if dispatch.request is not None else None
