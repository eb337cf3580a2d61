"""The files of the mailbox page, with headers that forbid the browser to fetch anything else."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from deploy.local.ses.replies import Reply

if TYPE_CHECKING:
    from deploy.local.ses.replies import Headers

FOLDER = Path(__file__).parent

# path: file, content type
FILES = {
    "/": ("index.html", b"text/html; charset=utf-8"),
    "/mailbox.css": ("mailbox.css", b"text/css; charset=utf-8"),
    "/mailbox.js": ("mailbox.js", b"text/javascript; charset=utf-8"),
    "/favicon.ico": ("icon.svg", b"image/svg+xml"),
}

PAGE_POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; frame-src 'self'; "
    b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def load_page() -> dict[str, Reply]:
    """Return the reply to each path of the page; raises OSError if a file is missing."""
    return {path: Reply(200, _headers(kind), (FOLDER / name).read_bytes()) for path, (name, kind) in FILES.items()}


def _headers(content_type: bytes) -> Headers:
    return [
        (b"content-type", content_type),
        (b"content-security-policy", PAGE_POLICY),
        (b"x-content-type-options", b"nosniff"),
        (b"referrer-policy", b"no-referrer"),
        (b"cache-control", b"no-cache"),
    ]
