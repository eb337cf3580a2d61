"""A file of contacts, JSON Lines: checked whole first, then read again line by line, and never held whole."""

from __future__ import annotations

import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

from schemas.contacts import Contact, InvalidContact, parse_contact

_MARK = b"\xef\xbb\xbf"
_MAX_LINE_BYTES = 1024 * 1024
_IN_MEMORY_BYTES = 32 * 1024 * 1024
_MOST_COPIED_BYTES = 1024**3
_COPIED_AT_ONCE = 1024 * 1024
_WRONG_LINES_NAMED = 10


class ContactsFile:
    """What a file holds, read as often as it is asked."""

    def __init__(self, content: IO[bytes]) -> None:
        self._content = content

    def check(self) -> int:
        """
        Read the file to its end and return how many contacts it holds.

        Raises:
            InvalidContact: Lines are wrong; the first ten are named, with their fields and never their values.
        """
        seen: dict[str, int] = {}
        wrong: list[str] = []
        count = 0
        for number, line in self._lines():
            try:
                _note(seen, number, _contact(number, line).id)
            except InvalidContact as error:
                count += 1
                if count <= _WRONG_LINES_NAMED:
                    wrong.append(str(error))
        if count > _WRONG_LINES_NAMED:
            wrong.append(f"and {count - _WRONG_LINES_NAMED} more")
        if wrong:
            raise InvalidContact("\n  ".join(wrong))
        return len(seen)

    def contacts(self) -> Iterator[Contact]:
        """Yield the contacts; raise InvalidContact at a line that became wrong since the check."""
        for number, line in self._lines():
            yield _contact(number, line)

    def _lines(self) -> Iterator[tuple[int, bytes]]:
        """Yield the lines that are not blank, with their numbers; of one that is too long only its beginning."""
        self._content.seek(0)
        number = 0
        while line := self._content.readline(_MAX_LINE_BYTES):
            number += 1
            rest = line
            while len(rest) == _MAX_LINE_BYTES and not rest.endswith(b"\n"):
                rest = self._content.readline(_MAX_LINE_BYTES)
            text = line.removeprefix(_MARK) if number == 1 else line
            if text.strip():
                yield number, text


def _note(seen: dict[str, int], number: int, contact_id: str) -> None:
    first = seen.setdefault(contact_id, number)
    if first != number:
        raise InvalidContact(f"line {number}: id: stands on line {first} already")


def _contact(number: int, line: bytes) -> Contact:
    if len(line) >= _MAX_LINE_BYTES:
        raise InvalidContact(f"line {number}: line: is longer than {_MAX_LINE_BYTES} bytes")
    try:
        return parse_contact(line.decode())
    except UnicodeDecodeError:
        raise InvalidContact(f"line {number}: line: is not UTF-8") from None
    except InvalidContact as error:
        raise InvalidContact(f"line {number}: {error}") from None


@contextmanager
def opened(file: Path) -> Iterator[ContactsFile]:
    """
    Open a file of contacts, - being standard input.

    What can be read but once, as a pipe, is copied: into memory while it is small, else into a file without a name.

    Raises:
        InvalidContact: It is a pipe that does not end within reason.
        OSError: It cannot be read, or not be copied.
    """
    with ExitStack() as undo:
        given: IO[bytes] = sys.stdin.buffer if str(file) == "-" else undo.enter_context(file.open("rb"))
        if str(file) != "-" and stat.S_ISREG(file.stat().st_mode):
            yield ContactsFile(given)
            return
        copy = undo.enter_context(tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY_BYTES))
        while chunk := given.read(_COPIED_AT_ONCE):
            copy.write(chunk)
            if copy.tell() > _MOST_COPIED_BYTES:
                raise InvalidContact(f"more than {_MOST_COPIED_BYTES} bytes came; put them into a file, and name that")
        yield ContactsFile(copy)
