"""The bodies of admin requests, and the error of an invalid one."""

from __future__ import annotations

import json
from typing import Any


class AdminError(Exception):
    """Answer with this status and message."""

    def __init__(self, status: int, message: str) -> None:
        self.status = status
        self.message = message
        super().__init__(status, message)


def json_object(body: bytes) -> dict[str, Any]:
    """Return the JSON object in *body*; raise AdminError if there is none."""
    try:
        values = json.loads(body)
    except (ValueError, RecursionError):
        raise AdminError(400, "The body is not JSON.") from None
    if not isinstance(values, dict):
        raise AdminError(400, 'The body is not a JSON object such as {"paused": true}.')

    return values
