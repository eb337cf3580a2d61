"""Reads the headers of an event's record: its origin, its caller, and what a move or a replay added."""

from __future__ import annotations

import re
from datetime import datetime

from consumers.delivery.decisions import Delivery
from runtime.kafka.records import Record
from schemas import headers as names
from schemas.dispatch import Dispatch, Request, parse_dispatch
from schemas.events import Event
from schemas.headers import header, header_text
from schemas.times import parse_instant

_MOST_WAITS_DIGITS = 6
_TRACE_PARENT = re.compile("[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


def read_delivery(record: Record, event: Event) -> Delivery:
    """Return the delivery of *event* that *record* is. Its unproven headers must be removed (`SignatureCheck`)."""
    replayed = header(record.headers, names.REPLAY)
    return Delivery(
        event=event,
        origin=record.origin,
        appended_at=_original_append(record),
        request=_request(record),
        replay=replayed is not None,
        carried=_carried(replayed, event),
        waits_seconds=_waits_seconds(record),
    )


def _original_append(record: Record) -> datetime:
    text = header_text(record.headers, names.APPENDED_AT)
    try:
        return min(parse_instant(text), record.appended_at) if text else record.appended_at
    except ValueError:
        return record.appended_at


def _request(record: Record) -> Request | None:
    request_id, caller = header_text(record.headers, names.REQUEST_ID), header_text(record.headers, names.CALLER)
    if request_id is None or caller is None:
        return None
    return Request(id=request_id, caller=caller, keyless=header(record.headers, names.KEYLESS) is not None)


def _carried(replayed: bytes | None, event: Event) -> Dispatch | None:
    dispatch = parse_dispatch(replayed) if replayed else None
    return dispatch if dispatch is not None and dispatch.dispatch_id == event.dispatch_id else None


def _waits_seconds(record: Record) -> float:
    text = header_text(record.headers, names.WAITS_MS) or ""
    readable = text.isascii() and text.isdigit() and len(text) <= _MOST_WAITS_DIGITS
    return int(text) / 1000 if readable else 0.0


def trace_parent(record: Record) -> str | None:
    """Return the W3C trace context for the log, or None if the header holds anything else."""
    text = header_text(record.headers, names.TRACE_PARENT)
    return text if text is not None and _TRACE_PARENT.fullmatch(text) else None
