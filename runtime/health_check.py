"""
Ask a program in this container whether it is well: `python -m runtime.health_check [/readyz]`.

The image runs it every few seconds, so it imports little. Without a path it asks /livez, which is what a supervisor
may restart a program for. In a container that runs no program of ours, nothing can be wrong.
"""

from __future__ import annotations

import http.client
import os
import sys
from pathlib import Path

PORT = "PAUSE_NOTIFICATIONS_MANAGEMENT_PORT"
DEFAULT_PORTS = {"service": 8001, "consumers": 8002}
_SECONDS = 3.0
_FIRST_PROCESS = Path("/proc/1/cmdline")


def port_of(command: bytes, given: str | None) -> int | None:
    """Return the management port of the program that *command* runs, or None if that is no program of ours."""
    words = command.decode(errors="replace").split("\0")
    for program, port in DEFAULT_PORTS.items():
        if program in words:
            return int(given) if given else port
    return None


def problem(port: int, path: str) -> str | None:
    """Return why the program at *port* is not well, or None if it is."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_SECONDS)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read().decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        return f"{path} does not answer: {error!r}"
    finally:
        connection.close()
    return None if answer.status == http.client.OK else f"{path} answers {answer.status}: {body}"


def main() -> None:
    """Exit with 0 if all is well; otherwise print why not, and exit with 1."""
    port = port_of(_FIRST_PROCESS.read_bytes(), os.environ.get(PORT))
    path = sys.argv[1] if len(sys.argv) > 1 else "/livez"
    if port is not None and (why := problem(port, path)) is not None:
        sys.exit(why)


if __name__ == "__main__":
    main()
