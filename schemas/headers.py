"""The record headers of ours beside CloudEvents' own, each spelt here and nowhere else."""

from __future__ import annotations

from collections.abc import Sequence

Headers = Sequence[tuple[str, bytes | None]]
"""A record's headers as Kafka keeps them: ordered, names may stand twice, a value may be null."""

OURS = "pn_"
"""What the names of our headers begin with. They count only on a record that is signed (`schemas.signatures`)."""
SIGNATURE = "pn_signature"
"""On a record with any of ours: proves that a key of ours signed it (`v1:<key id>:<HMAC-SHA256 in hex>`)."""

REQUEST_ID = "pn_request_id"
"""The REST call that published the event: tells a repeated call's answer from the first one's."""
CALLER = "pn_caller"
"""Who made that call: the name beside its API key, or `anonymous`."""
KEYLESS = "pn_keyless"
"""Present where the call had no Idempotency-Key: only such a call may be taken for a retry."""
WAITS_MS = "pn_waits_ms"
"""How long the caller waits, in milliseconds from when the record is taken: waiting callers' sends go first."""
APPENDED_AT = "pn_appended_at"
"""On a moved or replayed record: the append time of the original (RFC 3339), from which expiry counts."""
MOVED_FROM = "pn_moved_from"
"""On a moved record: topic-partition-offset of the original."""
REPLAY = "pn_replay"
"""On a replay: the dispatch as it stood (JSON), which is folded in; empty where there was none."""
TRACE_PARENT = "traceparent"
"""W3C trace context, handed from the REST call to the logs of the replica."""
FINAL = "pn_final"
"""On a dispatch record: present where every recipient is final."""

REASON = "pn_reason"
"""On a dead letter: why it was set aside; a stable code."""
ORIGIN = "pn_origin"
"""On a dead letter: topic-partition-offset of the record."""
ORIGIN_SIGNATURE = "pn_origin_signature"
"""On a dead letter: the record's own `pn_signature`, if it had one."""
ORIGIN_APPENDED_AT = "pn_origin_appended_at"
"""On a dead letter: the record's append time (RFC 3339)."""
DISPATCH = "pn_dispatch"
"""On a dead letter: the dispatch as it stood (JSON), where there was one."""
VALUE_LENGTH = "pn_value_length"
"""On a dead letter whose value was cut: its full length in bytes."""
VALUE_SHA256 = "pn_value_sha256"
"""On a dead letter whose value was cut: SHA-256 (hex) of the whole."""
LAST_OFFSET = "pn_last_offset"
"""On a dead letter that stands for a range: the last offset of it; `pn_origin` has the first."""
RECORDS = "pn_records"
"""On a dead letter that stands for a range: how many records of it were set aside."""
DETAIL = "pn_detail"
"""On a dead letter: which field or offsets; never a value of the event."""


def is_ours(name: str) -> bool:
    """Return whether a header is one that only we may write."""
    return name.startswith(OURS)


def is_final(headers: Headers) -> bool:
    """Return whether a dispatch record's headers say that nothing more happens to it by itself."""
    for name, _ in headers:  # noqa: SIM110 - any() costs three times as much, and a ledger has millions
        if name == FINAL:
            return True
    return False


def header(headers: Headers, name: str) -> bytes | None:
    """Return the first value of a header of ours, or None."""
    return next((value for key, value in headers if key == name), None)


def header_text(headers: Headers, name: str) -> str | None:
    """Return the first value of a header of ours as text, or None if it is missing or no UTF-8."""
    value = header(headers, name)
    if value is None:
        return None
    try:
        return value.decode()
    except UnicodeDecodeError:
        return None
