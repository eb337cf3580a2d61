"""The files of the mailbox page, with headers that forbid the browser to fetch anything else."""

from __future__ import annotations

import html
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.local.ses.replies import Reply
from schemas.events import EVENTS_BY_NAME

if TYPE_CHECKING:
    from deploy.local.ses.replies import Headers

FOLDER = Path(__file__).parent

SCRIPTS = ("mailbox", "list", "mail", "keys", "server", "elements")

# path: file, content type
FILES = {
    "/": ("index.html", b"text/html; charset=utf-8"),
    "/mailbox.css": ("mailbox.css", b"text/css; charset=utf-8"),
    **{f"/{name}.js": (f"{name}.js", b"text/javascript; charset=utf-8") for name in SCRIPTS},
    "/favicon.ico": ("icon.svg", b"image/svg+xml"),
}

PAGE_POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; frame-src 'self'; "
    b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def load_page(facade: str) -> dict[str, Reply]:
    """
    Return the reply to each path of the page, with a command to try *facade*.

    Raises:
        OSError: a file is missing.
    """
    page = {path: Reply(200, _headers(kind), (FOLDER / name).read_bytes()) for path, (name, kind) in FILES.items()}
    command = html.escape(_example_call(facade)).encode()
    page["/"] = page["/"]._replace(body=page["/"].body.replace(b"{{ example call }}", command))
    return page


def _example_call(facade: str) -> str:
    """Return a command to post the contract's example of an event."""
    event = EVENTS_BY_NAME["pause-activated"]
    data = event.model.model_validate(event.example).model_dump_json()
    return (
        f"curl {facade}/api/v1/pause-notifications/{event.name} \\\n"
        f"  -H 'Content-Type: application/json' \\\n"
        f"  -d {shlex.quote(data)}"
    )


def _headers(content_type: bytes) -> Headers:
    return [
        (b"content-type", content_type),
        (b"content-security-policy", PAGE_POLICY),
        (b"x-content-type-options", b"nosniff"),
        (b"referrer-policy", b"no-referrer"),
        (b"cache-control", b"no-cache"),
    ]
