"""One JSON line for each accepted mail: chaos runs and benchmarks count these, whether or not the answer arrived."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

from deploy.local.ses.mails import Mail, rfc3339

if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO

MailLog = Callable[[Mail], object]
"""Records one accepted mail before it is answered."""

_encode = json.JSONEncoder(ensure_ascii=True, separators=(",", ":")).encode


def json_lines_log(file: BinaryIO) -> MailLog:
    """
    Return a log that appends to *file*, and raises OSError if it cannot.

    The file must be unbuffered: each mail is then one system call, and a killed process loses none. The page cache
    takes a line within microseconds, so no thread is needed.
    """

    def log(mail: Mail) -> None:
        entry = {
            "message_id": mail.message_id,
            "time": rfc3339(mail.accepted_at),
            "to": mail.email.to,
            "tags": mail.email.tags,
            "answer": mail.answer,
        }
        file.write(f"{_encode(entry)}\n".encode("ascii"))

    return log


def open_log(path: Path) -> BinaryIO:
    """Open *path* for a log, to append to what it holds; raise OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("ab", buffering=0)
