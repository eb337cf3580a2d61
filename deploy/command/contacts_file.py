"""A file of contacts in JSON Lines: checked to its end first, then read again, one line at a time."""

from __future__ import annotations

import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

from schemas.contacts import Contact, InvalidContact, parse_contact

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_MAX_LINE_BYTES = 1024 * 1024
_IN_MEMORY_BYTES = 32 * 1024 * 1024
_MAX_COPIED_BYTES = 1024**3
_CHUNK_BYTES = 1024 * 1024
_INVALID_LINES_LISTED = 10


class ContactsFile:
    """The contacts of an open file, which can be read several times."""

    def __init__(self, content: IO[bytes]) -> None:
        self._content = content

    def check(self) -> int:
        """
        Read the file to its end and return the number of contacts.

        Raises:
            InvalidContact: Lines are invalid. The message lists the first ten with their fields, never with values.
        """
        seen: dict[str, int] = {}
        invalid: list[str] = []
        count = 0
        for number, line in self._lines():
            try:
                _check_unique(seen, number, _contact(number, line).id)
            except InvalidContact as error:
                count += 1
                if count <= _INVALID_LINES_LISTED:
                    invalid.append(str(error))
        if count > _INVALID_LINES_LISTED:
            invalid.append(f"and {count - _INVALID_LINES_LISTED} more")
        if invalid:
            raise InvalidContact("\n  ".join(invalid))
        return len(seen)

    def contacts(self) -> Iterator[Contact]:
        """Yield the contacts; raise InvalidContact at a line that became invalid after the check."""
        for number, line in self._lines():
            yield _contact(number, line)

    def _lines(self) -> Iterator[tuple[int, bytes]]:
        """Yield the lines that are not blank, with their numbers; of a line that is too long, only its start."""
        self._content.seek(0)
        number = 0
        while line := self._content.readline(_MAX_LINE_BYTES):
            number += 1
            rest = line
            while len(rest) == _MAX_LINE_BYTES and not rest.endswith(b"\n"):
                rest = self._content.readline(_MAX_LINE_BYTES)
            text = line.removeprefix(_BYTE_ORDER_MARK) if number == 1 else line
            if text.strip():
                yield number, text


def _check_unique(seen: dict[str, int], number: int, contact_id: str) -> None:
    first = seen.setdefault(contact_id, number)
    if first != number:
        raise InvalidContact(f"line {number}: id: is already on line {first}")


def _contact(number: int, line: bytes) -> Contact:
    if len(line) >= _MAX_LINE_BYTES:
        raise InvalidContact(f"line {number}: is longer than {_MAX_LINE_BYTES} bytes")
    try:
        return parse_contact(line.decode())
    except UnicodeDecodeError:
        raise InvalidContact(f"line {number}: is not UTF-8") from None
    except InvalidContact as error:
        raise InvalidContact(f"line {number}: {error}") from None


@contextmanager
def open_contacts(file: Path) -> Iterator[ContactsFile]:
    """
    Open a file of contacts; - is standard input.

    Input that can be read only once, such as a pipe, is copied: into memory while it is small, else into a temporary
    file.

    Raises:
        InvalidContact: A pipe gives more than the limit.
        OSError: The input cannot be read or copied.
    """
    with ExitStack() as undo:
        given: IO[bytes] = sys.stdin.buffer if str(file) == "-" else undo.enter_context(file.open("rb"))
        if str(file) != "-" and stat.S_ISREG(file.stat().st_mode):
            yield ContactsFile(given)
            return
        copy = undo.enter_context(tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY_BYTES))
        while chunk := given.read(_CHUNK_BYTES):
            copy.write(chunk)
            if copy.tell() > _MAX_COPIED_BYTES:
                raise InvalidContact(
                    f"the input has more than {_MAX_COPIED_BYTES} bytes; save it to a file and load that"
                )
        yield ContactsFile(copy)
