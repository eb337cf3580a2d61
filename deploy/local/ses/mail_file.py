"""A SQLite file with the kept mails, so that they survive a restart. A fault of the file stops nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import msgspec

from deploy.local.ses.mails import Mail

_VERSION = 1  # of the table and of the mails in it
_TABLE = "CREATE TABLE IF NOT EXISTS mails (number INTEGER PRIMARY KEY, message_id TEXT NOT NULL UNIQUE, mail BLOB)"
_NEWEST = "SELECT mail FROM mails ORDER BY number DESC LIMIT ?"
_REMOVE_OLDER = "DELETE FROM mails WHERE number <= (SELECT number FROM mails ORDER BY number DESC LIMIT 1 OFFSET ?)"
_PUT = "INSERT INTO mails (message_id, mail) VALUES (?, ?) ON CONFLICT DO UPDATE SET mail = excluded.mail"
_REMOVE = "DELETE FROM mails WHERE message_id = ?"

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Mail).decode


class OtherVersion(Exception):
    """Another version of this program wrote the file."""

    def __init__(self) -> None:
        super().__init__("another version of the local SES wrote it")


class MailFile:
    """
    Read the mails of earlier runs, and write each change at once.

    After a fault the mails are kept in memory only. *on_fault* gets its text, and `fault` has it for the page.
    """

    def __init__(self, path: Path, *, on_fault: Callable[[str], object]) -> None:
        self._path = path
        self._on_fault = on_fault
        self._connection: sqlite3.Connection | None = None
        self.fault: str | None = None

    def open(self, *, newest: int) -> list[Mail]:
        """Open the file, or make it, and return its newest mails, oldest first; none if it cannot be read."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(self._path, timeout=0, isolation_level=None, check_same_thread=False)
            _prepare(self._connection)
            return _read(self._connection, newest)
        except (OSError, sqlite3.Error, msgspec.DecodeError, OtherVersion) as error:
            self.close()
            self._fail(f"Mails are not kept over a restart: {self._path}: {error}. {_advice(error)}")
            return []

    def put(self, mail: Mail) -> None:
        """Write a new or changed mail."""
        try:
            self._execute(_PUT, mail.message_id, _encode(mail))
        except UnicodeEncodeError as error:
            self._lose(error)

    def remove(self, message_id: str) -> None:
        """Remove a mail."""
        self._execute(_REMOVE, message_id)

    def clear(self) -> None:
        """Remove all mails."""
        self._execute("DELETE FROM mails")

    def close(self) -> None:
        """Close the file; later changes are not written."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _execute(self, statement: str, *values: str | bytes) -> None:
        if self._connection is None:
            return

        try:
            self._connection.execute(statement, values)
        except sqlite3.Error as error:
            self._lose(error)

    def _lose(self, error: Exception) -> None:
        self._fail(f"Changes of the mailbox will be missing after a restart: {self._path}: {error}.")

    def _fail(self, text: str) -> None:
        if text != self.fault:  # once, not for each mail
            self.fault = text
            self._on_fault(text)


def _prepare(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")  # a second local SES would mix its mails with ours
    connection.execute("PRAGMA journal_mode = WAL")  # with it a change needs no fsync, and survives SIGKILL
    connection.execute("PRAGMA synchronous = NORMAL")
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version not in {0, _VERSION}:
        raise OtherVersion
    connection.execute(_TABLE)
    connection.execute(f"PRAGMA user_version = {_VERSION}")


def _read(connection: sqlite3.Connection, newest: int) -> list[Mail]:
    connection.execute(_REMOVE_OLDER, (newest,))
    mails = [_decode(mail) for (mail,) in connection.execute(_NEWEST, (newest,))]
    mails.reverse()
    return mails


def _advice(error: Exception) -> str:
    if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY:
        return "Stop the other local SES that uses it."
    return "Delete it, and start again."
