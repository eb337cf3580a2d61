"""Files of contacts are read line by line and checked to the end, and their errors have line numbers."""

from __future__ import annotations

import io
import json
import os
import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from threading import Thread
from types import SimpleNamespace

import pytest
from typer.testing import Result

from deploy.command import contacts_file
from deploy.command.contacts_file import ContactsFile, open_contacts
from deploy.support import contact_loading
from schemas.contacts import InvalidContact

Command = Callable[..., Result]


def a_line(number: int, **changed: object) -> bytes:
    """Return one valid line with some changes."""
    contact = {"id": f"mentor-{number}", "role": "mentor", "email": f"mentor-{number}@example.org", **changed}
    return json.dumps(contact).encode() + b"\n"


class Lines(io.RawIOBase):
    """A file of valid lines that are not kept in memory."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._given: Iterator[bytes] = iter(())

    def seek(self, offset: int, whence: int = 0) -> int:
        """Start again."""
        assert (0, 0) == (offset, whence)
        self._given = (a_line(number) for number in range(self._count))
        return 0

    def readline(self, size: int | None = -1) -> bytes:  # noqa: ARG002 - no line is that long
        """Return the next line."""
        return next(self._given, b"")


def test_the_first_ten_invalid_lines_are_listed() -> None:
    """The error lists ten invalid lines together, and the number of further ones."""
    content = ContactsFile(io.BytesIO(b"".join(a_line(number, role="friend") for number in range(14))))

    with pytest.raises(InvalidContact) as caught:
        content.check()

    *named, last = str(caught.value).splitlines()
    assert ([f"line {number}" for number in range(1, 11)], "  and 4 more") == (
        [one.strip().partition(": role")[0] for one in named],
        last,
    )


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (b"\xff\xfe{}\n", "line 2: is not UTF-8"),
        (b'"' + b"x" * (2 * 1024 * 1024) + b'"\n', "line 2: is longer than 1048576 bytes"),
        (a_line(1), "line 2: id: is already on line 1"),
    ],
    ids=["encoding", "length", "twice"],
)
def test_lines_after_an_invalid_one_are_checked(wrong: bytes, says: str) -> None:
    """After any invalid line the later lines keep their numbers and are checked."""
    content = ContactsFile(io.BytesIO(a_line(1) + wrong + a_line(3, email="nobody")))

    with pytest.raises(InvalidContact) as caught:
        content.check()

    assert [says, "line 3: email: must be an e-mail address"] == [
        line.strip().partition(" with")[0] for line in str(caught.value).splitlines()
    ]


def test_a_file_is_never_in_memory_as_a_whole() -> None:
    """Only the ids of a large file are in memory during the check, and nothing during publishing."""
    content = ContactsFile(Lines(20_000))  # type: ignore[arg-type]  # implements what is used of a file
    tracemalloc.start()
    try:
        assert 20_000 == content.check()
        checked = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        assert 20_000 == sum(1 for _ in content.contacts())
        published = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert checked < 20_000 * 300
    assert published < 2 * 1024 * 1024


def test_a_pipe_is_read_twice(tmp_path: Path) -> None:
    """Input that can be read only once is copied, so that all of it is checked before publishing."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writing = Thread(target=pipe.write_bytes, args=[a_line(1) + a_line(2)])
    writing.start()
    with open_contacts(pipe) as content:
        count, ids = content.check(), [contact.id for contact in content.contacts()]
    writing.join()

    assert (2, ["mentor-1", "mentor-2"]) == (count, ids)


def test_a_pipe_without_end_is_refused(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """Standard input is copied up to a limit, so that it cannot fill the disk."""
    monkeypatch.setattr(contacts_file, "_MAX_COPIED_BYTES", 10)
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(a_line(1))))

    with pytest.raises(InvalidContact, match="more than 10 bytes"), open_contacts(Path("-")):
        pass


@asynccontextmanager
async def _publisher(_: object, *, to: object) -> AsyncIterator[SimpleNamespace]:
    async def partitions(_: str) -> int:
        return 12

    yield SimpleNamespace(partitions=partitions)


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (KeyboardInterrupt, 130, "Stopped: 2 of 3 contacts were published. It is safe to load the file again"),
        (OSError("no leader"), 1, "2 of 3 contacts were published, then OSError: no leader; load the file again"),
    ],
    ids=["stopped", "failed"],
)
def test_an_early_end_prints_how_many_are_published(
    command: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    code: int,
    says: str,
) -> None:
    """If it is stopped or fails, it prints how many are published, and that it can be run again."""

    async def publish(*arguments: object) -> None:
        if arguments[-2] == "mentor-3":
            raise error

    file = tmp_path / "contacts.jsonl"
    file.write_bytes(a_line(1) + a_line(2) + a_line(3))
    monkeypatch.setattr(contact_loading, "publisher", _publisher)
    monkeypatch.setattr(contact_loading, "publish_contact", publish)
    monkeypatch.setattr(contact_loading, "_PUBLISHED_AT_ONCE", 1)

    result = command("contacts", "load", str(file))

    assert (code, "") == (result.exit_code, result.stdout)
    assert says in result.stderr


def test_a_file_that_changes_during_loading(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line that becomes invalid after the check stops loading; the error has the number of published ones."""
    file = tmp_path / "contacts.jsonl"
    file.write_bytes(a_line(1) + a_line(2))

    async def publish(*_arguments: object) -> None:
        file.write_bytes(a_line(1) + b"x" * (len(a_line(2)) - 1) + b"\n")

    @asynccontextmanager
    async def publisher(_: object, *, to: object) -> AsyncIterator[SimpleNamespace]:
        await publish()
        async with _publisher(_, to=to) as made:
            yield made

    monkeypatch.setattr(contact_loading, "publisher", publisher)
    monkeypatch.setattr(contact_loading, "publish_contact", publish)
    monkeypatch.setattr(contact_loading, "_PUBLISHED_AT_ONCE", 1)

    result = command("contacts", "load", str(file))

    assert 1 == result.exit_code
    assert "Error: 1 of 2 contacts were published, then the file changed: line 2: is not valid JSON" in result.stderr
