"""One JSON line per accepted mail: what chaos runs and benchmarks count, whatever became of the answer."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Protocol

from deploy.local.ses.mails import rfc3339

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path
    from typing import BinaryIO

    from deploy.local.ses.mails import Mail

_encode = json.JSONEncoder(ensure_ascii=True, separators=(",", ":")).encode


class MailLog(Protocol):
    """Where accepted mails are written down before they are answered."""

    def write(self, mails: Iterable[Mail]) -> None:
        """Write *mails* down before returning."""


class NoLog:
    """Write nothing."""

    def write(self, mails: Iterable[Mail]) -> None:
        """Let *mails* pass."""


class JsonLinesLog:
    """Append to an unbuffered file: one system call for all mails of a call, and a killed process loses none.

    The write is not put in a thread: it goes to the page cache, in microseconds.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def write(self, mails: Iterable[Mail]) -> None:
        """Append a line for each of *mails*; raises OSError if the disk does not take it."""
        self._file.write("".join(map(_line, mails)).encode("ascii"))


def open_log(path: Path) -> BinaryIO:
    """Open *path* for a JsonLinesLog, appending to what is there; raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("ab", buffering=0)


def _line(mail: Mail) -> str:
    email = mail.email
    entry = {
        "message_id": mail.message_id,
        "time": rfc3339(mail.accepted_at),
        "to": email.to,
        "tags": email.tags,
        "answer": mail.answer,
    }
    return _encode(entry) + "\n"
