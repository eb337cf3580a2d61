"""The names of our own record headers, used in addition to those of CloudEvents."""

from __future__ import annotations

from collections.abc import Sequence

Headers = Sequence[tuple[str, bytes | None]]
"""A record's headers as Kafka keeps them: ordered; a name may repeat, and a value may be null."""

OURS = "pn_"
"""The prefix of our header names. They count only on a signed record (`schemas.signatures`)."""
SIGNATURE = "pn_signature"
"""On a record with any of our headers: the signature by one of our keys (`v1:<key id>:<HMAC-SHA256 in hex>`)."""

REQUEST_ID = "pn_request_id"
"""The REST call that published the event. It distinguishes the answer to a repeated call from the first answer."""
CALLER = "pn_caller"
"""Who made that call: the name of its API key, or `anonymous`."""
KEYLESS = "pn_keyless"
"""Present if the call had no Idempotency-Key. Only such a call may count as a retry of an earlier one."""
WAITS_MS = "pn_waits_ms"
"""How long the caller waits, in milliseconds from the moment the record is read. Such sends go first."""
APPENDED_AT = "pn_appended_at"
"""On a moved or replayed record: the original's append time (RFC 3339), which decides about expiry."""
MOVED_FROM = "pn_moved_from"
"""On a moved record: the original's topic-partition-offset."""
REPLAY = "pn_replay"
"""On a replay: the dispatch at that time as JSON, which is merged in; empty if there was none."""
TRACE_PARENT = "traceparent"
"""W3C trace context: from a producer to the replica's logs and traces, and from a send to its feedback."""
FINAL = "pn_final"
"""On a dispatch record: present if every recipient is final."""

REASON = "pn_reason"
"""On a dead letter: its reason, a stable code."""
ORIGIN = "pn_origin"
"""On a dead letter: the record's topic-partition-offset."""
ORIGIN_SIGNATURE = "pn_origin_signature"
"""On a dead letter: the record's own `pn_signature`, if it had one."""
ORIGIN_APPENDED_AT = "pn_origin_appended_at"
"""On a dead letter: the record's append time (RFC 3339)."""
DISPATCH = "pn_dispatch"
"""On a dead letter: the dispatch at that time as JSON, if there was one."""
VALUE_LENGTH = "pn_value_length"
"""On a dead letter with a truncated value: its full length in bytes."""
VALUE_SHA256 = "pn_value_sha256"
"""On a dead letter with a truncated value: SHA-256 (hex) of the full value."""
LAST_OFFSET = "pn_last_offset"
"""On a dead letter for a range: the last offset; `pn_origin` has the first."""
RECORDS = "pn_records"
"""On a dead letter for a range: how many records of it were dead-lettered."""
DETAIL = "pn_detail"
"""On a dead letter: the fields or offsets concerned; never a value of the event."""


def is_ours(name: str) -> bool:
    """Return whether a header is one of ours, which only we may write."""
    return name.startswith(OURS)


def is_final(headers: Headers) -> bool:
    """Return whether a dispatch record's headers mark it as final."""
    for name, _ in headers:  # noqa: SIM110 - any() costs three times as much, and a ledger has millions
        if name == FINAL:
            return True
    return False


def header(headers: Headers, name: str) -> bytes | None:
    """Return the first value of a header of ours, or None."""
    return next((value for key, value in headers if key == name), None)


def header_text(headers: Headers, name: str) -> str | None:
    """Return the first value of a header of ours as text, or None if it is missing or not UTF-8."""
    value = header(headers, name)
    if value is None:
        return None
    try:
        return value.decode()
    except UnicodeDecodeError:
        return None


def parse_header(text: str) -> tuple[str, bytes]:
    """Return the header that NAME=VALUE writes, as kcat reads its option -H; raise ValueError without a name."""
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise ValueError("must be NAME=VALUE, such as ce_id=pause-8731-activated")
    return name, value.encode("utf-8", "surrogateescape")
