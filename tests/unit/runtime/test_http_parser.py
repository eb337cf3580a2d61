"""Parse requests: which bytes are valid, which are refused, and that segments make no difference."""

from __future__ import annotations

import contextlib

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.http_parser import MAX_FRAMING_BYTES, MAX_HEAD_BYTES, MAX_HEADERS, End, Head, Refused, RequestParser
from tests.raw_http import head

LARGE = 512 * 1024


def read(*segments: bytes) -> tuple[list[Head | bytes], Refused | None]:
    """Return the heads and complete bodies in these segments, and the refusal that ended them."""
    parser, found = RequestParser(), list[Head | bytes]()
    body = b""
    for segment in segments:
        parser.feed(segment)
        while True:
            try:
                event = parser.next_event()
            except Refused as refused:
                return found, refused
            if event is None:
                break
            if isinstance(event, bytes):
                body += event
            else:
                found.append(body if event is End.END else event)
                body = b""
        assert parser.held <= MAX_HEAD_BYTES + MAX_FRAMING_BYTES
    return found, None


def _status(request: bytes) -> int:
    """Return the status with which a request is refused, or 200 if it is accepted."""
    found, refused = read(request)
    assert refused is not None or len(found) == 2
    return refused.status if refused else 200


@pytest.mark.parametrize(
    ("request_head", "status"),
    [
        (head("GET / HTTP/1.1", host=[]), 400),
        (head("GET / HTTP/1.1", host=["Host: a", "Host: a"]), 400),
        (head("GET / HTTP/1.1", host=["Host: a/b"]), 400),
        (head("GET / HTTP/1.1", host=["Host: a b"]), 400),
        (head("GET / HTTP/1.1", host=["Host: "]), 400),
        (head("GET / HTTP/1.1", host=["host:[::1]:8000"]), 200),
        (head("GET / HTTP/1.0", host=[]), 200),
        (head("GET / HTTP/1.0", host=["Host: a", "Host: b"]), 400),
        (head("OPTIONS * HTTP/1.1"), 200),
        (head("GET http://facade/ HTTP/1.1"), 200),
        (head("GET HTTPS://FACADE?a=b HTTP/1.1"), 200),
        (head("GET http://other/ HTTP/1.1"), 400),
        (head("GET http://user@facade/ HTTP/1.1"), 400),
        (head("GET ftp://facade/ HTTP/1.1"), 400),
        (head("CONNECT facade:80 HTTP/1.1"), 400),
        (head("GET echo HTTP/1.1"), 400),
        (head("GET  / HTTP/1.1"), 400),
        (head("GET / HTTP/1.1 "), 400),
        (head(" GET / HTTP/1.1"), 400),
        (head("GET /a b HTTP/1.1"), 400),
        (head("GET /#part HTTP/1.1"), 400),
        (head("GET /\xe9 HTTP/1.1"), 400),
        (head("G\xe9T / HTTP/1.1"), 400),
        (head("GET /"), 400),
        (head("GET / http/1.1"), 400),
        (head("GET / HTTP/0.9"), 505),
        (head("PRI * HTTP/2.0"), 505),
        (head("GET / HTTP/1.1", "name"), 400),
        (head("GET / HTTP/1.1", ": value"), 400),
        (head("GET / HTTP/1.1", "name : value"), 400),
        (head("GET / HTTP/1.1", "na\x00me: value"), 400),
        (head("GET / HTTP/1.1", "name: a\x00b"), 400),
        (head("GET / HTTP/1.1", "name: a\rb"), 400),
        (head("GET / HTTP/1.1", "name: folded", " further"), 400),
        (head("GET / HTTP/1.1", "name: \xe9\t,", "other:"), 200),
        (head("GET / HTTP/1.1").replace(b"\r\n", b"\n"), 400),
        (head("GET / HTTP/1.1").replace(b"\r\nHost", b"\nHost"), 400),
        (head("GET / HTTP/1.1").replace(b"\r\n", b"\r") + b"\r\n\r\n", 400),
        (head("POST / HTTP/1.1", "Content-Length: 0", "Content-Length: 0"), 400),
        (head("POST / HTTP/1.1", "Content-Length: 0, 0"), 400),
        (head("POST / HTTP/1.1", "Content-Length: +0"), 400),
        (head("POST / HTTP/1.1", "Content-Length: -0"), 400),
        (head("POST / HTTP/1.1", "Content-Length: "), 400),
        (head("POST / HTTP/1.1", "Content-Length: \xb2"), 400),
        (head("POST / HTTP/1.1", "Content-Length: " + "9" * 19), 400),
        (head("POST / HTTP/1.1", "Content-Length: 0", "Transfer-Encoding: chunked"), 400),
        (head("POST / HTTP/1.0", "Transfer-Encoding: chunked"), 400),
        (head("POST / HTTP/1.1", "Transfer-Encoding: gzip, chunked"), 501),
        (head("POST / HTTP/1.1", "Transfer-Encoding: chunked", "Transfer-Encoding: chunked"), 501),
        (head("POST / HTTP/1.1", "Transfer-Encoding: Chunked") + b"0\r\n\r\n", 200),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (b"\r\n" + head("GET / HTTP/1.1"), 200),
        (b"\r\n\r\n" + head("GET / HTTP/1.1"), 400),
    ],
)
def test_heads(request_head: bytes, status: int) -> None:
    """An ambiguous or invalid head is refused."""
    assert status == _status(request_head)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"0\r\n\r\n", 200),
        (b"0005;a=b\r\nhello\r\n0;c\r\ntrailer: x\r\n\r\n", 200),
        (b"x\r\n", 400),
        (b"-1\r\n", 400),
        (b"0x1\r\n", 400),
        (b" 1\r\n", 400),
        (b"1 \r\n", 400),
        (b"\r\n", 400),
        (b"1\r\nab\r\n", 400),
        (b"fffffffff\r\n", 400),
        (b"1;" + b"e" * 300, 400),
        (b"1\nx\r\n0\r\n\r\n", 400),
        (b"0\r\nname\r\n\r\n", 400),
        (b"0\r\n" + b"a: b\r\n" * 101 + b"\r\n", 431),
        (b"0\r\n" + b"a" * 70_000, 400),
        (b"1;e=1\r\nx\r\n" * 10_000, 400),
        (b"1\r\nx\r\n" * 20_000, 400),
    ],
)
def test_chunks(body: bytes, status: int) -> None:
    """Invalid chunks, and chunks that are mostly framing, are refused."""
    assert status == _status(head("POST / HTTP/1.1", "Transfer-Encoding: chunked") + body)


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        (b"a:\r\n" * LARGE, "head_too_large"),
        (b"a: " + b"x" * LARGE, "head_too_large"),
        (b"a: " + b"x" * LARGE + b"\r\n\r\n", "head_too_large"),
        (b"a:\r\n" * (MAX_HEADERS - 1) + b"\r\n", ""),
        (b"a:\r\n" * MAX_HEADERS + b"\r\n", "too_many_headers"),
    ],
    ids=["many", "long", "long with an end", "as many as allowed", "one more"],
)
def test_bounds(more: bytes, reason: str) -> None:
    """A head has 32 KiB and 100 headers at most."""
    _, refused = read(b"GET / HTTP/1.1\r\nHost: a\r\n" + more)
    assert reason == (refused.reason if refused else "")


def test_head() -> None:
    """A head has method, target, version, headers in lower case, and whether the connection stays open."""
    request = head(
        "GET /a%20b?c=d&e=/? HTTP/1.1", "X-Name:  a b \t", "Connection: Keep-Alive, close", "Expect: 100-Continue"
    )

    expected = Head(
        method="GET",
        path=b"/a%20b",
        query=b"c=d&e=/?",
        version="1.1",
        headers=[
            (b"host", b"facade"),
            (b"x-name", b"a b"),
            (b"connection", b"Keep-Alive, close"),
            (b"expect", b"100-Continue"),
        ],
        keep_alive=False,
        expects_continue=True,
    )
    assert ([expected, b""], None) == read(request)


def test_it_parses_only_when_asked() -> None:
    """Bytes after a request stay unparsed until the next call, and can be dropped."""
    request = head("GET / HTTP/1.1")
    parser = RequestParser()
    parser.feed(request * 2)
    events = [parser.next_event(), parser.next_event()]
    held = parser.held
    parser.drop()

    assert End.END is events[1]
    assert len(request) == held
    assert 0 == parser.held
    assert parser.next_event() is None


TOKENS = st.text("abcXYZ-_09", min_size=1, max_size=8)
VALUES = st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=20)
BODIES = st.binary(max_size=60)


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """Draw a valid request, its body of known length or in chunks."""
    lines = [f"x-{name}: {value}" for name, value in draw(st.lists(st.tuples(TOKENS, VALUES), max_size=5))]
    line = f"{draw(st.sampled_from(['GET', 'POST', 'M-SEARCH']))} /{draw(TOKENS)} HTTP/1.1"
    body = draw(BODIES)
    if draw(st.booleans()):
        return head(line, *lines, f"Content-Length: {len(body)}") + body
    size = draw(st.integers(1, 20))
    chunks = [body[at : at + size] for at in range(0, len(body), size)]
    written = b"".join(b"%x;e=1\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
    return head(line, *lines, "Transfer-Encoding: chunked") + written + b"0\r\nt: x\r\n\r\n"


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """Draw requests with some bytes changed, removed or doubled."""
    data = b"".join(draw(st.lists(requests(), min_size=1, max_size=3)))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(data)))
        put = draw(
            st.sampled_from([b"", b"\r", b"\n", b"\r\n", b" ", b":", b"\x00", b"0", b",", b"\xff", data[at : at + 9]])
        )
        data = data[:at] + put + data[at + draw(st.integers(0, 2)) :]
    return data


@given(mutated(), st.data())
def test_segments_make_no_difference(data: bytes, draw: st.DataObject) -> None:
    """In any segments the same requests are found, or all are refused."""
    borders = sorted(draw.draw(st.lists(st.integers(0, len(data)), max_size=8)))
    cuts = [data[begin:end] for begin, end in zip([0, *borders], [*borders, len(data)], strict=True)]

    found, refused = read(data)
    in_pieces, refused_in_pieces = read(*cuts)
    by_byte, refused_by_byte = read(*[data[at : at + 1] for at in range(len(data))])

    assert found == in_pieces == by_byte
    assert (refused is None) == (refused_in_pieces is None) == (refused_by_byte is None)


@given(mutated())
def test_another_parser_agrees(data: bytes) -> None:
    """h11 parses an accepted request in the same way, or refuses it: nothing can be smuggled."""
    found, _ = read(data)
    with contextlib.suppress(h11.RemoteProtocolError):
        _compare(found, data)


def _compare(found: list[Head | bytes], data: bytes) -> None:
    other = h11.Connection(h11.SERVER, max_incomplete_event_size=2 * MAX_HEAD_BYTES)
    other.receive_data(data)

    for request, body in zip(found[::2], found[1::2], strict=False):
        assert isinstance(request, Head)
        event = other.next_event()
        assert isinstance(event, h11.Request)
        target = request.path + (b"?" + request.query if request.query else b"")
        assert request.method.encode() == event.method
        assert target == event.target.removesuffix(b"?")
        assert request.headers == list(event.headers)
        read_body = b""
        while isinstance(event := other.next_event(), h11.Data):
            read_body += event.data
        assert body == read_body
        if not request.keep_alive:
            break
        other.send(h11.Response(status_code=200, headers=[("content-length", "0")]))
        other.send(h11.EndOfMessage())
        other.start_next_cycle()
