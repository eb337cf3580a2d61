"""
Read records that somebody wrote down: kcat's output (`kcat -C -J`), JSON, or the bytes of a value alone.

An object is read as one of these, the first that fits:

- kcat's: `topic`, `partition`, `offset`, `headers`, `key`, `payload`
- a record: `value`, and what is known of `headers`, `key`, `topic`, `partition`
- an event in structured mode: `specversion` and the other attributes
- anything else is a value without headers
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from io import BytesIO
from itertools import pairwise
from typing import Any, BinaryIO

from schemas.events import MAX_EVENT_BYTES
from schemas.headers import Headers
from schemas.strict_json import NotJson, read_json

MAX_LINE_BYTES = 16 * MAX_EVENT_BYTES
"""The longest line, or file of one record, that is read: value and headers of the largest event, in JSON's escapes."""

_STRUCTURED: Headers = (("content-type", b"application/cloudevents+json"),)
_OF_KCAT = frozenset({"topic", "partition", "offset", "payload"})
_OF_A_RECORD = frozenset({"headers", "key", "topic", "partition"})


class UnreadableRecord(ValueError):
    """What was written cannot be read as a record. The message names the line and the part, never a value."""


@dataclass(frozen=True)
class WrittenRecord:
    """A record as far as it was written down."""

    where: str
    """How to find it: its line, or its position in Kafka."""
    value: bytes | None
    headers: Headers = ()
    stated: Mapping[str, object] = field(default_factory=dict)
    """What is known of topic, partition and key, by these names."""
    appended_at: datetime | None = None
    assumed: str = ""
    """What was assumed to judge it, in words."""


def read_records(source: BinaryIO) -> Iterator[WrittenRecord]:
    """
    Yield the records in *source*: one in each line, or one in all of it. Blank lines are skipped.

    Raises:
        UnreadableRecord: if a line is too long, or a part of a record has another form.
    """
    begins_at, head = _first_written(source)
    if head and _document(head) is None:
        head += source.read(MAX_LINE_BYTES + 1)
        if _is_one_record(head):
            yield _in_one(head)
            return
    for number, line in enumerate(_lines(head, source), start=begins_at):
        if len(line) > MAX_LINE_BYTES:
            raise UnreadableRecord(f"line {number}: has more than {MAX_LINE_BYTES} bytes")
        if line.strip():
            yield _read(f"line {number}", line, _document(line))


def _first_written(source: BinaryIO) -> tuple[int, bytes]:
    """Return the number of the first line that is not blank, and the line; an empty one at the end."""
    number, line = 1, source.readline(MAX_LINE_BYTES + 1)
    while line and not line.strip():
        number, line = number + 1, source.readline(MAX_LINE_BYTES + 1)
    return number, line


def _is_one_record(head: bytes) -> bool:
    """Return whether a file whose first line is no JSON is one record: all of it is JSON, or no line is an object."""
    return _document(head) is not None or not any(isinstance(_document(line), dict) for line in BytesIO(head))


def _in_one(content: bytes) -> WrittenRecord:
    if len(content) > MAX_LINE_BYTES:
        raise UnreadableRecord(f"the file is neither JSON Lines nor one record of {MAX_LINE_BYTES} bytes at most")
    return _read("the file", content, _document(content))


def _lines(head: bytes, source: BinaryIO) -> Iterator[bytes]:
    """Yield the lines of *head*, then those of *source*, which continues it."""
    for line in BytesIO(head):
        yield line if line.endswith(b"\n") else line + source.readline(MAX_LINE_BYTES + 1)
    while line := source.readline(MAX_LINE_BYTES + 1):
        yield line


def _document(text: bytes) -> Any:
    try:
        return read_json(text)
    except NotJson:
        return None


def _read(where: str, text: bytes, document: Any) -> WrittenRecord:
    if isinstance(document, dict):
        if document.keys() >= _OF_KCAT:
            return _of_kcat(where, document)
        if "value" in document and not _OF_A_RECORD.isdisjoint(document):
            return _record(where, document, document["value"])
        if "specversion" in document:
            assumed = "the header content-type with application/cloudevents+json"
            return WrittenRecord(where, text.strip(), _STRUCTURED, assumed=assumed)
    return WrittenRecord(where, text.rstrip(b"\r\n"))


def _of_kcat(where: str, document: dict[str, Any]) -> WrittenRecord:
    at = f"{document['topic']}-{document['partition']}-{document['offset']} ({where})"
    return _record(at, {"key": None, **document}, document["payload"])


def _record(where: str, document: dict[str, Any], value: Any) -> WrittenRecord:
    stated: dict[str, object] = {
        name: _part(where, document, name, kind)
        for name, kind in (("topic", str), ("partition", int))
        if name in document
    }
    if "key" in document:
        stated["key"] = _bytes(_part(where, document, "key", str | None))
    written = value if isinstance(value, str) or value is None else json.dumps(value, ensure_ascii=False)
    return WrittenRecord(
        where, _bytes(written), _headers(where, document.get("headers")), stated, _time(where, document)
    )


def _part(where: str, document: dict[str, Any], name: str, kind: Any) -> Any:
    if not isinstance(document[name], kind):
        raise UnreadableRecord(f"{where}: {name}: has another form than in kcat's output")
    return document[name]


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else text.encode("utf-8", "surrogatepass")


def _headers(where: str, written: Any) -> list[tuple[str, bytes | None]]:
    """Return headers that are written as an object, as pairs, or as kcat writes them: name, value, name, value."""
    pairs = _pairs(written)
    if pairs is None or not all(isinstance(name, str) and isinstance(text, str | None) for name, text in pairs):
        raise UnreadableRecord(f"{where}: headers: must be names with texts or null")
    return [(name, _bytes(text)) for name, text in pairs]


def _pairs(written: Any) -> Sequence[tuple[Any, Any]] | None:
    match written:
        case None:
            return []
        case dict():
            return list(written.items())
        case list() if all(isinstance(pair, list) and len(pair) == 2 for pair in written):  # noqa: PLR2004 - a pair
            return [(name, text) for name, text in written]
        case list() if len(written) % 2 == 0:
            return list(pairwise(written))[::2]
        case _:
            return None


def _time(where: str, document: dict[str, Any]) -> datetime | None:
    milliseconds = document.get("ts")
    if not isinstance(milliseconds, int) or milliseconds < 0:
        return None
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        raise UnreadableRecord(f"{where}: ts: is beyond every date") from None
