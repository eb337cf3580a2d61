"""Check a request's path: read the prefix that a proxy removed, and refuse ambiguous characters."""

from __future__ import annotations

import re

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from service.problems import INVALID_PATH, Problem
from service.responses import problem_response

FORWARDED_PREFIX = "X-Forwarded-Prefix"

_MAX_PREFIX_LENGTH = 256
_PREFIX = re.compile(r"(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*/?")
_AMBIGUOUS = re.compile(rb"%(?:2F|5C|00)", re.IGNORECASE)


class PathCheck:
    """
    An ASGI app around the app: it refuses ambiguous paths and sets the scope's `root_path`.

    If one parser reads `%2F` as a slash and another as a character, a request can bypass a proxy's rules.
    """

    def __init__(self, app: ASGIApp, *, trust_prefix: bool) -> None:
        self._app = app
        self._trust_prefix = trust_prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "http":
            try:
                check_path(scope.get("raw_path") or b"")
                prefix = forwarded_prefix(Headers(scope=scope)) if self._trust_prefix else ""
            except Problem as problem:
                await problem_response(problem, scope["state"]["trace"])(scope, receive, send)
                return
            scope["root_path"], scope["path"] = (
                prefix,
                prefix + scope["path"],
            )  # in ASGI, the path begins with the root path
        await self._app(scope, receive, send)


def check_path(raw_path: bytes) -> None:
    """Raise Problem if the path has an encoded slash, backslash or NUL."""
    found = _AMBIGUOUS.search(raw_path)
    if found is not None:
        raise Problem(INVALID_PATH, f"The path has {found[0].decode('ascii')}, which parsers read differently.")


def forwarded_prefix(headers: Headers) -> str:
    """Return the prefix that a proxy removed, without a slash at its end; raise Problem if it is not one valid path."""
    given = headers.getlist(FORWARDED_PREFIX)
    if not given:
        return ""
    if len(given) > 1 or len(given[0]) > _MAX_PREFIX_LENGTH or not _PREFIX.fullmatch(given[0]):
        raise Problem(INVALID_PATH, f"{FORWARDED_PREFIX} is not one path such as /notifications.")
    return given[0].removesuffix("/")
