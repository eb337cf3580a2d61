"""
Parse HTTP/1.1 requests: bytes in, events out. Refuse whatever two parsers could understand differently.

The grammar is that of RFC 9112 without its leniencies. An offered upgrade is ignored, as RFC 9110 (section 7.8) allows.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import Final, TypeAlias

MAX_HEAD_BYTES: Final = 32 * 1024
MAX_HEADERS: Final = 100
MAX_FRAMING_BYTES: Final = 16 * 1024
"""Limit of the bytes of a chunked body that are not content: each chunk costs time, too."""

_MAX_CHUNK_LINE_BYTES = 256
_REQUEST_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([\x21\x22\x24-\x7e]+) HTTP/([0-9]\.[0-9])")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*)")
_BARE_LINE_FEED = re.compile(rb"(?<!\r)\n")
_METHOD_BEGINS = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]")
_HOST = re.compile(rb"(\[[0-9A-Za-z:.%_~-]+\]|[0-9A-Za-z._~!$&'()*+,;=%-]+)(:[0-9]*)?")
_ABSOLUTE = re.compile(rb"https?://([^/?]*)(.*)", re.IGNORECASE)
_LENGTH = re.compile(rb"[0-9]{1,18}")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,8})([ \t]*;[^\x00-\x08\x0a-\x1f\x7f]*)?")
_FRAMING_FIELDS = frozenset({b"host", b"content-length", b"transfer-encoding", b"connection", b"expect"})

Headers: TypeAlias = list[tuple[bytes, bytes]]


class Refused(Exception):
    """A request that is not parsed any further; *reason* is a stable code for metrics, *text* is for the client."""

    def __init__(self, reason: str, status: int, text: str) -> None:
        super().__init__(f"{reason}: {text}")
        self.reason = reason
        self.status = status
        self.text = text


@dataclass(frozen=True, slots=True)
class Head:
    """A request without its body."""

    method: str
    path: bytes
    query: bytes
    version: str
    headers: Headers
    keep_alive: bool
    expects_continue: bool


class End(Enum):
    """The event after the last byte of a request."""

    END = "end"


Event: TypeAlias = Head | bytes | End
"""The events of a connection: a head, then pieces of its body, then the end; then the next head."""


class _Part(Enum):
    """The part of a request that the next bytes belong to."""

    HEAD = "head"
    FIXED = "fixed"
    CHUNK_SIZE = "chunk_size"
    CHUNK = "chunk"
    CHUNK_END = "chunk_end"
    TRAILERS = "trailers"


class RequestParser:
    """
    Parses the requests of one connection.

    It parses only when asked, so that whoever answers a request decides when to look at the next one.
    """

    def __init__(self) -> None:
        self._data = b""
        self._at = 0
        self._part = _Part.HEAD
        self._searched = 0  # bytes of an unfinished head already searched for its end
        self._blank_line_passed = False
        self._left = 0  # bytes of the body, or of its chunk, still to come
        self._framing = 0

    @property
    def held(self) -> int:
        """Return how many bytes are kept but not parsed yet."""
        return len(self._data) - self._at

    def feed(self, data: bytes) -> None:
        """Add bytes that have arrived."""
        self._data = self._data[self._at :] + data if self._at < len(self._data) else data
        self._at = 0

    def drop(self) -> None:
        """Discard the bytes that are not parsed yet."""
        self._data, self._at = b"", 0

    def next_event(self) -> Event | None:
        """
        Return the next event, or None if it needs more bytes.

        Raises:
            Refused: The bytes are not a valid request, or exceed a limit. Nothing can be parsed after that.
        """
        if self._part is _Part.HEAD:
            event: Event | None = self._head()
        elif self._part is _Part.FIXED:
            event = self._content() if self._left else self._end()
        else:
            event = self._chunked()
        if self._at == len(self._data):
            self.drop()  # do not keep what is parsed
        return event

    # -- head --------------------------------------------------------------------------------------------------------

    def _head(self) -> Head | None:
        if not self._blank_line_passed and self._data.startswith(b"\r\n", self._at):
            self._at += 2  # old clients end a body with it; RFC 9112, section 2.2
            self._blank_line_passed = True
        end = self._data.find(b"\r\n\r\n", self._at + max(self._searched - 3, 0))
        if (self.held if end < 0 else end - self._at) > MAX_HEAD_BYTES:
            raise Refused("head_too_large", 431, f"The head of a request is at most {MAX_HEAD_BYTES} bytes.")
        if end < 0:
            self._check_unfinished()
            self._searched = self.held
            return None
        lines = self._data[self._at : end].split(b"\r\n")
        self._at, self._searched, self._blank_line_passed = end + 4, 0, False
        return self._framed(*_request_line(lines[0]), _fields(lines[1:]))

    def _check_unfinished(self) -> None:
        """Refuse at once what cannot become a head: otherwise its client would wait until the deadline."""
        begins = self._data[self._at : self._at + 1]
        if begins not in (b"", b"\r") and not _METHOD_BEGINS.match(begins):
            raise _bad_request_line()
        if _BARE_LINE_FEED.search(self._data, self._at + self._searched):
            raise Refused("bad_header", 400, "Lines end with CR LF.")

    def _framed(self, method: str, target: bytes, version: str, headers: Headers) -> Head:
        """Return the head, and prepare for its body."""
        framing: dict[bytes, list[bytes]] = {}
        for name, value in headers:
            if name in _FRAMING_FIELDS:
                framing.setdefault(name, []).append(value)
        host = _host(framing.get(b"host", []), version)
        self._expect_body(framing.get(b"content-length", []), framing.get(b"transfer-encoding", []), version)
        path, _, query = _origin_form(target, host).partition(b"?")
        connection = b",".join(framing.get(b"connection", [])).lower()
        return Head(
            method=method,
            path=path,
            query=query,
            version=version,
            headers=headers,
            keep_alive=version == "1.1" and b"close" not in [token.strip() for token in connection.split(b",")],
            expects_continue=version == "1.1"
            and [one.lower() for one in framing.get(b"expect", [])] == [b"100-continue"],
        )

    def _expect_body(self, lengths: list[bytes], encodings: list[bytes], version: str) -> None:
        self._framing = 0
        if encodings:
            if lengths or version != "1.1":
                raise Refused("bad_length", 400, "A body has either a Content-Length or, over HTTP/1.1, chunks.")
            if [encoding.lower() for encoding in encodings] != [b"chunked"]:
                raise Refused("bad_length", 501, "The one Transfer-Encoding known here is chunked.")
            self._part = _Part.CHUNK_SIZE
            return
        if len(lengths) > 1 or (lengths and not _LENGTH.fullmatch(lengths[0])):
            raise Refused("bad_length", 400, "Content-Length is one number, given once.")
        self._part, self._left = _Part.FIXED, int(lengths[0]) if lengths else 0

    # -- body --------------------------------------------------------------------------------------------------------

    def _content(self) -> bytes | None:
        content = self._data[self._at : self._at + self._left]
        self._at += len(content)
        self._left -= len(content)
        return content or None

    def _end(self) -> End:
        self._part = _Part.HEAD
        return End.END

    def _chunked(self) -> Event | None:
        """Return all content that has arrived in one piece, or else the end of the body."""
        pieces = []
        while self._part is not _Part.TRAILERS:
            if self._part is _Part.CHUNK:
                content = self._content()
                if content is None:
                    break
                pieces.append(content)
                if not self._left:
                    self._part = _Part.CHUNK_END
            elif not self._chunk_line():
                break
        if pieces:
            return b"".join(pieces)
        return self._end() if self._part is _Part.TRAILERS and self._skip_trailers() else None

    def _chunk_line(self) -> bool:
        """Parse a chunk's size, or the line end after its content; return whether it has arrived."""
        if self._part is _Part.CHUNK_END and self._data[self._at : self._at + 2] not in (b"", b"\r", b"\r\n"):
            raise _bad_chunk()
        end = self._data.find(b"\r\n", self._at, self._at + _MAX_CHUNK_LINE_BYTES)
        if end < 0:
            if self.held >= _MAX_CHUNK_LINE_BYTES:
                raise _bad_chunk()
            return False
        line = self._data[self._at : end]
        self._at = end + 2
        self._count_framing(len(line) + 2)
        if self._part is _Part.CHUNK_END:
            self._part = _Part.CHUNK_SIZE
            return True
        size = _CHUNK.fullmatch(line)
        if size is None:
            raise _bad_chunk()
        self._left = int(size[1], 16)
        self._part = _Part.CHUNK if self._left else _Part.TRAILERS
        return True

    def _skip_trailers(self) -> bool:
        """Skip the fields after the last chunk; return whether their end has arrived."""
        if self._data.startswith(b"\r\n", self._at):
            self._at += 2
            return True
        end = self._data.find(b"\r\n\r\n", self._at)
        if end < 0:
            self._count_framing(0, coming=self.held)
            return False
        fields = self._data[self._at : end].split(b"\r\n")
        self._at = end + 4
        self._count_framing(sum(len(field) + 2 for field in fields))
        _fields(fields)
        return True

    def _count_framing(self, count: int, *, coming: int = 0) -> None:
        self._framing += count
        if self._framing + coming > MAX_FRAMING_BYTES:
            raise Refused("bad_chunk", 400, f"The framing of a chunked body is at most {MAX_FRAMING_BYTES} bytes.")


def _request_line(line: bytes) -> tuple[str, bytes, str]:
    found = _REQUEST_LINE.fullmatch(line)
    if found is None:
        raise _bad_request_line()
    version = found[3].decode("ascii")
    if version not in ("1.0", "1.1"):
        raise Refused("unknown_version", 505, "HTTP/1.1 and HTTP/1.0 are spoken here.")
    return found[1].decode("ascii"), found[2], version


def _fields(lines: list[bytes]) -> Headers:
    if len(lines) > MAX_HEADERS:
        raise Refused("too_many_headers", 431, f"A request has at most {MAX_HEADERS} headers.")
    fields = []
    for line in lines:
        found = _FIELD.fullmatch(line)
        if found is None:
            raise Refused("bad_header", 400, "A header is one line: a name, a colon, a value without control codes.")
        fields.append((found[1].lower(), found[2].rstrip(b" \t")))
    return fields


def _host(hosts: list[bytes], version: str) -> bytes | None:
    if not hosts and version == "1.0":
        return None
    if len(hosts) != 1 or not _HOST.fullmatch(hosts[0]):
        raise Refused("bad_host", 400, "A request names its Host once, as a name or address and a port.")
    return hosts[0]


def _origin_form(target: bytes, host: bytes | None) -> bytes:
    """Return the path and query of a target, which may repeat the host as if for a proxy."""
    if target.startswith(b"/") or target == b"*":
        return target
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute is None:
        raise _bad_request_line()
    if host is not None and absolute[1].lower() != host.lower():
        raise Refused("bad_host", 400, "The request's target and its Host are not the same.")
    return absolute[2] if absolute[2].startswith(b"/") else b"/" + absolute[2]


def _bad_request_line() -> Refused:
    return Refused("bad_request_line", 400, "A request begins with: METHOD /path HTTP/1.1.")


def _bad_chunk() -> Refused:
    return Refused("bad_chunk", 400, "A chunk is its size in hexadecimal, a line end, its content, a line end.")
